"""Trouble that passes must cost no paid job: a database, a feed, a policy or a work that fails on its own way."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from masumi_tools.errors import JournalError
from masumi_tools.seller import Limits, ask_human, report_progress
from masumi_tools.seller.jobs.job import Job, JobState
from masumi_tools.seller.jobs.table import JobTable
from masumi_tools.seller.payment_node import SellerNode
from tests.seller.support import Market, until

Failing = Callable[..., None]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Failing]:
    """Makes a method of the table fail so many times, where a condition on its first argument holds."""

    def fail(name: str, times: int, where: Callable[[Any], bool]) -> None:
        left, works = [times], getattr(JobTable, name)

        def method(self: JobTable, first: Any, *more: Any) -> Any:
            if left[0] and where(first):
                left[0] -= 1
                raise JournalError("the journal failed while saving: the server cannot be reached")
            return works(self, first, *more)

        monkeypatch.setattr(JobTable, name, method)

    yield fail


def test_a_result_that_could_not_be_saved_at_once_is_saved_and_delivered(market: Market, failing: Failing):
    failing("save", 2, lambda job: job.state is JobState.FINISHED and not job.tries)

    with market.shop(lambda text: text * 2) as buying:
        done = buying.wait(buying.buy({"text": "ab"}), "completed", "failed")

    assert (done["status"], done["result"]) == ("completed", "abab")


def test_progress_that_cannot_be_saved_does_not_end_the_work(market: Market, failing: Failing):
    failing("save", 1, lambda job: job.progress == "half")

    def work(text: str) -> str:
        report_progress("half")
        return text * 2

    with market.shop(work) as buying:
        assert buying.wait(buying.buy({"text": "ab"}), "completed", "failed")["result"] == "abab"


def test_a_question_waits_through_a_database_that_fails(market: Market, failing: Failing):
    asked = threading.Event()

    def work(text: str) -> str:
        return str(ask_human("What else?")["answer"])

    with market.shop(work) as buying:
        job = buying.buy({"text": "ab"})
        buying.wait(job, "awaiting_input")
        failing(
            "get", 2, lambda job_id: asked.is_set() and threading.current_thread().name.startswith("job-")
        )
        asked.set()
        assert buying.provide(job, {"answer": "this"}).status_code == 200
        assert buying.wait(job, "completed", "failed")["result"] == "this"


@pytest.mark.parametrize(
    "ends", [lambda: sys.exit(3), lambda: (_ for _ in ()).throw(asyncio.CancelledError())]
)
def test_work_that_ends_its_thread_is_a_failed_job_at_once(market: Market, ends: Callable[[], Any]):
    def work(text: str) -> str:
        ends()
        return text

    with market.shop(work) as buying:
        failed = buying.wait(buying.buy({"text": "ab"}), "failed", within_s=10)

    assert "the work failed" in failed["error"]


def test_a_refund_policy_that_raises_refunds_nothing_and_stops_no_other_job(market: Market):
    def policy(job: Job) -> bool:
        raise KeyError("a mistake of the seller")

    def work(text: str) -> str:
        if text == "bad":
            raise ValueError("no")
        return text * 2

    with market.shop(work, version=2, refunds=policy) as buying:
        bad = buying.buy({"text": "bad"})
        buying.wait(bad, "failed")
        buying.ask_refund(bad)
        until(lambda: buying.payment(bad)["onChainState"] == "RefundRequested", "the wish on the chain")
        done = buying.wait(buying.buy({"text": "ab"}), "completed", "failed")

        assert done["result"] == "abab"
        assert "refund" not in buying.status(bad) or buying.status(bad)["refund"] == "wished"


def test_results_are_handed_in_while_the_news_cannot_be_read(market: Market, monkeypatch: pytest.MonkeyPatch):
    from masumi_tools.seller import payment_node as room

    broken = threading.Event()
    feed = room._feed

    def unreadable(body: Any) -> list[dict[str, Any]]:
        if broken.is_set():
            raise room.WireError("the node's news hold no list of payments")
        return feed(body)

    monkeypatch.setattr(room, "_feed", unreadable)
    submit, tried = SellerNode.submit, []

    async def lost(self: SellerNode, *arguments: str) -> Any:
        broken.set()
        tried.append(1)
        if len(tried) == 1:
            raise room.NodeTrouble("lost", down=True)
        return await submit(self, *arguments)

    monkeypatch.setattr(SellerNode, "submit", lost)
    with market.shop(lambda text: text * 2) as buying:
        job = buying.buy({"text": "ab"})
        assert buying.wait(job, "completed", "failed")["status"] == "completed"
        assert len(tried) == 2


def test_one_row_that_cannot_be_read_does_not_hide_the_others(
    market: Market, monkeypatch: pytest.MonkeyPatch
):
    from masumi_tools.seller import payment_node as room

    feed = room._feed

    def spoiled(body: Any) -> list[dict[str, Any]]:
        rows = feed(body)
        strange = [{**row, "blockchainIdentifier": "ff", "submitResultTime": None} for row in rows[-1:]]
        return [*strange, *rows, *strange]

    monkeypatch.setattr(room, "_feed", spoiled)
    with market.shop(lambda text: text * 2) as buying:
        assert buying.wait(buying.buy({"text": "ab"}), "completed", "failed")["status"] == "completed"


def test_a_strange_schema_hash_is_refused_in_words(market: Market):
    with market.shop(lambda text: str(ask_human("What else?"))) as buying:
        job = buying.buy({"text": "ab"})
        buying.wait(job, "awaiting_input")

        answer = buying.provide(job, {"answer": "this"}, input_schema_hash=["x"])

    assert answer.status_code == 409 and "input_schema_hash" in answer.text


def test_an_error_that_nobody_foresaw_leaves_no_request_waiting(
    market: Market, monkeypatch: pytest.MonkeyPatch
):
    def columns(self: JobTable, job: Job, now_ms: int) -> dict[str, Any]:
        raise OverflowError("too large")

    with market.shop(lambda text: text) as buying:
        monkeypatch.setattr(JobTable, "_columns", columns)
        answer = buying.post(
            "/start_job", {"identifier_from_purchaser": "ab" * 8, "input_data": {"text": "x"}}
        )

    assert answer.status_code == 500


def test_many_requests_at_once_do_not_pass_the_limit_of_unpaid_jobs(market: Market):
    with market.shop(lambda text: text, limits=Limits(unpaid_per_client=3)) as buying:
        body = {"identifier_from_purchaser": "ab" * 8, "input_data": {"text": "x"}}
        with ThreadPoolExecutor(12) as pool:
            codes = list(pool.map(lambda _: buying.post("/start_job", body).status_code, range(24)))

    assert codes.count(200) == 3 and set(codes) == {200, 429}
