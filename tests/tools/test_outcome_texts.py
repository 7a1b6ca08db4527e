"""What a model reads of every end that a hire can have: the state, where the money is, one thing to do, no lie."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

from masumi_tools.errors import InputError, UnknownHire
from masumi_tools.hire.acceptance import above
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.purchase import Moment, Purchase, State
from masumi_tools.hire.receipt import Receipt, not_coming_back, receipt_of
from masumi_tools.journal.row import Usage
from masumi_tools.models import JobTimes, Listing, Terms
from masumi_tools.models.node import NodePurchase
from masumi_tools.models.price import Price
from masumi_tools.models.status import read_status
from masumi_tools.money import Amount
from masumi_tools.text import parts, plain, quoted
from masumi_tools.tools import catalogue, wording
from masumi_tools.tools.wording import ALONE, Follow, told

NOW = 1_800_000_000_000
MINUTE, HOUR = 60_000, 3_600_000
TIMES = JobTimes(NOW + 10 * MINUTE, NOW + 40 * MINUTE, NOW + 400 * MINUTE, NOW + 800 * MINUTE)
KIT = Follow("masumi_check", "masumi_answer", "masumi_refund")
CREW = Follow(repeat=False)
ID = "f00dface00112233"
PRICE = (Amount(3_000_000),)
FENCED = re.compile(r"<<<([0-9a-f]{16})\s.*?\s\1>>>", re.DOTALL)
QUESTION = {
    "status": "awaiting_input",
    "input_schema": {"input_data": [{"id": "approve", "type": "boolean", "name": "Approve"}]},
}
# What made a model pay again, or lie to its user.
NEVER = (
    "same reason",
    "expected back",
    "no open hire",
    "answer with these",
    "joins this hire",
    "on its way back",
    "came back",
    "asked back",
    "somebody",
    "anybody",
    "nobody",
    "to us",
    "for us",
    "the money: ",
    "not known yet whether 3 ada was paid",
)


def record(
    state: State, *before: State, free: bool = False, result: str | None = None, **more: Any
) -> Purchase:
    """A hire of 3 ADA in this state, after those before it."""
    history = tuple(Moment(state=s, at_ms=NOW - 3 * HOUR) for s in (*before, state))
    given: dict[str, Any] = {
        "hire_id": ID,
        "key": "k",
        "target": "ab" * 40,
        "budget": "b",
        "network": "Preprod",
        "input_data": {},
        "nonce": "ab" * 10,
        "created_ms": NOW - 4 * HOUR,
        "changed_ms": NOW - 3 * HOUR,
        "state": state,
        "history": history,
        "listing": Listing("ab" * 40, "Echo", "", "https://s.example", Price(None)),
        "price": () if free else PRICE,
        "free": free,
        "terms": None if free else Terms("00" * 9, "ab" * 40, "cd" * 28, "ee" * 32, "ab" * 10, TIMES),
        "result": result,
    }
    return Purchase(**{**given, **more})


PAID = (State.PAYING, State.PAID, State.LOCKED)
DONE = (*PAID, State.DELIVERED)
LATE = replace(TIMES, submit_result_time=NOW - MINUTE)


def node(state: str, result_hash: str | None = None) -> NodePurchase:
    return NodePurchase(
        id="n",
        blockchain_identifier="00" * 9,
        on_chain_state=state,
        requested_action="None",
        result_hash=result_hash,
        times=TIMES,
    )


@dataclass(frozen=True)
class Case:
    """One end, what its text has to say of the money, and what it has to say beside that."""

    receipt: Receipt
    money: str
    says: tuple[str, ...] = ()
    command: str = ""  # the one tool that a toolkit's model is sent to; "" where there is nothing to call


def case(p: Purchase, money: str, *says: str, command: str = "", **receipt: Any) -> Case:
    return Case(receipt_of(p).model_copy(update=receipt), money, says, command)


def asked(p: Purchase) -> Purchase:
    return p.but(job=read_status(QUESTION, 200))


def refused(reason: str, passing: bool = False) -> Purchase:
    return record(State.REFUSED, reason=reason, passing=passing)


LASTING = ("Do not repeat this call",)
PASSING = ("This may pass", "once more")
CASES = {
    "done": case(
        record(State.DELIVERED, *PAID, result="R", verified=True),
        "Cost: 3 ADA, locked in escrow until",
        "matches its hash",
        "Do not hire again",
        "R",
    ),
    "done and paid": case(
        record(State.SETTLED, *DONE, result="R", verified=True),
        "Cost: 3 ADA, paid to the service",
        "Do not hire again",
    ),
    "done, proof still owed": case(
        record(State.DELIVERED, *PAID, result="R"), "Cost: 3 ADA", "not verified", "Do not hire again"
    ),
    "done, another result": case(
        record(State.DELIVERED, *PAID, result="R", verified=False),
        "Cost: 3 ADA",
        "NOT VERIFIED",
        "Tell the user that the result is not verified",
        "If the user wants a refund",
        command="masumi_refund",
    ),
    "done, another result, too late": case(
        record(State.SETTLED, *DONE, result="R", verified=False), "Cost: 3 ADA, paid", "NOT VERIFIED"
    ),
    "done, another result, refund wanted": case(
        record(State.DELIVERED, *PAID, result="R", verified=False, refund_wanted="it does not match"),
        "Cost: 3 ADA",
        "being settled",
    ),
    "done, free": case(
        record(State.SETTLED, State.RUNNING, free=True, result="R"),
        "It is free: nothing was paid",
        "Do not hire again",
    ),
    "reused": Case(
        receipt_of(record(State.SETTLED, *DONE, result="R", verified=True), reused=True),
        "Not charged again",
        ("3 hours ago", ID, "ask the user first", "a new hire for 3 ADA"),
    ),
    "reused, another result": Case(
        receipt_of(record(State.SETTLED, *DONE, result="R", verified=False), reused=True),
        "Not charged again",
        ("does not match", "Tell the user that the result is not verified"),
    ),
    "price too high": case(refused("the price is 3 ADA; the limit is 2 ADA"), "Nothing was paid", *LASTING),
    "bad input": case(refused(f"the input does not fit: {quoted('x')}"), "Nothing was paid", *LASTING),
    "node down": case(
        refused(f"the payment node did not answer ({quoted('x')})", True), "Nothing was paid", *PASSING
    ),
    "offer expired": case(
        refused("the offer expired before it was paid", True), "Nothing was paid", *PASSING
    ),
    "lapsed": case(
        record(State.LAPSED, State.PAYING, State.PAID, reason="the pay-by time passed"),
        "Nothing was paid",
        "has ended",
        "a new hire for 3 ADA",
    ),
    "lapsed, told again": Case(
        receipt_of(record(State.LAPSED, State.PAYING, State.PAID), reused=True),
        "nothing paid now",
        ("an earlier, equal hire",),
    ),
    "asking": case(record(State.RESERVED), "Nothing has been paid yet", command="masumi_check"),
    "awaiting approval": case(
        record(State.AWAITING),
        "Nothing is paid or reserved; the price of 3 ADA waits",
        "You cannot approve it",
        command="masumi_check",
    ),
    "paying": case(
        record(State.PAYING), "It is not known yet whether 3 ADA was locked", command="masumi_check"
    ),
    "paid": case(record(State.PAID, State.PAYING), "nothing is locked in escrow yet", command="masumi_check"),
    "locked": case(
        record(State.LOCKED, *PAID[:2]),
        "3 ADA is locked in escrow",
        "in 40 minutes",
        "a refund is requested automatically",
        command="masumi_check",
    ),
    "locked, late": case(
        record(State.LOCKED, *PAID[:2]),
        "3 ADA is locked in escrow",
        "(passed)",
        command="masumi_check",
        times=LATE,
    ),
    "locked, with a word": case(
        record(State.LOCKED, *PAID[:2]), "locked in escrow", command="masumi_check", progress="half done"
    ),
    "free, at work": case(
        record(State.RUNNING, free=True), "free; no money is involved", command="masumi_check"
    ),
    "paid out, result owed": case(
        record(State.LOCKED, *PAID[:2], paid_out_ms=NOW - MINUTE),
        "3 ADA was paid to the service",
        "A refund is no longer possible",
        "Tell the user",
        command="masumi_check",
    ),
    "asks": case(
        asked(record(State.NEEDS_INPUT, *PAID)),
        "3 ADA is locked in escrow",
        "Ask the user",
        "never decide for the user",
        "approve (true or false, required)",
        command="masumi_answer",
    ),
    "asks, free": case(
        asked(record(State.NEEDS_INPUT, State.RUNNING, free=True)),
        "free; no money is involved",
        "Ask the user",
        command="masumi_answer",
    ),
    "refund requested": case(
        record(State.REFUND_REQUESTED, *PAID, node=node("RefundRequested")),
        "A refund of 3 ADA was requested",
        "due some minutes after",
        "tell the user",
    ),
    "refund requested, delivered": case(
        record(State.REFUND_REQUESTED, *PAID, node=node("RefundRequested", "aa" * 32)),
        "A refund of 3 ADA was requested",
        "may dispute the refund",
        "do not promise it",
        command="masumi_check",
    ),
    "refunded": case(
        record(State.REFUNDED, *PAID, State.REFUND_REQUESTED, returned=PRICE),
        "Refunded: 3 ADA of 3 ADA",
        "network fees are not refunded",
        "has ended",
        "a new hire for 3 ADA",
    ),
    "refunded, told again": Case(
        receipt_of(record(State.REFUNDED, *PAID, returned=PRICE), reused=True),
        "Refunded: 3 ADA",
        ("nothing paid now",),
    ),
    "disputed": case(
        record(State.DISPUTED, *DONE, result="R", refund_wanted="x"),
        "3 ADA stays locked in escrow",
        "arbiters decide",
        "tell the user",
        "Do not hire again",
    ),
    "failed": case(
        record(State.FAILED, *PAID, reason="the service took the money and gave no result"),
        "3 ADA was paid, and no refund of it is known",
        "unless the user agrees",
    ),
    "failed, split": case(
        record(State.FAILED, *PAID, State.DISPUTED, returned=(Amount(400_000),)),
        "2.6 ADA went to the service, and 0.4 ADA was refunded",
        "unless the user agrees",
    ),
    "failed, stuck": case(
        record(State.FAILED, *PAID, node=node("FundsOrDatumInvalid")),
        "3 ADA may be stuck",
        "operator",
        "unless the user agrees",
    ),
    "failed, free": case(record(State.FAILED, State.RUNNING, free=True), "It is free: nothing was paid"),
    "written off": case(
        record(State.WRITTEN_OFF, *PAID), "It is not known where 3 ADA is", "unless the user agrees"
    ),
}


# How a text begins, by its outcome: the state comes first.
BEGINS = {
    "completed": r"Done: |Delivered, but NOT VERIFIED: ",
    "reused": r"Not charged again: ",
    "refused": r"Not hired\. ",
    "lapsed": r"Not done\. |Nothing was hired and nothing paid now: ",
    "open": r"In progress \(hire_id ",
    "needs_input": r"Waiting for an answer: ",
    "needs_approval": r"Waiting for approval: ",
    "refund_requested": r"A refund of 3 ADA was requested|No result\. A refund of 3 ADA was requested",
    "refunded": r"No result\. Refunded: |Nothing was hired and nothing paid now: ",
    "disputed": r"Disputed \(hire_id ",
    "failed": r"Failed: ",
}


def outside(text: str) -> str:
    """What is not between the marks of the message."""
    return FENCED.sub("", text)


def tools_in(text: str) -> set[str]:
    return set(re.findall(r"masumi_\w+", text))


def test_every_state_and_outcome_is_in_the_table():
    from typing import get_args

    from masumi_tools.hire.receipt import Outcome

    early = {State.ASKED, State.LISTED, State.STARTED}  # as RESERVED: nothing has been paid
    assert {c.receipt.state for c in CASES.values()} | early == set(State)
    assert {c.receipt.outcome for c in CASES.values()} == set(get_args(Outcome)) == set(wording._WORDS)


@pytest.mark.parametrize("follow", [KIT, ALONE, CREW], ids=["kit", "alone", "crew"])
@pytest.mark.parametrize("name", CASES)
def test_each_end_says_where_the_money_is_and_one_thing_to_do(name, follow):
    case = CASES[name]

    text = told(case.receipt, NOW, follow)
    ours = outside(text)

    assert case.money in ours
    assert tools_in(ours) == ({case.command} if case.command and follow is KIT else set())
    assert [words for words in NEVER if words in ours.lower()] == []
    assert not re.search(r"is no (?!longer)|\bNone\b", ours)
    assert len(ours) < 900
    if follow is KIT:
        assert [words for words in case.says if words not in text] == []
    # One thing to do, and whoever may not call is told what else: nothing is left to be guessed.
    assert re.search(r"Do not (hire|repeat)|[Tt]ell the user|[Aa]sk the user|once more, later", ours)


@pytest.mark.parametrize("name", CASES)
def test_the_state_comes_before_the_money_and_the_money_before_what_is_to_be_done(name):
    case = CASES[name]

    ours = outside(told(case.receipt, NOW, KIT))

    money, call = ours.index(case.money), ours.find(case.command) if case.command else len(ours)
    assert money < call
    if case.receipt.outcome in ("open", "needs_input", "needs_approval"):
        assert re.search("Do not hire", ours).start() < call


@pytest.mark.parametrize("follow", [KIT, ALONE, CREW], ids=["kit", "alone", "crew"])
@pytest.mark.parametrize("name", CASES)
def test_each_text_begins_with_its_state(name, follow):
    receipt = CASES[name].receipt

    assert re.match(BEGINS[receipt.outcome], told(receipt, NOW, follow)), told(receipt, NOW, follow)[:80]


def test_who_repeats_a_call_is_told_what_that_pays():
    """A price beside every "a new hire", and no promise that a call is free without its limit."""
    for case in CASES.values():
        for follow in (KIT, ALONE, CREW):
            ours = outside(told(case.receipt, NOW, follow))
            for found in re.findall(r"a new hire(?! for \d)", ours):
                assert not case.receipt.price, (found, ours)
            if "costs nothing" in ours:
                assert "continues this hire and costs nothing" in ours or "; that costs nothing" in ours


def test_a_crew_is_never_sent_to_the_same_call_again():
    for name, case in CASES.items():
        ours = outside(told(case.receipt, NOW, CREW))
        assert "once more" not in ours, name


def test_a_wrong_answer_says_that_the_hire_is_open_and_its_money_locked():
    receipt = receipt_of(asked(record(State.NEEDS_INPUT, *PAID)))

    text = wording.answer_refused(
        InputError("Invalid input; nothing was sent: approve: is required"), receipt
    )

    assert "3 ADA is locked in escrow" in text and "still open" in text and "Do not hire again" in text
    assert "Nothing was paid" not in text


def test_a_refund_that_is_not_possible_says_why_and_ends_it():
    receipt = receipt_of(record(State.SETTLED, *DONE, result="R", verified=True))
    why = not_coming_back(receipt, NOW)
    receipt = receipt.model_copy(update={"reason": plain(why), "reason_parts": parts(why)})

    text = wording.not_refunded(receipt)

    assert "No refund: a refund is no longer possible" in text
    assert "Do not request it again: tell the user" in text and ID in text
    assert "now" not in text.split()


def test_the_list_of_hires_tells_of_those_that_ended():
    waiting = [CASES[name].receipt for name in ("locked", "refund requested", "disputed")]
    ended = [CASES[name].receipt for name in ("done", "refunded", "failed")]

    text = wording.hires_told(waiting, ended, NOW, KIT)
    nothing_open = wording.hires_told([], ended, NOW, KIT)

    assert "Open hires: 3" in text and "Ended lately: 3" in text
    assert "refunded, 3 hours ago. 3 ADA was refunded." in text
    assert "failed" in text and "without asking the user" in text
    assert "in progress, due" in text and "a refund was requested, due" not in text
    assert "Open hires: 0" in nothing_open and "Ended lately: 3" in nothing_open
    assert "other conversations" in wording.hires_told([], [], NOW, KIT)
    assert tools_in(text) == {"masumi_check"}


def test_an_unknown_hire_sends_the_model_to_the_list_before_it_hires_again():
    text = wording.error_told(UnknownHire("there is no hire 'deadbeef' in this journal"), follow=KIT)

    assert "Before you hire again, call masumi_check without hire_id" in text


def test_an_error_that_was_not_foreseen_forbids_another_hire_first():
    text = wording.error_told(RuntimeError("token=abc"), follow=KIT)

    assert "Do not hire again" in text and text.index("Do not hire again") < text.index("masumi_check")


def test_a_price_in_another_unit_is_a_matter_of_the_unit():
    price = (Amount(1_000_000),)

    assert above(price, Budget("2 USDM").total) == "the price is in ADA (1 ADA), and the limit is 2 USDM"
    assert above(price, Budget("0.5 ADA").total) == "the price is 1 ADA; the limit is 0.5 ADA"

    assert (
        Budget("2 USDM").refusal(price, Usage(), ())
        == "the price is 1 ADA; the budget 'default' has no ADA in total, only USDM"
    )


def test_without_a_budget_nothing_is_said_of_one():
    text = catalogue.found_told([], 7, has_budget=False)

    assert "above the budget" not in text and "no budget is set" in text
    assert "only free services" in catalogue.budget_told(None, [])
    assert "at most 3 ADA per hire" in catalogue.budget_told(None, [], PRICE)
