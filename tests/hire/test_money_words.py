"""What a receipt says of the money and what the budget counts are one thing, whatever the chain says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from masumi_tools.hire import rows
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.purchase import BEFORE_PAYING, TRANSITIONS, Moment, Purchase, State
from masumi_tools.hire.receipt import receipt_of
from masumi_tools.hire.replies.payment import on_chain
from masumi_tools.hire.steps import LAPSE_MS, Ways
from masumi_tools.journal.row import Used
from masumi_tools.journal.store import Journal
from masumi_tools.models import NodePurchase, OnChainState
from masumi_tools.money import Amount
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer

WAYS = Ways("https://node.example/api/v1", None, "Preprod")
HOUR_MS = 3_600_000
PRICE = (Amount(2_000_000), Amount(5_000_000, "ab" * 28))
HALF = (Amount(1_000_000), Amount(5_000_000, "ab" * 28))
SPLITS: dict[str, tuple[tuple[Amount, ...], tuple[Amount, ...]]] = {
    "none named": ((), ()),
    "all back": (PRICE, ()),
    "half back": (HALF, (Amount(1_000_000),)),
    "all to the seller": ((), PRICE),
}
PATHS: dict[State, tuple[State, ...]] = {}
for _state in State:
    _todo = [(State.ASKED,)]
    while _todo:
        _path = _todo.pop(0)
        if _path[-1] is _state:
            PATHS[_state] = _path
            break
        _todo += [(*_path, target) for target in TRANSITIONS[_path[-1]].values() if target not in _path]


@pytest.fixture(scope="module")
def paid() -> Iterator[tuple[Purchase, NodePurchase]]:
    """The record of a hire that was paid, and its row at the node."""
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        journal = Journal("sqlite:///:memory:")
        buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
        made = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=60)
        row = journal.get(made.hire_id)
        assert row is not None
        p = rows.purchase_of(row).but(price=PRICE)
        assert p.node is not None
        yield p, p.node
        journal.close()


def agree(p: Purchase) -> None:
    """The receipt of this record, in fields and words, against the lines of its budget."""
    told, (money, entries) = receipt_of(p), rows._lines(p)
    lines = {
        line.unit: line
        for line in rows.budget_lines([Used(e.unit, money, e.quantity, e.returned) for e in entries])
    }
    paid = {amount.unit: amount.quantity for amount in told.paid}
    back = {amount.unit: amount.quantity for amount in told.refunded}
    price = {amount.unit: amount.quantity for amount in p.price}
    for unit, line in lines.items():
        assert paid.get(unit, 0) == line.locked + line.spent + line.refunded, (p.state, str(line), told.paid)
        assert back.get(unit, 0) == line.refunded, (p.state, str(line), told.refunded)
        out = {"none": 0, "maybe": 0, "refunded": line.spent}.get(told.money, price[unit] - line.refunded)
        assert line.locked + line.spent == out, (p.state, told.money, str(line))
        assert bool(line.spent) <= (told.money in ("spent", "refunded")), (p.state, str(line))
        assert bool(line.locked) <= (told.money in ("locked", "refunding")), (p.state, str(line))
    assert ("nothing paid" in str(told)) == (not any(paid.values()))
    where = told.where_the_money_is
    if where in ("Nothing was paid.", "Nothing has been paid yet."):
        assert not any(line.locked or line.spent for line in lines.values()), where
    if where.startswith("The service is free"):
        assert not any(line.used for line in lines.values())


def in_state(p: Purchase, state: State, free: bool) -> Purchase:
    path = PATHS[state]
    history = tuple(Moment(state=one, at_ms=p.created_ms + n) for n, one in enumerate(path))
    money = {} if state not in BEFORE_PAYING or state is State.STARTED else {"terms": None, "node": None}
    return p.but(state=state, history=history, free=free, **money)


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("state", State)
def test_in_every_state_words_and_budget_agree(
    paid: tuple[Purchase, NodePurchase], state: State, free: bool
) -> None:
    p = in_state(paid[0], state, free)
    if state is State.REFUNDED and not free:
        p = p.but(returned=p.price)
    agree(p)


WITH_RESULT = (State.DELIVERED, State.REFUND_REQUESTED, State.DISPUTED)
PAYING = [state for state in State if TRANSITIONS[state] and state not in BEFORE_PAYING]


@pytest.mark.parametrize("chain", [None, *OnChainState, "SomethingNew"])
@pytest.mark.parametrize("state", [state for state in PAYING if state is not State.RUNNING])
def test_whatever_the_chain_says_next_words_and_budget_agree(
    paid: tuple[Purchase, NodePurchase], state: State, chain: str | None
) -> None:
    p, node = paid
    assert p.terms is not None
    seen = 0
    results = (None, "HELLO") if state in WITH_RESULT else (None,)
    for split, sent, result, asked, hour in product(SPLITS, (True, False), results, ("", "why"), (0, 48)):
        buyers, sellers = SPLITS[split]
        row = replace(
            node,
            on_chain_state=chain,
            withdrawn_for_buyer=buyers,
            withdrawn_for_seller=sellers,
            tx_hash="ab" * 32 if sent else None,
            tx_hashes=("ab" * 32,) if sent else (),
            result_hash="0" * 64 if result else None,
        )
        before = in_state(p, state, False).but(
            result=result, result_ms=1 if result else 0, refund_wanted=asked
        )
        now = p.terms.times.pay_by_time + LAPSE_MS + hour * HOUR_MS

        after = on_chain(before, row, now, WAYS, now)
        agree(after)
        agree(on_chain(after, row, now + 25 * HOUR_MS, WAYS, now) if not after.ended else after)
        seen += 1
    assert seen == 32 * len(results)


def test_a_transaction_that_was_sent_is_money_that_left(paid: tuple[Purchase, NodePurchase]) -> None:
    p, node = paid
    invalid = replace(node, on_chain_state=OnChainState.FUNDS_OR_DATUM_INVALID, tx_hash="ab" * 32)

    told = receipt_of(on_chain(in_state(p, State.PAID, False), invalid, p.changed_ms, WAYS, p.changed_ms))

    assert (told.outcome, told.money, told.paid) == ("failed", "spent", PRICE)
    assert "nothing paid" not in str(told) and "was not refunded" in told.where_the_money_is
    assert [one.verdict for one in told.verify() if one.name == "amounts"] == ["not verifiable"]
