"""No single answer becomes a lasting fact: what does not match is read again before anybody is accused of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from masumi_tools.calls.call import Reply
from masumi_tools.hire import rows
from masumi_tools.hire.purchase import Purchase, State
from masumi_tools.hire.receipt import Receipt
from masumi_tools.hire.replies import learn, payment
from masumi_tools.hire.replies.proof import compared
from masumi_tools.hire.steps import NO_TEXT_MS, Ask, Ways
from masumi_tools.models import read_purchase
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, purchases, sent

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
WAYS = Ways("https://node.example/api/v1", None, "Preprod")
SPOILT = {"status": "completed", "result": "HELL\ufffd"}
REFUNDS = ("POST /purchase/request-refund", "PATCH /purchase")


def spoil(sandbox: Sandbox, body: Any = SPOILT, **more: Any) -> None:
    sandbox.arm({"on": "GET /status", "do": "answer", "status": 200, "body": body, **more})


def hire(buyer: ClockedBuyer, name: str = "echo", patience_s: float = 300, **options: Any) -> Receipt:
    agent = buyer.sandbox.service(name).agent_identifier
    return buyer.hire(agent, {"text": "hello"}, patience_s=patience_s, **options)


def asked_back(sandbox: Sandbox) -> bool:
    return any(name in REFUNDS for name in sent(sandbox))


def test_a_result_that_was_spoilt_once_is_replaced_by_the_true_one(buyer: ClockedBuyer) -> None:
    spoil(buyer.sandbox)

    made = hire(buyer, on_mismatch="refund")

    assert (made.outcome, made.result, made.verified, made.owed) == ("completed", "HELLO", True, False)
    assert not made.reason and not asked_back(buyer.sandbox)


@pytest.mark.parametrize("then", [{"status": "running"}, {"status": "failed", "error": "broken"}, "<html>"])
def test_while_the_service_gives_nothing_more_the_hire_is_owed_and_nobody_is_accused(
    buyer: ClockedBuyer, then: Any
) -> None:
    spoil(buyer.sandbox)
    spoil(buyer.sandbox, then, times=10_000)

    made = hire(buyer, on_mismatch="refund", patience_s=1800)

    assert (made.outcome, made.verified, made.owed) == ("completed", None, True)
    assert "once more" in made.reason and not asked_back(buyer.sandbox)

    buyer.sandbox.faults.clear()
    later = hire(buyer, on_mismatch="refund")
    assert (later.hire_id, later.result, later.verified) == (made.hire_id, "HELLO", True)
    assert not later.reason and len(purchases(buyer.sandbox)) == 1


def test_who_comes_back_at_the_last_moment_asks_the_service_before_the_node(buyer: ClockedBuyer) -> None:
    spoil(buyer.sandbox)
    spoil(buyer.sandbox, {"status": "running"}, times=10_000)
    made = hire(buyer, on_mismatch="refund")
    assert made.times is not None and made.verified is None and made.owed
    buyer.sandbox.faults.clear()
    buyer.sandbox.advance(made.times.unlock_time - NO_TEXT_MS + MINUTE_MS - buyer.sandbox.now_ms())

    (later,) = buyer.sweep()

    assert (later.result, later.verified) == ("HELLO", True) and not asked_back(buyer.sandbox)


def test_the_money_is_asked_back_in_time_where_the_service_gives_nothing_more(buyer: ClockedBuyer) -> None:
    spoil(buyer.sandbox)
    spoil(buyer.sandbox, "", times=100_000)
    made = hire(buyer, on_mismatch="refund")
    assert made.times is not None and made.verified is None
    buyer.sandbox.advance(made.times.unlock_time - NO_TEXT_MS - MINUTE_MS - buyer.sandbox.now_ms())
    assert [one.verified for one in buyer.sweep()] in ([], [None]) and not asked_back(buyer.sandbox)

    buyer.sandbox.advance(3 * MINUTE_MS)
    buyer.sweep()

    told = buyer.receipt(made.hire_id)
    assert told.verified is False and told.state in (State.REFUND_REQUESTED, State.DISPUTED)
    assert buyer.sandbox.now_ms() < made.times.unlock_time - 20 * MINUTE_MS


@pytest.mark.parametrize(
    ("doubted", "asked_back"),  # minutes before the unlock
    [(600, 30), (35, 26.25), (31, 23.25), (4, 3), (1, 0.5)],
)
def test_where_the_doubt_came_late_a_service_that_forgot_the_job_for_minutes_is_no_liar(
    buyer: ClockedBuyer, doubted: float, asked_back: float
) -> None:
    """It has a quarter of what is left; seed 60913: unlocked half an hour after the hash."""
    spoil(buyer.sandbox)
    spoil(buyer.sandbox, {"status": "failed", "error": "Job not found"}, times=10_000)
    row = buyer.journal.get(hire(buyer, on_mismatch="refund").hire_id)
    assert row is not None
    p = rows.purchase_of(row)
    assert p.node is not None and p.terms is not None and p.mismatch_ms and not p.mismatch_again
    unlock = p.terms.times.unlock_time
    p = p.but(mismatch_ms=unlock - int(doubted * MINUTE_MS))

    def verdict(before: float) -> bool | None:
        assert p.node is not None
        return compared(p, p.node, unlock - int(before * MINUTE_MS), WAYS).verified

    assert verdict(asked_back + 0.1) is None
    assert verdict(asked_back - 0.25) is False


def test_a_service_that_gives_it_twice_is_believed_at_once(buyer: ClockedBuyer) -> None:
    made = hire(buyer, "liar", patience_s=60, on_mismatch="refund")

    assert made.verified is False and asked_back(buyer.sandbox)
    assert sent(buyer.sandbox).count("GET /status") >= 2


def test_a_hash_that_the_node_showed_wrongly_once_convicts_nobody(
    buyer: ClockedBuyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = 1

    def spoilt(body: object) -> Any:
        nonlocal wrong
        row = read_purchase(body)
        if row.result_hash is None or not wrong:
            return row
        wrong -= 1
        return replace(row, result_hash="0" * 64)

    monkeypatch.setattr(payment, "read_purchase", spoilt)

    made = hire(buyer, on_mismatch="refund")

    assert wrong == 0
    assert (made.outcome, made.verified) == ("completed", True) and not asked_back(buyer.sandbox)


def test_a_result_that_was_spoilt_is_fetched_after_the_service_was_paid_too(buyer: ClockedBuyer) -> None:
    made = hire(buyer, patience_s=0)
    assert made.outcome == "open"
    buyer.sandbox.advance(12 * HOUR_MS)
    assert buyer.sandbox.world.purchases[0].on_chain == "Withdrawn"
    spoil(buyer.sandbox)
    for _ in range(5):
        buyer.sweep()
        buyer.sandbox.advance(MINUTE_MS)

    told = buyer.receipt(made.hire_id)

    assert (told.state, told.result, told.verified) == (State.SETTLED, "HELLO", True)


def test_a_lie_is_told_as_one_when_the_service_was_paid_for_it(buyer: ClockedBuyer) -> None:
    made = hire(buyer, "liar", patience_s=0)
    buyer.sandbox.advance(12 * HOUR_MS)
    for _ in range(5):
        buyer.sweep()
        buyer.sandbox.advance(MINUTE_MS)

    told = buyer.receipt(made.hire_id)

    assert (told.state, told.verified) == (State.SETTLED, False)


def test_another_order_under_our_identifier_is_believed_when_it_lasts(buyer: ClockedBuyer) -> None:
    """A row with other times ends the hire for good, so one answer that was spoilt must not."""
    made = hire(buyer, "silent", patience_s=60)
    row = buyer.journal.get(made.hire_id)
    assert row is not None
    p = rows.purchase_of(row).but(state=State.PAID, node=None)
    (true,) = purchases(buyer.sandbox)
    foreign = {**true, "submitResultTime": str(int(true["submitResultTime"]) + HOUR_MS)}

    def read(p: Purchase, data: object, now: int) -> Purchase:
        return learn(p, Ask.READ, Reply(200, {"status": "success", "data": data}), now, WAYS)

    now = buyer.sandbox.now_ms()
    once = read(p, foreign, now)
    assert once.state is State.PAID and "other times" in once.notes[-1]
    mended = read(once, true, now + MINUTE_MS)
    assert mended.state is State.LOCKED and not mended.foreign_ms
    twice = read(once, foreign, now + MINUTE_MS)
    assert twice.state is State.FAILED and "other times" in twice.reason


def run_on(sandbox: Sandbox, then: Any) -> None:
    """The service says for a while that it runs, then this once, and then what is true."""
    spoil(sandbox, {"status": "running"}, times=25)
    spoil(sandbox, then)


def test_one_completed_without_a_text_after_a_long_run_asks_for_no_refund(buyer: ClockedBuyer) -> None:
    """The answers before it, that the job runs, were counted with it."""
    run_on(buyer.sandbox, {"status": "completed"})

    made = hire(buyer, patience_s=1800)

    assert (made.outcome, made.result, made.verified) == ("completed", "HELLO", True)
    assert not asked_back(buyer.sandbox)


def test_a_free_service_that_was_silent_once_after_a_long_run_is_not_gone(buyer: ClockedBuyer) -> None:
    run_on(buyer.sandbox, "<html>")

    made = hire(buyer, "free", patience_s=1800)

    assert made.outcome == "completed" and made.result and not made.reason


def test_a_completed_without_a_text_that_lasts_is_asked_back(buyer: ClockedBuyer) -> None:
    spoil(buyer.sandbox, {"status": "running"}, times=25)
    spoil(buyer.sandbox, {"status": "completed"}, times=3)

    made = hire(buyer, patience_s=600)

    assert made.state in (State.REFUND_REQUESTED, State.DISPUTED) and asked_back(buyer.sandbox)
    assert sent(buyer.sandbox).count("GET /status") >= 28
