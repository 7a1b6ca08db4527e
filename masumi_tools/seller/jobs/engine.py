"""What carries ready jobs to workers: a small protocol of our own, DBOS behind it, and a plain engine.

An engine only has to call `perform` at least once, in some living process, for every job that became
ready. It may call it twice, late, or in two processes: the table decides who gets the job. So another
engine can be put here without touching the rest.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Literal, Protocol

from masumi_tools.errors import JournalError, MissingExtra
from masumi_tools.seller.work.human import Abandoned

log = logging.getLogger("masumi_tools.seller")

Perform = Callable[[str, int], None]
Waiting = Callable[[int], Iterable[tuple[str, int]]]
Dead = Callable[[str], bool]
EngineName = Literal["auto", "dbos", "journal"]


class Engine(Protocol):
    """Runs jobs durably. `name` is what logs and `masumi-tools jobs` show."""

    name: str

    def start(self, perform: Perform, waiting: Waiting, workers: int, dead: Dead) -> None:
        """Begin to call `perform(job_id, attempt)`, at most `workers` at a time in this process.

        `waiting(limit)` tells the jobs that are ready now, oldest first; `dead(process)` whether a
        process of the service, by its name, lives no more.
        """

    def enqueue(self, job_id: str, attempt: int) -> None:
        """See to it that this ready job is performed, here or in another process.

        Called again now and then while the job stays ready; the same attempt is performed once.
        """

    def stop(self) -> None:
        """Call `perform` no more."""


class JournalEngine:
    """The plain engine: looks into the table of jobs whenever a worker is free. Needs nothing installed."""

    name = "journal"

    def __init__(self, look_again_s: float = 0.5) -> None:
        self._look_again_s = look_again_s
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._begun: set[tuple[str, int]] = set()
        self._guard = threading.Lock()

    def start(self, perform: Perform, waiting: Waiting, workers: int, dead: Dead) -> None:
        self._workers = workers
        threading.Thread(target=self._look, args=(perform, waiting), name="jobs", daemon=True).start()

    def enqueue(self, job_id: str, attempt: int) -> None:
        self._news.set()

    def stop(self) -> None:
        self._stopping.set()
        self._news.set()

    def _look(self, perform: Perform, waiting: Waiting) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            with self._guard:
                free = self._workers - len(self._begun)
            try:
                for key in waiting(self._workers * 2) if free > 0 else ():
                    with self._guard:
                        if len(self._begun) >= self._workers or key in self._begun:
                            continue
                        self._begun.add(key)
                    threading.Thread(target=self._one, args=(perform, key), daemon=True).start()
            except JournalError as error:
                log.warning("cannot look for jobs: %s", error)
            self._news.wait(self._look_again_s)

    def _one(self, perform: Perform, key: tuple[str, int]) -> None:
        try:
            perform(*key)
        except Abandoned:
            pass
        except JournalError as error:
            log.warning("job %s: %s", key[0], error)
        finally:
            with self._guard:
                self._begun.discard(key)
            self._news.set()


def sqlite_problem() -> str | None:
    """Why DBOS cannot keep its state in this Python's SQLite, or None.

    From Python 3.12 on DBOS counts on SQLite 3.42 (`unixepoch('subsec')`), which the system may not have.
    """
    python = tuple(sys.version_info[:2])
    if python < (3, 12) or sqlite3.sqlite_version_info >= (3, 42):
        return None
    return (
        f"DBOS needs SQLite 3.42 under Python {python[0]}.{python[1]} and finds {sqlite3.sqlite_version}; "
        "use PostgreSQL, or a Python that brings a newer SQLite"
    )


def choose(name: EngineName, database_url: str, process: str, service: str = "") -> Engine:
    """The engine to use for a service, by its key. "auto" takes DBOS where it can run, else the plain one and says why.

    MissingExtra or JournalError when "dbos" is asked for and cannot run.
    """
    if name == "journal":
        return JournalEngine()
    try:
        from masumi_tools.seller.jobs import dbos_engine
    except ModuleNotFoundError as error:
        if name == "dbos":
            raise MissingExtra("DBOS is not installed: pip install 'masumi_tools[seller]'") from error
        log.info("jobs run on the plain engine: DBOS is not installed")
        return JournalEngine()
    problem = dbos_engine.in_use() or (sqlite_problem() if database_url.startswith("sqlite") else None)
    if database_url.partition("://")[2] in ("", "/", "/:memory:"):
        problem = "DBOS cannot use a database in memory"
    if problem is None:
        return dbos_engine.DbosEngine(database_url, process, service)
    if name == "dbos":
        raise JournalError(problem, phase="engine")
    log.info("jobs run on the plain engine: %s", problem)
    return JournalEngine()
