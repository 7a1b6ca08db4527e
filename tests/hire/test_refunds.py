"""Getting money back: on demand, by deadline, on failure; both kinds of escrow, both dialects of the node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.driver import Progress
from masumi_tools.hire.purchase import State
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox import sandbox as room
from tests.hire.clocked import ClockedBuyer, Crash, CrashingJournal, sent

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
V1, V2 = 1, 2


@pytest.fixture(params=["today", "seed"])
def sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Every sample service on either kind of escrow: "echo" and "echo-2"."""
    first = [sample for sample in room.SAMPLES if sample.metadata_version == V1]
    second = [replace(sample, name=f"{sample.name}-2", metadata_version=V2) for sample in first]
    monkeypatch.setattr(room, "SAMPLES", (*first, *second))
    with Sandbox(manual_clock=True, listen=False, seed=1, dialect=request.param) as sandbox:
        yield sandbox


@pytest.fixture(params=[V1, V2], ids=["V1", "V2"])
def escrow(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def hire(buyer: ClockedBuyer, name: str, escrow: int, patience_s: float = 60, **options: Any) -> Receipt:
    target = buyer.sandbox.service(name if escrow == V1 else f"{name}-2").agent_identifier
    data = {"text": "hello"} | ({"seconds": 300} if name == "slow" else {})
    return buyer.hire(target, data, patience_s=patience_s, **options)


def post(sandbox: Sandbox, path: str, token: str) -> None:
    """One call of the seller's or buyer's operator about the only purchase there is."""
    body = {"network": "Preprod", "blockchainIdentifier": sandbox.world.purchases[0].identifier}
    with httpx.Client(transport=sandbox.transport()) as client:
        answer = client.post(f"{sandbox.node_url}{path}", headers={"token": token}, json=body)
    assert answer.status_code == 200, answer.text


def line(buyer: ClockedBuyer) -> str:
    (shown,) = buyer.budget_lines()
    return str(shown)


def on_chain(sandbox: Sandbox) -> str | None:
    return sandbox.world.purchases[0].on_chain


def refund_requests(sandbox: Sandbox) -> int:
    seen = sent(sandbox)
    return seen.count("POST /purchase/request-refund") + seen.count("PATCH /purchase")


# By itself --------------------------------------------------------------------------------------


def test_without_a_result_the_money_comes_back_and_is_booked(buyer: ClockedBuyer, escrow: int) -> None:
    first = hire(buyer, "silent", escrow, patience_s=5)
    assert (first.outcome, line(buyer)) == ("open", "17 ADA of 20 ADA left: 3 ADA locked")
    buyer.sandbox.advance(2 * HOUR_MS)

    (made,) = buyer.sweep()

    assert (made.hire_id, made.outcome, made.refunded_text) == (first.hire_id, "refunded", "3 ADA")
    assert line(buyer) == "20 ADA of 20 ADA left: 3 ADA refunded"


def test_nobody_looked_for_days_and_the_nodes_own_refund_is_booked(buyer: ClockedBuyer, escrow: int) -> None:
    hire(buyer, "silent", escrow, patience_s=5)
    buyer.sandbox.advance(72 * HOUR_MS)
    assert on_chain(buyer.sandbox) == "RefundWithdrawn"
    before = refund_requests(buyer.sandbox)

    (made,) = buyer.sweep()

    assert (made.outcome, refund_requests(buyer.sandbox)) == ("refunded", before)


def test_a_failure_that_lasts_is_asked_back(buyer: ClockedBuyer, escrow: int) -> None:
    told = hire(buyer, "failing", escrow, patience_s=20)
    assert told.outcome == "open" and told.reason.endswith("it is asked again")

    made = buyer.resume(told.hire_id, patience_s=60)

    assert (made.outcome, made.money) == ("refund_requested", "refunding")
    assert "the job failed: This service always fails" in made.reason
    buyer.sandbox.advance(2 * HOUR_MS)
    (booked,) = buyer.sweep()
    assert (booked.outcome, line(buyer)) == ("refunded", "20 ADA of 20 ADA left: 1 ADA refunded")


# On demand --------------------------------------------------------------------------------------


def test_what_is_locked_is_asked_back(buyer: ClockedBuyer, escrow: int) -> None:
    first = hire(buyer, "silent", escrow, patience_s=5)

    made = buyer.refund(first.hire_id, patience_s=30)

    assert (made.outcome, made.reason) == ("refund_requested", "the buyer requested a refund")
    buyer.sandbox.advance(MINUTE_MS)
    assert on_chain(buyer.sandbox) == "RefundRequested"
    buyer.sandbox.advance(2 * HOUR_MS)
    (booked,) = buyer.sweep()
    assert (booked.outcome, booked.refunded_text) == ("refunded", "3 ADA")


def test_what_is_called_off_while_it_waits_for_approval_is_not_paid(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    budget = Budget("20 ADA", approve_above="0.5 ADA", approve=lambda asked: True)

    def call_off(progress: Progress) -> None:
        if progress.state is State.LISTED:
            assert buyer.refund(progress.hire_id).outcome == "refused"

    buyer = ClockedBuyer(sandbox, budget, Journal(sqlite_url), on_progress=call_off)

    made = hire(buyer, "echo", V1)

    assert (made.outcome, made.reason) == ("refused", "it was cancelled before anything was paid")
    assert sandbox.world.purchases == []
    buyer.journal.close()


@pytest.mark.parametrize("write", [3, 4, 5], ids=["paying", "before the answer is saved", "paid"])
def test_what_is_not_locked_yet_is_asked_back_as_soon_as_it_is(
    sandbox: Sandbox, sqlite_url: str, escrow: int, write: int
) -> None:
    crashing = CrashingJournal(sqlite_url, write, after=write != 5)
    with pytest.raises(Crash):
        hire(ClockedBuyer(sandbox, Budget("20 ADA"), crashing), "echo", escrow)
    journal = Journal(sqlite_url)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    (left,) = buyer.hires(only_open=True)

    made = buyer.refund(left.hire_id, patience_s=60)
    journal.close()
    crashing.close()

    assert made.outcome in ("refused", "refund_requested", "disputed"), (left.state, made.reason)
    assert made.outcome != "refused" or left.state in ("started", "reserved")


def test_what_is_not_paid_yet_is_called_off(sandbox: Sandbox, sqlite_url: str) -> None:
    crashing = CrashingJournal(sqlite_url, 2, after=True)
    with pytest.raises(Crash):
        hire(ClockedBuyer(sandbox, Budget("20 ADA"), crashing), "echo", V1)
    buyer = ClockedBuyer(sandbox, None, crashing)
    (left,) = buyer.hires()
    assert left.state == "reserved"

    made = buyer.refund(left.hire_id)

    assert (made.outcome, made.reason) == ("refused", "it was cancelled before anything was paid")
    assert buyer.sweep() == [] and sandbox.world.purchases == []
    crashing.close()


def test_a_wish_stands_when_the_result_comes_before_the_node_took_it(
    buyer: ClockedBuyer, escrow: int
) -> None:
    first = hire(buyer, "slow", escrow, patience_s=5)
    for route in ("POST /purchase/request-refund", "PATCH /purchase"):
        buyer.sandbox.arm({"on": route, "do": "error-500", "times": 200})
    asked = buyer.refund(first.hire_id, patience_s=30)
    assert "the node has not accepted the refund request yet" in asked.reason
    buyer.sandbox.advance(6 * MINUTE_MS)
    assert buyer.resume(first.hire_id, patience_s=20).result == "HELLO"
    buyer.sandbox.faults.clear()

    assert buyer.resume(first.hire_id, patience_s=60).outcome == "refund_requested"
    buyer.sandbox.advance(2 * MINUTE_MS)
    (made,) = buyer.sweep()

    assert (made.outcome, made.result, made.verified) == ("disputed", "HELLO", True)


def test_a_result_that_comes_after_the_money_was_asked_back_is_kept_and_checked(
    buyer: ClockedBuyer, escrow: int
) -> None:
    first = hire(buyer, "slow", escrow, patience_s=5)
    assert buyer.refund(first.hire_id, patience_s=30).outcome == "refund_requested"
    buyer.sandbox.advance(6 * MINUTE_MS)

    made = buyer.resume(first.hire_id, patience_s=120)

    assert (made.outcome, made.result, made.verified) == ("disputed", "HELLO", True)


@pytest.mark.parametrize(
    ("name", "wait_ms", "words"),
    [
        ("free", 0, "nothing was paid"),
        ("echo", 5 * HOUR_MS + 58 * MINUTE_MS, "too late"),
        ("echo", 12 * HOUR_MS, "a refund is no longer possible"),
    ],
    ids=["free", "shortly before unlock_time", "settled"],
)
def test_why_money_does_not_come_back_is_said(
    buyer: ClockedBuyer, name: str, wait_ms: int, words: str
) -> None:
    first = hire(buyer, name, V1)
    assert first.ok
    if name == "echo" and wait_ms < 6 * HOUR_MS:
        assert first.times is not None
        wait_ms = first.times.unlock_time - buyer.sandbox.now_ms() - 2 * MINUTE_MS
    buyer.sandbox.advance(wait_ms)

    made = buyer.refund(first.hire_id, patience_s=5)

    assert made.ok and words in made.reason
    assert refund_requests(buyer.sandbox) == 0


def test_a_budget_that_became_too_small_or_denies_the_service_stops_no_refund(
    sandbox: Sandbox, buyer: ClockedBuyer, escrow: int
) -> None:
    first = hire(buyer, "silent", escrow, patience_s=5)
    name = "silent" if escrow == V1 else "silent-2"
    target = sandbox.service(name).agent_identifier
    never = Budget("0 ADA", deny=[target], allow=[], approve_above="0 ADA", approve=lambda asked: 1 / 0)  # type: ignore[return-value]
    strict = ClockedBuyer(sandbox, never, buyer.journal)

    assert strict.resume(first.hire_id, patience_s=5).outcome == "open"
    assert strict.hire(target, {"text": "hello"}, patience_s=5).hire_id == first.hire_id
    assert strict.refund(first.hire_id, patience_s=30).outcome == "refund_requested"
    sandbox.advance(2 * HOUR_MS)
    (booked,) = strict.sweep()
    assert (booked.outcome, line(buyer)) == ("refunded", "20 ADA of 20 ADA left: 3 ADA refunded")


# The node's 404, told apart ------------------------------------------------------------------------


def test_a_request_whose_answer_was_lost_is_known_from_the_state(buyer: ClockedBuyer, escrow: int) -> None:
    first = hire(buyer, "silent", escrow, patience_s=5)
    for route in ("POST /purchase/request-refund", "PATCH /purchase"):
        buyer.sandbox.arm({"on": route, "do": "drop-reply", "times": 1})

    made = buyer.refund(first.hire_id, patience_s=30)

    buyer.sandbox.advance(MINUTE_MS)
    assert (made.outcome, on_chain(buyer.sandbox)) == ("refund_requested", "RefundRequested")


def test_a_request_that_comes_too_early_is_made_again(buyer: ClockedBuyer, escrow: int) -> None:
    """The node takes it only while it waits for nothing else of its own."""
    first = hire(buyer, "silent", escrow, patience_s=5)
    row = buyer.sandbox.world.purchases[0]
    action, row.action = (
        row.action,
        replace(row.action, requested="WaitingForManualAction", error_type="Unknown"),
    )
    asked = buyer.refund(first.hire_id, patience_s=30)
    assert "the node has not accepted the refund request yet" in asked.reason
    row.action = action

    made = buyer.resume(first.hire_id, patience_s=120)

    assert made.outcome == "refund_requested"


def test_a_key_that_may_not_ask_is_named_and_the_wish_can_be_made_again(
    sandbox: Sandbox, buyer: ClockedBuyer, escrow: int
) -> None:
    first = hire(buyer, "silent", escrow, patience_s=5)
    other = sandbox.world.add_key(pay=True).token
    settings = replace(buyer.settings, node_token=other)
    stranger = ClockedBuyer(sandbox, None, buyer.journal, settings=settings)

    refused = stranger.refund(first.hire_id, patience_s=30)

    assert refused.open and "the refund request failed" in refused.reason
    assert buyer.refund(first.hire_id, patience_s=30).outcome == "refund_requested"


def test_what_one_key_could_not_ask_for_is_asked_for_by_a_sweep_with_another(
    sandbox: Sandbox, buyer: ClockedBuyer, escrow: int
) -> None:
    first = hire(buyer, "silent", escrow, patience_s=5)
    settings = replace(buyer.settings, node_token=sandbox.world.add_key(pay=True).token)
    ClockedBuyer(sandbox, None, buyer.journal, settings=settings).refund(first.hire_id, patience_s=30)
    sandbox.advance(15 * MINUTE_MS)

    (swept,) = ClockedBuyer(sandbox, None, buyer.journal).sweep()

    assert swept.outcome == "refund_requested"


# Disputes to their end ------------------------------------------------------------------------------


def dispute(buyer: ClockedBuyer, escrow: int) -> Receipt:
    first = hire(buyer, "echo", escrow)
    buyer.refund(first.hire_id, patience_s=30)
    buyer.sandbox.advance(MINUTE_MS)
    made = buyer.resume(first.hire_id, patience_s=30)
    assert (made.outcome, on_chain(buyer.sandbox)) == ("disputed", "Disputed")
    assert (made.money, line(buyer)) == ("locked", "19 ADA of 20 ADA left: 1 ADA locked")
    return made


def test_the_service_agrees(buyer: ClockedBuyer, escrow: int) -> None:
    dispute(buyer, escrow)
    buyer.sandbox.advance(11 * MINUTE_MS)  # each party's moves are some minutes apart
    post(buyer.sandbox, "/payment/authorize-refund", buyer.sandbox.world.seller_token)
    buyer.sandbox.advance(15 * MINUTE_MS)
    (agreed,) = buyer.sweep()
    assert agreed.outcome == ("refund_requested" if escrow == V1 else "refunded")
    buyer.sandbox.advance(3 * HOUR_MS)

    buyer.sweep()
    (made,) = buyer.hires()

    assert (made.outcome, made.refunded_text, made.result) == ("refunded", "1 ADA", "HELLO")
    assert line(buyer) == "20 ADA of 20 ADA left: 1 ADA refunded"


def test_the_buyer_gives_in(buyer: ClockedBuyer, escrow: int) -> None:
    dispute(buyer, escrow)
    buyer.sandbox.advance(11 * MINUTE_MS)
    post(buyer.sandbox, "/purchase/cancel-refund-request", buyer.sandbox.token)
    buyer.sandbox.advance(15 * MINUTE_MS)
    buyer.sweep()
    buyer.sandbox.advance(12 * HOUR_MS)

    buyer.sweep()
    (made,) = buyer.hires()

    assert (made.outcome, made.money, made.refunded_text) == ("completed", "spent", "nothing")
    assert line(buyer) == "19 ADA of 20 ADA left: 1 ADA spent"


@pytest.mark.parametrize(
    ("to_the_service", "outcome", "back", "left"),
    [
        (0, "refunded", "1 ADA", "20 ADA of 20 ADA left: 1 ADA refunded"),
        (250, "failed", "0.75 ADA", "19.75 ADA of 20 ADA left: 0.25 ADA spent, 0.75 ADA refunded"),
        (1000, "completed", "nothing", "19 ADA of 20 ADA left: 1 ADA spent"),
    ],
)
def test_the_arbiters_decide(
    buyer: ClockedBuyer, escrow: int, to_the_service: int, outcome: str, back: str, left: str
) -> None:
    first = dispute(buyer, escrow)
    buyer.sandbox.advance(48 * HOUR_MS)
    assert buyer.receipt(first.hire_id).outcome == "disputed"
    buyer.sandbox.world.jobs.split(buyer.sandbox.world.purchases[0], to_the_service)

    (made,) = buyer.sweep()

    assert (made.outcome, made.refunded_text, line(buyer)) == (outcome, back, left)
