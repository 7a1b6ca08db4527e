"""Journals of other versions: an older one is brought up to date whole or not at all, a newer one is left alone."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from masumi_tools.errors import JournalError, JournalVersionError
from masumi_tools.journal import tables
from masumi_tools.journal.database import open_engine
from masumi_tools.journal.news import Place
from masumi_tools.journal.questions import Question
from masumi_tools.journal.row import Usage
from masumi_tools.journal.store import Journal
from masumi_tools.journal.turns import token
from tests.hire.test_journal import row

FIRST = Path(__file__).with_name("journal-v1.sql").read_text()
Step = Callable[[sa.Connection], object]


@pytest.fixture
def first_version(database_url: str) -> str:
    """The URL of a journal as the first version left it, with one hire, its money and its call."""
    engine = open_engine(database_url)
    with engine.begin() as db:
        for statement in FIRST.split(";"):
            if statement.strip() and statement.strip() not in ("BEGIN TRANSACTION", "COMMIT"):
                db.exec_driver_sql(statement)
    engine.dispose()
    return database_url


def without_feeds(db: sa.Connection) -> None:
    """As the version before left it, which knew of no feed, and found what is open by another index."""
    for statement in (
        "DROP INDEX masumi_hires_open",
        "DROP INDEX masumi_hires_budget",
        "CREATE INDEX ix_masumi_hires_is_open ON masumi_hires (is_open)",
        "DROP TABLE masumi_feeds",
        "DROP INDEX masumi_turns_token",
        *(f"ALTER TABLE masumi_turns DROP COLUMN {name}" for name in ("token", "known_ms", "news_ms")),
    ):
        db.exec_driver_sql(statement)
    without_unlocks(db)


def without_unlocks(db: sa.Connection) -> None:
    """As the version before left it, which looked after the longest waiting first."""
    db.exec_driver_sql("ALTER TABLE masumi_turns DROP COLUMN unlock_ms")


@contextlib.contextmanager
def before_step(step: Step, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """A journal of the version that this step starts from; what it lacks is taken away in the block."""
    with monkeypatch.context() as before:
        before.setattr(tables, "STEPS", tables.STEPS[: tables.STEPS.index(step)])
        with contextlib.closing(Journal(database_url)) as older:
            yield older


def add_step(monkeypatch: pytest.MonkeyPatch, step: Step) -> None:
    monkeypatch.setattr(tables, "STEPS", [*tables.STEPS, step])


def widen(db: sa.Connection) -> None:
    db.execute(sa.text("ALTER TABLE masumi_hires ADD COLUMN colour VARCHAR(10) NOT NULL DEFAULT 'blue'"))


def test_an_older_journal_is_brought_up_to_date_with_all_that_is_in_it(first_version: str) -> None:
    journal = Journal(first_version)

    assert journal.schema_version() == tables.schema().newest
    kept, by_call = journal.get("a1"), journal.by_call("c1")
    assert kept is not None and by_call is not None
    assert (kept.record, kept.version, kept.joinable, by_call.hire_id) == ('{"hire": "a1"}', 7, True, "a1")
    assert journal.usage(row("new"), 0) == Usage({"": 1_000_000}, {"": 1_000_000}, {"": 1_000_000})
    assert journal.budgets() == {"default": "20 ADA"}
    assert (journal.note("n", "text"), journal.noted("n")) == ("text", "text")
    journal.close()


def test_a_journal_without_approvals_gets_their_table_and_a_question_waits_in_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with before_step(tables._approvals, database_url, monkeypatch) as older:
        older.add(row("h1"))
        with older._engine.begin() as db:
            db.exec_driver_sql("DROP TABLE masumi_approvals")
            db.exec_driver_sql("DROP TABLE masumi_pages")
            db.exec_driver_sql("DROP INDEX masumi_hires_state")
            db.exec_driver_sql("DROP INDEX masumi_hires_service")
            without_feeds(db)

    with contextlib.closing(Journal(database_url)) as journal:
        asked = journal.ask(Question("h1", "d1", 1, 9))
        assert journal.answer(asked, "yes", "ann", "", 2)[1]
        assert not journal.answer(asked, "no", "bob", "", 3)[1]
        kept = journal.question("h1")
        assert kept is not None and (kept.answer, kept.by) == ("yes", "ann")
        assert journal.get("h1") is not None and journal.schema_version() == tables.schema().newest


def test_open_hires_of_an_older_journal_are_found_by_the_news_of_the_feed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = {"terms": {"blockchain_identifier": "abc"}}
    records = {"h1": json.dumps(terms), "h2": '{"terms": null}', "h3": "damaged"}
    with before_step(tables._feeds, database_url, monkeypatch) as older:
        for hire_id, record in records.items():
            older.add(replace(row(hire_id, key=hire_id), record=record, due_ms=50))
        with older._engine.begin() as db:
            without_feeds(db)

    with contextlib.closing(Journal(database_url)) as journal:
        assert journal.heard_to("a node") is None
        journal.hear("a node", Place("at 9", "r9"), {token("abc"): 9, token(""): 9}, "at 99")
        due = journal.due(60, (0, ""), lambda _: False)

        assert [(one.hire_id, one.due_ms) for one in due] == [("h1", 0), ("h2", 50), ("h3", 50)]
        assert journal.heard_to("a node") == Place("at 9", "r9")


def test_open_hires_of_an_older_journal_are_swept_by_their_unlock_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(unlock_time: Any) -> str:
        return json.dumps({"terms": {"times": {"unlock_time": unlock_time}}})

    records = {
        "h1": record(900),
        "h2": '{"terms": null}',
        "h3": "damaged",
        "h4": record(800),
        "h5": record("x"),
    }
    with before_step(tables._unlocks, database_url, monkeypatch) as older:
        for hire_id, text in records.items():
            older.add(replace(row(hire_id, key=hire_id), record=text, due_ms=50))
        with older._engine.begin() as db:
            without_unlocks(db)

    with contextlib.closing(Journal(database_url)) as journal:
        due = journal.due(60, (0, ""), lambda _: False)

        assert [one.hire_id for one in due] == ["h4", "h1", "h2", "h3", "h5"]


def test_a_step_that_is_added_runs_once_and_on_older_journals_alone(
    first_version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def step(db: sa.Connection) -> None:
        ran.append(db.dialect.name)
        widen(db)

    before = tables.schema().newest
    add_step(monkeypatch, step)
    for _time in range(2):
        journal = Journal(first_version)
        assert journal.schema_version() == tables.schema().newest == before + 1
        journal.close()
    new = Journal(f"sqlite:///{tmp_path / 'new.sqlite'}")
    new.close()

    assert len(ran) == 1, "neither a second time nor on a new journal"


def test_a_step_that_fails_leaves_the_journal_as_it_was(
    first_version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(db: sa.Connection) -> None:
        widen(db)
        db.execute(sa.text("UPDATE masumi_hires SET no_such_column = 1"))

    before = contents(first_version)
    add_step(monkeypatch, half)

    with pytest.raises(JournalError, match="bringing the journal to version"):
        Journal(first_version)

    assert contents(first_version) == before


def contents(url: str) -> dict[str, list[Any]]:
    engine = open_engine(url)
    with engine.connect() as db:
        names = sorted(sa.inspect(db).get_table_names())
        found = {name: [tuple(r) for r in db.exec_driver_sql(f"SELECT * FROM {name}")] for name in names}
    engine.dispose()
    return found


def test_a_newer_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "j.sqlite3"
    Journal(f"sqlite:///{file}").close()
    with sqlite3.connect(file) as db:
        db.execute("update masumi_journal set value = ?", (tables.schema().newest + 1,))
    db.close()
    before = file.read_bytes()

    with pytest.raises(JournalVersionError, match="install the newer masumi_tools"):
        Journal(f"sqlite:///{file}")

    assert file.read_bytes() == before


def test_a_journal_that_is_not_opened_is_not_changed_by_the_question_for_its_version(
    first_version: str,
) -> None:
    before = contents(first_version)
    engine = open_engine(first_version)
    with engine.connect() as db:
        assert tables.schema().version(db) == 1
    engine.dispose()

    assert contents(first_version) == before


def test_many_may_make_a_journal_at_the_same_instant(database_url: str) -> None:
    assert open_at_once(database_url) == [tables.schema().newest] * 8


def test_many_may_bring_a_journal_up_to_date_at_the_same_instant(first_version: str) -> None:
    assert open_at_once(first_version) == [tables.schema().newest] * 8


def open_at_once(url: str) -> list[int]:
    start = threading.Barrier(8)

    def opened(_number: int) -> int:
        start.wait()
        journal = Journal(url)
        version = journal.schema_version()
        journal.close()
        return version

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(opened, range(8)))
