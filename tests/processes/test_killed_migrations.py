"""Databases of older versions, brought up to date by processes that die of SIGKILL on the way: nothing is half done."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from masumi_tools.errors import JournalBusy
from masumi_tools.journal import tables
from masumi_tools.journal.database import open_engine, within
from masumi_tools.journal.row import Used
from masumi_tools.journal.store import Journal
from masumi_tools.journal.turns import token
from masumi_tools.seller.jobs import tables as jobs
from masumi_tools.seller.jobs.job import Rules
from masumi_tools.seller.jobs.table import JobTable

FIRST = (Path(__file__).parents[1] / "hire" / "journal-v1.sql").read_text()
ROWS = 1_200  # some pages
OPEN = 700
BUDGETS = 3
# A process dies when a statement with these words has been done, one process after the other.
OF_THE_JOURNAL = (
    "CREATE TABLE masumi_totals",
    "INSERT INTO masumi_totals",
    "INSERT INTO masumi_budgets",
    "RENAME COLUMN lease_owner",
    "UPDATE masumi_turns",
    "INSERT INTO masumi_journal",
)
OF_THE_JOBS = (
    "ADD COLUMN price",
    "UPDATE masumi_jobs",
    "CREATE INDEX masumi_jobs_booked",
    "INSERT INTO masumi_shop",
)


@pytest.fixture
def old_journal(database_url: str) -> str:
    """The URL of a journal of the first version with many hires: some open, each with its money."""
    engine = open_engine(database_url)
    hires = "INSERT INTO masumi_hires VALUES (:id, :id, :id, 'locked', :is_open, 1, :budget, 's', :n, :n, NULL, 0, :record)"
    money = "INSERT INTO masumi_amounts VALUES (:id, '', :budget, 's', :n, 'locked', 1000000, 0)"
    rows = [
        {
            "id": f"h{n}",
            "n": n * 60_000,
            "is_open": n < OPEN,
            "budget": f"b{n % BUDGETS}",
            "record": _record(n),
        }
        for n in range(ROWS)
    ]
    with engine.begin() as db:
        for statement in FIRST.split(";"):
            if statement.strip().startswith("CREATE") or "'version'" in statement:
                db.exec_driver_sql(statement)
        db.execute(sa.text(hires), rows)
        db.execute(sa.text(money), rows)
    engine.dispose()
    return database_url


def _record(number: int) -> str:
    return json.dumps({"terms": {"blockchain_identifier": f"chain {number}"}})


@pytest.fixture
def old_jobs(database_url: str) -> str:
    """The URL of a table of jobs of version 2, which did not know how a job's price counts."""
    engine = open_engine(database_url)
    row = {
        "service": "Shop",
        "state": "completed",
        "version": 1,
        "owner": "",
        "payment": "p",
        "source_type": "s",
    }
    row |= {"client": "c", "due_ms": 0, "changed_ms": 0, "watched": False}
    record = {"state": "completed", "chain": {"state": "Withdrawn"}, "price": [[1_000_000, ""]]}
    with engine.begin() as db:
        jobs.metadata.create_all(db)
        kept = [
            {**row, "job_id": f"j{n * 7 % ROWS}", "created_ms": n // 9, "record": json.dumps(record)}
            for n in range(ROWS)
        ]
        db.execute(jobs.jobs.insert(), kept)
        db.exec_driver_sql("DROP INDEX masumi_jobs_booked")
        for column in ("booked", "price"):
            db.exec_driver_sql(f"ALTER TABLE masumi_jobs DROP COLUMN {column}")
        db.exec_driver_sql("INSERT INTO masumi_shop VALUES ('version', '2')")
    engine.dispose()
    return database_url


def open_journal(url: str) -> None:
    Journal(url).close()


def open_jobs(url: str) -> None:
    JobTable(url, Rules()).close()


def die_after(words: str, opened: Callable[[str], None], url: str) -> None:
    """Open the database, and die by SIGKILL when a statement with these words has been done."""

    def look(_db: object, _cursor: object, statement: str, *_: object) -> None:
        if words in statement:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(sa.Engine, "after_cursor_execute", look)
    opened(url)


@contextlib.contextmanager
def dying(opened: Callable[[str], None], url: str, moments: tuple[str, ...]) -> Iterator[str]:
    """What the database holds, which is what it held after each process that died."""
    ways = multiprocessing.get_context("forkserver")
    ways.set_forkserver_preload([__name__])
    before = contents(url)
    for words in moments:
        process = ways.Process(target=die_after, args=(words, opened, url))
        process.start()
        process.join(50)
        assert process.exitcode == -signal.SIGKILL, words
        assert contents(url) == before, f"killed after {words}"
    yield before


def contents(url: str) -> str:
    engine = open_engine(url)
    with engine.connect() as db:
        names = sorted(sa.inspect(db).get_table_names())
        found = {name: sorted(map(repr, db.exec_driver_sql(f"SELECT * FROM {name}"))) for name in names}
    engine.dispose()
    return repr(found)


@pytest.mark.slow
def test_a_journal_whose_migration_is_killed_again_and_again_loses_no_row_and_counts_none_twice(
    old_journal: str,
) -> None:
    with (
        dying(open_journal, old_journal, OF_THE_JOURNAL),
        contextlib.closing(Journal(old_journal)) as journal,
    ):
        assert journal.schema_version() == tables.schema().newest
        assert Counter(row.is_open for row in journal.rows()) == {True: OPEN, False: ROWS - OPEN}
        for number in range(BUDGETS):
            money = ROWS // BUDGETS * 1_000_000
            assert journal.used(f"b{number}") == [Used("", "locked", money, 0)]
        assert journal.wrong_totals() == 0
        with journal._engine.connect() as db:
            found = {one.hire_id: one.token for one in db.execute(sa.select(tables.turns))}
        assert found == {f"h{n}": token(f"chain {n}") for n in range(OPEN)}


@pytest.mark.slow
def test_jobs_whose_migration_is_killed_again_and_again_are_all_there_and_counted_once(old_jobs: str) -> None:
    with dying(open_jobs, old_jobs, OF_THE_JOBS):
        table = JobTable(old_jobs, Rules())
        with table.engine.connect() as db:
            columns = jobs.jobs.c
            found = Counter(map(tuple, db.execute(sa.select(columns.booked, columns.price))))
        table.close()

    assert found == {("earned", '[[1000000,""]]'): ROWS}


def test_who_opens_a_journal_while_another_brings_it_up_to_date_is_told_so(old_journal: str) -> None:
    assert_told_meanwhile(open_journal, old_journal)


def test_who_opens_jobs_while_another_brings_them_up_to_date_is_told_so(old_jobs: str) -> None:
    assert_told_meanwhile(open_jobs, old_jobs)


def assert_told_meanwhile(opened: Callable[[str], None], url: str) -> None:
    migrating, seen = threading.Event(), threading.Event()

    def holds(*given: Any) -> None:
        if "DELETE FROM masumi_" in given[2] and not migrating.is_set():
            migrating.set()
            seen.wait(50)

    event.listen(sa.Engine, "after_cursor_execute", holds)
    first = threading.Thread(target=opened, args=(url,))
    first.start()
    try:
        assert migrating.wait(50)
        with (
            within(0),
            pytest.raises(JournalBusy, match=r"to version \d+ \(with a million rows .* and others wait"),
        ):
            opened(url)
    finally:
        seen.set()
        first.join()
        event.remove(sa.Engine, "after_cursor_execute", holds)
    opened(url)
