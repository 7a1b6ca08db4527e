"""The numbered known problems of the field (protocol T1) that are a seller's: what our own seller does."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from masumi_tools.sandbox import Sandbox
from tests.seller.support import Market, until

MINUTE = 60_000


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    with Sandbox() as running:
        yield Market(running, tmp_path)


def shout(text: str) -> str:
    """Says it loudly."""
    return text.upper()


def test_e23_an_offer_has_both_names_of_the_job_and_of_the_hash(market: Market) -> None:
    with market.shop(shout) as buying:
        job = buying.start({"text": "hello"})

    assert job["id"] == job["job_id"]
    assert job["input_hash"] == job["inputHash"]
    assert job["sellerVKey"] == job["sellerVkey"]


def test_e27_a_status_is_answered_at_once_while_the_work_blocks(market: Market) -> None:
    going, done = threading.Event(), threading.Event()

    def block(text: str) -> str:
        going.set()
        assert done.wait(20)
        return text

    with market.shop(block) as buying:
        job = buying.buy({"text": "hello"})
        assert going.wait(20)
        took = []
        for _ in range(10):
            began = time.monotonic()
            assert buying.status(job)["status"] == "running"
            took.append(time.monotonic() - began)
        done.set()
        buying.wait(job, "completed")

    assert max(took) < 1


def test_e28_a_job_that_nobody_pays_ends_once_and_the_service_goes_on(market: Market) -> None:
    with market.shop(shout) as buying:
        unpaid = buying.start({"text": "never paid"})
        market.sandbox.advance(75 * MINUTE)

        ended = buying.wait(unpaid, "failed")
        paid = buying.wait(buying.buy({"text": "paid"}), "completed")
        again = buying.status(unpaid)

    assert paid["result"] == "PAID"
    assert again["status"] == ended["status"] == "failed"
    assert buying.submits(unpaid) == 0


def test_e28_work_is_not_begun_when_its_time_is_over(market: Market) -> None:
    ran: list[str] = []
    first = threading.Event()

    def work(text: str) -> str:
        ran.append(text)
        if text == "first":
            assert first.wait(30)
        return text

    with market.shop(work, workers=1) as buying:
        blocking = buying.buy({"text": "first"})
        until(lambda: ran, "the first job's start")
        waiting = buying.buy({"text": "second"})
        until(lambda: buying.status(waiting)["status"] == "running", "the second job's payment")
        market.sandbox.advance(6 * 60 * MINUTE - 3 * MINUTE)
        ended = buying.wait(waiting, "failed", "completed")
        first.set()
        buying.wait(blocking, "failed", "completed")

    assert "not enough time" in ended["error"]
    assert ran == ["first"]


@pytest.mark.crewai
@pytest.mark.timeout(120)
def test_e49_a_crew_runs_in_a_thread_without_tracebacks(
    market: Market, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("crewai")
    from tests.seller.crews import crew

    before = signal.getsignal(signal.SIGTERM)
    with market.shop(crew("Write about {topic}")) as buying:
        done = buying.wait(buying.buy({"topic": "tides"}), "completed", within_s=60)

    printed = capfd.readouterr()
    assert done["result"] == "an answer"
    assert "Traceback" not in printed.err + printed.out + caplog.text
    assert "signal only works" not in printed.err + printed.out + caplog.text
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.crewai
@pytest.mark.timeout(120)
def test_e51_five_paid_jobs_at_once_have_five_results(market: Market) -> None:
    pytest.importorskip("crewai")
    from tests.seller.crews import Scripted, crew

    def answer(prompt: str) -> str:
        return next((f"about {n}" for n in range(5) if f"number {n}!" in prompt), "?")

    with market.shop(crew("Do number {n}!", llm=Scripted(answer)), workers=5) as buying:
        jobs: list[Any] = [buying.buy({"n": str(n)}) for n in range(5)]
        results = [buying.wait(job, "completed", "failed", within_s=80)["result"] for job in jobs]

    assert results == [f"about {n}" for n in range(5)]
