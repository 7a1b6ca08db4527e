"""What is due and not what is open: whom a sweep looks at, when, and what it costs where nothing is to be done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from masumi_tools.hire import flows
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.due import LONGEST_MS, due_ms, unattended_ms
from masumi_tools.hire.purchase import Purchase, State
from masumi_tools.hire.rows import purchase_of, row_of
from masumi_tools.hire.steps import REFUND_MARGIN_MS, Pause, Ways, next_step
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, purchases, sent

MINUTE_MS = 60_000
WAYS = Ways(node="http://node.test/api/v1", registry=None, network="Preprod")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    journal = Journal(database_url)
    yield journal
    journal.close()


def hire_silent(sandbox: Sandbox, journal: Journal, text: str) -> Purchase:
    buyer = ClockedBuyer(sandbox, Budget("500 ADA"), journal)
    made = buyer.hire(sandbox.service("silent").agent_identifier, {"text": text}, patience_s=30)
    row = journal.get(made.hire_id)
    assert row is not None and made.outcome == "open"
    return purchase_of(row)


class Statements:
    """What an engine is asked, in its words."""

    def __init__(self, journal: Journal) -> None:
        self.heard: list[str] = []
        sa.event.listen(journal._engine, "before_cursor_execute", self._hear)

    def _hear(self, _db: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.heard.append(statement.split()[0])


@pytest.mark.parametrize("count", [1, 40])
def test_a_sweep_of_which_nothing_is_due_counts_and_looks_once_and_asks_nobody_for_few(
    sandbox: Sandbox, journal: Journal, count: int
) -> None:
    p = hire_silent(sandbox, journal, "0")
    for number in range(1, count):
        journal.add(row_of(p.but(hire_id=f"h{number}", key=f"k{number}"), due_ms=p.next_job_ms + LONGEST_MS))
    sweeper = ClockedBuyer(sandbox, None, journal)
    sweeper.sweep()
    asked, statements = len(sent(sandbox)), Statements(journal)

    assert sweeper.sweep() == []

    looks = (
        ["GET /purchase/diff"] * 2 if count > 1 else []
    )  # one for each kind of escrow, however many are open
    assert sent(sandbox)[asked:] == looks
    assert statements.heard == ["SELECT", "SELECT"], "how many are open, and which are due"


@pytest.mark.postgres
def test_on_postgres_nobody_waits_for_who_takes_a_lease_at_this_moment(postgres_url: str) -> None:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        journal, other = Journal(postgres_url), Journal(postgres_url)
        p = hire_silent(sandbox, journal, "0")
        with other._engine.begin() as db:
            db.exec_driver_sql("UPDATE masumi_turns SET due_ms = due_ms")

            assert not journal.take_lease(p.hire_id, "me", 1000, lambda _: False)

        assert journal.take_lease(p.hire_id, "me", 1000, lambda _: False)
        journal.close()
        other.close()


def test_the_oldest_of_many_open_hires_gets_its_refund(
    sandbox: Sandbox, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More are open than fit on many pages, and the newest of them want something at every look."""
    monkeypatch.setattr(flows, "PAGE", 7)
    oldest = hire_silent(sandbox, journal, "oldest")
    for number in range(8):
        running = oldest.but(hire_id=f"h{number:02}", key=f"k{number:02}", state=State.RUNNING, free=True)
        journal.add(row_of(running.but(terms=None, node=None, created_ms=oldest.created_ms + 1 + number)))
    sweeper = ClockedBuyer(sandbox, None, journal)

    for _round in range(12):
        sandbox.advance(60 * MINUTE_MS)
        sweeper.sweep()

    (bought,) = purchases(sandbox)
    assert bought["onChainState"] == "RefundWithdrawn"
    assert sweeper.receipt(oldest.hire_id).outcome == "refunded"


