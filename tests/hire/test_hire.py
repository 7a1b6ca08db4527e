"""One hire, whole: what is sent, what is paid, what comes back; the same in both colours and after every crash."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.errors import StateError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import (
    ClockedAsyncBuyer,
    ClockedBuyer,
    Crash,
    CrashingJournal,
    purchases,
    sent,
)

SERVICES = ["echo", "echo-v2", "slow", "failing", "silent", "liar", "greedy", "free", "human"]
ENDS = {
    "echo": ("completed", "reused"),
    "free": ("completed", "reused"),
    "failing": ("refund_requested",),
    "human": ("needs_input",),
}
HOUR = 3_600_000


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'journal.sqlite3'}"


def input_for(name: str) -> Any:
    return {"text": "hello", "seconds": 1} if name == "slow" else {"text": "hello"}


def hire(colour: str, sandbox: Sandbox, journal: Journal, name: str, **options: Any) -> Receipt:
    target = sandbox.service(name).agent_identifier
    budget = Budget("20 ADA")
    if colour == "sync":
        return ClockedBuyer(sandbox, budget, journal).hire(target, input_for(name), **options)

    async def run() -> Receipt:
        buyer = ClockedAsyncBuyer(sandbox, budget, journal)
        return await buyer.hire(target, input_for(name), **options)

    return asyncio.run(run())


def test_the_requests_of_one_hire_are_the_shortest_possible(sandbox: Sandbox, url: str) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(url))
    target = sandbox.service("echo").agent_identifier
    buyer.hire(target, {"text": "the first hire also asks what the node's key may do"})
    before = len(sent(sandbox))

    receipt = buyer.hire(target, {"text": "hello"})

    assert receipt.outcome == "completed"
    assert sent(sandbox)[:before].count("GET /api-key-status") == 1
    log = [name for name, _ in itertools.groupby(sent(sandbox)[before:])]
    assert log == [
        "GET /payment-information",
        "GET /availability",
        "GET /input_schema",
        "POST /start_job",
        "POST /purchase",
        "POST /purchase/resolve-blockchain-identifier",
        "GET /status",
        "POST /purchase/resolve-blockchain-identifier",
    ]


def test_a_completed_hire_has_its_result_checked_against_the_chain(sandbox: Sandbox, url: str) -> None:
    receipt = hire("sync", sandbox, Journal(url), "echo")

    assert (receipt.outcome, receipt.result, receipt.verified) == ("completed", "HELLO", True)
    assert (receipt.paid_text, receipt.refunded_text, receipt.money) == ("1 ADA", "nothing", "locked")
    assert {check.name: check.verdict for check in receipt.verify()} == dict.fromkeys(
        ["input hash", "identifier", "signature", "times", "amounts", "output hash"], "verified"
    )


@pytest.mark.parametrize(
    ("name", "outcome", "paid", "refunded"),
    [
        ("echo", "completed", "1 ADA", "nothing"),
        ("echo-v2", "completed", "1 ADA", "nothing"),
        ("free", "completed", "nothing", "nothing"),
        ("liar", "completed", "1 ADA", "nothing"),
        ("greedy", "refused", "nothing", "nothing"),
        ("human", "needs_input", "2 ADA", "nothing"),
        ("failing", "refund_requested", "1 ADA", "nothing"),
        ("silent", "refunded", "3 ADA", "3 ADA"),
    ],
)
def test_each_kind_of_service_comes_to_its_end(
    sandbox: Sandbox, url: str, name: str, outcome: str, paid: str, refunded: str
) -> None:
    patience = 2 * 3600 if name == "silent" else 60

    receipt = hire("sync", sandbox, Journal(url), name, patience_s=patience)

    assert (receipt.outcome, receipt.paid_text, receipt.refunded_text) == (outcome, paid, refunded)
    assert receipt.where_the_money_is


def test_a_result_that_does_not_match_is_kept_and_marked(sandbox: Sandbox, url: str) -> None:
    receipt = hire("sync", sandbox, Journal(url), "liar")

    assert (receipt.outcome, receipt.verified) == ("completed", False)
    assert receipt.refundable_until_ms is not None and receipt.refundable_until_ms > sandbox.now_ms()


def test_a_result_that_does_not_match_is_asked_back_when_the_policy_says_so(
    sandbox: Sandbox, url: str
) -> None:
    receipt = hire("sync", sandbox, Journal(url), "liar", on_mismatch="refund")

    assert receipt.outcome in ("refund_requested", "disputed")
    assert receipt.result is not None


def test_a_failed_job_is_refunded_in_the_end_and_the_budget_has_its_money_back(
    sandbox: Sandbox, url: str
) -> None:
    journal = Journal(url)
    first = hire("sync", sandbox, journal, "failing", patience_s=30)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    sandbox.advance(2 * HOUR)

    swept = buyer.sweep()

    assert [(r.hire_id, r.outcome, r.refunded_text) for r in swept] == [(first.hire_id, "refunded", "1 ADA")]
    assert [str(line) for line in buyer.budget_lines()] == ["20 ADA of 20 ADA left: 1 ADA refunded"]


def test_a_question_is_answered_and_the_hire_goes_on(sandbox: Sandbox, url: str) -> None:
    journal = Journal(url)
    asked = hire("sync", sandbox, journal, "human")
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)

    done = buyer.answer(asked.hire_id, {"approve": True})

    assert asked.question is not None
    assert (done.outcome, done.verified) == ("completed", True)


def test_an_answer_is_to_the_question_that_was_seen(sandbox: Sandbox, url: str) -> None:
    journal = Journal(url)
    asked = hire("sync", sandbox, journal, "human")
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    earlier = {"input_data": [{"id": "approve", "type": "boolean", "name": "Send it to all?"}]}

    with pytest.raises(StateError, match=r"asks something else about hire .* nothing was sent") as told:
        buyer.answer(asked.hire_id, {"approve": True}, seen=earlier)
    assert told.value.money == "locked" and "POST /provide_input" not in sent(sandbox)

    assert buyer.answer(asked.hire_id, {"approve": True}, seen=asked.question).outcome == "completed"


def test_patience_ends_and_the_same_call_goes_on_with_the_same_hire(sandbox: Sandbox, url: str) -> None:
    journal = Journal(url)
    first = hire("sync", sandbox, journal, "silent", patience_s=5)
    second = hire("sync", sandbox, journal, "silent", patience_s=3 * 3600)

    assert (first.outcome, second.outcome, second.hire_id) == ("open", "refunded", first.hire_id)
    assert sent(sandbox).count("POST /start_job") == 1
    assert len(purchases(sandbox)) == 1


def test_a_finished_hire_is_returned_again_for_ten_minutes_and_bought_anew_on_demand(
    sandbox: Sandbox, url: str
) -> None:
    journal = Journal(url)
    first = hire("sync", sandbox, journal, "echo")
    again = hire("sync", sandbox, journal, "echo")
    anew = hire("sync", sandbox, journal, "echo", again=True)
    sandbox.advance(11 * 60_000)
    later = hire("sync", sandbox, journal, "echo")

    assert (again.outcome, again.hire_id) == ("reused", first.hire_id)
    assert len({first.hire_id, anew.hire_id, later.hire_id}) == 3
    assert len(purchases(sandbox)) == 3


def test_a_known_call_id_returns_its_own_hire_however_old(sandbox: Sandbox, url: str) -> None:
    journal = Journal(url)
    first = hire("sync", sandbox, journal, "echo", call_id="call-1")
    sandbox.advance(48 * HOUR)

    replayed = hire("sync", sandbox, journal, "echo", call_id="call-1")

    assert replayed.hire_id == first.hire_id
    assert len(purchases(sandbox)) == 1


@pytest.mark.parametrize("name", SERVICES)
def test_both_colours_send_the_same_and_end_in_the_same_record(name: str, tmp_path: Path) -> None:
    ends = []
    for colour in ("sync", "async"):
        with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
            journal = Journal(f"sqlite:///{tmp_path / colour}.sqlite3")
            receipt = hire(colour, sandbox, journal, name, patience_s=2 * 3600 if name == "silent" else 60)
            states = [moment.state for moment in receipt.states]
            ends.append(
                (sent(sandbox), states, receipt.outcome, receipt.result, receipt.paid, receipt.refunded)
            )

    assert ends[0] == ends[1]


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("name", ["echo", "failing", "human", "free"])
def test_a_crash_at_any_save_pays_once_and_can_be_resumed(
    colour: str, name: str, after: bool, tmp_path: Path
) -> None:
    for number in itertools.count(1):
        with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
            url = f"sqlite:///{tmp_path / f'{number}.sqlite3'}"
            crashing = CrashingJournal(url, number, after)
            try:
                hire(colour, sandbox, crashing, name, patience_s=60)
            except Crash:
                crashed = True
            else:
                crashed = False
            resumed = hire(colour, sandbox, Journal(url), name, patience_s=60)

            free = name == "free"
            assert resumed.outcome in ENDS[name]
            assert len(purchases(sandbox)) == (0 if free else 1)
            assert sent(sandbox).count("POST /start_job") <= 2
            if not crashed:
                break

    assert number > 5
