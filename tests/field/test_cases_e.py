"""The numbered known problems of the field (field-notes E), as far as they are a buyer's: each with its right end.

Cases of tools and frameworks are in test_cases_e_tools.py, those of sellers in test_cases_e_sellers.py.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from masumi_tools.budget import Budget
from masumi_tools.calls import service
from masumi_tools.flows import Progress
from masumi_tools.http import Http
from masumi_tools.purchase import State
from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.registry import state_of
from masumi_tools.settings import Settings
from masumi_tools.store import Journal
from masumi_tools.tools import wording
from tests.gallery.flows import Langdock, Token2049, Token2049Odd
from tests.gallery.platforms import KodosumiUnprepared
from tests.gallery.seller import HOUR, MINUTE, Data, Job
from tests.gallery.serving import Asked, Told
from tests.gallery.standard import Official, Spec
from tests.gallery.street import OpenStreet
from tests.hire.clocked import ClockedAsyncBuyer, ClockedBuyer, Crash, purchases, sent

HELLO = {"text": "hello"}


@pytest.fixture
def street(tmp_path: Path) -> Iterator[OpenStreet]:
    with OpenStreet(tmp_path) as street:
        yield street


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def journal(sqlite_url: str) -> Iterator[Journal]:
    journal = Journal(sqlite_url)
    yield journal
    journal.close()


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


def test_e19_a_price_that_moved_on_chain_stops_the_purchase_and_is_told(
    sandbox: Sandbox, journal: Journal
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    agent = sandbox.service("echo").agent_identifier
    relist(buyer, agent, [{"amount": "5000000", "unit": "lovelace"}])
    metadata = sandbox._sellers["echo"].agent.metadata or {}
    metadata["agentPricing"]["fixedPricing"] = [{"amount": "7000000", "unit": "lovelace"}]
    quiet = sandbox._sellers["echo"]
    told = quiet._terms
    quiet._terms = lambda job, row: {k: v for k, v in told(job, row).items() if k != "amounts"}  # type: ignore[method-assign]

    receipt = buyer.hire(agent, HELLO, patience_s=120)

    assert (receipt.outcome, purchases(sandbox)) == ("refused", [])
    assert "price" in receipt.reason and "5 ADA" in receipt.reason
    assert "do not match the fixed pricing" in receipt.reason
    assert buyer.budget_lines()[0].used == 0


def test_e21_a_job_that_is_unknown_after_it_ran_is_polled_on_and_then_refunded(street: OpenStreet) -> None:
    class Redeployed(Spec):
        work_ms = 30 * MINUTE
        ran = 0

        def status(self, asked: Asked) -> Told:
            job = self.jobs.get(asked.query["job_id"])
            if job is not None and job.state == "running":
                self.ran += 1
            return Told(404, {"detail": "Job not found"}) if self.ran > 2 else super().status(asked)

        def finish(self, job: Job) -> None:
            return None

    seller = street.open(Redeployed)
    buyer = street.buyer()

    early = buyer.hire(seller.agent, HELLO, patience_s=20 * 60)
    late = buyer.hire(seller.agent, HELLO, patience_s=4 * 3600)

    assert (early.outcome, late.outcome, late.hire_id) == ("open", "refunded", early.hire_id)
    assert late.times is not None and street.now_ms() > late.times.submit_result_time


def test_e22_every_identifier_of_ours_is_one_that_nodes_take(sandbox: Sandbox, journal: Journal) -> None:
    from masumi_tools.order import order_of

    flows = ClockedBuyer(sandbox, None, journal)._flows
    order = order_of("ab" * 40, {})

    made = {flows.new_purchase(order, 1).nonce for _ in range(1000)}

    assert len(made) == 1000
    assert all(re.fullmatch("[0-9a-f]{20}", nonce) for nonce in made)


@pytest.mark.parametrize("name", ["input_hash", "inputHash"])
def test_e23_both_names_of_the_input_hash_are_accepted(street: OpenStreet, name: str) -> None:
    class Named(Spec):
        def started(self, job: Job) -> Data:
            return {"id": job.id, **self.terms(job), name: self.input_hash(job)}

    seller = street.open(Named)

    assert street.buyer().hire(seller.agent, HELLO, patience_s=1800).outcome == "completed"


def test_e24_a_job_that_fails_after_its_work_is_asked_back_and_the_message_says_so(
    street: OpenStreet,
) -> None:
    class Unsubmitted(Official):
        work_ms = 20 * MINUTE

        def finish(self, job: Job) -> None:
            job.state = "failed"  # its submit failed: the result is lost, and no reason is given

    seller = street.open(Unsubmitted)
    buyer = street.buyer()

    asked = buyer.hire(seller.agent, HELLO, patience_s=3600)
    told = wording.told(asked, street.now_ms())
    street.advance(25 * HOUR)
    [last] = buyer.sweep()

    assert (asked.outcome, asked.result_hash) == ("refund_requested", None)
    assert "the job failed" in asked.reason and "on its way back" in told
    assert (last.outcome, last.refunded_text) == ("refunded", "1 ADA")


def test_e27_a_status_that_comes_after_a_minute_and_a_half_is_waited_for(
    street: OpenStreet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this test a minute is a tenth of a second of waiting for the socket."""
    import threading

    monkeypatch.setattr(service, "READ_S", 0.1)
    never = threading.Event()

    class Blocking(Spec):
        work_ms = 90_000

        def status(self, asked: Asked) -> Told:
            if self.jobs[asked.query["job_id"]].state == "running":
                never.wait(0.3)
            return super().status(asked)

    seller = street.open(Blocking)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=3600)

    assert (receipt.outcome, receipt.verified) == ("completed", True)


