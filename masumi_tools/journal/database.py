"""Opening a database with this package's rules, and its errors in words. Used by the journal and the jobs."""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import time
import weakref
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from masumi_tools.errors import JournalBusy, JournalError
from masumi_tools.journal import postgres
from masumi_tools.journal.files import Kept, count_write, forget_after_fork, path_of
from masumi_tools.journal.statement import first
from masumi_tools.text import redact

BUSY_TIMEOUT_S: float = 30
# What has to be saved of money that moved waits so long, also when the caller's patience is at its end.
LEAST_WAIT_S: float = 4
# And so long who was told already that the database does not answer, until it does.
AGAIN_S: float = 1
CONNECT_S = 10
_MAY_NOT_CREATE = (
    "its user may not make tables there; GRANT CREATE, USAGE ON SCHEMA public TO that user, "
    "or open it once as the owner"
)


@dataclass(slots=True)
class _Wait:
    """Until when one caller waits, by the monotonic clock, and whether a database kept it waiting in vain."""

    ends: float
    in_vain: bool = False


_wait: ContextVar[_Wait | None] = ContextVar("masumi_wait", default=None)


@contextlib.contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """In this block a call to a database waits no longer than the caller's patience, and some seconds.

    None: as long as without a caller. Threads with a copy of the context share what is known of the database.
    """
    token = _wait.set(None if seconds is None else _Wait(time.monotonic() + seconds))
    try:
        yield
    finally:
        _wait.reset(token)


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """In this block what is learnt of a database is kept from the caller, whose own may be another one."""
    wait = _wait.get()
    token = _wait.set(wait and replace(wait))
    try:
        yield
    finally:
        _wait.reset(token)


def waits_s() -> float:
    """How long a call to a database may wait now, in seconds: whole ones, so that it seldom changes."""
    wait = _wait.get()
    if wait is None:
        return BUSY_TIMEOUT_S
    if wait.in_vain:
        return AGAIN_S
    return min(max(math.ceil(wait.ends - time.monotonic()), LEAST_WAIT_S), BUSY_TIMEOUT_S)


def queue_s() -> float:
    """How long a call may wait for its turn in this process; without end where nobody's patience does."""
    wait = _wait.get()
    return math.inf if wait is None else max(wait.ends - time.monotonic(), AGAIN_S)


def _waited(in_vain: bool) -> None:
    if (wait := _wait.get()) is not None:
        wait.in_vain = in_vain


