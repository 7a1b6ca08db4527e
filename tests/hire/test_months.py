"""A budget for a month: what counts, where a month begins, and that nothing passes it."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from masumi_tools import Budget, Buyer
from masumi_tools.hire.rows import periods
from masumi_tools.journal.row import Entry
from masumi_tools.journal.store import Journal
from masumi_tools.journal.totals import SLOT_MS
from tests.hire.test_journal import row
from tests.tools.market import settings_of

BERLIN = ZoneInfo("Europe/Berlin")


def ms(*parts: int, zone: dt.tzinfo = dt.UTC) -> int:
    return int(dt.datetime(*parts, tzinfo=zone).timestamp() * 1000)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("now", "zone", "begins"),
    [
        (ms(2026, 11, 28, 23), dt.UTC, ms(2026, 11, 1)),
        (ms(2026, 11, 30, 23, 30), BERLIN, ms(2026, 12, 1, zone=BERLIN)),  # it is December there already
        (ms(2026, 10, 31, 12), BERLIN, ms(2026, 10, 1, zone=BERLIN)),  # the clocks went back in between
        (ms(2027, 1, 1), dt.UTC, ms(2027, 1, 1)),
    ],
)
def test_a_month_begins_at_midnight_of_its_first_day_in_the_zone_of_the_user(now, zone, begins):
    budget = Budget("20 ADA", per_month="5 ADA", time_zone=zone)

    assert budget.month_start_ms(now) == begins
    assert periods(Budget("20 ADA", time_zone=zone), now)[1] is None


def test_the_journal_sums_a_month_beside_a_day(tmp_path, database_url):
    journal = Journal(database_url)
    november, today = ms(2026, 11, 1), ms(2026, 11, 28)
    for name, at in (
        ("october", november - 1),
        ("first", november),
        ("middle", november + 9 * SLOT_MS + 7),
        ("today", today),
    ):
        journal.add(row(name, name, money="spent", entries=(Entry("", 10, 0),), at_ms=at))

    used = journal.usage(row("new", "new"), today, november)

    assert (used.total, used.since, used.month) == ({"": 40}, {"": 10}, {"": 30})
    assert journal.usage(row("first", "first"), today, november).month == {"": 20}
    assert journal.usage(row("new", "new"), today).month == {}
    journal.close()


def test_a_hire_beyond_the_month_is_refused_and_the_next_month_allows_it(tmp_path):
    from masumi_tools.sandbox import Sandbox

    with Sandbox() as sandbox:
        echo = sandbox.service("echo").agent_identifier
        budget = Budget("20 ADA", per_month="1.5 ADA", time_zone=dt.UTC)
        with Buyer(settings_of(sandbox, tmp_path), budget=budget) as buyer:
            first = buyer.hire(echo, {"text": "a"})
            second = buyer.hire(echo, {"text": "b"})
            sandbox.advance(32 * 24 * 3_600_000)
            later = buyer.hire(echo, {"text": "c"})

    assert first.ok and later.ok
    assert second.outcome == "refused"
    assert second.reason == (
        "the price is 1 ADA; the budget 'default' allows 1.5 ADA this month, 0.5 ADA of it is left"
    )


def test_a_month_without_a_unit_has_none_of_it():
    budget = Budget(["20 ADA", "5 USDM"], per_month="1 ADA")

    class Use:
        total: dict[str, int] = {}
        service: dict[str, int] = {}
        since: dict[str, int] = {}
        month: dict[str, int] = {}

    assert "has no USDM this month" in (budget.refusal(Budget("1 USDM").total, Use(), ()) or "")
