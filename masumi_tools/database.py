"""Opening a database with this package's rules, and its errors in words. Used by the journal and the jobs."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from masumi_tools.errors import JournalBusy, JournalError

BUSY_TIMEOUT_S = 30


def _begin_immediate(connection: sa.Connection) -> None:
    # A reader under AUTOCOMMIT takes no write lock: it must never wait for a writer.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _set_pragmas(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Turn on WAL. SQLite does not wait for another process that does the same to a new file, so we do."""
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= until:
                raise
            time.sleep(0.01)
        else:
            return


_settle = getattr(os, "fdatasync", os.fsync)  # as SQLite itself does where there is one


def open_unsettled(url: str) -> tuple[sa.Engine, Callable[[], None]] | None:
    """An engine on a SQLite file whose commits do not wait for the disk, and what waits for it.

    A commit of `open_engine` holds the file's lock until the disk has it, so that many small ones queue up
    for it. Here only the writing is under the lock, and the waits overlap: whoever calls the second part
    after a commit has what `open_engine` gives with it. A checkpoint meanwhile takes nothing away: it
    puts the log on the disk, then the file, before the log is begun anew. None where there is no such log.
    """
    engine = open_engine(url)
    if engine.dialect.name == "sqlite":
        with engine.connect() as db:
            mode = db.exec_driver_sql("PRAGMA journal_mode").scalar()
            file = db.exec_driver_sql("PRAGMA database_list").one()[2]
        if mode == "wal" and file:
            event.listen(engine, "connect", _leave_the_disk)
            engine.dispose()
            return engine, lambda: _to_disk(Path(f"{file}-wal"))
    engine.dispose()
    return None


def _to_disk(log: Path) -> None:
    try:
        with log.open("r+b", buffering=0) as file:
            _settle(file.fileno())
    except OSError as error:
        raise JournalError(
            f"the disk did not take what was saved: {error.strerror}", phase="journal"
        ) from error


def _leave_the_disk(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL").close()


def open_engine(url: str) -> sa.Engine:
    """A SQLAlchemy engine with this package's rules; JournalError says what is wrong with the URL.

    SQLite: WAL, BEGIN IMMEDIATE, synchronous=FULL and a busy time-out, so that several processes may
    share one file. PostgreSQL: psycopg 3, brought by the extra `postgres`.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise JournalError(
            "the database URL cannot be read; try sqlite:///path or postgresql://..."
        ) from error
    if parsed.get_backend_name() == "sqlite":
        if parsed.database and not parsed.database.startswith((":memory:", "file:")):
            with contextlib.suppress(OSError):
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        in_memory = parsed.database in (None, "", ":memory:")
        # A thread never waits for a connection, only for the lock of the file.
        pool: dict[str, Any] = {"poolclass": sa.StaticPool} if in_memory else {"max_overflow": -1}
        engine = sa.create_engine(
            parsed, connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S}, **pool
        )
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin_immediate)
        return engine
    if parsed.get_backend_name() == "postgresql":
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        try:
            return sa.create_engine(parsed, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise JournalError(
                "PostgreSQL needs the extra postgres: pip install 'masumi_tools[postgres]'"
            ) from error
    raise JournalError(f"the journal can be SQLite or PostgreSQL, not {parsed.get_backend_name()}")


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn the database's errors into a JournalError that says what to do."""
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise JournalBusy(f"no connection to the journal was free while {doing}", phase="journal") from error
    except sa.exc.DBAPIError as error:
        text = str(error.orig).lower()
        if "locked" in text or "deadlock" in text:
            raise JournalBusy(
                f"the journal is locked by another process; nothing was sent while {doing}", phase="journal"
            ) from error
        why = next(
            (
                words
                for sign, words in (
                    ("full", "the disk is full"),
                    ("readonly", "the file or its folder cannot be written"),
                    ("read-only", "the database cannot be written"),
                    ("malformed", "the file is damaged; restore it from a backup"),
                    ("not a database", "the file is no database; name another file"),
                    ("unable to open", "the file cannot be opened; check folder and rights"),
                    ("connect", "the server cannot be reached"),
                )
                if sign in text
            ),
            type(error.orig).__name__,
        )
        raise JournalError(f"the journal failed while {doing}: {why}", phase="journal") from error
