"""The numbered known problems of the field (protocol T1), as far as they are a buyer's: each with its right end.

Cases from 19 on are in test_cases_e_later.py, those of tools in test_cases_e_tools.py, those of sellers in
test_cases_e_sellers.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from masumi_tools.calls import service
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.flows import Progress
from masumi_tools.hire.purchase import State
from masumi_tools.journal.store import Journal
from masumi_tools.net.http import Http
from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.registry.routes import state_of
from masumi_tools.settings import Settings
from masumi_tools.tools import wording
from tests.gallery.flows import Langdock
from tests.gallery.platforms import KodosumiUnprepared
from tests.gallery.seller import HOUR, MINUTE, Data, Job
from tests.gallery.serving import Told
from tests.gallery.standard import Spec
from tests.gallery.street import OpenStreet
from tests.hire.clocked import ClockedAsyncBuyer, ClockedBuyer, Crash, purchases, sent

HELLO = {"text": "hello"}


class Changed(httpx.BaseTransport):
    """The sandbox, whose node shows purchases with other values in some fields."""

    def __init__(self, sandbox: Sandbox, **values: Any) -> None:
        self._inner, self._values = sandbox.transport(), values

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        if not request.url.path.endswith("/resolve-blockchain-identifier"):
            return answer
        answer.read()
        body = answer.json()
        body["data"] |= self._values
        return httpx.Response(answer.status_code, json=body)


def relist(buyer: ClockedBuyer, agent: str, amounts: list[Data]) -> None:
    """The registry shows other amounts for this agent from now on; the chain keeps its own."""
    buyer.quote(agent)  # the registry takes an agent in when it is first asked for one
    entry = state_of(buyer.sandbox.world).entry(agent)
    assert entry is not None
    entry["AgentPricing"]["FixedPricing"]["Amounts"] = amounts


def test_e1_a_500_of_start_job_is_one_clear_error_and_no_blind_retry(street: OpenStreet) -> None:
    class Broken(Spec):
        def start_job(self, body: Any) -> Told:
            return Told(500, {"detail": "internal error: refundTime is unknown"})

    seller = street.open(Broken)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=600)

    assert (receipt.outcome, street.purchases(seller)) == ("refused", [])
    assert "refundTime is unknown" in receipt.reason
    assert street.serving.count("spec", "POST /start_job") == 1


def test_e2_a_seller_that_never_sees_its_money_is_polled_to_the_deadline_and_refunded(
    street: OpenStreet,
) -> None:
    class Blind(Spec):
        def look_later(self, job: Job) -> None:
            return None

    seller = street.open(Blind)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=4 * 3600)

    submit = receipt.times.submit_result_time if receipt.times else 0
    assert (receipt.outcome, receipt.refunded_text) == ("refunded", "1 ADA")
    assert street.now_ms() > submit
    assert street.serving.count("spec", "GET /status") > 20
    assert "no result before its deadline" in receipt.reason


def test_e3_our_purchase_is_found_among_thirty_by_its_identifier(sandbox: Sandbox, journal: Journal) -> None:
    buyer = ClockedBuyer(sandbox, Budget("90 ADA"), journal)
    slow = sandbox.service("slow").agent_identifier
    first = buyer.hire(slow, {"text": "first", "seconds": 60}, patience_s=1)
    for number in range(30):
        buyer.hire(sandbox.service("echo").agent_identifier, {"text": str(number)}, patience_s=60)

    done = buyer.hire(slow, {"text": "first", "seconds": 60}, patience_s=120)

    assert (done.hire_id, done.outcome) == (first.hire_id, "completed")
    assert "GET /purchase" not in sent(sandbox)


def test_e4_an_invalid_lock_ends_the_hire_with_both_amounts_and_no_second_purchase(
    sandbox: Sandbox, journal: Journal
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    paid = [{"amount": "2500000", "unit": ""}]
    transaction = {"txHash": "ab" * 32, "status": "Confirmed"}
    changed = Changed(
        sandbox, onChainState="FundsOrDatumInvalid", PaidFunds=paid, CurrentTransaction=transaction
    )
    buyer._http = Http(buyer.settings, transport=changed)

    receipt = buyer.hire(sandbox.service("echo").agent_identifier, HELLO, patience_s=600)
    again = buyer.hire(sandbox.service("echo").agent_identifier, HELLO, patience_s=600)

    assert (receipt.outcome, again.outcome, again.hire_id) == ("failed", "failed", receipt.hire_id)
    assert "1 ADA" in receipt.reason and "2.5 ADA" in receipt.reason
    assert len(purchases(sandbox)) == 1
    assert buyer.budget_lines()[0].used == 1_000_000


def test_e4_a_registry_with_many_agents_is_read_to_its_end(sandbox: Sandbox, journal: Journal) -> None:
    made = {
        sandbox.register_service(f"crowd {n}", f"http://127.0.0.1:9/{n}", "1 ADA").agent_identifier
        for n in range(64)
    }

    found = ClockedBuyer(sandbox, None, journal).find("crowd", limit=200)

    assert {entry.agent_identifier for entry in found} == made
    assert len(found) == 64


def test_e5_a_question_with_little_time_left_is_told_with_its_time_and_not_waited_out(
    street: OpenStreet,
) -> None:
    class Hurried(Langdock):
        pay_by, submit = 20 * MINUTE, HOUR

    seller = street.open(Hurried)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=3 * 3600)

    assert receipt.outcome == "needs_input" and receipt.times is not None
    left = receipt.times.submit_result_time - street.now_ms()
    assert 50 * MINUTE < left < HOUR
    told = wording.told(receipt, street.now_ms())
    assert wording.when(receipt.times.submit_result_time, street.now_ms()) in told


def test_e7_a_paid_agent_without_terms_is_an_error_and_never_free(street: OpenStreet) -> None:
    seller = street.open(KodosumiUnprepared)

    receipt = street.buyer().hire(seller.agent, {**HELLO, "role": "Man"}, patience_s=600)

    assert (receipt.outcome, receipt.result) == ("refused", None)
    assert "no terms were prepared" in receipt.reason
    assert street.serving.count(seller.name, "GET /status") == 0


@pytest.mark.parametrize("state", ["started", "paying", "paid", "locked", "delivered"])
def test_e8_a_buyer_that_restarts_in_any_phase_goes_on_with_its_one_job(
    street: OpenStreet, state: str
) -> None:
    seller, first = street.open(Spec), street.buyer()

    def dies(told: Progress) -> None:
        if told.state is State(state):
            raise Crash

    first._flows._on_progress = dies
    with pytest.raises(Crash):
        first.hire(seller.agent, HELLO, patience_s=1800)

    receipt = street.heir_of(first).hire(seller.agent, HELLO, patience_s=1800)

    assert receipt.outcome in ("completed", "reused")
    assert len(street.purchases(seller)) == street.serving.count("spec", "POST /start_job") == 1


def test_e8_a_seller_that_restarts_and_forgets_its_payment_is_refunded(street: OpenStreet) -> None:
    class Forgetful(Spec):
        def look(self, job: Job) -> None:
            return None

        def shown(self, job: Job) -> Data:
            return {"job_id": job.id, "status": "awaiting_payment", "result": None}

    seller = street.open(Forgetful)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=4 * 3600)

    assert (receipt.outcome, receipt.refunded_text) == ("refunded", "1 ADA")


@pytest.mark.parametrize("unit", ["ada", "USDM", "tUSDM", "lovelaces"])
def test_e10_a_price_in_a_word_is_refused_before_anything_is_sent(
    sandbox: Sandbox, journal: Journal, unit: str
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    agent = sandbox.service("echo").agent_identifier
    relist(buyer, agent, [{"amount": "1000000", "unit": unit}])

    receipt = buyer.hire(agent, HELLO)

    assert (receipt.outcome, purchases(sandbox)) == ("refused", [])
    assert f'"{unit}"' in receipt.reason and "policy id" in receipt.reason
    assert "POST /start_job" not in sent(sandbox)


def test_e10_a_service_on_this_machine_is_refused_outside_the_sandbox(
    sandbox: Sandbox, journal: Journal
) -> None:
    settings = Settings.from_sandbox(sandbox)
    outside = Settings(
        node_url=settings.node_url,
        node_token=settings.node_token,
        registry_url=settings.registry_url,
        registry_token=settings.registry_token,
    )
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal, settings=outside)

    receipt = buyer.hire(sandbox.service("echo").agent_identifier, HELLO)

    assert (receipt.outcome, purchases(sandbox)) == ("refused", [])
    assert "127.0.0.1" in receipt.reason or "public" in receipt.reason


@pytest.mark.parametrize("case", ["e11", "e14"])
def test_e11_e14_a_purchase_that_is_never_locked_ends_soon_after_pay_by(
    street: OpenStreet, case: str
) -> None:
    street.sandbox.world.jobs._send_lock = lambda row: None  # type: ignore[method-assign]
    seller, buyer = street.open(Spec), street.buyer()

    receipt = buyer.hire(seller.agent, HELLO, patience_s=3 * 3600)

    pay_by = receipt.times.pay_by_time if receipt.times else 0
    assert (receipt.outcome, receipt.where_the_money_is) == ("lapsed", "Nothing was paid.")
    assert pay_by < street.now_ms() < pay_by + 15 * MINUTE
    assert buyer.budget_lines()[0].used == 0
    assert len(street.purchases(seller)) == 1


@pytest.mark.parametrize("deed", ["drop-reply", "error-500-after-commit", "garbage"])
def test_e12_a_purchase_whose_answer_is_lost_is_found_and_goes_on(
    sandbox: Sandbox, journal: Journal, deed: str
) -> None:
    sandbox.arm({"on": "POST /purchase", "do": deed, "times": 1})

    receipt = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(
        sandbox.service("echo").agent_identifier, HELLO, patience_s=120
    )

    assert (receipt.outcome, receipt.verified) == ("completed", True)
    assert len(purchases(sandbox)) == sent(sandbox).count("POST /start_job") == 1


async def test_e15_a_task_that_is_cancelled_after_start_job_is_finished_by_the_next_call(
    sandbox: Sandbox, journal: Journal
) -> None:
    agent = sandbox.service("echo").agent_identifier
    buyer = ClockedAsyncBuyer(sandbox, Budget("20 ADA"), journal)

    def cancels(told: Progress) -> None:
        if told.state is State.STARTED:
            asyncio.current_task().cancel()  # type: ignore[union-attr]

    buyer._flows._on_progress = cancels
    task = asyncio.ensure_future(buyer.hire(agent, HELLO))
    with pytest.raises(asyncio.CancelledError):
        await task
    [left] = buyer.hires(only_open=True)
    assert (left.state, left.money, purchases(sandbox)) == (State.STARTED, "none", [])
    buyer._flows._on_progress = None

    receipt = await buyer.hire(agent, HELLO)

    assert (receipt.hire_id, receipt.outcome) == (left.hire_id, "completed")
    assert len(purchases(sandbox)) == sent(sandbox).count("POST /start_job") == 1


async def test_e15_a_job_that_was_started_and_left_is_given_up_when_its_offer_ran_out(
    sandbox: Sandbox, journal: Journal
) -> None:
    buyer = ClockedAsyncBuyer(sandbox, Budget("20 ADA"), journal)

    def cancels(told: Progress) -> None:
        if told.state is State.STARTED:
            asyncio.current_task().cancel()  # type: ignore[union-attr]

    buyer._flows._on_progress = cancels
    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(buyer.hire(sandbox.service("echo").agent_identifier, HELLO))
    sandbox.advance(HOUR)

    [swept] = await buyer.sweep()

    assert (swept.outcome, purchases(sandbox), buyer.budget_lines()[0].used) == ("refused", [], 0)


def test_e16_a_start_job_of_half_a_minute_is_waited_for(street: OpenStreet) -> None:
    class Slow(Spec):
        def started(self, job: Job) -> Data:
            street.sandbox.advance(25_000)
            return super().started(job)

    seller = street.open(Slow)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=1800)

    assert receipt.outcome == "completed"
    assert service.start_job("http://127.0.0.1:9", {}).timeout_s >= 60
