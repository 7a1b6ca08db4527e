"""Trouble after the lock is told beside what there is, and a wish that was overtaken is taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from masumi_tools.hire.purchase import State
from masumi_tools.hire.receipt import Receipt
from masumi_tools.hire.replies import payment
from masumi_tools.models import read_purchase
from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.chain.changes import set_action
from tests.hire.clocked import ClockedBuyer, sent

HOUR_MS = 3_600_000
CANCEL = "POST /purchase/cancel-refund-request"


def hire(buyer: ClockedBuyer, **options: Any) -> Receipt:
    agent = buyer.sandbox.service("echo").agent_identifier
    return buyer.hire(agent, {"text": "hello"}, **{"patience_s": 1800, **options})


def say_failed(sandbox: Sandbox, times: int) -> None:
    body = {"status": "failed", "error": "a worker was lost"}
    sandbox.arm({"on": "GET /status", "do": "answer", "status": 200, "body": body, "times": times})


def settle(buyer: ClockedBuyer, rounds: int = 24) -> None:
    for _round in range(rounds):
        buyer.sandbox.advance(HOUR_MS)
        buyer.sweep()


def test_a_wish_that_a_proved_result_has_overtaken_is_taken_back(buyer: ClockedBuyer) -> None:
    """The service said for a minute that the job failed; the money was asked back, and then the result came."""
    say_failed(buyer.sandbox, 12)
    made = hire(buyer)
    for _round in range(40):
        buyer.sandbox.advance(30_000)
        buyer.sweep()
    told = buyer.receipt(made.hire_id)

    assert "POST /purchase/request-refund" in sent(buyer.sandbox) and CANCEL in sent(buyer.sandbox)
    assert (told.outcome, told.result, told.verified) == ("completed", "HELLO", True)
    assert not told.reason
    settle(buyer)
    assert buyer.receipt(made.hire_id).state is State.SETTLED
    assert [str(line) for line in buyer.budget_lines()] == ["19 ADA of 20 ADA left: 1 ADA spent"]


def test_a_wish_is_taken_back_also_when_its_answer_was_lost(buyer: ClockedBuyer) -> None:
    say_failed(buyer.sandbox, 12)
    buyer.sandbox.arm({"on": "POST /purchase/request-refund", "do": "error-500-after-commit"})
    made = hire(buyer)
    for _round in range(40):
        buyer.sandbox.advance(30_000)
        buyer.sweep()
    told = buyer.receipt(made.hire_id)

    assert CANCEL in sent(buyer.sandbox)
    assert (told.outcome, told.result, told.verified) == ("completed", "HELLO", True)


@pytest.mark.parametrize(("failures", "patience_s"), [(3, 10), (12, 50)], ids=["first", "demanded again"])
def test_a_wish_of_the_buyers_own_stands_whatever_is_proved(
    buyer: ClockedBuyer, failures: int, patience_s: int
) -> None:
    say_failed(buyer.sandbox, failures)
    made = hire(buyer, patience_s=patience_s)
    assert made.outcome == ("open" if failures == 3 else "refund_requested")
    buyer.refund(made.hire_id, patience_s=60)
    for _round in range(20):
        buyer.sandbox.advance(30_000)
        buyer.sweep()

    told = buyer.receipt(made.hire_id)
    assert (told.outcome, told.result, told.verified) == ("disputed", "HELLO", True)
    assert CANCEL not in sent(buyer.sandbox)


def test_a_node_that_waits_for_its_operator_is_told_beside_the_result(buyer: ClockedBuyer) -> None:
    made = hire(buyer)
    assert made.outcome == "completed" and not made.reason
    (row,) = buyer.sandbox.world.purchases
    row.action = replace(
        row.action, requested="WaitingForManualAction", error_type="Unknown", error_note="a note"
    )
    buyer.sandbox.advance(HOUR_MS // 2)
    buyer.sweep()
    told = buyer.receipt(made.hire_id)

    assert (told.outcome, told.result) == ("completed", "HELLO")
    assert told.reason.startswith("the node waits for its operator (") and "a note" in told.reason

    set_action(buyer.sandbox.world, row, "WaitingForExternalAction")
    buyer.sandbox.advance(HOUR_MS // 2)
    buyer.sweep()
    assert not buyer.receipt(made.hire_id).reason, "and goes when the operator has done it"


def test_a_payout_without_amounts_says_so(buyer: ClockedBuyer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        payment, "read_purchase", lambda body: replace(read_purchase(body), withdrawn_for_seller=())
    )
    made = hire(buyer)
    settle(buyer)

    told = buyer.receipt(made.hire_id)
    assert (told.state, told.paid_text) == (State.SETTLED, "1 ADA")
    assert any("names no amounts" in note for note in told.notes)
