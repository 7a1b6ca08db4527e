"""A SQLite file in use: for its owner's eyes alone, the same file to the end, and no connection over a fork."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
import time
import weakref
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event

from masumi_tools.errors import JournalError
from masumi_tools.journal.statement import first

_FORK_WAITS_S = 10.0
Identity = tuple[int, int]


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - each transaction asks twice, and a Path takes longer than the rest
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _mark_of(path: str) -> tuple[int, int]:
    """Which file it is (0: not marked yet), and how many writes it knows of; nothing is locked.

    What is in the log only is not counted.

    SQLite opens it, for a file that somebody else closes takes the locks of the whole process with it.
    """
    with contextlib.closing(
        sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    ) as db:
        names = ("application_id", "user_version")
        which, writes = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
        return which, writes


def count_write(db: sa.Connection) -> None:
    """Before the commit of a transaction that changed something: one write more, by all processes together.

    The first one marks the file with a number of its own, by which it is known from any other.
    """
    driver: Any = db.connection.driver_connection
    if driver.total_changes == db.info.get("changes"):
        return
    first(db, f"PRAGMA user_version = {first(db, 'PRAGMA user_version') + 1}")
    if "marked" in db.info:
        return
    if first(db, "PRAGMA application_id"):
        db.info["marked"] = True
    else:
        first(db, f"PRAGMA application_id = {secrets.randbelow(2**31 - 1) + 1}")


class Kept:
    """The file behind one engine.

    It is made with rights for its owner alone, in a folder of the same kind where there was none. A file
    that was deleted, moved, replaced or overwritten while it is in use raises JournalError before anything is
    written, for what is written to it nobody will read again.
    """

    def __init__(self, path: str, engine: sa.Engine) -> None:
        self._path = path
        self._known: Identity | None = None
        self._changed_ns = 0  # when the file itself, not its log, was last seen to change
        self._which = self._writes = 0
        self._used = 0  # connections that are at work now
        self._count = threading.Lock()
        self._torn = False
        self._engine = weakref.ref(engine)
        event.listen(engine, "do_connect", self._before_connecting)
        event.listen(engine, "checkout", self._taken)
        event.listen(engine, "checkin", self._given_back)
        _open_files.add(self)

    def _before_connecting(self, *_: object) -> None:
        with _gate:
            if self._torn:
                raise JournalError(
                    "this process was forked while its journal was being written; open the journal again",
                    phase="journal",
                )
            if self._known is None:
                self._make()
            else:
                self.check()

    def _make(self) -> None:
        with contextlib.suppress(OSError):  # SQLite says in its own words why a file cannot be opened
            Path(self._path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # One that is there may be in use here: to open and close it would take SQLite's locks from it, and
            # the next process that ends would delete the log in which we write.
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        self._known = _identity(self._path)

    def check(self, db: sa.Connection | None = None) -> None:
        """JournalError when the file, or the log beside it, is no longer the one that is written."""
        if self._known is not None and (_identity(self._path) != self._known or self._went_back()):
            raise self._gone(self._path)
        if db is None:
            return
        log = _identity(f"{self._path}-wal")
        if db.info.setdefault("log", log) is None:
            db.info["log"] = log  # the first transaction makes it
        elif db.info["log"] != log:
            raise self._gone(f"{self._path}-wal")

    def _went_back(self) -> bool:
        """Whether the file is another, or knows of fewer writes than it did, as after `cp backup journal`.

        Looked at where it changed.
        """
        with self._count:  # one thread after the other: none compares what it read with what came later
            try:
                changed_ns = Path(self._path).stat().st_mtime_ns
                if changed_ns == self._changed_ns:
                    return False
                which, writes = _mark_of(self._path)
            except (OSError, sqlite3.Error) as error:
                # In the middle of a checkpoint the file fits together no more; it is looked at again then.
                return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB
            other = writes < self._writes or (self._which != 0 and which != self._which)
            if not other:
                self._changed_ns, self._which, self._writes = changed_ns, which, writes
            return other

    def _gone(self, path: str) -> JournalError:
        return JournalError(
            f"the file {path} was deleted, moved, replaced or overwritten while it was in use; nothing was sent. "
            "Put it back where it was, and start this process again",
            phase="journal",
            repeatable=False,
        )

    def _taken(self, *_: object) -> None:
        with _gate, self._count:
            self._used += 1

    def _given_back(self, *_: object) -> None:
        with self._count:
            self._used -= 1

    # SQLite's locks belong to a process and its memory of them goes over a fork: a child that inherits an
    # open connection believes in locks that it does not hold, also with a new one to the same file.

    def let_go(self, until: float) -> None:
        """Close what is idle; what is at work gets a moment to end."""
        engine = self._engine()
        while self._used and time.monotonic() < until:
            time.sleep(0.001)
        if engine is not None:
            engine.dispose()

    def in_child(self) -> None:
        self._torn = self._used > 0
        self._count = threading.Lock()


_gate = threading.RLock()  # while a process forks nothing is begun
_open_files: weakref.WeakSet[Kept] = weakref.WeakSet()
_servers: weakref.WeakSet[sa.Engine] = weakref.WeakSet()


def forget_after_fork(engine: sa.Engine) -> None:
    """A child opens its own connections to the server, and never says a word on its parent's."""
    _servers.add(engine)


def _before_fork() -> None:
    _gate.acquire()
    until = time.monotonic() + _FORK_WAITS_S
    for kept in list(_open_files):
        kept.let_go(until)


def _in_child() -> None:
    for kept in list(_open_files):
        kept.in_child()
    for engine in list(_servers):
        engine.dispose(close=False)
    _gate.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_gate.release, after_in_child=_in_child)


def path_of(parsed: Any) -> str | None:
    """The path of a plain SQLite file that this URL names; None in memory and for SQLite's own URIs."""
    name = parsed.database
    return None if not name or name.startswith((":memory:", "file:")) else str(name)
