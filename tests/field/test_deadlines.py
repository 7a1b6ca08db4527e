"""Who waits for whom (protocol T1): offers that run out, sellers that are silent, batches that are missed.

The sandbox keeps the node's own intervals here, and hours pass by moving its clock.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from masumi_tools.calls import service
from masumi_tools.hire.flows import Progress
from masumi_tools.hire.purchase import State
from tests.gallery.flows import N8n, Saas
from tests.gallery.seller import HOUR, MINUTE, Job, Seller
from tests.gallery.serving import Asked, Told
from tests.gallery.standard import Spec
from tests.gallery.street import OpenStreet
from tests.hire.clocked import Crash

HELLO = {"text": "hello"}


# ---- D1, D2: offers that run out ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waited_ms", "outcome"),
    [
        (0, "completed"),
        (2 * MINUTE, "completed"),
        (3 * MINUTE + 40_000, "refused"),
        (6 * MINUTE, "refused"),
        (3 * HOUR, "refused"),
    ],
)
def test_an_offer_that_ran_out_while_nobody_drove_it_is_refused_and_never_paid_late(
    street: OpenStreet, waited_ms: int, outcome: str
) -> None:
    """Five minutes to pay, of which the node's batch wants one and the chain some more."""
    seller = street.open(N8n)

    def dies(told: Progress) -> None:
        if told.state is State.STARTED:
            raise Crash

    first = street.buyer()
    first._flows._on_progress = dies
    with pytest.raises(Crash):
        first.hire(seller.agent, HELLO, patience_s=600)
    street.advance(waited_ms)

    receipt = street.heir_of(first).hire(seller.agent, HELLO, patience_s=1200)

    assert receipt.outcome == outcome, receipt.reason
    assert len(street.purchases(seller)) == (outcome == "completed")
    assert street.serving.count(seller.name, "POST /start_job") == 1
    if outcome == "refused":
        assert "expired before it was paid: payByTime is too near" in receipt.reason


@pytest.mark.parametrize(("takes_ms", "outcome"), [(85_000, "completed"), (4 * MINUTE, "refused")])
def test_an_offer_that_came_late_is_paid_only_if_it_still_can_be(
    street: OpenStreet, takes_ms: int, outcome: str
) -> None:
    class Thinking(N8n):
        def started(self, job: Job) -> dict[str, Any]:
            street.sandbox.advance(takes_ms)
            return super().started(job)

    seller = street.open(Thinking)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=1200)

    assert receipt.outcome == outcome, receipt.reason
    assert len(street.purchases(seller)) == (outcome == "completed")


@pytest.mark.parametrize(
    ("pay_by", "submit", "words"),
    [
        (10 * MINUTE, 14 * MINUTE + 59_000, "payByTime"),
        (8 * MINUTE, 16 * MINUTE, None),
    ],
)
def test_times_that_the_node_would_refuse_are_refused_with_their_name(
    street: OpenStreet, pay_by: int, submit: int, words: str | None
) -> None:
    class Short(Spec):
        pass

    Short.pay_by, Short.submit = pay_by, submit
    seller = street.open(Short)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=1200)

    assert (receipt.outcome == "completed") == (words is None), receipt.reason
    assert len(street.purchases(seller)) == (words is None)


def test_the_time_that_is_left_to_submit_is_looked_at_before_paying(street: OpenStreet) -> None:
    """The node wants 15 minutes from POST /purchase to submitResultTime, whatever payByTime says."""

    class Slow(Spec):
        pay_by, submit = 12 * MINUTE, 17 * MINUTE

        def started(self, job: Job) -> dict[str, Any]:
            street.sandbox.advance(3 * MINUTE)
            return super().started(job)

    seller = street.open(Slow)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=1200)

    assert receipt.outcome == "refused"
    assert "submitResultTime is less than 15 minutes ahead" in receipt.reason
    assert street.purchases(seller) == []


# ---- D1: the node's batch -----------------------------------------------------------------------------


def test_a_purchase_that_missed_the_batch_lapses_and_gives_its_budget_back(street: OpenStreet) -> None:
    """Ten rows go into one batch every thirty seconds; who is left with less than a minute is never taken."""

    class Hasty(Spec):
        pay_by, submit = 100_000, 2 * HOUR

    seller, buyer = street.open(Hasty), street.buyer("40 ADA")
    hires = [buyer.hire(seller.agent, {"text": str(n)}, patience_s=0) for n in range(25)]
    assert len(street.purchases(seller)) == 25

    street.advance(20 * MINUTE)
    for _round in range(3):
        street.advance(MINUTE)
        buyer.sweep()
    ends = [buyer.receipt(old.hire_id) for old in hires]

    missed = [receipt for receipt in ends if receipt.outcome == "lapsed"]
    assert 5 <= len(missed) <= 20
    assert {receipt.outcome for receipt in ends} == {"lapsed", "completed"}
    assert {receipt.where_the_money_is for receipt in missed} == {"Nothing was paid."}
    assert len(street.purchases(seller)) == 25
    assert buyer.budget_lines()[0].used == (25 - len(missed)) * 1_000_000


def test_a_lock_that_takes_minutes_is_waited_for(street: OpenStreet) -> None:
    """A batch that is full four times over: the fifth ten are locked minutes later."""
    seller, buyer = street.open(Spec), street.buyer("90 ADA")
    for number in range(45):
        buyer.hire(seller.agent, {"text": f"before {number}"}, patience_s=0)
    began = street.now_ms()

    receipt = buyer.hire(seller.agent, HELLO, patience_s=1800)

    assert receipt.outcome == "completed"
    assert street.now_ms() - began > 2 * MINUTE
    assert sum(row["inputHash"] == receipt.terms.input_hash for row in street.purchases(seller)) == 1  # type: ignore[union-attr]


