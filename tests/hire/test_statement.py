"""Statements that go to SQLite's driver itself keep the rules of those that SQLAlchemy makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from masumi_tools.journal.database import open_engine
from masumi_tools.journal.statement import Statement, first

MADE = Statement(sa.text("INSERT INTO things (name, many) VALUES (:name, :many)"))
FOUND = Statement(sa.text("SELECT name, many FROM things WHERE many > :least ORDER BY name"))
MOVED = Statement(sa.text("UPDATE things SET many = :many WHERE name = :name"))


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    engine = open_engine(database_url)
    with engine.begin() as db:
        db.execute(sa.text("DROP TABLE IF EXISTS things"))
        db.execute(sa.text("CREATE TABLE things (name VARCHAR(9) PRIMARY KEY, many BIGINT NOT NULL)"))
    yield engine
    engine.dispose()


@pytest.fixture(params=[False, True], ids=["plain", "heard"])
def heard(request: pytest.FixtureRequest, engine: sa.Engine) -> list[str]:
    """What somebody hears who listens to the engine."""
    said: list[str] = []
    if request.param:
        sa.event.listen(engine, "before_cursor_execute", lambda _db, _cursor, text, *_: said.append(text))
    return said


def test_it_counts_and_finds_what_it_changed(engine: sa.Engine, heard: list[str]) -> None:
    with engine.begin() as db:
        for name in ("a", "b"):
            assert MADE.run(db, {"name": name, "many": 1}) == 1
        assert MOVED.run(db, {"name": "b", "many": 2}) == 1
        assert MOVED.run(db, {"name": "c", "many": 2}) == 0
        assert [tuple(found) for found in FOUND.rows(db, {"least": 0})] == [("a", 1), ("b", 2)]
        assert first(db, "SELECT MAX(many) FROM things") == 2
        assert first(db, "SELECT many FROM things WHERE many = 7") is None


def test_its_errors_are_those_of_sqlalchemy_and_take_the_transaction_back(
    engine: sa.Engine, heard: list[str]
) -> None:
    with pytest.raises(sa.exc.IntegrityError) as raised, engine.begin() as db:
        MADE.run(db, {"name": "a", "many": 1})
        MADE.run(db, {"name": "a", "many": 2})
    assert raised.value.orig is not None and "things" in str(raised.value.orig)
    with engine.connect() as db:
        assert FOUND.rows(db, {"least": 0}) == []


@pytest.mark.parametrize("moment", ["before_cursor_execute", "after_cursor_execute"])
def test_who_listens_to_the_engine_hears_it(engine: sa.Engine, moment: str) -> None:
    said: list[str] = []
    sa.event.listen(engine, moment, lambda _db, _cursor, text, *_: said.append(text))
    with engine.begin() as db:
        MADE.run(db, {"name": "a", "many": 1})
    assert [text[:18] for text in said if text.startswith("INSERT")] == ["INSERT INTO things"]


def test_a_read_alone_begins_as_every_transaction_does(tmp_path: Path) -> None:
    """So a file that was deleted in use is noticed."""
    file = tmp_path / "things.sqlite3"
    engine = open_engine(f"sqlite:///{file}").execution_options(isolation_level="AUTOCOMMIT")
    begun: list[object] = []
    sa.event.listen(engine, "begin", begun.append)
    with engine.connect() as db:
        db.execute(sa.text("CREATE TABLE things (name VARCHAR(9) PRIMARY KEY, many BIGINT NOT NULL)"))
    with engine.connect() as db:
        FOUND.rows(db, {"least": 0})
    assert len(begun) == 2
    engine.dispose()
