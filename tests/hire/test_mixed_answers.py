"""Answers that got mixed up on their way: another purchase than ours says nothing about ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from masumi_tools.calls.call import Reply
from masumi_tools.hire import rows
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.purchase import State
from masumi_tools.hire.replies import learn
from masumi_tools.hire.steps import Ask, Ways
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, purchases

WAYS = Ways("https://node.example/api/v1", None, "Preprod")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("state", "ask", "status"),
    [
        (State.PAYING, Ask.PAY, 200),
        (State.PAYING, Ask.PAY, 409),
        (State.PAYING, Ask.READ, 200),
        (State.PAID, Ask.PAY, 409),
        (State.PAID, Ask.READ, 200),
        (State.LOCKED, Ask.READ, 200),
        (State.LOCKED, Ask.REFUND, 200),
    ],
)
def test_another_purchase_in_the_answer_changes_nothing_and_is_asked_again(
    sandbox: Sandbox, sqlite_url: str, state: State, ask: Ask, status: int
) -> None:
    journal = Journal(sqlite_url)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    mine = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=60)
    buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=60)
    _, anothers = purchases(sandbox)
    row = journal.get(mine.hire_id)
    assert row is not None
    p = rows.purchase_of(row).but(state=state, pay_attempts=1, refund_wanted="said so")
    body = {"status": "success", "data": anothers}
    if status == 409:
        body = {"status": "error", "error": {"message": "Purchase exists"}, "object": anothers}

    after = learn(p, ask, Reply(status, body), sandbox.now_ms(), WAYS)

    assert (after.state, after.node, after.result) == (p.state, p.node, None)
    assert after.notes[-1].startswith("the node answered with another purchase than ours")
    assert after.next_node_ms > sandbox.now_ms()
    assert after.pay_unknown == (state is State.PAYING and ask is Ask.PAY)
    journal.close()
