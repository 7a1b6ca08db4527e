"""No limit of the user, no payment; and words about money come from the hire."""

from __future__ import annotations

import pytest

from masumi_tools import Buyer
from masumi_tools.money import parse_amounts
from masumi_tools.tools.actions import Actions, call_name, least
from masumi_tools.tools.talk import Call

MINE = Call("mine", "mine")


@pytest.fixture
def unlimited(settings):
    with Buyer(settings) as buyer:
        yield Actions(buyer=buyer)


@pytest.mark.parametrize("max_price", [None, "50 ADA"])
def test_without_a_limit_of_the_user_nothing_is_paid_whatever_a_model_names(sandbox, unlimited, max_price):
    echo, free = sandbox.service("echo"), sandbox.service("free")
    before = len(sandbox.ledger()["purchases"])
    unlimited.run(unlimited.quote(echo.agent_identifier))

    said = unlimited.run(unlimited.hire(echo.agent_identifier, {"text": "x"}, MINE, max_price=max_price))
    none = unlimited.run(unlimited.hire(free.agent_identifier, {"text": "permission"}, MINE))

    assert said.code == "refused" and "only free services can be hired" in said.text
    assert none.code == "completed"
    assert len(sandbox.ledger()["purchases"]) == before


def test_a_model_cannot_raise_the_limit_of_the_user(sandbox, settings):
    with Buyer(settings) as buyer:
        actions = Actions(buyer=buyer, max_price="0.5 ADA")
        said = actions.run(
            actions.hire(sandbox.service("echo").agent_identifier, {"text": "x"}, MINE, max_price="9 ADA")
        )

    assert said.code == "refused" and "0.5 ADA" in said.text
    assert least(parse_amounts("9 ADA"), parse_amounts("2 ADA")) == parse_amounts("2 ADA")
    assert least(parse_amounts("1 ADA"), parse_amounts("2 ADA")) == parse_amounts("1 ADA")
    assert least(None, None) is None
    assert (
        least(None, parse_amounts("2 ADA")) == least(parse_amounts("2 ADA"), None) == parse_amounts("2 ADA")
    )


def test_a_wrong_answer_says_where_the_money_is(sandbox, buyer):
    actions = Actions(buyer=buyer)
    asked = actions.run(actions.hire(sandbox.service("human").agent_identifier, {"text": "wrong"}, MINE))
    assert asked.code == "needs_input" and asked.receipt is not None

    said = actions.run(actions.answer(asked.receipt.hire_id, {"colour": "red"}, MINE))

    assert said.code == "invalid_input"
    assert "Nothing was paid" not in said.text and "locked in escrow" in said.text


def test_a_repeated_call_id_tells_how_old_its_result_is_and_an_empty_one_is_none(sandbox, buyer):
    actions = Actions(buyer=buyer)
    target = sandbox.service("echo").agent_identifier
    call = Call("ages", "ages", "call_0")
    first = actions.run(actions.hire(target, {"text": "age"}, call))
    buyer._clock.follow(buyer.now_ms() + 3 * 86_400_000)

    again = actions.run(actions.hire(target, {"text": "age"}, call))

    assert first.receipt is not None and again.receipt is not None
    assert again.receipt.hire_id == first.receipt.hire_id
    assert "delivered this result 3 days ago" in again.text
    assert call_name(target, {}, Call("", "", "")) is None


STATUSES = {
    "completed": False, "reused": False, "open": False, "needs_input": False, "refund_requested": False,
    "disputed": False, "refused": True, "lapsed": True, "refunded": True, "failed": True,
}  # fmt: skip


@pytest.mark.parametrize(("outcome", "failed"), STATUSES.items())
def test_the_status_of_a_tool_message_follows_one_table(buyer, outcome, failed):
    from masumi_tools.hire.receipt import Receipt

    actions = Actions(buyer=buyer)
    said = actions.run(actions._said(Receipt(hire_id="ab", outcome=outcome, result="x")))

    assert (said.code, said.failed) == (outcome, failed)


def test_an_error_that_is_retried_with_its_call_id_tells_the_same_hire_and_buys_nothing(sandbox, buyer):
    actions = Actions(buyer=buyer, max_price="0.5 ADA")
    target, call = sandbox.service("echo").agent_identifier, Call("retry", "retry", "call_r")
    before = len(sandbox.ledger()["purchases"])

    told = [actions.run(actions.hire(target, {"text": "retry"}, call)) for _ in range(3)]

    assert {said.code for said in told} == {"refused"}
    assert len(sandbox.ledger()["purchases"]) == before
