"""What every engine must do: perform each ready job at least once, whatever happened to the process before."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.errors import JournalError
from masumi_tools.seller.jobs import engine as engines
from masumi_tools.seller.jobs.engine import Engine, JournalEngine, choose, sqlite_problem
from masumi_tools.seller.work.human import Abandoned
from tests.seller.support import until


class Desk:
    """Stands for the table: which jobs are ready, and what was performed."""

    def __init__(self) -> None:
        self.ready: list[tuple[str, int]] = []
        self.performed: list[tuple[str, int]] = []
        self.now = self.most = 0
        self.guard = threading.Lock()
        self.takes = True
        self.dead: set[str] = set()

    def perform(self, job_id: str, attempt: int) -> None:
        if not self.takes:
            raise Abandoned
        with self.guard:
            if (job_id, attempt) not in self.ready:
                return
            self.ready.remove((job_id, attempt))
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.05)
        with self.guard:
            self.now -= 1
            self.performed.append((job_id, attempt))

    def waiting(self, limit: int) -> list[tuple[str, int]]:
        with self.guard:
            return self.ready[:limit]

    def is_dead(self, process: str) -> bool:
        return process in self.dead


@pytest.fixture
def desk() -> Desk:
    return Desk()


def made(kind: str, url: str, process: str, desk: Desk, workers: int = 2) -> Engine:
    engine = choose(kind, url, process)  # type: ignore[arg-type]
    engine.start(desk.perform, desk.waiting, workers, desk.is_dead)
    return engine


@pytest.fixture(params=["journal", "dbos"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(kind: str, database_url: str, desk: Desk) -> Iterator[Engine]:
    one = made(kind, database_url, "process-1", desk)
    yield one
    one.stop()


def test_every_job_is_performed_once_and_not_too_many_at_once(engine: Engine, desk: Desk):
    jobs = [(f"job-{n}", 1) for n in range(10)]
    for job in jobs:
        desk.ready.append(job)
        engine.enqueue(*job)
        engine.enqueue(*job)
    until(lambda: len(desk.performed) == 10, "all the work")
    time.sleep(0.3)

    assert sorted(desk.performed) == sorted(jobs)
    assert desk.most <= 2


def test_a_new_attempt_is_performed_again(engine: Engine, desk: Desk):
    for attempt in (1, 2):
        desk.ready.append(("job", attempt))
        engine.enqueue("job", attempt)
        until(lambda: not desk.ready, "the work")

    until(lambda: desk.performed == [("job", 1), ("job", 2)], "both")


def test_a_job_that_was_not_taken_before_a_stop_is_performed_after_it(
    kind: str, database_url: str, desk: Desk
):
    desk.takes = False
    first = made(kind, database_url, "process-1", desk)
    desk.ready.append(("job", 1))
    first.enqueue("job", 1)
    time.sleep(0.6)
    first.stop()
    desk.takes = True
    second = made(kind, database_url, "process-2", desk)
    try:
        second.enqueue("job", 1)
        until(lambda: desk.performed == [("job", 1)], "the work")
    finally:
        second.stop()


def test_dbos_takes_over_what_a_dead_process_had_begun(database_url: str, desk: Desk):
    """As after kill -9 between the queue and the table: the workflow is pending for ever, the job is ready."""
    import sqlalchemy as sa

    first = made("dbos", database_url, "process-1", desk)
    desk.ready.append(("job", 1))
    desk.takes = False
    first.enqueue("job", 1)
    time.sleep(0.6)

    from dbos._dbos import _get_dbos_instance

    system = _get_dbos_instance()._sys_db.engine
    with system.begin() as db:
        table = "workflow_status" if database_url.startswith("sqlite") else "masumi_dbos.workflow_status"
        db.execute(sa.text(f"UPDATE {table} SET status = 'PENDING' WHERE workflow_uuid = 'job:1'"))
    first.stop()
    desk.takes = True
    desk.dead.add("process-1")
    second = made("dbos", database_url, "process-2", desk)
    try:
        second.enqueue("job", 1)
        until(lambda: desk.performed == [("job", 1)], "the work")
    finally:
        second.stop()


def test_sqlite_that_is_too_old_for_dbos_is_said_and_the_plain_engine_is_used(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str
):
    monkeypatch.setattr(sys, "version_info", (3, 12, 1, "final", 0))
    monkeypatch.setattr(engines.sqlite3, "sqlite_version_info", (3, 40, 1))

    assert "SQLite 3.42" in (sqlite_problem() or "")
    assert isinstance(choose("auto", sqlite_url, "p"), JournalEngine)
    with pytest.raises(JournalError, match="PostgreSQL"):
        choose("dbos", sqlite_url, "p")


def test_a_process_that_uses_dbos_itself_gets_the_plain_engine(tmp_path: Path, sqlite_url: str, desk: Desk):
    first = made("dbos", sqlite_url, "process-1", desk)
    try:
        assert isinstance(choose("auto", sqlite_url, "p"), JournalEngine)
        with pytest.raises(JournalError, match="only one"):
            choose("dbos", sqlite_url, "p")
    finally:
        first.stop()


def test_without_dbos_installed_the_plain_engine_is_used(monkeypatch: pytest.MonkeyPatch, sqlite_url: str):
    import builtins

    real = builtins.__import__

    def none(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("dbos"):
            raise ModuleNotFoundError(name)
        return real(name, *rest, **more)

    for name in [name for name in sys.modules if name.startswith(("dbos", "masumi_tools.seller.dbos"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", none)
    import masumi_tools.seller

    monkeypatch.delattr(masumi_tools.seller, "dbos_engine", raising=False)

    assert isinstance(choose("auto", sqlite_url, "p"), JournalEngine)


def test_a_database_in_memory_gets_the_plain_engine():
    assert isinstance(choose("auto", "sqlite://", "p"), JournalEngine)