# ---- D2: sellers that are asked, silent or slow ---------------------------------------------------------


def test_a_seller_that_works_only_when_asked_is_asked_by_every_sweep(street: OpenStreet) -> None:
    seller, buyer = street.open(Saas), street.buyer()
    data = {"9": "a", "10": "b", "text": "c"}
    first = buyer.hire(seller.agent, data, patience_s=1)
    assert first.outcome == "open"

    for _round in range(10):
        street.advance(MINUTE)
        swept = buyer.sweep()

    assert [receipt.outcome for receipt in swept] == ["needs_input"]


@pytest.mark.parametrize("how", ["drop", "504", "html", "404"])
def test_minutes_of_silence_are_no_failure(street: OpenStreet, how: str) -> None:
    answers = {
        "drop": Told(0, None),
        "504": Told(504, {"detail": "timeout"}),
        "html": Told(502, "<html><title>Bad gateway</title></html>"),
        "404": Told(404, {"detail": "Job not found"}),
    }
    silent_until = street.now_ms() + 25 * MINUTE

    class Silent(Spec):
        def status(self, asked: Asked) -> Told:
            return answers[how] if street.now_ms() < silent_until else super().status(asked)

    seller = street.open(Silent)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=3600)

    assert (receipt.outcome, receipt.verified) == ("completed", True)
    assert street.now_ms() >= silent_until
    assert len(street.purchases(seller)) == street.serving.count("spec", "POST /start_job") == 1


def test_a_status_that_blocks_is_asked_again_until_the_work_is_done(
    street: OpenStreet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crew that runs inside the event loop holds every answer back; a read timeout is no failure."""
    monkeypatch.setattr(service, "READ_S", 0.2)
    blocked: list[int] = []

    class Blocking(Spec):
        work_ms = 2 * MINUTE

        def status(self, asked: Asked) -> Told:
            job = self.jobs[asked.query["job_id"]]
            if job.state == "running":
                blocked.append(1)
                held.wait(0.5)
            return super().status(asked)

    held = threading.Event()
    seller = street.open(Blocking)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=3600)

    assert (receipt.outcome, receipt.verified) == ("completed", True)
    assert len(blocked) > 2


def test_a_seller_that_is_silent_for_ever_costs_nothing_in_the_end(street: OpenStreet) -> None:
    class Gone(Spec):
        def status(self, asked: Asked) -> Told:
            return Told(0, None)

        def finish(self, job: Job) -> None:
            return None

    seller, buyer = street.open(Gone), street.buyer()

    receipt = buyer.hire(seller.agent, HELLO, patience_s=5 * 3600)

    assert (receipt.outcome, receipt.refunded_text) == ("refunded", "1 ADA")
    assert buyer.budget_lines()[0].used == 0


# ---- the money is asked back --------------------------------------------------------------------------


class Late(Spec):
    """Works longer than the buyer wants to wait."""

    work_ms = 20 * MINUTE


def test_a_result_that_comes_after_the_refund_was_asked_is_kept(street: OpenStreet) -> None:
    """The node lets a seller submit after RefundRequested: then it is a dispute, and the text is ours to keep."""
    seller, buyer = street.open(Late), street.buyer()
    first = buyer.hire(seller.agent, HELLO, patience_s=3 * 60)
    asked = buyer.refund(first.hire_id, patience_s=120)
    assert (first.outcome, asked.outcome) == ("open", "refund_requested")

    for _round in range(30):
        street.advance(MINUTE)
        buyer.sweep()
    last = buyer.receipt(first.hire_id)

    assert last.outcome == "disputed"
    assert last.result is not None and "all is well" in last.result
    assert "disputed" in last.where_the_money_is
    assert len(street.purchases(seller)) == 1


def test_a_refund_that_is_asked_before_the_lock_is_asked_for_after_it(street: OpenStreet) -> None:
    """request-refund is 404 while the lock is on its way; the wish waits for it (protocol T1)."""
    seller, buyer = street.open(Late), street.buyer()
    first = buyer.hire(seller.agent, HELLO, patience_s=1)
    assert first.state is State.PAID

    asked = buyer.refund(first.hire_id, patience_s=600)

    assert asked.outcome in ("refund_requested", "refunded"), asked.reason
    assert street.purchases(seller)[0]["onChainState"] in ("FundsLocked", "RefundRequested")


def test_a_wish_for_the_money_after_the_last_moment_changes_nothing(street: OpenStreet) -> None:
    class Quick(Spec):
        pay_by, submit, unlock, dispute = 10 * MINUTE, 20 * MINUTE, 36 * MINUTE, 52 * MINUTE

    seller, buyer = street.open(Quick), street.buyer()
    done = buyer.hire(seller.agent, HELLO, patience_s=1200)
    street.advance(34 * MINUTE)

    asked = buyer.refund(done.hire_id)

    assert (done.outcome, asked.outcome) == ("completed", "completed")


def test_every_time_of_the_receipt_is_that_of_the_chain(street: OpenStreet) -> None:
    seller: Seller = street.open(Spec)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=1200)

    bought = street.purchases(seller)[0]
    assert receipt.times is not None
    assert receipt.times.as_wire() == {name: bought[name] for name in receipt.times.as_wire()}
