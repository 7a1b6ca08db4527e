"""LangGraph's interrupts are questions to the buyer, and go on with the answer, also after kill -9 of the shop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.sandbox import Sandbox
from tests.ports import free_port
from tests.seller.support import Buying, Market, until
from tests.seller.test_crashes import answers

pytest.importorskip("langgraph.checkpoint.sqlite")
ROOT = Path(__file__).resolve().parents[2]


class Shop:
    """The process that sells the graph; started again after it was killed."""

    def __init__(self, market: Market, kind: str) -> None:
        self.kind = kind
        self.folder = market.folder
        self.port = free_port()
        agent = market.listed(url=f"http://127.0.0.1:{self.port}")
        self.env = {
            **os.environ,
            "MASUMI_NODE_URL": market.sandbox.node_url,
            "MASUMI_NODE_TOKEN": market.sandbox.token,
            "MASUMI_SANDBOX": "1",
            "MASUMI_DATABASE_URL": f"sqlite:///{self.folder}/jobs.sqlite",
            "MASUMI_AGENT_IDENTIFIER": agent,
            "HOLD_FOLDER": str(self.folder),
        }
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.seller.graph_shop", str(self.port), self.kind],
                env=self.env, cwd=ROOT, stdout=log, stderr=log,
            )  # fmt: skip
        until(
            lambda: answers(f"http://127.0.0.1:{self.port}") or self.process.poll() is not None, "start", 40
        )
        assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def began(self, node: str) -> int:
        return len(list(self.folder.glob(f"{node}-*")))


@pytest.fixture(params=["none", "file"])
def shop(request: pytest.FixtureRequest, market: Market) -> Iterator[Shop]:
    one = Shop(market, request.param)
    yield one
    one.kill()


def asked(buying: Buying, job: dict[str, Any], number: int) -> dict[str, Any]:
    """The status once the graph asks for the `number`th time."""
    seen: dict[str, Any] = {}

    def arrived() -> bool:
        seen.update(buying.status(job))
        return seen["status"] == "awaiting_input" and seen["id"] not in asked_before

    asked_before = job.setdefault("asked", [])
    until(arrived, f"question {number} ({buying.status(job)})")
    asked_before.append(seen["id"])
    return seen


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_question_of_a_graph_survives_the_death_of_its_shop(shop: Shop, sandbox: Sandbox):
    """It asks twice in the same words. Killed while the second question is open, it asks no other and no third."""
    with Buying(sandbox, f"http://127.0.0.1:{shop.port}") as buying:
        job = buying.buy({"topic": "cats"})
        first = asked(buying, job, 1)
        assert first["message"] == "good?"
        assert buying.provide(job, {"answer": "and dogs"}, status_id=first["id"]).status_code == 200
        second = asked(buying, job, 2)
        shop.kill()
        shop.start()
        again = buying.wait(job, "awaiting_input", "completed", "failed")
        assert again["id"] == second["id"], again
        assert buying.provide(job, {"answer": "yes"}, status_id=second["id"]).status_code == 200
        done = buying.wait(job, "completed", "failed")

    assert done["status"] == "completed" and "about cats, and dogs" in done["result"], done
    anew = 1 if shop.kind == "file" else 2  # what the file remembers is not done again
    assert (shop.began("write"), shop.began("improve")) == (anew, anew)
    assert buying.submits(job) == 1
