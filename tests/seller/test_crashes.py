"""kill -9 at each point of a job's life: each job ends right, its hash is submitted once, no paid job is lost."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from masumi_tools.proof.hashing import output_hash
from masumi_tools.sandbox import Sandbox
from tests.ports import free_port
from tests.processes.nest import Life, Nest
from tests.seller.support import Buying, until
from tests.tools.market import environment_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Processes:
    """Sellers of one service, each a process of its own on one database."""

    def __init__(self, nest: Nest, sandbox: Sandbox, folder: Path, database_url: str) -> None:
        self.nest = nest
        self.folder = folder
        self.port = free_port()
        listed = sandbox.register_service("mine", f"http://127.0.0.1:{self.port}", "1 ADA")
        self.env = {
            **environment_of(sandbox, database_url),
            "MASUMI_AGENT_IDENTIFIER": listed.agent_identifier,
            "HOLD_FOLDER": str(folder),
        }
        self.running: list[Life] = []

    def start(self, port: int | str = 0, *, hold_at: str = "", **env: str) -> Life:
        port = port or self.port
        process = self.nest.start(
            "tests.seller.crashing:main", env={**self.env, "HOLD_AT": hold_at, **env}, port=port
        )
        self.running.append(process)
        if port != "worker":
            until(lambda: answers(f"http://127.0.0.1:{port}") or process.ended, "the start", 90)
            assert not process.ended, process.wait().err[-3000:]
        return process

    def kill(self, process: Life) -> None:
        process.kill()
        self.running.remove(process)

    def end(self) -> None:
        for process in list(self.running):
            self.kill(process)

    def word(self, point: str) -> list[Path]:
        """The words that processes left at a point."""
        return list(self.folder.glob(f"{point}-*"))


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/availability", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def processes(
    kind: str, request: pytest.FixtureRequest, nest: Nest, sandbox: Sandbox, tmp_path: Path
) -> Iterator[Processes]:
    made = Processes(nest, sandbox, tmp_path, request.getfixturevalue(f"{kind}_url"))
    yield made
    made.end()


def ended_right(buying: Buying, job: dict[str, Any], result: str) -> None:
    done = buying.wait(job, "completed", "failed", within_s=40)
    assert (done["status"], done["result"]) == ("completed", result), done
    until(lambda: buying.payment(job)["onChainState"] == "ResultSubmitted", "the hash on the chain")
    assert buying.payment(job)["resultHash"] == output_hash(job["identifierFromPurchaser"], result)
    assert buying.submits(job) == 1


POINTS = ["awaiting-payment", "working", "awaiting-input", "before-hash", "after-hash"]


@pytest.mark.parametrize("point", POINTS)
def test_kill_9(kind: str, processes: Processes, sandbox: Sandbox, point: str):
    """On SQLite the process is started again; on PostgreSQL a second one, that lives all the time, goes on."""
    held = processes.start(hold_at=point)
    two = kind.startswith("postgres")
    text = "ask" if point == "awaiting-input" else "text"
    with Buying(sandbox, f"http://127.0.0.1:{processes.port}") as buying:
        job = buying.start({"text": text})
        if point != "awaiting-payment":
            buying.pay(job)
            if point == "awaiting-input":
                buying.wait(job, "awaiting_input")
            else:
                until(lambda: processes.word(point), "the point")
        if two:
            other = free_port()
            processes.start(other)
        processes.kill(held)
        if point == "awaiting-payment":
            buying.pay(job)
        if not two:
            processes.start()
    with Buying(sandbox, f"http://127.0.0.1:{other if two else processes.port}") as buying:
        if point == "awaiting-input":
            asked = buying.wait(job, "awaiting_input")
            assert buying.provide(job, {"answer": "42"}, status_id=asked["id"]).status_code == 200
        ended_right(buying, job, "ask: 42" if point == "awaiting-input" else "TEXT")
        begun = len(processes.word("working"))
        assert begun == (2 if point in ("working", "awaiting-input") else 1)


def test_two_processes_share_the_work_and_none_is_done_twice(
    kind: str, processes: Processes, sandbox: Sandbox
):
    processes.start()
    processes.start("worker")
    until(lambda: len(processes.word("started")) == 2, "both starts", 90)
    with Buying(sandbox, f"http://127.0.0.1:{processes.port}") as buying:
        jobs = [buying.buy({"text": f"slow 0.5 {n}"}) for n in range(12)]
        for n, job in enumerate(jobs):
            ended_right(buying, job, f"SLOW 0.5 {n}")

    words = processes.word("working")
    assert sorted(word.read_text() for word in words) == sorted(f"slow 0.5 {n}" for n in range(12))
    assert len({word.name.split("-")[1] for word in words}) == 2  # both of them worked


@pytest.mark.timeout(300)
def test_sixty_jobs_and_ten_random_kills(kind: str, processes: Processes, sandbox: Sandbox):
    chance = random.Random(4)
    process = processes.start()
    jobs: list[dict[str, Any]] = []
    with Buying(sandbox, f"http://127.0.0.1:{processes.port}") as buying:
        for n in range(60):
            jobs.append(buying.buy({"text": f"slow {chance.choice(['0.05', '0.3'])} {n}"}))
            if n % 6 == 5:
                time.sleep(chance.uniform(0.05, 0.8))
                processes.kill(process)
                process = processes.start()
        for job in jobs:
            done = buying.wait(job, "completed", "failed", within_s=90)
            assert done["status"] == "completed", done
        until(
            lambda: all(p["onChainState"] == "ResultSubmitted" for p in sandbox.ledger()["payments"]),
            "every hash on the chain",
            60,
        )
        assert [buying.submits(job) for job in jobs] == [1] * 60
        for job in jobs:
            result = buying.status(job)["result"]
            assert buying.payment(job)["resultHash"] == output_hash(job["identifierFromPurchaser"], result)
