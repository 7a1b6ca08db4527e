"""What the node does not say is no proof: a key that hears 401 knows nothing of a purchase that was paid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from masumi_tools.calls.call import Reply
from masumi_tools.hire import rows
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.purchase import State
from masumi_tools.hire.replies import learn
from masumi_tools.hire.replies.proof import given_again
from masumi_tools.hire.steps import LAPSE_MS, Ask, Pause, Send, Ways, next_step
from masumi_tools.journal.row import Row
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Secret
from tests.hire.clocked import ClockedBuyer, purchases

HOUR_S = 3600
WAYS = Ways("https://node.example/api/v1", None, "Preprod")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


def hired(buyer: ClockedBuyer, service: str) -> Row:
    """The row of a new hire of this service."""
    agent = buyer.sandbox.service(service).agent_identifier
    row = buyer.journal.get(buyer.hire(agent, {"text": "hello"}, patience_s=60).hire_id)
    assert row is not None
    return row


def test_a_payment_of_unknown_outcome_is_not_written_off_by_a_revoked_key(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    sandbox.arm({"on": "POST /purchase", "do": "error-500-after-commit"})
    begun = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=0.001)
    assert begun.state == "paying" and len(purchases(sandbox)) == 1
    revoked = replace(buyer.settings, node_token=Secret("a-key-that-was-revoked"))

    waited = ClockedBuyer(sandbox, None, buyer.journal, settings=revoked).resume(
        begun.hire_id, patience_s=3 * HOUR_S
    )

    assert (waited.outcome, waited.money) == ("open", "maybe")
    assert "has not confirmed the purchase" in waited.reason and "invalid" in waited.reason
    assert [line.reserved for line in buyer.budget_lines()] == [3_000_000]

    made = buyer.resume(begun.hire_id, patience_s=3 * HOUR_S)

    assert (made.outcome, made.refunded_text, len(purchases(sandbox))) == ("refunded", "3 ADA", 1)
    buyer.journal.close()


@pytest.mark.parametrize(
    ("status", "said", "lost"),
    [
        (401, "Unauthorized, invalid authentication token provided", False),
        (400, "network: Invalid input", False),
        (404, "Can not POST /api/v1/purchase", False),
        (400, "Pay by time must be in the future", True),
        (404, "No payment source found for agent identifiers policy id", True),
    ],
)
def test_a_node_that_forgot_what_it_accepted_is_named_and_ends_nothing(
    sandbox: Sandbox, sqlite_url: str, status: int, said: str, lost: bool
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    made = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=60)
    row = buyer.journal.get(made.hire_id)
    assert row is not None and made.times is not None
    p = rows.purchase_of(row).but(state=State.PAID, unseen=True)
    reply = Reply(status, {"status": "error", "error": {"message": said}})

    after = learn(p, Ask.PAY, reply, made.times.pay_by_time + LAPSE_MS + 1, WAYS)

    assert (after.state, after.lost) == ("paid", lost)
    assert lost == ("does not know the purchase that it accepted" in after.reason)
    buyer.journal.close()


@pytest.mark.parametrize("page", ["<h1>404</h1>", "404 page not found", {"message": "no route"}])
def test_what_stands_before_the_node_proves_nothing(sandbox: Sandbox, sqlite_url: str, page: object) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    made = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=60)
    row = buyer.journal.get(made.hire_id)
    assert row is not None and made.times is not None
    p = rows.purchase_of(row).but(state=State.PAYING, pay_attempts=2, pay_unknown=True)
    reply = Reply(404, page) if isinstance(page, dict) else Reply(404, None, str(page), fault="not-json")

    after = learn(p, Ask.PAY, reply, made.times.pay_by_time + LAPSE_MS + 1, WAYS)

    assert after.state == "paying" and "has not confirmed the purchase" in after.reason
    buyer.journal.close()


def test_an_order_that_nobody_knows_is_asked_for_less_and_less_often(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    """Seed 13548: the node said 404 once in five seconds, for as long as the order could not be sent again."""
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    made = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=60)
    row = buyer.journal.get(made.hire_id)
    assert row is not None and made.times is not None
    absent_ms = made.times.pay_by_time
    p = rows.purchase_of(row).but(
        state=State.PAYING, pay_attempts=2, pay_unknown=True, absent_ms=absent_ms, next_node_ms=0
    )

    waits = [
        next_step(p.but(changed_ms=absent_ms - since), absent_ms, WAYS) for since in (0, 80_000, 900_000)
    ]

    assert [step.until_ms - absent_ms for step in waits if isinstance(step, Pause)] == [5_000, 10_000, 20_000]
    buyer.journal.close()


def test_a_node_of_the_older_dialect_is_asked_for_the_money_at_once(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    """Seed 14191: its no to today's route was the last look before the money was gone."""
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    row = hired(buyer, "silent")
    p = rows.purchase_of(row).but(refund_wanted="no result came", today_seen=False, next_node_ms=10**15)
    no = {"status": "error", "error": {"message": "Can not POST /api/v1/purchase/request-refund"}}
    now = sandbox.now_ms()

    older = learn(p, Ask.REFUND, Reply(404, no), now, WAYS)
    again = learn(older, Ask.REFUND, Reply(404, no), now, WAYS)

    step = next_step(older, now, WAYS)
    assert isinstance(step, Send) and step.call.name == "PATCH /purchase"
    assert (again.dialect, again.refund_due_ms > now) == ("today", True)
    buyer.journal.close()


def test_a_corrected_result_counts_from_the_moment_at_which_it_was_given(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    """Seed 13143: it counted from the spoilt text on, and an equal call bought it anew a minute after it came."""
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    row = hired(buyer, "echo")
    p = rows.purchase_of(row)
    assert p.result is not None
    now = p.result_ms + 900_000

    corrected = given_again(p.but(result="spoilt"), p.result, now)
    same = given_again(p, p.result, now)

    assert (corrected.result, corrected.result_ms, same.result_ms) == (p.result, now, p.result_ms)
    buyer.journal.close()
