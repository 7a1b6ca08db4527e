"""Several machines on one PostgreSQL: power that is lost, servers that restart, sessions that are ended."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from masumi_tools.sandbox import Sandbox
from tests import postgres
from tests.ports import free_port
from tests.processes.nest import Nest
from tests.seller.support import Buying, until
from tests.seller.test_crashes import Processes, ended_right

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(180)]


class Link:
    """A wire to a server, which can be frozen: nothing passes any more, and nobody is told."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._frozen = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        self._frozen.set()

    def close(self) -> None:
        self._frozen.set()
        for one in [self._listening, *self._kept]:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            self._kept += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                if self._frozen.is_set():
                    return
                other.sendall(data)
            if not self._frozen.is_set():
                other.shutdown(socket.SHUT_WR)
        except OSError:
            return


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    with postgres.serve() as one:
        yield one


@pytest.fixture
def processes(nest: Nest, server: postgres.Server, sandbox: Sandbox, tmp_path: Path) -> Iterator[Processes]:
    made = Processes(nest, sandbox, tmp_path, server.new_database())
    yield made
    made.end()


@pytest.mark.parametrize("at", ["working", "claiming"])
def test_a_machine_that_loses_its_power_is_replaced_within_half_a_minute(
    processes: Processes, server: postgres.Server, sandbox: Sandbox, at: str
):
    """Its session with the database stays open for hours, as TCP sees it. It watched, and was at work or about to be."""
    link = Link(server.port)
    url = processes.env["MASUMI_DATABASE_URL"]
    lost = processes.start(
        hold_at=at, MACHINE="one", MASUMI_DATABASE_URL=url.replace(str(server.port), str(link.port))
    )
    other = free_port()
    processes.start(other, MACHINE="two")
    with Buying(sandbox, f"http://127.0.0.1:{processes.port}") as buying:
        jobs = [buying.buy({"text": f"text {n}"}) for n in range(3)]
        until(lambda: processes.word(at), "the work")
        unpaid = buying.start({"text": "later"})
        link.freeze()
        processes.kill(lost)
        gone = time.monotonic()
    with Buying(sandbox, f"http://127.0.0.1:{other}") as buying:
        buying.pay(unpaid)
        for n, job in enumerate(jobs):
            ended_right(buying, job, f"TEXT {n}")
        ended_right(buying, unpaid, "LATER")
    link.close()
    assert time.monotonic() - gone < 30


@pytest.mark.timeout(300)
def test_restarts_of_the_server_make_nobody_dead_and_nothing_is_done_twice(
    processes: Processes, server: postgres.Server, sandbox: Sandbox
):
    processes.start(MACHINE="m0", WORKERS="2")
    for n in (1, 2, 3, 4):
        processes.start("worker", MACHINE=f"m{n}", WORKERS="2")
    until(lambda: len(processes.word("started")) == 5, "the starts", 120)
    with Buying(sandbox, f"http://127.0.0.1:{processes.port}") as buying:
        jobs = [buying.buy({"text": f"slow 2 {n}"}) for n in range(30)]
        until(lambda: len(processes.word("working")) >= 6, "the work")
        server.restart(signal.SIGINT)
        time.sleep(1)
        server.restart(signal.SIGQUIT)
        with psycopg.connect(server.url("postgres"), autocommit=True) as db:
            db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname <> 'postgres'")
        for n, job in enumerate(jobs):

            def status(job: dict[str, str] = job) -> bool:
                answer = buying.http.get("/status", params={"job_id": job["id"]})
                return answer.status_code == 200 and answer.json()["status"] == "completed"

            until(status, f"job {n}", 90)
        begun = Counter(word.read_text() for word in processes.word("working"))
        assert len(begun) == 30 and sum(begun.values()) <= 31, begun
        assert [buying.submits(job) for job in jobs] == [1] * 30
