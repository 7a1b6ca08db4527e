"""The sums beside the lines of a budget: always those of the lines, over midnights, crowds and damage."""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from masumi_tools.cli import doctor
from masumi_tools.errors import JournalError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.rows import budget_lines
from masumi_tools.journal.row import Entry, Row, Usage
from masumi_tools.journal.store import Journal
from masumi_tools.settings import Settings
from tests.hire.test_journal import row

MINUTE_MS = 60_000


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    journal = Journal(database_url)
    yield journal
    journal.close()


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe", "UTC"])
def test_a_day_is_counted_from_midnight_to_the_minute_in_every_zone_also_when_clocks_change(
    journal: Journal, zone: str
) -> None:
    budget = Budget("20 ADA", per_day="5 ADA", time_zone=ZoneInfo(zone))
    for day in (dt.date(2026, 3, 8), dt.date(2026, 10, 4), dt.date(2026, 11, 1), dt.date(2026, 1, 1)):
        noon = int(dt.datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)).timestamp() * 1000)
        midnight = budget.day_start_ms(noon)
        for name, at_ms in (("yesterday", midnight - 1), ("today", midnight), ("noon", noon)):
            journal.add(row(f"{day}{name}", f"{day}{name}", at_ms=at_ms, created_ms=at_ms))

        assert journal.usage(row("new", "new"), midnight).since == {"": 10}
        for name in ("yesterday", "today", "noon"):
            kept = journal.get(f"{day}{name}")
            assert kept is not None
            journal.save(replace(kept, money="released", entries=(Entry("", 5),), at_ms=kept.created_ms))


def test_a_moment_that_is_no_slots_beginning_is_counted_from_that_moment(journal: Journal) -> None:
    for at_ms in (100, 101, 15 * MINUTE_MS, 40 * MINUTE_MS):
        journal.add(row(f"{at_ms}", f"{at_ms}", at_ms=at_ms))

    since = [
        journal.usage(row("new", "new"), at).since.get("", 0) for at in (100, 101, 102, 15 * MINUTE_MS + 1)
    ]
    assert since == [20, 15, 10, 5]


def test_a_hire_that_reserves_anew_does_not_count_against_itself(journal: Journal) -> None:
    kept, _ = journal.add(row("a", entries=(Entry("", 5), Entry("token", 7, 2))))

    assert journal.usage(row("b", "b"), 0).total == {"": 5, "token": 5}
    assert journal.usage(kept, 0) == Usage()


def test_many_threads_change_one_budget_at_once_and_its_sums_stay_true(journal: Journal) -> None:
    trouble: list[Exception] = []

    def work(number: int) -> None:
        rng = random.Random(number)
        try:
            for turn in range(12):
                name = f"{number}-{turn}"
                kept, _ = journal.add(row(name, name, service=rng.choice("st")))
                for money in rng.sample(["locked", "spent", "refunded", "released"], 2):
                    kept = journal.save(replace(kept, money=money, entries=(Entry("", 5, rng.randrange(3)),)))
        except Exception as error:
            trouble.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)

    assert trouble == [] and journal.wrong_totals() == 0
    assert sum(entry.quantity for entry in journal.used("default")) == 4 * 12 * 5


def test_the_doctor_finds_wrong_sums_and_mends_them_on_demand(database_url: str) -> None:
    journal = Journal(database_url)
    journal.add(row())
    right = budget_lines(journal.used("default"))
    with journal._engine.begin() as db:
        db.exec_driver_sql("UPDATE masumi_totals SET quantity = quantity + 3 WHERE kind <> 'slot'")
        db.exec_driver_sql("DELETE FROM masumi_totals WHERE kind = 'slot'")
    settings = Settings(database_url=database_url)

    def finding(mend: bool = False) -> doctor.Finding:
        return next(one for one in doctor.examine(settings, mend) if one.name == "sums")

    assert (finding().ok, "--mend" in finding().words) == (False, True)
    assert finding(mend=True).words == "3 sums of budgets were wrong and are mended"
    assert finding().ok and budget_lines(journal.used("default")) == right
    journal.close()


def test_a_sum_that_no_database_can_hold_is_refused_and_never_rounded(journal: Journal) -> None:
    most = 2**63 - 1
    journal.add(row("a", "a", entries=(Entry("token", most),)))

    def add(hire_id: str) -> Row:
        return journal.add(row(hire_id, hire_id, entries=(Entry("token", most),)))[0]

    with pytest.raises(JournalError):
        add("b")

    assert journal.get("b") is None and journal.usage(row("new", "new"), 0).total == {"token": most}
