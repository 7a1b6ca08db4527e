"""Who is alive: a lock that a process holds as long as it lives, and that the system frees when it dies.

SQLite: a locked file beside the database. PostgreSQL: an advisory lock of a session of its own. An
SQLite database in memory belongs to one process, so a set in that process is enough.
"""

from __future__ import annotations

import contextlib
import os
import threading
from hashlib import sha256
from pathlib import Path
from typing import IO, Protocol

import sqlalchemy as sa

from masumi_tools.errors import JournalError


class Locks(Protocol):
    """Named locks of one process."""

    def take(self, name: str) -> bool:
        """Hold the lock until `drop` or death; False when another process has it. Taking it twice is fine."""

    def free(self, name: str) -> bool:
        """Whether nobody holds the lock now."""

    def drop(self) -> None:
        """Let go of every lock."""


def locks_for(engine: sa.Engine) -> Locks:
    """The kind of locks that fits the database."""
    if engine.dialect.name != "sqlite":
        return PostgresLocks(engine)
    database = engine.url.database
    if not database or database == ":memory:":
        return MemoryLocks()
    return FileLocks(Path(f"{database}-locks"))


class FileLocks:
    """Locked files in a folder; works among processes of one machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, IO[str]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, name: str) -> bool:
        if name in self._held:
            return True
        file = self._path(name).open("w")
        if not _lock(file):
            file.close()
            return False
        self._held[name] = file
        return True

    def free(self, name: str) -> bool:
        if name in self._held:
            return False
        try:
            file = self._path(name).open("r+")
        except FileNotFoundError:
            return True
        with file:
            if not _lock(file):
                return False
            with contextlib.suppress(OSError):
                if name.startswith("process-"):  # a process's name is never used again
                    self._path(name).unlink()
            return True

    def drop(self) -> None:
        for name, file in self._held.items():
            with contextlib.suppress(OSError):
                if name.startswith("process-"):
                    self._path(name).unlink()
            file.close()
        self._held.clear()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def _lock(file: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError as error:  # Windows
        raise JournalError(
            "selling from SQLite needs a system with file locks; use PostgreSQL here"
        ) from error
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class PostgresLocks:
    """Advisory locks of one session; the server frees them when the connection ends."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._guard = threading.Lock()
        self._session: sa.Connection | None = None
        self._held: set[str] = set()

    def take(self, name: str) -> bool:
        with self._guard:
            try:
                return self._take(name)
            except sa.exc.DBAPIError:
                self._forget()
                return self._take(name)

    def _take(self, name: str) -> bool:
        if self._session is None:
            self._session = self._engine.connect()
            for held in list(self._held):  # a new session after the server dropped the old one
                if not self._try(self._session, held):
                    self._held.discard(held)
        if name in self._held:
            self._session.execute(sa.text("SELECT 1"))
            return True
        if self._try(self._session, name):
            self._held.add(name)
            return True
        return False

    def _forget(self) -> None:
        if self._session is not None:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                self._session.invalidate()
                self._session.close()
            self._session = None

    def free(self, name: str) -> bool:
        with self._guard:
            if name in self._held:
                return False
        with self._engine.connect() as db:
            if not self._try(db, name):
                return False
            db.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": _key(name)})
            return True

    @staticmethod
    def _try(db: sa.Connection, name: str) -> bool:
        return bool(db.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": _key(name)}))

    def drop(self) -> None:
        with self._guard:
            self._held.clear()
            self._forget()


def _key(name: str) -> int:
    return int.from_bytes(sha256(f"masumi_tools {name}".encode()).digest()[:8], "big", signed=True)


class MemoryLocks:
    """For a database in memory: only this process can hold anything."""

    def __init__(self) -> None:
        self._held: set[str] = set()

    def take(self, name: str) -> bool:
        self._held.add(name)
        return True

    def free(self, name: str) -> bool:
        return name not in self._held

    def drop(self) -> None:
        self._held.clear()


def process_name() -> str:
    """A name for this process that no other ever has."""
    return f"process-{os.getpid()}-{os.urandom(6).hex()}"
