"""Sweeps: what they cost the node, what they leave open, and that nothing but the money's owner may begin to pay."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from masumi_tools.errors import JournalBusy, JournalError
from masumi_tools.hire.budget import Budget
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, Crash, CrashingJournal

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


def hire_open(buyer: ClockedBuyer, count: int) -> None:
    """So many hires of both kinds of escrow that stay open: one half paid and silent, one half delivered."""
    for number in range(count // 2):
        silent, second = (buyer.sandbox.service(name).agent_identifier for name in ("silent", "echo-v2"))
        assert buyer.hire(silent, {"text": f"{number}"}, patience_s=5).outcome == "open"
        assert buyer.hire(second, {"text": f"{number}"}, patience_s=30).outcome == "completed"


def to_node(sandbox: Sandbox, since: int) -> list[str]:
    return [f"{seen.method} {seen.path}" for seen in sandbox.requests[since:] if seen.to == "node"]


def test_a_sweep_asks_the_node_as_often_for_sixty_hires_as_for_ten(tmp_path: object) -> None:
    asked: dict[int, list[list[str]]] = {}
    for count in (10, 60):
        with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
            journal = Journal(f"sqlite:///{tmp_path}/{count}.sqlite")
            hire_open(ClockedBuyer(sandbox, Budget("200 ADA"), journal), count)
            sweeper = ClockedBuyer(sandbox, None, journal)
            rounds = []
            for wait_ms in (MINUTE_MS, MINUTE_MS, 25 * MINUTE_MS, 30 * MINUTE_MS):
                sandbox.advance(wait_ms)
                before = len(sandbox.requests)
                sweeper.sweep()
                rounds.append(to_node(sandbox, before))
            assert {made.outcome for made in sweeper.hires()} == {"completed", "refunded"}
            asked[count] = rounds
            journal.close()

    reads = {
        count: [
            [path for path in one if "refund" not in path and "payment-source" not in path]
            for one in asked[count]
        ]
        for count in asked
    }
    assert reads[60] == reads[10] == [["GET /purchase/diff"] * 2] * 4


def test_a_hire_that_somebody_else_moves_right_now_does_not_keep_the_sweep_from_the_others(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    class Contended(Journal):
        moved = ""

        def take_lease(self, hire_id: str, *others: Any) -> bool:
            if hire_id == self.moved:
                raise JournalBusy("the journal is locked by another process")
            return super().take_lease(hire_id, *others)

    journal = Contended(sqlite_url)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    paid = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=5)
    crashing = CrashingJournal(sqlite_url, 1, after=True)
    with pytest.raises(Crash):
        ClockedBuyer(sandbox, None, crashing).hire(sandbox.service("echo").agent_identifier, {"text": "hi"})
    crashing.close()
    begun = next(row.hire_id for row in journal.rows() if row.hire_id != paid.hire_id)
    journal.moved = begun
    sandbox.advance(2 * HOUR_MS)

    swept = {made.hire_id: made.outcome for made in buyer.sweep()}

    assert swept == {begun: "open", paid.hire_id: "refunded"}
    journal.close()


def test_a_record_that_this_version_cannot_read_is_named_and_keeps_no_other_from_the_sweep(
    sandbox: Sandbox, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    newer, other = (
        buyer.hire(sandbox.service("silent").agent_identifier, {"text": text}, patience_s=5).hire_id
        for text in ("one", "two")
    )
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as db, db:
        text = "UPDATE masumi_hires SET record = json_set(record, '$.of_tomorrow', 1) WHERE hire_id = ?"
        db.execute(text, [newer])
    sandbox.advance(2 * HOUR_MS)

    swept = {made.hire_id: made.outcome for made in buyer.sweep()}

    assert swept == {other: "refunded"} and newer in caplog.text
    with pytest.raises(JournalError, match=f"hire {newer} cannot be read; it was written by a newer"):
        buyer.receipt(newer)
    buyer.journal.close()
