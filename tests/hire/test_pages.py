"""Only the node's own word is the node's word: gateways answer with any status and any page, before and after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.steps import IN_FLIGHT_MS, Pace
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, purchases, sent

MINUTE_MS = 60_000
STATUSES = (200, 201, 204, 400, 401, 402, 403, 404, 405, 409, 413, 421, 422, 429, 451, 500, 503)
BODIES: dict[str, Any] = {
    "html": "<html><body><h1>Blocked</h1></body></html>",
    "json": {"error": "forbidden"},
    "list": [],
    "empty": "",
    "envelope": {"status": "error", "error": {"message": "Request blocked by policy"}},
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("status", STATUSES)
def test_a_page_in_the_place_of_the_first_answer_to_an_order_is_no_answer(
    sandbox: Sandbox, sqlite_url: str, status: int, body: str
) -> None:
    """The node did the work; whatever a gateway says instead, the money is paid once and the result comes."""
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    sandbox.arm({"on": "POST /purchase", "do": "answer", "status": status, "body": BODIES[body]})
    agent = sandbox.service("echo").agent_identifier

    made = buyer.hire(agent, {"text": "hello"}, patience_s=600)
    again = buyer.hire(agent, {"text": "hello"}, patience_s=600)
    buyer.journal.close()

    assert (made.outcome, made.result, again.hire_id) == ("completed", "HELLO", made.hire_id), made.reason
    assert len(purchases(sandbox)) == 1


@pytest.mark.parametrize("status", [None, 403, 404])
def test_an_order_that_arrives_late_is_paid_once(
    sandbox: Sandbox, sqlite_url: str, status: int | None
) -> None:
    """It arrives 55 s later, after the node has refused its repeat; the window is longer than an order takes."""
    assert Pace().in_flight_ms == IN_FLIGHT_MS > 60_000
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    late: dict[str, Any] = {"on": "POST /purchase", "do": "deliver-late", "delay_ms": 55_000}
    sandbox.arm(late | ({} if status is None else {"status": status}))
    refusal = {"status": "error", "error": {"message": "Insufficient funds"}}
    sandbox.arm({"on": "POST /purchase", "do": "answer", "status": 400, "body": refusal})
    sandbox.arm({"on": "POST /purchase", "do": "drop-request"})

    made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=600)
    buyer.journal.close()

    assert (made.outcome, len(purchases(sandbox))) == ("completed", 1), made.reason


def test_the_nodes_own_refusal_is_believed_at_once(sandbox: Sandbox, sqlite_url: str) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    refusal = {"status": "error", "error": {"message": "Insufficient funds"}}
    sandbox.arm({"on": "POST /purchase", "do": "answer", "status": 400, "body": refusal})

    made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=5)
    buyer.journal.close()

    assert (made.outcome, made.money) == ("refused", "none")
    assert "Insufficient funds" in made.reason


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("route", ["/purchase/resolve-blockchain-identifier", "/purchase/request-refund"])
@pytest.mark.parametrize("status", [404, 405])
def test_one_page_of_a_proxy_is_no_proof_of_another_dialect(
    sandbox: Sandbox, sqlite_url: str, route: str, status: int, times: int
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    message = "POST is not allowed" if status == 405 else f"Can not POST /api/v1{route}"
    envelope = {"status": "error", "error": {"message": message}}
    sandbox.arm({"on": f"POST {route}", "do": "answer", "status": status, "times": times, "body": envelope})

    made = buyer.hire(sandbox.service("failing").agent_identifier, {"text": "hello"}, patience_s=600)
    sandbox.advance(180 * MINUTE_MS)
    buyer.sweep()
    end = buyer.receipt(made.hire_id)
    buyer.journal.close()

    assert end.outcome == "refunded", end.reason
    assert "POST /purchase/request-refund" in sent(sandbox)
    assert sent(sandbox).count("PATCH /purchase") <= 1


def test_a_key_that_may_not_ask_back_now_is_not_barred_past_the_last_moment(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    """A page with 403 bars nothing, and the node's own 403 only for a while."""
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    sandbox.arm({"on": "POST /purchase/request-refund", "do": "answer", "status": 403, "times": 2})

    made = buyer.hire(sandbox.service("failing").agent_identifier, {"text": "hello"}, patience_s=120)
    buyer.journal.close()

    assert made.outcome == "refund_requested", made.reason


def test_a_retry_after_of_a_day_costs_no_deadline(sandbox: Sandbox, sqlite_url: str) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=60)
    assert made.refundable_until_ms is not None
    sandbox.advance(made.refundable_until_ms - sandbox.now_ms() - 2 * MINUTE_MS)
    sandbox.arm({"on": "POST /purchase/request-refund", "do": "rate-limit", "retry_after_s": 86_400})

    buyer.refund(made.hire_id, patience_s=0)
    for _round in range(6):
        sandbox.advance(19_000)
        buyer.sweep()
    asked = buyer.receipt(made.hire_id)
    buyer.journal.close()

    assert asked.outcome in ("refund_requested", "disputed"), asked.reason


@pytest.mark.parametrize("body", [{"ok": True}, {"status": "success", "data": {}}, "<html></html>"])
def test_a_page_with_200_is_no_refund(sandbox: Sandbox, sqlite_url: str, body: Any) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    begun = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=60)
    fault = {"on": "POST /purchase/request-refund", "do": "deliver-late", "delay_ms": 10**9, "times": 2}
    sandbox.arm(fault | {"status": 200, "body": body})

    made = buyer.refund(begun.hire_id, patience_s=120)
    row = purchases(sandbox)[0]
    buyer.journal.close()

    assert made.outcome == "refund_requested"
    assert row["onChainState"] == "RefundRequested" or "Refund" in row["NextAction"]["requestedAction"]


def test_a_service_that_says_failed_once_and_then_delivers_is_paid(sandbox: Sandbox, sqlite_url: str) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    failed = {"status": "failed", "error": "worker restarted"}
    sandbox.arm({"on": "GET /status", "do": "answer", "status": 200, "times": 2, "body": failed})

    made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=600)
    buyer.journal.close()

    assert (made.outcome, made.result, made.verified) == ("completed", "HELLO", True), made.reason
    assert "POST /purchase/request-refund" not in sent(sandbox)


@pytest.mark.parametrize("words", ["Job not found", "Unknown job_id", "task 12 does not exist"])
def test_an_unknown_job_is_not_a_failed_one(sandbox: Sandbox, sqlite_url: str, words: str) -> None:
    """However long it lasts: a service that has forgotten a job may remember it, until the job's deadline."""
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    body = {"status": "failed", "error": words}
    sandbox.arm({"on": "GET /status", "do": "answer", "status": 200, "times": 15, "body": body})

    made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=900)
    buyer.journal.close()

    assert (made.outcome, made.result) == ("completed", "HELLO"), made.reason
    assert "POST /purchase/request-refund" not in sent(sandbox)


def test_an_offer_that_binds_the_money_for_years_is_refused(sandbox: Sandbox, sqlite_url: str) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    seller = sandbox._sellers["echo"]
    real = seller._payment_body

    def distant(job: Any) -> dict[str, Any]:
        body = real(job)
        ahead = {"submitResultTime": "2036-11-01", "unlockTime": "2036-11-02"}
        return body | ahead | {"externalDisputeUnlockTime": "2036-11-03"}

    seller._payment_body = distant  # type: ignore[method-assign]
    made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=600)
    buyer.journal.close()

    assert (made.outcome, purchases(sandbox)) == ("refused", [])
    assert " days, and at most 14 are allowed" in made.reason, made.reason
