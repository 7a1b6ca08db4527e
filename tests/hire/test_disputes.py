"""Disputes to their end: what the admins decide is booked to the last unit, and the collateral is no refund."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.steps import LAST_ASKS
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer

HOUR_MS = 3_600_000


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("seller_permille", "outcome", "refunded", "spent"),
    [
        (0, "refunded", "1 ADA", 0),
        (300, "failed", "0.7 ADA", 300_000),
        (1000, "completed", "nothing", 1_000_000),
    ],
)
def test_a_decided_dispute_is_booked_without_the_collateral(
    sandbox: Sandbox, sqlite_url: str, seller_permille: int, outcome: str, refunded: str, spent: int
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    target = sandbox.service("liar").agent_identifier
    disputed = buyer.hire(target, {"text": "hello"}, on_mismatch="refund", patience_s=1800)
    assert disputed.outcome in ("refund_requested", "disputed")
    sandbox.advance(20 * HOUR_MS)
    row = sandbox.world.purchases[0]
    assert row.on_chain == "Disputed"
    sandbox.world.jobs.split(row, seller_permille)
    assert row.collateral, "the lock of 1 ADA has a collateral, which the buyer gets back in any case"

    (receipt,) = buyer.sweep()

    assert (receipt.outcome, receipt.refunded_text) == (outcome, refunded)
    (line,) = buyer.budget_lines()
    assert (line.reserved, line.locked, line.spent) == (0, 0, spent)
    buyer.journal.close()


def test_a_split_without_a_result_is_never_called_a_refund(sandbox: Sandbox, sqlite_url: str) -> None:
    """The seller put a hash on the chain, gave no text, and the admins gave it all."""
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    sandbox.arm({"on": "GET /status", "service": "echo", "do": "error-500", "times": 10_000})
    target = sandbox.service("echo").agent_identifier
    buyer.hire(target, {"text": "hello"}, patience_s=7 * 3600)
    sandbox.advance(20 * HOUR_MS)
    sandbox.world.jobs.split(sandbox.world.purchases[0], 1000)
    buyer.sweep()  # from now on the service is asked for the result for a day
    sandbox.advance(24 * HOUR_MS)
    for _last_ask in range(LAST_ASKS):  # nobody asked meanwhile
        sandbox.advance(HOUR_MS)
        assert [receipt.outcome for receipt in buyer.sweep()] == ["disputed"]
    sandbox.advance(HOUR_MS)

    (receipt,) = buyer.sweep()

    assert (receipt.outcome, receipt.refunded_text) == ("failed", "nothing")
    assert "the service got it all" in receipt.reason
    assert receipt.where_the_money_is == "1 ADA was not refunded."
    buyer.journal.close()


@pytest.mark.parametrize("comes", [True, False])
def test_a_service_that_took_the_money_is_asked_for_its_result_for_a_day(
    sandbox: Sandbox, sqlite_url: str, comes: bool
) -> None:
    """Nobody swept until the seller had collected, and then its host was down."""
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=0)
    sandbox.advance(12 * HOUR_MS)
    assert sandbox.world.purchases[0].on_chain == "Withdrawn"
    sandbox.arm({"on": "GET /status", "service": "echo", "do": "error-500", "times": 10 if comes else 10_000})

    for _ in range(30):
        receipt = next(iter(buyer.sweep()), None)
        if receipt is None:
            break
        if receipt.open:
            assert receipt.where_the_money_is.startswith("1 ADA was paid to the service")
        sandbox.advance(HOUR_MS)

    (receipt,) = buyer.hires()
    assert (receipt.outcome, receipt.result) == (("completed", "HELLO") if comes else ("failed", None))
    buyer.journal.close()
