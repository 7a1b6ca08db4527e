"""Deadlines, refunds and a node that fails: against the sandbox's escrow, on a clock that is moved by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools.sandbox import Sandbox
from masumi_tools.seller import ask_human, ledger
from tests.seller.support import Buying, Market, until

MINUTE = 60_000
HOUR = 60 * MINUTE


def double(text: str) -> str:
    return text * 2


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True) as running:
        yield running


@pytest.fixture
def market(sandbox: Sandbox, tmp_path: Path) -> Market:
    return Market(sandbox, tmp_path)


def locked(buying: Buying, job: dict[str, object]) -> None:
    """Let the chain see the lock."""

    def seen() -> bool:
        buying.sandbox.advance(1000)
        return buying.payment(job)["onChainState"] is not None

    until(seen, "the lock")


def later(buying: Buying, ms: int, job: dict[str, object], *words: str) -> dict[str, object]:
    """The status once time has moved and the service has noticed."""
    buying.sandbox.advance(ms)
    return buying.wait(job, *words)


def test_a_job_that_nobody_pays_is_given_up(market: Market):
    with market.shop(double) as buying:
        job = buying.start({"text": "x"})
        buying.sandbox.advance(HOUR + 4 * MINUTE)
        assert buying.status(job)["status"] == "awaiting_payment"
        gone = later(buying, 7 * MINUTE, job, "failed")

        assert "no payment" in gone["error"]
        assert buying.submits(job) == 0


def test_work_that_is_too_slow_fails_and_the_money_goes_back(market: Market):
    go_on, ended = threading.Event(), threading.Event()

    def work(text: str) -> str:
        go_on.wait(20)
        ended.set()
        return text

    with market.shop(work) as buying:
        job = buying.buy({"text": "x"})
        locked(buying, job)
        buying.wait(job, "running")
        until(lambda: buying.service is not None and buying.status(job)["message"] == "", "the work's begin")
        gone = later(buying, 6 * HOUR - 3 * MINUTE, job, "failed", "completed")
        go_on.set()
        assert ended.wait(10)

        assert gone["status"] == "failed" and "not done" in gone["error"]
        assert buying.status(job)["status"] == "failed" and buying.status(job)["result"] is None
        buying.sandbox.advance(20 * MINUTE)
        until(lambda: buying.payment(job)["onChainState"] == "RefundWithdrawn", "the refund")
        assert buying.submits(job) == 0


def test_a_job_that_waited_too_long_for_a_worker_is_not_run(market: Market):
    go_on = threading.Event()
    done: list[str] = []

    def work(text: str) -> str:
        done.append(text)
        go_on.wait(20)
        return text

    with market.shop(work, workers=1) as buying:
        first = buying.buy({"text": "1"})
        locked(buying, first)
        until(lambda: done, "the first work")
        second = buying.buy({"text": "2"})
        locked(buying, second)
        buying.wait(second, "running")
        gone = later(buying, 6 * HOUR - 3 * MINUTE, second, "failed")
        go_on.set()
        buying.wait(first, "failed")

        assert "not enough time" in gone["error"]
        assert done == ["1"]


def test_an_unanswered_question_fails_the_job(market: Market):
    def work(text: str) -> str:
        return str(ask_human("anybody?"))

    with market.shop(work) as buying:
        job = buying.buy({"text": "x"})
        locked(buying, job)
        buying.wait(job, "awaiting_input")
        gone = later(buying, 6 * HOUR - 3 * MINUTE, job, "failed")

        assert "no answer came" in gone["error"]
        assert buying.provide(job, {"answer": "x"}).status_code == 409


@pytest.mark.parametrize("fault", ["drop-reply", "error-500", "error-500-after-commit", "html-502"])
def test_a_submit_whose_answer_is_lost_is_done_once(market: Market, fault: str):
    with market.shop(double) as buying:
        job = buying.start({"text": "x"})
        buying.sandbox.arm({"on": "POST /payment/submit-result", "do": fault, "times": 1})
        buying.pay(job)
        locked(buying, job)

        def completed() -> bool:
            buying.sandbox.advance(1000)
            return buying.status(job)["status"] == "completed"

        until(completed, "the end")
        until(lambda: (buying.sandbox.advance(1000), buying.payment(job)["resultHash"])[1], "the hash")
        assert buying.submits(job) == 1


def test_a_node_that_is_down_until_the_deadline_gives_no_false_completed(market: Market):
    with market.shop(double) as buying:
        job = buying.start({"text": "x"})
        buying.sandbox.arm({"on": "POST /payment/submit-result", "do": "error-500", "times": 1000})
        buying.pay(job)
        locked(buying, job)
        until(lambda: "recorded" in buying.status(job).get("message", ""), "the result")
        assert buying.status(job)["result"] is None
        gone = later(buying, 6 * HOUR - 3 * MINUTE, job, "failed", "completed")

        assert gone["status"] == "failed" and gone["result"] is None
        assert "in time" in gone["error"]


@pytest.mark.parametrize("version", [1, 2])
def test_a_refund_is_given_back_when_the_job_failed(market: Market, version: int):
    def work(text: str) -> str:
        raise ValueError("no luck")

    with market.shop(work, version=version) as buying:
        job = buying.buy({"text": "x"})
        locked(buying, job)
        buying.wait(job, "failed")
        buying.ask_refund(job)
        state = "RefundAuthorized" if version == 2 else "RefundRequested"

        def given() -> bool:
            buying.sandbox.advance(2000)
            return buying.payment(job)["onChainState"] in (state, "RefundWithdrawn")

        until(given, "the refund")
        until(lambda: buying.status(job).get("refund"), "the wish in /status")
        if version == 1:  # the contract lets the buyer collect after submit_result_time, no step of ours
            assert buying.payment(job)["NextAction"]["requestedAction"] == "WaitingForExternalAction"
        buying.sandbox.advance(7 * HOUR)
        until(lambda: buying.payment(job)["onChainState"] == "RefundWithdrawn", "the money's return")


def test_a_refund_of_delivered_work_is_left_to_the_dispute(market: Market):
    with market.shop(double, version=2) as buying:
        job = buying.buy({"text": "x"})
        locked(buying, job)
        buying.wait(job, "completed")
        until(
            lambda: (
                (buying.sandbox.advance(1000), buying.payment(job)["onChainState"])[1] == "ResultSubmitted"
            ),
            "the result on the chain",
        )
        buying.sandbox.advance(30 * MINUTE)
        buying.ask_refund(job)
        until(
            lambda: (buying.sandbox.advance(1000), buying.payment(job)["onChainState"])[1] == "Disputed",
            "the dispute",
        )
        until(lambda: buying.status(job).get("refund") == "wished", "the wish in /status")
        buying.sandbox.advance(MINUTE)
        shown = ledger.jobs(buying.service.settings)

        assert buying.payment(job)["onChainState"] == "Disputed"
        assert buying.status(job)["status"] == "completed"
        assert [line["job_id"] for line in shown["disputes"]] == [job["id"]]


def test_a_wish_for_a_refund_before_the_work_began_ends_the_job(market: Market):
    go_on = threading.Event()

    def work(text: str) -> str:
        go_on.wait(20)
        return text

    with market.shop(work, workers=1) as buying:
        first = buying.buy({"text": "1"})
        locked(buying, first)
        until(lambda: buying.status(first)["message"] == "", "the first work")
        second = buying.buy({"text": "2"})
        locked(buying, second)
        buying.wait(second, "running")
        buying.ask_refund(second)
        buying.sandbox.advance(5000)
        gone = buying.wait(second, "failed")
        go_on.set()

        assert "before the work began" in gone["error"]


def test_income_is_listed_when_the_money_has_come(market: Market):
    with market.shop(double) as buying:
        job = buying.buy({"text": "x"})
        locked(buying, job)
        buying.wait(job, "completed")
        for _ in range(5):
            buying.sandbox.advance(2000)
        buying.sandbox.advance(13 * HOUR)
        until(lambda: buying.payment(job)["onChainState"] == "Withdrawn", "the money")
        shown = until(  # the list and the sums are two looks: the money may come between them
            lambda: (s := ledger.jobs(buying.service.settings))["jobs"][0]["money"] == "earned" and s,
            "the money in the list",
        )

    assert shown["income"] == ["1 ADA"]
    assert shown["states"] == {"completed": 1}