def test_e29_times_in_seconds_are_tried_times_1000_and_the_signature_decides(street: OpenStreet) -> None:
    street.advance(123)
    even, odd = street.open(Token2049), street.open(Token2049Odd)
    buyer = street.buyer()

    right, wrong = buyer.hire(even.agent, HELLO, patience_s=900), buyer.hire(odd.agent, HELLO, patience_s=900)

    assert (right.outcome, wrong.outcome) == ("completed", "refused")
    assert any("in seconds" in note for note in right.notes)
    assert "signed other terms" in wrong.reason and "in seconds" in wrong.reason
    assert street.purchases(odd) == []


def test_e30_a_node_that_never_says_completed_is_enough(sandbox: Sandbox, journal: Journal) -> None:
    receipt = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(
        sandbox.service("echo").agent_identifier, HELLO, patience_s=60
    )

    row = purchases(sandbox)[0]
    actions = {row["NextAction"]["requestedAction"]} | {
        entry["requestedAction"] for entry in row["ActionHistory"] or []
    }
    assert receipt.outcome == "completed"
    assert not {action for action in actions if "Completed" in action}


def test_e45_a_purchase_that_times_out_is_unknown_and_never_a_new_job(
    sandbox: Sandbox, journal: Journal
) -> None:
    sandbox.arm({"on": "POST /purchase", "do": "hang", "times": 1})
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    seen: list[tuple[State, str]] = []
    buyer._flows._on_progress = lambda told: seen.append((told.state, told.text))

    receipt = buyer.hire(sandbox.service("echo").agent_identifier, HELLO, patience_s=120)

    assert receipt.outcome == "completed"
    assert State.PAYING in [state for state, _ in seen]
    assert len(purchases(sandbox)) == sent(sandbox).count("POST /start_job") == 1


def test_e46_a_lock_of_four_minutes_is_pending_and_no_failure(street: OpenStreet) -> None:
    seller, buyer = street.open(Spec), street.buyer()
    jobs = street.sandbox.world.jobs
    lock = jobs._send_lock
    jobs._send_lock = lambda row: street.sandbox.world.at(  # type: ignore[method-assign]
        street.now_ms() + 4 * MINUTE, lambda: lock(row)
    )

    early = buyer.hire(seller.agent, HELLO, patience_s=60)
    told = wording.told(early, street.now_ms())
    late = buyer.hire(seller.agent, HELLO, patience_s=1800)

    assert (early.outcome, early.money) == ("open", "maybe")
    assert "Not finished yet" in told and "joins this hire" in told
    assert (late.outcome, late.hire_id) == ("completed", early.hire_id)
    assert len(street.purchases(seller)) == 1


def test_e48_two_hires_at_once_never_exceed_the_budget(sandbox: Sandbox, journal: Journal) -> None:
    silent = sandbox.service("silent").agent_identifier
    buyer = ClockedBuyer(sandbox, Budget("5 ADA"), journal)

    made = buyer.hire_many([(silent, {"text": "one"}), (silent, {"text": "two"})], patience_s=5)

    assert sorted(receipt.outcome for receipt in made) == ["open", "refused"]
    assert len(purchases(sandbox)) == 1
    refused = next(receipt for receipt in made if receipt.outcome == "refused")
    assert "2 ADA of it is left" in refused.reason


def test_e48_a_dynamic_price_above_the_cap_is_refused_unpaid(street: OpenStreet) -> None:
    from tests.gallery.standard import Dynamic

    seller, buyer = street.open(Dynamic), street.buyer()

    refused = buyer.hire(seller.agent, HELLO, max_price="1.9 ADA", patience_s=600)
    uncapped = buyer.hire(seller.agent, HELLO, patience_s=600)
    paid = buyer.hire(seller.agent, HELLO, max_price="2 ADA", patience_s=600)

    assert [r.outcome for r in (refused, uncapped, paid)] == ["refused", "refused", "completed"]
    assert "the price is 2 ADA, more than the 1.9 ADA that was allowed" in refused.reason
    assert "max_price" in uncapped.reason
    assert len(street.purchases(seller)) == 1
