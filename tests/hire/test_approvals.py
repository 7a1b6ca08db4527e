"""A price that waits for a person: asked, everybody dies, somebody answers, and at most one purchase is made."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from masumi_tools.errors import StateError, UnknownHire
from masumi_tools.hire.budget import Asked, Budget
from masumi_tools.hire.buyer import Buyer
from masumi_tools.hire.purchase import State
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Secret, Settings
from tests.hire.clocked import ClockedAsyncBuyer, ClockedBuyer, Crash, CrashingJournal
from tests.hire.inbox import Inbox
from tests.tools.market import reprice

DAY_MS = 24 * 3_600_000
ASKING = Budget("20 ADA", approve_above="0.5 ADA")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@contextlib.contextmanager
def buyer(sandbox: Sandbox, url: str, budget: Budget | None = None) -> Iterator[ClockedBuyer]:
    """A process of its own over the journal."""
    journal = Journal(url)
    with ClockedBuyer(sandbox, budget, journal) as made:
        yield made
    journal.close()


def ask(sandbox: Sandbox, url: str, budget: Budget = ASKING, service: str = "echo") -> Receipt:
    """A hire in a process that is gone afterwards."""
    with buyer(sandbox, url, budget) as agent:
        return agent.hire(sandbox.service(service).agent_identifier, {"text": "hello"})


def bought(sandbox: Sandbox) -> int:
    return len(sandbox.world.purchases)


def test_the_question_waits_in_the_journal_and_holds_nothing(sandbox: Sandbox, sqlite_url: str) -> None:
    made = ask(sandbox, sqlite_url)

    assert (made.outcome, made.open, made.money, made.state) == (
        "needs_approval",
        True,
        "none",
        State.AWAITING,
    )
    assert "waits for a person" in made.where_the_money_is
    with buyer(sandbox, sqlite_url, ASKING) as other:
        (waiting,) = other.approvals()
        lines = [str(line) for line in other.budget_lines()]
        joined = other.hire(sandbox.service("echo").agent_identifier, {"text": "hello"})
        (swept,) = other.sweep()
    assert (waiting.hire_id, waiting.price_text, waiting.name) == (made.hire_id, "1 ADA", "Echo")
    assert waiting.input_data == {"text": "hello"}
    assert waiting.until_ms - waiting.asked_ms == DAY_MS
    assert lines == ["20 ADA of 20 ADA left"]
    assert (joined.hire_id, joined.outcome) == (made.hire_id, "needs_approval")
    assert swept.outcome == "needs_approval"
    assert bought(sandbox) == 0


def test_approved_when_every_process_is_gone_it_is_bought_once_at_that_price(
    sandbox: Sandbox, database_url: str
) -> None:
    asked = ask(sandbox, database_url)
    sandbox.advance(DAY_MS - 60_000)

    with buyer(sandbox, database_url) as person:  # who has no budget of his own
        made = person.approve(asked.hire_id, by="ann")
        used = person.journal.used("default")

    assert (made.hire_id, made.outcome, made.paid_text) == (asked.hire_id, "completed", "1 ADA")
    assert made.approval is not None
    assert (made.approval.by, made.approval.answer) == ("ann", "yes")
    assert made.approval.at_ms >= asked.created_ms + DAY_MS - 60_000
    assert bought(sandbox) == 1
    assert [(line.money, line.quantity - line.returned) for line in used] == [("locked", 1_000_000)]


async def test_the_other_buyer_approves_and_denies_too(sandbox: Sandbox, sqlite_url: str) -> None:
    first = await asyncio.to_thread(ask, sandbox, sqlite_url)
    journal = Journal(sqlite_url)
    async with ClockedAsyncBuyer(sandbox, None, journal) as person:
        assert [one.hire_id for one in person.approvals()] == [first.hire_id]
        made = await person.approve(first.hire_id, by="ann")
        again = await asyncio.to_thread(ask, sandbox, sqlite_url, ASKING, "human")
        denied = await person.deny(again.hire_id, "too dear", by="bob")
        assert person.approvals() == []
    journal.close()

    assert made.outcome == "completed"
    assert (denied.outcome, denied.money) == ("refused", "none")
    assert denied.reason == "bob did not approve the price: too dear"


def asked_ahead(url: str, by_ms: int) -> None:
    """As by a clock that was so far ahead: the node did not say its time when the price was asked about."""
    with contextlib.closing(Journal(url)) as journal, journal._engine.begin() as db:
        db.exec_driver_sql(
            f"UPDATE masumi_approvals SET asked_ms = asked_ms + {by_ms}, until_ms = until_ms + {by_ms}"
        )


def test_what_a_clock_asked_that_was_far_ahead_ends_by_the_right_one(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    """Seeds 8291 and 25720."""
    asked = ask(sandbox, sqlite_url)
    asked_ahead(sqlite_url, 400 * DAY_MS)

    with buyer(sandbox, sqlite_url) as person:
        (made,) = person.sweep()

    assert (made.hire_id, made.outcome) == (asked.hire_id, "refused")
    assert made.reason == "the price was not approved in time" and bought(sandbox) == 0


def test_an_answer_that_comes_too_late_is_told_so(sandbox: Sandbox, sqlite_url: str) -> None:
    asked = ask(sandbox, sqlite_url)
    sandbox.advance(DAY_MS + 1)

    with buyer(sandbox, sqlite_url) as person:
        with pytest.raises(StateError, match="expired without an answer"):
            person.approve(asked.hire_id, by="ann")
        made = person.receipt(asked.hire_id)

    assert (made.outcome, made.reason) == ("refused", "the price was not approved in time")
    assert bought(sandbox) == 0


def test_a_question_that_nobody_answers_is_refused_by_the_next_sweep(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    ask(sandbox, sqlite_url, Budget("20 ADA", approve_above="0.5 ADA", approval_within=60))
    sandbox.advance(61_000)

    with buyer(sandbox, sqlite_url) as other:
        (made,) = other.sweep()

    assert made.outcome == "refused" and "in time" in made.reason


@pytest.mark.parametrize("then", ["approve", "deny"])
def test_the_second_answer_is_told_of_the_first(sandbox: Sandbox, sqlite_url: str, then: str) -> None:
    asked = ask(sandbox, sqlite_url)
    with buyer(sandbox, sqlite_url) as person:
        person.approve(asked.hire_id, by="ann")
        with pytest.raises(StateError, match="approved by ann already"):
            getattr(person, then)(asked.hire_id, by="bob")
        with pytest.raises(UnknownHire):
            person.approve("none")

    assert bought(sandbox) == 1


def test_answers_at_the_same_moment_make_one_purchase_and_all_are_told(
    sandbox: Sandbox, database_url: str
) -> None:
    asked = ask(sandbox, database_url)
    start = threading.Barrier(4)

    def answer(number: int) -> str:
        with buyer(sandbox, database_url) as person:
            start.wait()
            try:
                if number % 2:
                    return person.deny(asked.hire_id, by=f"p{number}").outcome
                return person.approve(asked.hire_id, by=f"p{number}").outcome
            except StateError as error:
                return str(error)

    with ThreadPoolExecutor(4) as pool:
        told = sorted(pool.map(answer, range(4)))

    ends = [one for one in told if one in ("completed", "refused")]
    assert len(ends) == 1 and sum("already" in one for one in told) == 3
    assert bought(sandbox) == (1 if ends == ["completed"] else 0)


def test_a_price_that_changed_meanwhile_is_asked_about_again(sandbox: Sandbox, sqlite_url: str) -> None:
    asked = ask(sandbox, sqlite_url)
    sandbox.advance(3_600_000)
    reprice(sandbox, "echo", 2_000_000)

    with buyer(sandbox, sqlite_url) as person:
        again = person.approve(asked.hire_id, by="ann")
        (waiting,) = person.approvals()
        assert (again.outcome, waiting.price_text, bought(sandbox)) == ("needs_approval", "2 ADA", 0)
        made = person.approve(asked.hire_id, by="bob")

    assert (made.outcome, made.paid_text, bought(sandbox)) == ("completed", "2 ADA", 1)


def test_a_price_that_was_asked_about_by_a_clock_hours_ahead_is_looked_up_again(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    asked = ask(sandbox, sqlite_url)
    asked_ahead(sqlite_url, 3 * 3_600_000)
    sandbox.advance(600_000)
    reprice(sandbox, "echo", 2_000_000)

    with buyer(sandbox, sqlite_url) as person:
        again = person.approve(asked.hire_id, by="ann")
        (waiting,) = person.approvals()

    assert (again.outcome, waiting.price_text, bought(sandbox)) == ("needs_approval", "2 ADA", 0)


def test_a_yes_is_to_what_was_seen_whatever_is_asked_by_now(sandbox: Sandbox, sqlite_url: str) -> None:
    """Seed 52232: two persons answered at once, the second one after another price was asked about."""
    asked = ask(sandbox, sqlite_url)
    with buyer(sandbox, sqlite_url) as person:
        (seen,) = person.approvals()
        sandbox.advance(3_600_000)
        reprice(sandbox, "echo", 2_000_000)
        person.approve(asked.hire_id, seen=seen.digest, by="ann")
        with pytest.raises(StateError, match="is 2 ADA now; nothing was answered or paid: look at it again"):
            person.approve(asked.hire_id, seen=seen.digest, by="bob")
        (anew,) = person.approvals()
        assert (anew.price_text, bought(sandbox)) == ("2 ADA", 0)
        made = person.approve(asked.hire_id, seen=anew.digest, by="bob")

    assert (made.outcome, made.paid_text, bought(sandbox)) == ("completed", "2 ADA", 1)


def test_the_budget_is_asked_again_at_the_yes(sandbox: Sandbox, sqlite_url: str) -> None:
    small = Budget("1.5 ADA", approve_above="0.5 ADA")
    first = ask(sandbox, sqlite_url, small)
    with buyer(sandbox, sqlite_url, small) as agent:
        second = agent.hire(sandbox.service("echo").agent_identifier, {"text": "other"})
        assert (second.outcome, first.outcome) == ("needs_approval", "needs_approval")

    with buyer(sandbox, sqlite_url) as person:
        one = person.approve(first.hire_id, by="ann")
        other = person.approve(second.hire_id, by="ann")

    assert (one.outcome, other.outcome, bought(sandbox)) == ("completed", "refused", 1)
    assert "0.5 ADA of it is left" in other.reason


def test_what_waits_can_be_called_off_and_is_not_approved_any_more(sandbox: Sandbox, sqlite_url: str) -> None:
    asked = ask(sandbox, sqlite_url)
    with buyer(sandbox, sqlite_url) as person:
        assert person.refund(asked.hire_id).outcome == "refused"
        assert person.approvals() == []
        with pytest.raises(StateError, match="it is refused"):
            person.approve(asked.hire_id, by="ann")

    assert bought(sandbox) == 0


@pytest.mark.parametrize("yes", [True, False])
def test_a_function_of_the_budget_ends_in_the_same_table(
    sandbox: Sandbox, sqlite_url: str, yes: bool
) -> None:
    made = ask(sandbox, sqlite_url, Budget("20 ADA", approve_above="0.5 ADA", approve=lambda asked: yes))
    with contextlib.closing(Journal(sqlite_url)) as journal:
        kept = journal.question(made.hire_id)

    assert kept is not None and made.approval is not None
    assert (
        (kept.answer, kept.by)
        == (made.approval.answer, made.approval.by)
        == ("yes" if yes else "no", "approve=")
    )
    assert made.outcome == ("completed" if yes else "refused")


def test_a_person_may_answer_before_the_function_does(sandbox: Sandbox, sqlite_url: str) -> None:
    def slow(asked: Asked) -> bool:
        with buyer(sandbox, sqlite_url) as person:
            (waiting,) = person.approvals()
            assert person.approve(waiting.hire_id, by="ann", patience_s=0).outcome == "needs_approval"
        return False

    made = ask(sandbox, sqlite_url, Budget("20 ADA", approve_above="0.5 ADA", approve=slow))

    assert made.outcome == "completed" and made.approval is not None and made.approval.by == "ann"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, 9))
def test_whoever_dies_at_any_write_of_question_or_answer_it_is_bought_once_and_only_after_a_yes(
    sandbox: Sandbox, sqlite_url: str, write: int, after: bool
) -> None:
    echo = sandbox.service("echo").agent_identifier

    def die(work: Any) -> None:
        crashing = CrashingJournal(sqlite_url, write, after=after)
        with contextlib.suppress(Crash, StateError):
            work(ClockedBuyer(sandbox, ASKING, crashing))
        crashing.close()

    die(lambda agent: agent.hire(echo, {"text": "hello"}))
    with buyer(sandbox, sqlite_url, ASKING) as agent:
        asked = agent.hire(echo, {"text": "hello"})
    assert (asked.outcome, bought(sandbox)) == ("needs_approval", 0)
    die(lambda person: person.approve(asked.hire_id, by="ann"))
    with buyer(sandbox, sqlite_url) as person:
        with contextlib.suppress(StateError):
            person.approve(asked.hire_id, by="bob")
        made = person.resume(asked.hire_id)

    assert (made.outcome, bought(sandbox)) == ("completed", 1)
    assert made.approval is not None and made.approval.by in ("ann", "bob")


@pytest.fixture
def served() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def test_somebody_is_told_signed_with_a_link_and_again_until_it_arrives(
    served: Sandbox, sqlite_url: str
) -> None:
    inbox = Inbox(failing=1)
    with contextlib.closing(Journal(sqlite_url)) as journal:
        journal.page_runs("https://page.example/", 2**53)
    settings = replace(
        Settings.from_sandbox(served, database_url=sqlite_url), notify_key=Secret("very-secret")
    )

    def sweep() -> None:
        with Buyer(settings, budget=ASKING, notify=inbox.url) as agent:
            agent.sweep()

    with Buyer(settings, budget=ASKING, notify=inbox.url) as agent:
        made = agent.hire(served.service("echo").agent_identifier, {"text": "hello"})
    sweep()
    assert len(inbox.got) == 1, "not at once again"
    served.advance(61_000)
    sweep()
    served.advance(3_600_000)
    sweep()
    inbox.shutdown()
    inbox.server_close()

    (_, first), (headers, body) = inbox.got
    assert first == body
    document = json.loads(body)
    assert document["hire_id"] == made.hire_id and document["price"] == "1 ADA"
    assert document["link"] == f"https://page.example/waiting#{made.hire_id}"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = hmac.new(b"very-secret", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
    assert "token" not in headers and served.token not in str(headers)


def test_an_address_that_is_gone_stops_no_hire(served: Sandbox, sqlite_url: str) -> None:
    settings = Settings.from_sandbox(served, database_url=sqlite_url)
    with Buyer(settings, budget=ASKING, notify="http://127.0.0.1:9/") as agent:
        made = agent.hire(served.service("echo").agent_identifier, {"text": "hello"})
        done = agent.approve(made.hire_id, by="ann")

    assert done.outcome == "completed"