def test_whose_unlock_time_is_nearest_comes_first_however_long_the_others_have_waited(
    sandbox: Sandbox, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "PAGE", 3)
    nearest = hire_silent(sandbox, journal, "nearest")
    assert nearest.terms is not None
    ends = nearest.terms.times
    for number in range(8):  # three of them are past it, and a refund can be asked for no more
        at = ends.unlock_time + MINUTE_MS * (9 - number) if number < 5 else 1_000 + number
        terms = replace(nearest.terms, times=replace(ends, unlock_time=at))
        other = nearest.but(hire_id=f"{number}", key=f"k{number}", terms=terms)
        journal.add(row_of(other, due_ms=0))
    sandbox.advance(ends.submit_result_time + MINUTE_MS - sandbox.now_ms())

    swept = [made.hire_id for made in ClockedBuyer(sandbox, None, journal).sweep()]

    assert swept == [nearest.hire_id, *"43210567"]


def test_a_hire_that_is_driven_by_the_living_is_left_to_them(sandbox: Sandbox, journal: Journal) -> None:
    p = hire_silent(sandbox, journal, "0")
    sandbox.advance(MINUTE_MS)
    assert journal.take_lease(p.hire_id, "another machine", 60_000, lambda _: False)
    asked = len(sent(sandbox))

    assert ClockedBuyer(sandbox, None, journal).sweep() == [] and len(sent(sandbox)) == asked

    journal.drop_lease(p.hire_id, "another machine")
    assert [made.hire_id for made in ClockedBuyer(sandbox, None, journal).sweep()] == [p.hire_id]


def test_one_that_was_saved_meanwhile_is_not_put_off(sandbox: Sandbox, journal: Journal) -> None:
    hire_silent(sandbox, journal, "0")
    sandbox.advance(MINUTE_MS)
    (seen,) = journal.due(sandbox.now_ms(), (0, ""), lambda _: True)
    journal.save(replace(seen, due_ms=sandbox.now_ms() - 1))

    journal.put_off([(seen, sandbox.now_ms() + LONGEST_MS)])

    assert len(journal.due(sandbox.now_ms(), (0, ""), lambda _: True)) == 1


def test_a_hire_nobody_waits_for_is_looked_at_less_often_and_never_after_its_deadlines(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    journal = Journal(sqlite_url)
    p = hire_silent(sandbox, journal, "0")
    journal.close()
    assert p.terms is not None
    times = p.terms.times
    looks = [p.changed_ms]
    while looks[-1] < times.unlock_time:
        looks.append(unattended_ms(p, looks[-1], WAYS))

    gaps = [later - at for at, later in pairwise(looks)]
    assert gaps[0] == WAYS.pace.job_max_ms and max(gaps) == LONGEST_MS and min(gaps) > 0
    for moment in (
        times.pay_by_time,
        times.submit_result_time,
        times.unlock_time - REFUND_MARGIN_MS - MINUTE_MS,
    ):
        assert moment in looks
    assert len(looks) < 3 * (times.unlock_time - p.changed_ms) // LONGEST_MS, (
        "and not much more often than that"
    )


def test_an_open_hire_is_due_when_its_next_step_is(sandbox: Sandbox, sqlite_url: str) -> None:
    journal = Journal(sqlite_url)
    p = hire_silent(sandbox, journal, "0")
    journal.close()
    step = next_step(p, p.changed_ms, WAYS)

    assert isinstance(step, Pause) and due_ms(p, p.changed_ms, WAYS) == step.until_ms
    assert due_ms(p, step.until_ms, WAYS) == step.until_ms, "then it is due at once"


def test_what_a_clock_that_was_wrong_has_put_off_is_due_and_its_lease_binds_nobody(
    sandbox: Sandbox, journal: Journal
) -> None:
    """The machine was a year ahead and died with the lease; nobody waits a year for the money."""
    p = hire_silent(sandbox, journal, "0")
    (seen,) = journal.due(sandbox.now_ms() + MINUTE_MS, (0, ""), lambda _: True)
    journal.save(replace(seen, due_ms=sandbox.now_ms() + 365 * 24 * 60 * MINUTE_MS))
    right = journal._now_ms
    journal._now_ms = lambda: right() + 365 * 24 * 60 * MINUTE_MS
    assert journal.take_lease(p.hire_id, "another machine", 120_000, lambda _: False)
    journal._now_ms = right

    swept = ClockedBuyer(sandbox, None, journal).sweep()

    assert [made.hire_id for made in swept] == [p.hire_id]
    assert ClockedBuyer(sandbox, None, journal).sweep() == [], "and then it is put off by the time of now"
