"""What a process leaves behind that ended before it paid, and who may go on with it under which limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from masumi_tools.errors import JournalBusy
from masumi_tools.hire.budget import Asked, Budget
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.row import Row
from masumi_tools.journal.store import Journal, now_ms
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, Crash, CrashingJournal, purchases, sent

DATA = {"text": "hello"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'journal.sqlite3'}"


@pytest.fixture
def journal(url: str) -> Iterator[Journal]:
    journal = Journal(url)
    yield journal
    journal.close()


def die(sandbox: Sandbox, url: str, write: int, budget: Budget | None, max_price: str | None = None) -> None:
    """A process that ends right after its n-th write: 1 is the first entry, 2 the reservation."""
    journal = CrashingJournal(url, write, after=True)
    with pytest.raises(Crash):
        hire(sandbox, journal, budget, max_price)
    journal.close()


def hire(sandbox: Sandbox, journal: Journal, budget: Budget | None, max_price: str | None = None) -> Receipt:
    buyer = ClockedBuyer(sandbox, budget, journal)
    return buyer.hire(sandbox.service("echo").agent_identifier, DATA, max_price=max_price, patience_s=60)


def test_the_same_call_with_the_same_limits_goes_on_with_the_same_hire(
    sandbox: Sandbox, url: str, journal: Journal
) -> None:
    die(sandbox, url, 1, Budget("20 ADA"))
    (left,) = journal.rows()

    made = hire(sandbox, journal, Budget("20 ADA"))

    assert (made.outcome, made.hire_id) == ("completed", left.hire_id)


def test_under_another_budget_the_call_is_a_hire_of_its_own(
    sandbox: Sandbox, url: str, journal: Journal
) -> None:
    die(sandbox, url, 1, Budget("20 ADA", name="research"))

    made = hire(sandbox, journal, Budget("5 ADA", name="sales"))

    assert (made.outcome, made.budget, made.paid_text) == ("completed", "sales", "1 ADA")
    assert {row.budget: row.state for row in journal.rows()} == {"sales": "delivered", "research": "asked"}
    assert journal.used("research") == []


def test_what_the_second_caller_allows_is_not_exceeded_by_what_the_first_allowed(
    sandbox: Sandbox, url: str, journal: Journal
) -> None:
    die(sandbox, url, 1, None, max_price="5 ADA")

    made = hire(sandbox, journal, None, max_price="0.5 ADA")

    assert made.outcome == "refused" and "the price is 1 ADA; the limit is 0.5 ADA" in made.reason
    assert purchases(sandbox) == []


def test_what_was_reserved_already_is_gone_on_with_under_its_own_budget(
    sandbox: Sandbox, url: str, journal: Journal
) -> None:
    research = Budget("20 ADA", name="research")
    die(sandbox, url, 2, research)

    other = hire(sandbox, journal, Budget("5 ADA", name="sales"))
    same = hire(sandbox, journal, research)

    assert (other.outcome, other.budget) == ("completed", "sales")
    assert (same.outcome, same.budget) == ("completed", "research")
    assert len(purchases(sandbox)) == len(journal.rows()) == 2


@pytest.mark.parametrize("write", [1, 2])
def test_a_sweep_without_a_budget_reserves_nothing(
    sandbox: Sandbox, url: str, journal: Journal, write: int
) -> None:
    """It gives up what was not reserved, and leaves what was to the budget that reserved it, until it is too old."""
    die(sandbox, url, write, Budget("1 ADA"), max_price="5 ADA")
    sweeper = ClockedBuyer(sandbox, None, journal)

    for _round in range(20):
        swept = sweeper.sweep()
        sandbox.advance(10_000)
    (made,) = sweeper.hires()
    sandbox.advance(16 * 60_000)
    sweeper.sweep()
    (end,) = sweeper.hires()

    assert made.outcome == ("refused" if write == 1 else "open"), swept
    assert (end.outcome, purchases(sandbox)) == ("refused", [])


@pytest.mark.parametrize("name", ["", "other"])
def test_a_budget_that_is_used_up_stays_so_whoever_sweeps(
    sandbox: Sandbox, url: str, journal: Journal, name: str
) -> None:
    used = ClockedBuyer(sandbox, Budget("1 ADA", per_hire="5 ADA"), journal)
    used.hire(sandbox.service("echo").agent_identifier, {"text": "first"}, patience_s=60)
    die(sandbox, url, 1, Budget("1 ADA", per_hire="5 ADA"))

    ClockedBuyer(sandbox, Budget("50 ADA", name=name) if name else None, journal).sweep()

    assert len(purchases(sandbox)) == 1
    assert [str(line) for line in used.budget_lines()] == ["0 ADA of 1 ADA left: 1 ADA locked"]


def test_while_a_person_is_asked_nobody_else_decides(sandbox: Sandbox, url: str) -> None:
    ahead_ms = 0
    journal = Journal(url, lambda: now_ms() + ahead_ms)

    def think_for_half_an_hour(asked: Asked) -> bool:
        nonlocal ahead_ms
        ahead_ms = 30 * 60_000
        sweeper = ClockedBuyer(sandbox, None, journal)
        assert sweeper.sweep() == []
        assert [(one.hire_id, one.outcome) for one in sweeper.hires()] == [(asked.hire_id, "needs_approval")]
        return True

    budget = Budget("20 ADA", approve_above="0.5 ADA", approve=think_for_half_an_hour)
    made = hire(sandbox, journal, budget)
    journal.close()

    assert made.outcome == "completed"


@pytest.mark.parametrize("write", [2, 3, 4], ids=["reserved", "offered", "announced"])
def test_what_others_reserved_is_not_paid_above_what_this_caller_allows(
    sandbox: Sandbox, url: str, journal: Journal, write: int
) -> None:
    """The first process died before its order left; joining its hire would pay for it."""
    die(sandbox, url, write, None, max_price="5 ADA")

    begun = sent(sandbox).count("POST /start_job")

    made = hire(sandbox, journal, None, max_price="0.5 ADA")

    assert purchases(sandbox) == [] and made.paid_text == "nothing"
    assert "the price is 1 ADA; the limit is 0.5 ADA" in made.reason
    assert made.outcome == ("open" if write == 4 else "refused"), "an order may have left: it is asked about"
    assert sent(sandbox).count("POST /start_job") == begun

    richer = hire(sandbox, journal, None, max_price="5 ADA")
    assert (richer.outcome, len(purchases(sandbox))) == ("completed", 1)


class OvertakenJournal(Journal):
    """Where the order is announced, another has the hire and the budget for a moment."""

    meanwhile: Callable[[], object] | None = None

    def save(self, row: Row) -> Row:
        if row.state == "paying" and (meanwhile := self.meanwhile):
            self.meanwhile = None
            meanwhile()
            raise JournalBusy("another process saved this hire first")
        return super().save(row)


def test_who_lost_a_hire_and_takes_it_again_asks_the_limits_again(sandbox: Sandbox, url: str) -> None:
    journal = OvertakenJournal(url)
    other = ClockedBuyer(sandbox, Budget("9 ADA"), journal)
    data, echo = {"text": "meanwhile"}, sandbox.service("echo").agent_identifier
    journal.meanwhile = lambda: [other.hire(echo, data, patience_s=60, again=True) for _ in range(2)]

    made = hire(sandbox, journal, Budget("2 ADA"))
    journal.close()

    assert made.outcome == "refused" and "budget" in made.reason
    assert len(purchases(sandbox)) == 2, "two of the other's, and none beyond the limit"


def test_what_is_paid_already_is_joined_whatever_the_caller_allows(
    sandbox: Sandbox, url: str, journal: Journal
) -> None:
    die(sandbox, url, 6, None, max_price="5 ADA")
    (bought,) = purchases(sandbox)

    made = hire(sandbox, journal, None, max_price="0.5 ADA")

    assert (made.outcome, made.result) == ("completed", "HELLO")
    assert [row["id"] for row in purchases(sandbox)] == [bought["id"]]
