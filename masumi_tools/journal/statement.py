"""Statements that every hire makes: put together once, and on SQLite given to the driver itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import sqlalchemy as sa

Values = Mapping[str, Any]


class Statement:
    """One that runs again and again. What SQLAlchemy does around a call takes several times what SQLite does in it.

    Values are those that every driver knows: text, whole numbers, truth and None; SQLite answers with 1 and 0
    for the truth. Errors and transactions are SQLAlchemy's, and so is the call where somebody listens to it.
    `names` are those of the columns that an insert or update writes.
    """

    def __init__(self, statement: sa.Executable, names: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._names = names

    def rows(self, db: sa.Connection, values: Values) -> Sequence[Sequence[Any]]:
        """All that it finds."""
        if _is_heard(db):
            return db.execute(self._statement, values).all()
        _begun(db)
        with _driver(db) as sqlite:
            found: list[tuple[Any, ...]] = sqlite.execute(self._text, {**self._fixed, **values}).fetchall()
            return found

    def run(self, db: sa.Connection, values: Values) -> int:
        """How many rows it changed."""
        if _is_heard(db):
            return db.execute(self._statement, values).rowcount
        _begun(db)
        with _driver(db) as sqlite:
            return sqlite.execute(self._text, {**self._fixed, **values}).rowcount

    def run_each(self, db: sa.Connection, values: Sequence[Values]) -> None:
        """Run it for each of these."""
        if not values:
            return
        if _is_heard(db):
            db.execute(self._statement, values)
            return
        _begun(db)
        with _driver(db) as sqlite:
            sqlite.executemany(self._text, [{**self._fixed, **one} for one in values])

    @cached_property
    def _text(self) -> str:
        return str(self._compiled)

    @cached_property
    def _fixed(self) -> dict[str, Any]:
        return {name: value for name, value in self._compiled.params.items() if value is not None}

    @cached_property
    def _compiled(self) -> Any:
        from sqlalchemy.dialects.sqlite import dialect

        return self._statement.compile(dialect=dialect(paramstyle="named"), column_keys=self._names)  # type: ignore[attr-defined]


def first(db: sa.Connection, text: str) -> Any:
    """The first value that a plain statement finds, run as a transaction begins; None where there is none."""
    if _is_heard(db):
        found = db.exec_driver_sql(text)
        return found.scalar() if found.returns_rows else None
    with _driver(db) as sqlite:
        row = sqlite.execute(text).fetchone()
        return row[0] if row else None


def _is_heard(db: sa.Connection) -> bool:
    hears = db.dispatch
    return db.dialect.name != "sqlite" or bool(hears.before_cursor_execute or hears.after_cursor_execute)


@contextmanager
def _driver(db: sa.Connection) -> Iterator[sqlite3.Connection]:
    """SQLite's own connection behind this one; its errors become SQLAlchemy's."""
    connection: Any = db.connection.driver_connection
    try:
        yield connection
    except sqlite3.Error as error:
        raise sa.exc.DBAPIError.instance(None, None, error, sqlite3.Error) from error


def _begun(db: sa.Connection) -> None:
    """With the rules that come with the beginning of a transaction, as where SQLAlchemy makes the call."""
    if not db.in_transaction():
        db.begin()
