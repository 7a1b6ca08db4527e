"""A database that is locked or gone silent keeps nobody waiting beyond the caller's patience and 10 s more."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from masumi_tools.errors import JournalBusy, JournalError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.driver import Progress
from masumi_tools.hire.operations import GRACE_S
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedAsyncBuyer, ClockedBuyer, purchases

PATIENCE_S = 1.0
DATA = {"text": "hello"}
# What whoever waits in vain for a connection is told: at first, and when more is asked of the journal then.
ALL_TAKEN = (
    "no connection to the journal was free",
    "the database did not answer in time",
    "other calls of this process keep the journal busy",
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@contextmanager
def timed() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < PATIENCE_S + GRACE_S


@contextmanager
def locked(file: Path) -> Iterator[Callable[[], None]]:
    """A program that locks the file when it is told to, until the block is over."""
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    yield lambda: other.execute("BEGIN IMMEDIATE").close()
    other.close()


class Relay:
    """A network to a server, which carries nothing any more once it is `silent`, and breaks nothing off."""

    def __init__(self, port: int) -> None:
        self.silent = threading.Event()
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            self._open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                if not self.silent.is_set():
                    other.sendall(data)
            if not self.silent.is_set():
                other.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self) -> None:
        for one in (self._listening, *self._open):
            one.close()


@pytest.fixture
def relay(postgres_url: str) -> Iterator[tuple[Relay, str]]:
    """A network to PostgreSQL, and the URL of the database behind it."""
    url = sa.make_url(postgres_url)
    assert url.port is not None
    relay = Relay(url.port)
    yield relay, url.set(host="127.0.0.1", port=relay.port).render_as_string(hide_password=False)
    relay.close()


def hire_until(sandbox: Sandbox, journal: Journal, state: str, trouble: Callable[[], Any]) -> ClockedBuyer:
    """A buyer whose database gets into trouble when its hire reaches this state."""

    def told(progress: Progress) -> None:
        if progress.state == state:
            trouble()

    return ClockedBuyer(sandbox, Budget("20 ADA"), journal, on_progress=told)


def test_a_locked_file_is_told_before_anything_is_sent(sandbox: Sandbox, tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path / 'j.sqlite3'}")
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    with locked(tmp_path / "j.sqlite3") as lock:
        lock()
        with timed(), pytest.raises(JournalBusy, match="nothing was sent"):
            buyer.hire(sandbox.service("echo").agent_identifier, DATA, patience_s=PATIENCE_S)
    journal.close()

    assert purchases(sandbox) == []


@pytest.mark.parametrize("state", ["started", "paid"])
def test_a_file_that_is_locked_meanwhile_costs_no_more_than_the_callers_patience(
    sandbox: Sandbox, tmp_path: Path, state: str
) -> None:
    journal = Journal(f"sqlite:///{tmp_path / 'j.sqlite3'}")
    agent = sandbox.service("echo").agent_identifier
    with locked(tmp_path / "j.sqlite3") as lock:
        buyer = hire_until(sandbox, journal, state, lock)
        with timed():
            try:
                told = buyer.hire(agent, DATA, patience_s=PATIENCE_S)
            except JournalBusy:
                assert state == "started" and purchases(sandbox) == []
            else:
                assert told.money != "none" and len(purchases(sandbox)) == 1
    made = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(agent, DATA, patience_s=600)
    journal.close()

    assert (made.result, len(purchases(sandbox))) == ("HELLO", 1)


def test_many_hires_of_one_loop_do_not_add_up_their_waits(sandbox: Sandbox, tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path / 'j.sqlite3'}")
    agent = sandbox.service("echo").agent_identifier

    async def hire_all() -> list[Any]:
        buyer = ClockedAsyncBuyer(sandbox, Budget("20 ADA"), journal)
        hires = [buyer.hire(agent, {"text": str(n)}, patience_s=PATIENCE_S) for n in range(8)]
        return await asyncio.gather(*hires, return_exceptions=True)

    with locked(tmp_path / "j.sqlite3") as lock:
        lock()
        with timed():
            ends = asyncio.run(hire_all())
    journal.close()

    assert [type(end) for end in ends] == [JournalBusy] * 8 and purchases(sandbox) == []


@contextmanager
def taken(journal: Journal) -> Iterator[Callable[[], None]]:
    """Whoever takes all connections of this process when they are told to, until the block is over."""
    held: list[sa.Connection] = []

    def take() -> None:
        pool = journal._engine.pool
        assert isinstance(pool, sa.QueuePool)
        while pool.checkedout() < pool.size() + pool._max_overflow:
            held.append(journal._reading.connect())

    try:
        yield take
    finally:
        for connection in held:
            connection.close()


@pytest.mark.postgres
@pytest.mark.parametrize("state", ["", "started", "paid"])
def test_who_waits_for_a_connection_waits_no_longer_than_the_caller(
    sandbox: Sandbox, postgres_url: str, state: str
) -> None:
    journal = Journal(postgres_url)
    agent = sandbox.service("echo").agent_identifier
    with taken(journal) as take:
        buyer = hire_until(sandbox, journal, state, take)
        if not state:
            take()
        with timed():
            try:
                told = buyer.hire(agent, DATA, patience_s=PATIENCE_S)
            except JournalBusy as error:
                assert str(error).startswith(ALL_TAKEN)
                assert state != "paid" and purchases(sandbox) == []
            else:
                assert told.money != "none" and len(purchases(sandbox)) == 1
    made = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(agent, DATA, patience_s=600)
    journal.close()

    assert (made.result, len(purchases(sandbox))) == ("HELLO", 1)


@pytest.mark.postgres
def test_many_tasks_that_wait_for_a_connection_do_not_add_up_their_waits(
    sandbox: Sandbox, postgres_url: str
) -> None:
    journal = Journal(postgres_url)
    agent = sandbox.service("echo").agent_identifier

    async def hire_all() -> list[Any]:
        buyer = ClockedAsyncBuyer(sandbox, Budget("20 ADA"), journal)
        hires = [buyer.hire(agent, {"text": str(n)}, patience_s=PATIENCE_S) for n in range(20)]
        return await asyncio.gather(*hires, return_exceptions=True)

    with taken(journal) as take:
        take()
        with timed():
            ends = asyncio.run(hire_all())
    journal.close()

    assert all(str(end).startswith(ALL_TAKEN) for end in ends), ends
    assert [type(end) for end in ends] == [JournalBusy] * 20 and purchases(sandbox) == []


@pytest.mark.postgres
def test_a_server_without_a_connection_left_is_named_at_once(
    sandbox: Sandbox, postgres_server: Any, postgres_url: str
) -> None:
    import psycopg

    Journal(postgres_url).close()
    url = sa.make_url(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(f"DROP ROLE IF EXISTS guest_{url.database}")
        owner.execute(f"CREATE ROLE guest_{url.database} LOGIN CONNECTION LIMIT 1")
        owner.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO guest_{url.database}")
    guest = url.set(username=f"guest_{url.database}").render_as_string(hide_password=False)
    journal = Journal(guest, later=True)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    with psycopg.connect(guest), timed(), pytest.raises(JournalBusy, match="takes no more connections"):
        buyer.hire(sandbox.service("echo").agent_identifier, DATA, patience_s=PATIENCE_S)
    journal.close()

    assert purchases(sandbox) == []


@pytest.mark.postgres
@pytest.mark.parametrize("state", ["", "paying"])
def test_a_server_that_falls_silent_costs_no_more_either(
    sandbox: Sandbox, relay: tuple[Relay, str], state: str
) -> None:
    network, url = relay
    journal = Journal(url)
    agent = sandbox.service("echo").agent_identifier
    buyer = hire_until(sandbox, journal, state, network.silent.set)
    if not state:
        network.silent.set()
    with timed():
        try:
            told = buyer.hire(agent, DATA, patience_s=PATIENCE_S)
        except JournalError:
            assert purchases(sandbox) == []
        else:
            assert told.money != "none" and len(purchases(sandbox)) == 1
    network.silent.clear()
    made = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(agent, DATA, patience_s=600)
    journal.close()

    assert (made.result, len(purchases(sandbox))) == ("HELLO", 1)
