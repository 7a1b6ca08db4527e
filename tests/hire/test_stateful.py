"""Random lives of real buyers against the sandbox: hires, crashes, retries, faults, days that pass.

The simulation plays whole worlds without sockets and files; here hypothesis plays the real Buyer and AsyncBuyer
over a real journal, looks after every step, and makes a failing life as short as it can.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from masumi_tools.errors import StateError
from masumi_tools.hire import rows as ledger
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.purchase import Purchase, State
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.chain.moves import FINAL
from masumi_tools.sandbox.chain.rows import Purchase as Bought
from masumi_tools.sandbox.faults import DEEDS, Faults
from tests.hire.clocked import ClockedAsyncBuyer, ClockedBuyer, Crash, CrashingJournal
from tests.hire.test_faults import ENDPOINTS
from tests.worlds.checks import not_back
from tests.worlds.stage import tend

MINUTE = 60_000
BUDGETS = {
    "small": Budget("5 ADA", per_hire="2 ADA", name="small"),
    "daily": Budget("40 ADA", per_day="4 ADA", per_service="9 ADA", name="daily"),
}
SERVICES = ("echo", "echo-v2", "human", "failing", "silent", "liar", "greedy", "free")
WAITS = (1_000, 40_000, 10 * MINUTE, 70 * MINUTE, 26 * 60 * MINUTE)
ENDS = {State.SETTLED, State.REFUNDED, State.REFUSED, State.LAPSED, State.FAILED}


def gone(row: Bought) -> int:
    """Lovelace that may have left the wallet for this purchase and has not come back."""
    never_sent = row.on_chain == "FundsOrDatumInvalid" and row.tx is None
    return 0 if never_sent else not_back(row).get("", 0)


class Lives(RuleBasedStateMachine):
    """One world and the processes of its buyers, of which each may die at any write to the journal."""

    reached: set[State] = set()

    @initialize(dialect=st.sampled_from(("today", "seed")))
    def open(self, dialect: Any) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"sqlite:///{Path(self.folder.name) / 'journal.sqlite3'}"
        self.sandbox = Sandbox(manual_clock=True, listen=False, seed=5, dialect=dialect).start()
        self.world = self.sandbox.world
        self.journal = Journal(self.url)

    # What people and fate do ------------------------------------------------------------------------------

    def live(
        self, name: str, crash: int, after: bool, colour: str, method: str, *args: Any, **how: Any
    ) -> Any:
        """One call in a process of its own, which dies at its `crash`-th write (0: it lives)."""
        journal = CrashingJournal(self.url, crash, after)
        try:
            if colour == "sync":
                return getattr(ClockedBuyer(self.sandbox, BUDGETS[name], journal), method)(*args, **how)
            buyer = ClockedAsyncBuyer(self.sandbox, BUDGETS[name], journal)
            return asyncio.run(getattr(buyer, method)(*args, **how))
        except Crash:
            return None
        finally:
            journal.close()

    @rule(
        service=st.sampled_from(SERVICES),
        text=st.sampled_from(("one", "two")),
        name=st.sampled_from(sorted(BUDGETS)),
        again=st.booleans(),
        mismatch=st.sampled_from(("keep", "refund")),
        patience_s=st.sampled_from((0, 5, 300)),
        crash=st.integers(0, 14),
        after=st.booleans(),
        colour=st.sampled_from(("sync", "async")),
    )
    def hire(
        self, service: str, text: str, name: str, again: bool, mismatch: str, patience_s: int, **death: Any
    ) -> None:
        agent = self.sandbox.service(service).agent_identifier
        how = {"again": again, "patience_s": patience_s, "on_mismatch": mismatch}
        receipt = self.live(name, **death, method="hire", target=agent, input_data={"text": text}, **how)
        if receipt is not None and receipt.outcome in ("completed", "reused"):
            assert receipt.result

    @rule(
        endpoint=st.sampled_from(sorted(ENDPOINTS)),
        deed=st.sampled_from(sorted(DEEDS)),
        times=st.integers(1, 3),
    )
    def break_something(self, endpoint: str, deed: str, times: int) -> None:
        self.sandbox.arm({"on": endpoint, "do": deed, "times": times})

    @rule(count=st.integers(1, 3))
    def lose_transactions(self, count: int) -> None:
        """The next ones never come into a block: money that was to be locked stays where it was."""
        self.world.chain.lose = count

    @rule(away=st.booleans())
    def move_the_wallets_money(self, away: bool) -> None:
        """While it is away, the node takes orders to pay and cannot follow them."""
        for wallet in self.world.wallets:
            if wallet.kind == "Purchasing":
                held, kept = (self.world.chain.balance(name) for name in (wallet.address, wallet.vkey))
                source, target = (held, kept) if away else (kept, held)
                for unit, quantity in source.items():
                    target[unit] = target.get(unit, 0) + quantity
                source.clear()

    @rule(ms=st.sampled_from(WAITS))
    def pass_time(self, ms: int) -> None:
        self.sandbox.advance(ms)

    @precondition(lambda self: self.journal.rows())
    @rule(
        which=st.integers(0, 30),
        what=st.sampled_from(("resume", "refund", "answer", "sweep")),
        crash=st.integers(0, 6),
        after=st.booleans(),
        colour=st.sampled_from(("sync", "async")),
    )
    def go_on(self, which: int, what: str, crash: int, after: bool, colour: str) -> None:
        rows = self.journal.rows()
        row = rows[which % len(rows)]
        args: tuple[Any, ...] = () if what == "sweep" else (row.hire_id,)
        if what == "answer":
            args = (*args, {"approve": True})
        how = {} if what == "sweep" else {"patience_s": 5}
        try:
            self.live(row.budget, crash, after, colour, what, *args, **how)
        except StateError:
            assert what in ("answer", "refund"), "only these two can come at the wrong time"

    # What holds after every step ----------------------------------------------------------------------------

    def of(self, bought: Bought) -> Purchase:
        """The hire that ordered this purchase."""
        (row,) = (p for p in self.hires() if p.terms and p.terms.blockchain_identifier == bought.identifier)
        return row

    def hires(self) -> list[Purchase]:
        return [ledger.purchase_of(row) for row in self.journal.rows()]

    @invariant()
    def no_money_is_made_or_lost(self) -> None:
        assert self.world.chain.total() == self.world.chain.minted

    @invariant()
    def one_hire_pays_once_and_one_key_at_a_time(self) -> None:
        hires = Counter(self.of(bought).hire_id for bought in self.world.purchases)
        assert all(count == 1 for count in hires.values()), hires
        keys = Counter(
            p.key
            for bought in self.world.purchases
            if (p := self.of(bought)).result is None
            and bought.on_chain not in FINAL | {"FundsOrDatumInvalid"}
        )
        assert all(count == 1 for count in keys.values()), keys

    @invariant()
    def no_budget_is_exceeded(self) -> None:
        for name, budget in BUDGETS.items():
            (limit,) = budget.total
            committed = sum(gone(row) for row in self.world.purchases if self.of(row).budget == name)
            assert committed <= limit.quantity
            for line in ledger.budget_lines(self.journal.used(name)):
                assert line.reserved + line.locked + line.spent <= limit.quantity
                assert min(line.reserved, line.locked, line.spent) >= 0

    # The end --------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "journal"):
            return
        try:
            self.end_by_sweeping_alone()
            self.check_the_books()
        finally:
            self.journal.close()
            self.sandbox.stop()
            self.folder.cleanup()

    def end_by_sweeping_alone(self) -> None:
        self.sandbox.faults = Faults()
        self.world.chain.lose = 0
        self.move_the_wallets_money(away=False)  # a node without money for fees ends nothing
        for _round in range(80):
            if not self.journal.rows(only_open=True):
                return
            self.live("small", 0, False, "sync", "sweep")
            tend(self.world, 500)
            self.sandbox.advance(40 * MINUTE)
        raise AssertionError([(p.hire_id, p.state, p.reason) for p in self.hires() if not p.ended])

    def check_the_books(self) -> None:
        bought = {self.of(row).hire_id: row for row in self.world.purchases}
        for p in self.hires():
            row = bought.get(p.hire_id)
            kept = row is not None and bool(gone(row))
            assert p.state in ENDS
            assert kept == (not p.free and p.state in (State.SETTLED, State.FAILED)), (p.state, p.reason)
            assert p.result or p.state is not State.SETTLED
            self.reached.add(p.state)
        for name in BUDGETS:
            spent = sum(gone(row) for row in bought.values() if self.of(row).budget == name)
            lines = ledger.budget_lines(self.journal.used(name))
            assert sum(line.spent for line in lines) == spent
            assert all(line.reserved == line.locked == 0 for line in lines)


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute and a half of work, on machines that do other things too
def test_random_lives_pay_once_stay_within_budgets_and_are_brought_to_every_end_by_sweeps() -> None:
    Lives.reached = set()

    run_state_machine_as_test(
        Lives, settings=settings(max_examples=150, stateful_step_count=16, deadline=None, derandomize=True)
    )

    assert Lives.reached == ENDS
