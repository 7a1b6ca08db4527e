"""A job from start_job to the money, over real sockets, against the sandbox's node."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from masumi_tools import Budget, Buyer
from masumi_tools.proof.hashing import output_candidates
from masumi_tools.seller import report_progress
from masumi_tools.settings import Settings
from tests.seller.support import Market, until


def backwards(text: str) -> str:
    """Turns a text around."""
    return text[::-1]


@pytest.mark.parametrize("version", [1, 2])
def test_a_paid_job_is_done_and_its_hash_is_on_the_chain(market: Market, version: int):
    with market.shop(backwards, version=version) as buying:
        job = buying.start({"text": 'line 1\n"line 2" {x}'})
        assert buying.status(job)["status"] == "awaiting_payment"
        buying.pay(job)
        done = buying.wait(job, "completed", "failed")

        assert done["result"] == '}x{ "2 enil"\n1 enil'
        until(lambda: buying.payment(job)["onChainState"] == "ResultSubmitted", "the result on the chain")
        expected = output_candidates(job["identifierFromPurchaser"], done["result"])["escaped"]
        assert buying.payment(job)["resultHash"] == expected
        assert buying.submits(job) == 1
        assert ("supportedPaymentSourceIndex" in job) == (version == 2)


def test_the_raw_form_of_the_hash_is_an_option(market: Market):
    with market.shop(backwards, result_hash="raw") as buying:
        job = buying.buy({"text": "a\nb"})
        done = buying.wait(job, "completed", "failed")
        until(lambda: buying.payment(job)["resultHash"], "the hash")

        candidates = output_candidates(job["identifierFromPurchaser"], done["result"])
        assert buying.payment(job)["resultHash"] == candidates["raw"] != candidates["escaped"]


def test_work_never_begins_before_the_money_is_locked(market: Market):
    begun = threading.Event()

    def work(text: str) -> str:
        begun.set()
        return text

    with market.shop(work) as buying:
        job = buying.start({"text": "x"})
        assert not begun.wait(0.6)
        buying.pay(job)
        assert begun.wait(10)


def test_a_free_job_runs_at_once_and_asks_no_node(market: Market):
    with market.shop(backwards, price=None) as buying:
        job = buying.start({"text": "abc"})
        done = buying.wait(job, "completed", "failed")

        assert "blockchainIdentifier" not in job and done["result"] == "cba"
        assert market.sandbox.ledger()["payments"] == []
        body = {"input_data": {"text": "abc"}}
        assert buying.post("/start_job", body).status_code == 200  # free: no identifier needed


def test_async_work_and_a_price_that_depends_on_the_input(market: Market):
    async def work(words: int) -> dict[str, int]:
        await asyncio.sleep(0)
        return {"words": words}

    with market.shop(work, price=lambda data: f"{data['words']} ADA") as buying:
        job = buying.start({"words": 3})
        buying.pay(job)
        done = buying.wait(job, "completed", "failed")

        assert done["result"] == '{"words": 3}'
        assert buying.payment(job)["RequestedFunds"] == [{"amount": "3000000", "unit": ""}]


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (None, "without a result"),
        ("  \n ", "without a result"),
        ({"x": object()}, "neither text nor data"),
        (object(), "neither text nor data"),
        ("x" * 2_000_001, "bytes"),
        ("half \ud800", "characters"),
    ],
    ids=["none", "blank", "no JSON", "no text", "too large", "surrogate"],
)
def test_what_cannot_be_sold_fails_with_a_reason_and_is_never_completed(market: Market, result, why):
    with market.shop(
        lambda text: result, fields=[{"id": "text", "type": "string", "name": "Text"}]
    ) as buying:
        job = buying.buy({"text": "x"})
        done = buying.wait(job, "completed", "failed")

        assert done["status"] == "failed" and done["result"] is None
        assert why in done["error"]
        assert buying.submits(job) == 0


def test_an_error_in_the_work_is_a_failed_job_that_says_what_but_no_secret(market: Market):
    def work(text: str) -> str:
        raise ValueError(f"the key {market.sandbox.token} was not taken")

    with market.shop(work) as buying:
        done = buying.wait(buying.buy({"text": "x"}), "completed", "failed")

        assert "ValueError" in done["error"] and market.sandbox.token not in done["error"]


def test_progress_shows_while_it_runs_and_is_no_result(market: Market):
    go_on = threading.Event()

    def work(text: str) -> str:
        report_progress("2 of 4 tasks done")
        go_on.wait(10)
        return text

    with market.shop(work) as buying:
        job = buying.buy({"text": "x"})
        running = until(
            lambda: (s := buying.status(job))["message"] == "2 of 4 tasks done" and s, "the progress"
        )
        go_on.set()

        assert (running["status"], running["result"]) == ("running", None)
        assert buying.wait(job, "completed", "failed")["status"] == "completed"


def test_at_most_as_many_jobs_at_once_as_there_are_workers(market: Market):
    lock, now, most = threading.Lock(), 0, 0

    def work(text: str) -> str:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.2)
        with lock:
            now -= 1
        return text

    with market.shop(work, workers=2) as buying:
        jobs = [buying.buy({"text": str(n)}) for n in range(6)]
        results = [buying.wait(job, "completed", "failed")["result"] for job in jobs]

    assert results == [str(n) for n in range(6)]
    assert most == 2


def test_our_buyer_hires_our_seller_and_verifies_the_result(market: Market):
    with market.shop(backwards) as buying:
        agent = buying.service.settings.agent_identifier
        settings = Settings.from_sandbox(
            market.sandbox, database_url=f"sqlite:///{market.folder}/buyer.sqlite"
        )
        with Buyer(settings, budget=Budget("20 ADA")) as buyer:
            receipt = buyer.hire(agent, {"text": "two\nlines"}, patience_s=30)

    assert (receipt.outcome, receipt.result, receipt.verified) == ("completed", "senil\nowt", True)


def test_the_seed_way_asks_the_service_itself_for_price_and_key(market: Market):
    with market.shop(backwards) as buying:
        told = buying.http.get("/payment-information").json()["data"]
        job = buying.buy({"text": "abc"})
        buying.wait(job, "completed")

        assert told["agentIdentifier"] == job["agentIdentifier"]
        assert told["AgentPricing"]["FixedPricing"]["Amounts"] == [{"amount": "1000000", "unit": "lovelace"}]
        assert told["sellerVKey"] == told["sellerVkey"] == told["sellerWallet"]["vkey"] == job["sellerVKey"]
        assert told["network"] == "Preprod" and told["paymentType"] == "Web3CardanoV1"


def test_work_that_ends_after_its_shop_has_ended_raises_nothing(market: Market):
    """Its thread was late: the loop that it wants to wake is closed by then."""
    with market.shop(lambda text: text) as buying:
        watch = buying.service.app.state.shop.watch
    assert watch._loop.is_closed()

    watch.finished("late")
    watch.poke()
