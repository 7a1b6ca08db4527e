"""Equal calls are one hire until it is done: what is owed, what was told as open, and what came back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.operations import Patience
from masumi_tools.hire.purchase import State
from masumi_tools.journal.row import Row
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, Crash, CrashingJournal, purchases

INPUT = {"text": "hello"}
HOUR = 3_600_000


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def journal(sqlite_url: str) -> Iterator[Journal]:
    journal = Journal(sqlite_url)
    yield journal
    journal.close()


class Stopped(BaseException):
    """Ctrl-C."""


@pytest.mark.parametrize("call_id", [None, "call_1"])
def test_a_hire_stopped_between_result_and_proof_is_gone_on_with_by_the_same_call(
    sandbox: Sandbox, journal: Journal, call_id: str | None
) -> None:
    target = sandbox.service("liar").agent_identifier

    def stop(progress: object) -> None:
        if getattr(progress, "state", None) == "delivered":
            raise Stopped

    first = ClockedBuyer(sandbox, Budget("20 ADA"), journal, on_progress=stop)
    with pytest.raises(Stopped):
        first.hire(target, INPUT, on_mismatch="refund", call_id=call_id)
    (left,) = first.hires()
    assert (left.outcome, left.verified, left.owed) == ("completed", None, True)

    again = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(
        target, INPUT, on_mismatch="refund", call_id=call_id
    )

    assert again.hire_id == left.hire_id
    assert (again.outcome, again.verified) == ("refund_requested", False)
    assert len(purchases(sandbox)) == 1


def test_who_was_told_that_it_goes_on_hears_the_end_once_however_late(
    sandbox: Sandbox, journal: Journal
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    target = sandbox.service("slow").agent_identifier
    data = {"text": "hello", "seconds": 600}
    told = buyer.hire(target, data, patience_s=60)
    assert told.outcome == "open"
    for _round in range(60):
        sandbox.advance(60_000)
        buyer.sweep()
    assert buyer.receipt(told.hire_id).ok
    sandbox.advance(24 * HOUR)

    heard = buyer.hire(target, data)
    anew = buyer.hire(target, data, patience_s=60)

    assert (heard.outcome, heard.hire_id) == ("reused", told.hire_id)
    assert anew.hire_id != told.hire_id
    assert len(purchases(sandbox)) == 2


def test_the_end_of_a_hire_that_had_not_begun_a_job_is_told_before_it_is_begun_anew(
    sandbox: Sandbox, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told that it goes on before any job was started, and given up by a sweep: the next call hears of that."""
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    target = sandbox.service("echo").agent_identifier
    with monkeypatch.context() as patch:
        patch.setattr(Patience, "within_s", 0.0)
        told = buyer.hire(target, INPUT, patience_s=0)
    assert told.open and told.state is State.ASKED
    sandbox.advance(HOUR)
    (ended,) = buyer.sweep()
    assert (ended.hire_id, ended.outcome) == (told.hire_id, "refused")

    heard = buyer.hire(target, INPUT, patience_s=60)
    anew = buyer.hire(target, INPUT, patience_s=60)

    assert (heard.hire_id, heard.outcome) == (told.hire_id, "refused")
    assert anew.hire_id != told.hire_id and anew.ok
    assert len(purchases(sandbox)) == 1


def test_a_refunded_hire_is_told_and_not_bought_again_until_somebody_says_so(
    sandbox: Sandbox, journal: Journal
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    target = sandbox.service("failing").agent_identifier
    first = buyer.hire(target, INPUT)
    for _round in range(200):
        if not buyer.receipt(first.hire_id).open:
            break
        sandbox.advance(60_000)
        buyer.sweep()
    assert buyer.receipt(first.hire_id).outcome == "refunded"

    same = buyer.hire(target, INPUT)
    soon = buyer.hire(target, INPUT)
    anew = buyer.hire(target, INPUT, again=True)

    for told in (same, soon):
        assert (told.outcome, told.hire_id, told.reused) == ("refunded", first.hire_id, True)
        assert "again=True" in told.notes[-1]
    assert anew.hire_id != first.hire_id
    sandbox.advance(HOUR)
    assert buyer.hire(target, INPUT).hire_id not in (first.hire_id,)


def test_one_users_hire_never_answers_another_user(sandbox: Sandbox, journal: Journal) -> None:
    target = sandbox.service("echo").agent_identifier
    ann = ClockedBuyer(sandbox, Budget("20 ADA", name="ann"), journal)
    bob = ClockedBuyer(sandbox, Budget("20 ADA", name="bob", deny=[target]), journal)

    first = ann.hire(target, INPUT, call_id="call_0")
    other = bob.hire(target, INPUT, call_id="call_0")

    assert first.outcome == "completed"
    assert other.outcome == "refused" and other.result is None
    assert bob.recall("call_0") is not None and bob.recall("call_0") != first
    assert ann.hire(target, INPUT, call_id="call_0").hire_id == first.hire_id


def test_an_empty_call_id_is_none(sandbox: Sandbox, journal: Journal) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    target = sandbox.service("echo").agent_identifier

    one = buyer.hire(target, INPUT, call_id="")
    other = buyer.hire(target, {"text": "other"}, call_id="")

    assert (one.outcome, other.outcome) == ("completed", "completed")
    assert buyer.recall("") is None


def test_what_cannot_be_noted_is_told_all_the_same(sandbox: Sandbox, sqlite_url: str) -> None:
    """A journal that fails when the open hire is noted costs the caller nothing."""
    from masumi_tools.errors import JournalError

    journal = CrashingJournal(sqlite_url)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)

    def broken(row: object) -> object:
        raise JournalError("the disk is full")

    target, data = sandbox.service("silent").agent_identifier, INPUT
    first = buyer.hire(target, data, patience_s=60)
    journal.save = broken  # type: ignore[assignment, method-assign]

    assert first.outcome == "open"
    assert buyer.resume(first.hire_id, patience_s=0).hire_id == first.hire_id


