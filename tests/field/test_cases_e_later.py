"""The numbered known problems of the field (protocol T1) from 19 on, as far as they are a buyer's."""

from __future__ import annotations

import re

import pytest

from masumi_tools.calls import service
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.purchase import State
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.tools import wording
from tests.field.test_cases_e import relist
from tests.gallery.flows import Token2049, Token2049Odd
from tests.gallery.seller import HOUR, MINUTE, Data, Job
from tests.gallery.serving import Asked, Told
from tests.gallery.standard import Official, Spec
from tests.gallery.street import OpenStreet
from tests.hire.clocked import ClockedBuyer, purchases, sent

HELLO = {"text": "hello"}


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
    from masumi_tools.hire.request import order_of

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
    assert "the job failed" in asked.reason and "A refund of 1 ADA was requested" in told
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
    assert "In progress" in told and "continues this hire" in told
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
    assert "the price is 2 ADA; the limit is 1.9 ADA" in refused.reason
    assert "max_price" in uncapped.reason
    assert len(street.purchases(seller)) == 1
