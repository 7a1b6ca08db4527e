"""A journal that version 2 left behind, with hires in every state: it is read, brought up to date, and goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.purchase import Purchase, State
from masumi_tools.hire.rows import budget_lines, purchase_of
from masumi_tools.journal.store import Journal
from masumi_tools.journal.tables import schema
from masumi_tools.sandbox import Sandbox
from tests.fixtures import LEFT_MS, restore
from tests.hire.clocked import ClockedBuyer, purchases

STATES = {
    "asked": 1, "reserved": 1, "started": 1, "paying": 1, "paid": 1, "locked": 3, "needs_input": 1, "delivered": 3,
    "refund_requested": 1, "settled": 3, "refused": 2, "refunded": 1, "lapsed": 1,
}  # fmt: skip
USED = {"crashing": 7_000_000, "default": 10_000_000, "research": 2_000_000}
HOUR_MS = 60 * 60_000


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(restore("old-journal", tmp_path / "old.sqlite"))
    yield journal
    journal.close()


def records(journal: Journal) -> list[Purchase]:
    return [purchase_of(row) for row in journal.rows()]


def test_it_is_brought_up_to_date_and_every_record_is_read(journal: Journal) -> None:
    assert journal.schema_version() == schema().newest
    assert Counter(p.state.value for p in records(journal)) == STATES
    used = {name: sum(line.used for line in budget_lines(journal.used(name))) for name in journal.budgets()}
    assert used == USED
    assert journal.wrong_totals() == 0
    assert journal.by_call(_call_of(journal)) is not None


def _call_of(journal: Journal) -> str:
    with journal._engine.connect() as db:
        return str(db.exec_driver_sql("SELECT call_id FROM masumi_calls").scalar())


@pytest.fixture
def sandbox(journal: Journal) -> Iterator[Sandbox]:
    """The node of that time: the same wallets, agents and keys by its seed, and the purchases that it took."""
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        sent = [p for p in records(journal) if p.purchase_id and not p.ended]
        sandbox.world.clock.move_to(min(p.at(State.PAYING) or LEFT_MS for p in sent))
        headers = {"token": sandbox.token, "content-type": "application/json"}
        with httpx.Client(transport=sandbox.transport(), headers=headers) as client:
            for p in sent:
                answer = client.post(f"{sandbox.node_url}/purchase", content=p.purchase_body)
                assert answer.status_code == 200, answer.text
        sandbox.advance(LEFT_MS - sandbox.now_ms())
        yield sandbox


def test_every_open_hire_goes_on_to_its_end_and_nothing_is_paid_twice(
    journal: Journal, sandbox: Sandbox
) -> None:
    before = {p.hire_id: p for p in records(journal)}
    buyer = ClockedBuyer(sandbox, Budget("20 ADA", name="crashing"), journal)

    for _round in range(60):
        buyer.sweep()
        sandbox.advance(HOUR_MS // 2)

    after = {p.hire_id: p for p in records(journal)}
    assert after.keys() == before.keys() and all(p.ended for p in after.values())
    assert all(after[name] == p for name, p in before.items() if p.ended), "what had ended is left alone"
    bought = Counter(row["blockchainIdentifier"] for row in purchases(sandbox))
    ours = {p.terms.blockchain_identifier: p for p in after.values() if p.terms is not None}
    assert bought.keys() <= ours.keys() and set(bought.values()) == {1}
    for row in purchases(sandbox):
        p, state = ours[row["blockchainIdentifier"]], row["onChainState"]
        ends = {"RefundWithdrawn": {State.REFUNDED}, "Withdrawn": {State.SETTLED}}
        assert p.state in ends.get(state, ()), (p.hire_id, p.state, state)
    begun = [after[name] for name, p in before.items() if p.state in (State.ASKED, State.RESERVED)]
    assert [(p.state, p.verified) for p in begun] == [(State.SETTLED, True)] * 2


def test_an_equal_call_joins_a_hire_of_that_time(journal: Journal, sandbox: Sandbox) -> None:
    (locked,) = [p for p in records(journal) if p.input_data == {"text": "silent"}]
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)

    made = buyer.hire(locked.target, {"text": "silent"}, patience_s=1)

    assert (made.hire_id, made.open) == (locked.hire_id, True)