def test_a_hire_that_ends_while_an_equal_call_begins_is_its_answer(
    sandbox: Sandbox, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo = sandbox.service("echo").agent_identifier
    first = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(echo, {"text": "a"}, patience_s=0)
    assert first.open and len(purchases(sandbox)) == 1
    read = journal.known_under

    def ends_meanwhile(*keys: str) -> tuple[Row | None, Row | None]:
        seen = read(*keys)
        ClockedBuyer(sandbox, Budget("20 ADA"), journal).resume(first.hire_id, patience_s=60)
        return seen

    monkeypatch.setattr(journal, "known_under", ends_meanwhile)
    second = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(echo, {"text": "a"}, patience_s=60)

    assert second.hire_id == first.hire_id and second.result == "A"
    assert len(purchases(sandbox)) == 1


# A price that is known from a quote ---------------------------------------------------------------


def test_a_hire_with_a_quote_is_recorded_and_reserved_in_one_write(sandbox: Sandbox, sqlite_url: str) -> None:
    target = sandbox.service("echo").agent_identifier
    journal = CrashingJournal(sqlite_url, at=1, after=True)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    quote = buyer.quote(target)

    with pytest.raises(Crash):
        buyer.hire(target, INPUT, quote=quote)

    (row,) = journal.rows()
    assert row.state == "reserved"
    assert [used.money for used in journal.used("default")] == ["reserved"]
    journal.close()


def test_an_equal_call_with_a_quote_joins_the_open_hire_though_the_budget_has_no_room(
    sandbox: Sandbox, journal: Journal
) -> None:
    target = sandbox.service("echo").agent_identifier

    def stop(progress: object) -> None:
        if getattr(progress, "state", None) == "locked":
            raise Stopped

    first = ClockedBuyer(sandbox, Budget("1 ADA"), journal, on_progress=stop)
    quote = first.quote(target)
    with pytest.raises(Stopped):
        first.hire(target, INPUT, quote=quote)
    (left,) = first.hires()
    assert left.open and not first.budget_lines()[0].left

    same = ClockedBuyer(sandbox, Budget("1 ADA"), journal).hire(target, INPUT, quote=quote)

    assert (same.hire_id, same.outcome) == (left.hire_id, "completed")
    assert len(purchases(sandbox)) == 1


@pytest.mark.parametrize(("total", "why"), [("0.1 ADA", "in total"), ("20 ADA", "deny list")])
def test_a_hire_with_a_quote_that_no_limit_allows_ends_in_the_write_that_records_it(
    sandbox: Sandbox, sqlite_url: str, total: str, why: str
) -> None:
    target = sandbox.service("echo").agent_identifier
    journal = CrashingJournal(sqlite_url)
    denied = [target] if why == "deny list" else []
    buyer = ClockedBuyer(sandbox, Budget(total, deny=denied), journal)

    made = buyer.hire(target, INPUT, quote=buyer.quote(target))

    assert made.outcome == "refused" and why in made.reason
    assert journal.writes == 1
    assert purchases(sandbox) == []
    journal.close()


def test_the_limits_are_not_summed_twice_for_a_hire_that_was_just_reserved(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    class Counting(Journal):
        sums = 0

        def usage(self, *given: object, **more: object) -> object:
            self.sums += 1
            return super().usage(*given, **more)  # type: ignore[arg-type]

    target = sandbox.service("echo").agent_identifier
    journal = Counting(sqlite_url)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    quote = buyer.quote(target)
    journal.sums = 0

    made = buyer.hire(target, INPUT, quote=quote)

    assert (made.outcome, journal.sums) == ("completed", 0)
    journal.close()
