"""The shared look at the node: whatever changes is seen, also a row that was the last one seen before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from masumi_tools.budget import Budget
from masumi_tools.sandbox import Sandbox
from masumi_tools.store import Journal
from tests.hire.clocked import ClockedBuyer, sent

HOUR_MS = 3_600_000


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


def test_the_row_at_the_cursor_is_seen_again_when_it_changes_again(
    sandbox: Sandbox, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("masumi_tools.buyer.CROWD", 0)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    target = sandbox.service("echo").agent_identifier
    assert buyer.hire(target, {"text": "hello"}).outcome == "completed"
    sandbox.advance(12 * HOUR_MS)  # the seller collects

    buyer.sweep()

    (receipt,) = buyer.hires()
    assert receipt.on_chain_state == "Withdrawn"
    assert "POST /purchase/resolve-blockchain-identifier" not in sent(sandbox)
    buyer.journal.close()