def _set_pragmas(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Turn on WAL. SQLite does not wait for another process that does the same to a new file, so we do."""
    until = time.monotonic() + waits_s()
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= until:
                raise
            time.sleep(0.01)
        else:
            return


def _within_patience(connection: sa.Connection) -> None:
    """Let SQLite wait for another process for no longer than the caller has patience."""
    wait_ms = int(waits_s() * 1000)
    if connection.info.get("waits_ms", BUSY_TIMEOUT_S * 1000) != wait_ms:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={wait_ms}")
        connection.info["waits_ms"] = wait_ms


def _sqlite(parsed: sa.URL) -> sa.Engine:
    in_memory = parsed.database in (None, "", ":memory:")
    # A thread never waits for a connection, only for the lock of the file.
    pool: dict[str, Any] = {"poolclass": sa.StaticPool} if in_memory else {"max_overflow": -1}
    engine = sa.create_engine(
        parsed, connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S}, **pool
    )
    event.listen(engine, "connect", _set_pragmas)
    path = path_of(parsed)
    kept = Kept(path, engine) if path else None

    def begin(connection: sa.Connection) -> None:
        if kept is not None:
            kept.check(connection)
        _within_patience(connection)
        # A reader under AUTOCOMMIT takes no write lock: it must never wait for a writer.
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            first(connection, "BEGIN IMMEDIATE")
            driver: Any = connection.connection.driver_connection
            connection.info["changes"] = driver.total_changes

    event.listen(engine, "begin", begin)
    if kept is not None:
        event.listen(engine, "commit", count_write)
    return engine


def _postgres(parsed: sa.URL, wait_s: float) -> sa.Engine:
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    wait_ms = int(wait_s * 1000)
    asked: dict[str, Any] = {
        "connect_timeout": math.ceil(min(CONNECT_S, wait_s)),
        "keepalives_idle": CONNECT_S,
        "tcp_user_timeout": wait_ms,
    }
    given = {name: value for name, value in asked.items() if name not in parsed.query}
    given["client_encoding"] = "utf8"  # whatever the URL says: no other can send every text
    try:
        pool = postgres.pool(lambda: min(wait_s, waits_s()))
        engine = sa.create_engine(
            parsed,
            pool_pre_ping=True,
            poolclass=pool,
            connect_args=given,
            isolation_level="READ COMMITTED",  # what waited for a lock reads what is there then
        )
    except ModuleNotFoundError as error:
        raise JournalError(
            "PostgreSQL needs the extra postgres: pip install 'masumi_tools[postgres]'"
        ) from error

    def connected(connection: Any, _record: object) -> None:
        postgres.begin_session(connection, wait_ms)

    def begin(connection: sa.Connection) -> None:
        transacts = connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT"
        if transacts and (left_ms := int(waits_s() * 1000)) < wait_ms:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(left_ms, 1)}")

    postgres.limit(engine, lambda: min(wait_s, waits_s()), lambda: _waited(True))
    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begin)
    forget_after_fork(engine)
    return engine


def open_engine(url: str, wait_s: float | None = None) -> sa.Engine:
    """A SQLAlchemy engine with this package's rules; JournalError says what is wrong with the URL.

    SQLite: WAL, BEGIN IMMEDIATE, synchronous=FULL and a busy time-out, so that several processes may
    share one file; the file is made for its owner alone, and one that was deleted, moved, replaced or
    overwritten in use is noticed before anything is written. PostgreSQL: psycopg 3, brought by the extra
    `postgres`; text is UTF-8 or the database is refused, what the environment, the URL or the role set for
    sessions changes nothing that we rely on, and no call waits longer than `wait_s` for a server that says
    nothing. Either works in the child of a fork.
    """
    if "\0" in url or not url.isprintable():
        raise JournalError("the database URL holds a character that no address and no file name has")
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise JournalError(
            "the database URL cannot be read; try sqlite:///path or postgresql://..."
        ) from error
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        return _postgres(parsed, wait_s or BUSY_TIMEOUT_S)
    raise JournalError(f"the journal can be SQLite or PostgreSQL, not {parsed.get_backend_name()}")


def let_go_with(owner: object, engine: sa.Engine) -> sa.Engine:
    """The engine, which closes its connections when its owner is let go unclosed.

    A tool makes its own buyer, which nobody closes; Python 3.13 warns of connections that are left open.
    """
    weakref.finalize(owner, engine.dispose).atexit = False
    return engine


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn the database's errors into a JournalError that says what to do.

    Where it has just kept a caller waiting in vain whose patience is over, it is not asked again.
    """
    wait = _wait.get()
    if wait is not None and wait.in_vain and time.monotonic() > wait.ends:
        raise JournalBusy(f"the database did not answer in time while {doing}", phase="journal")
    try:
        yield
        _waited(False)
    except sa.exc.TimeoutError as error:
        _waited(True)
        raise JournalBusy(f"no connection to the journal was free while {doing}", phase="journal") from error
    except sa.exc.DBAPIError as error:
        _waited(True)
        text = str(error.orig).lower()
        if "locked" in text or "deadlock" in text:
            raise JournalBusy(
                f"{doing} failed: another process has locked the journal; nothing was sent", phase="journal"
            ) from error
        if "too many c" in text or "connection slots" in text:
            raise JournalBusy(
                f"the database server takes no more connections (its max_connections) while {doing}",
                phase="journal",
            ) from error
        if ("timeout" in text and "statement" in text) or "lock timeout" in text:
            raise JournalBusy(
                f"the database did not answer in time while {doing}", phase="journal"
            ) from error
        why = next(
            (
                words
                for sign, words in (
                    ("permission denied for schema", _MAY_NOT_CREATE),
                    ("must be owner", _MAY_NOT_CREATE),
                    ("permission denied", "its user may not read or write this package's tables"),
                    ("disk is full", "the disk is full"),
                    ("no space left", "the disk is full"),
                    ("no schema has been selected", "its search_path names no schema that is there"),
                    ("i/o error", "the disk failed, or a quota or limit of file sizes is reached"),
                    ("readonly", "the file or its folder cannot be written"),
                    ("read-only", "the database cannot be written"),
                    ("malformed", "the file is damaged; restore it from a backup"),
                    ("not a database", "the file is not a database; name another file"),
                    ("unable to open", "the file cannot be opened; check folder and rights"),
                    ("did not answer", "the server does not answer"),
                    ("shutting down", "the server is being stopped"),
                    ("starting up", "the server is being started"),
                    ("idle-in-transaction", "this process stood still in it; nothing of it is saved"),
                    ("fatal:", f"the server says no: {_said(error)}"),
                    ("connect", "the server cannot be reached"),
                )
                if sign in text
            ),
            f"{type(error.orig).__name__} {redact(text.partition(chr(10))[0], 200)}",
        )
        raise JournalError(f"the journal failed while {doing}: {why}", phase="journal") from error


def _said(error: sa.exc.DBAPIError) -> str:
    """Why a server would not have us, in its own words."""
    return redact(str(error.orig).partition("FATAL:")[2].strip().partition("\n")[0], 200)


class Unsettled:
    """Writes to a SQLite file that wait for no other writer; `settle` waits for the disk. For one at a time.

    A commit of `open_engine` waits for its turn among the writers and returns when the disk has it. A write
    here is done at once or not at all, mostly in a fraction of a millisecond (the first one after a whole
    checkpoint waits for the disk once), and `settle` after it, which may be in another thread, gives what
    `open_engine` gives. A checkpoint in between takes nothing away: it puts the log on the disk, then
    the file, before the log is begun anew. Until then all others see what was written.
    """

    def __init__(self, file: str) -> None:
        self._db = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
        self._works = True
        try:
            for setting in ("synchronous=NORMAL", "wal_autocheckpoint=0"):  # other writers make checkpoints
                self._db.execute(f"PRAGMA {setting}").close()
            self._db.execute("SELECT 1 FROM sqlite_master LIMIT 1").close()
            # There is a log now, and it stays the same one for as long as we are connected.
            self._log = os.open(f"{file}-wal", os.O_RDWR)
        except BaseException:
            self._db.close()
            raise

    def write(self, statement: str, rows: Sequence[Sequence[Any]]) -> bool:
        """Run the statement for each of the rows, in one transaction; False where nothing was written."""
        if not self._works or not os.fstat(self._log).st_nlink:  # deleted: the long way says so
            return False
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(statement, rows)
            (before,) = self._db.execute("PRAGMA user_version").fetchone()
            self._db.execute(f"PRAGMA user_version = {before + 1}")
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):  # there may be no transaction
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                return False
            raise
        return True

    def settle(self) -> None:
        """Returns when the disk has what was written. After a JournalError nothing is written here any more."""
        try:
            _sync(self._log)
        except OSError as error:
            self._works = False
            words = f"the disk did not take what was saved: {error.strerror}"
            raise JournalError(words, phase="journal") from error

    def close(self) -> None:
        os.close(self._log)
        self._db.close()


_sync = getattr(os, "fdatasync", os.fsync)  # as SQLite itself does where there is one


def open_unsettled(engine: sa.Engine) -> Unsettled | None:
    """Such writes to the file of this engine; None where it is none with a write-ahead log that we can open."""
    if engine.dialect.name != "sqlite":
        return None
    with engine.connect() as db:
        mode = db.exec_driver_sql("PRAGMA journal_mode").scalar()
        file = db.exec_driver_sql("SELECT file FROM pragma_database_list WHERE name = 'main'").scalar()
    try:
        return Unsettled(file) if mode == "wal" and file else None
    except (sqlite3.Error, OSError):
        return None
