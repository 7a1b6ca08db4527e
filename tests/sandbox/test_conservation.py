"""Whatever buyers, sellers and the clock do: no money appears, none is lost, and nobody is paid twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from masumi_tools.sandbox.chain.escrow import TUSDM
from masumi_tools.sandbox.chain.moves import FINAL
from masumi_tools.sandbox.chain.rows import Agent
from masumi_tools.sandbox.chain.sums import as_sums
from masumi_tools.sandbox.timetext import HOUR, MINUTE, iso

from .market import Market

LEGAL = {
    None: {"FundsLocked", "FundsOrDatumInvalid"},
    "FundsLocked": {"ResultSubmitted", "RefundRequested", "RefundAuthorized", "RefundWithdrawn"},
    "ResultSubmitted": {"Disputed", "Withdrawn"},
    "RefundRequested": {"Disputed", "FundsLocked", "RefundAuthorized", "RefundWithdrawn"},
    "Disputed": {
        "ResultSubmitted",
        "RefundRequested",
        "RefundAuthorized",
        "WithdrawAuthorized",
        "DisputedWithdrawn",
    },
    "WithdrawAuthorized": {"Withdrawn"},
    "RefundAuthorized": {"RefundWithdrawn"},
}
"""On-chain states that may follow each other (protocol N9.2)."""

PRICES = st.sampled_from([{"": 1}, {"": 1_000_000}, {"": 7_000_001, TUSDM: 3}, {TUSDM: 2_500_000}])
WAITS = st.sampled_from([0, 90, 200, 70_000, 70_000, 70_000, 18 * MINUTE, 3 * HOUR])
ACTIONS = (
    "/purchase/request-refund",
    "/purchase/cancel-refund-request",
    "/payment/submit-result",
    "/payment/authorize-refund",
)


class Histories(RuleBasedStateMachine):
    """Random histories over one world; after each step the sum of all money is what was minted."""

    agents = Bundle("agents")
    offers = Bundle("offers")

    @initialize(realistic=st.booleans())
    def open(self, realistic: bool) -> None:
        self.market = Market(realistic=realistic)
        self.states: dict[str, Any] = {}
        self.market.world.watch(self._check_step)

    def _check_step(self, row: Any) -> None:
        before = self.states.get(row.id)
        if row.on_chain != before:
            assert row.on_chain in LEGAL.get(before, set()), f"{before} -> {row.on_chain}"
            self.states[row.id] = row.on_chain

    @rule(target=agents, version=st.sampled_from([1, 2]), price=PRICES)
    def register(self, version: int, price: dict[str, int]) -> Agent:
        return self.market.agent(version, price)

    @rule(
        target=offers,
        agent=agents,
        pay=st.integers(-4, 30),
        submit=st.integers(16, 120),
        unlock=st.integers(15, 90),
    )
    def offer(self, agent: Agent, pay: int, submit: int, unlock: int) -> Any:
        now = self.market.world.now_ms()
        submit = max(submit, pay + 5)
        times = (now + pay * MINUTE, now + submit * MINUTE, now + (submit + unlock) * MINUTE)
        named = dict(zip(("payByTime", "submitResultTime", "unlockTime"), map(iso, times), strict=True))
        found = self.market.offer(agent, **named, externalDisputeUnlockTime=iso(times[2] + HOUR))
        return agent, found

    @rule(offer=offers, upper=st.booleans())
    def buy(self, offer: tuple[Agent, dict[str, Any]], upper: bool) -> None:
        agent, found = offer
        body = self.market.order(agent, found)
        if upper:
            body["blockchainIdentifier"] = body["blockchainIdentifier"].upper()
        assert self.market.call("POST", "/purchase", body).status in (200, 400, 409)

    @rule(target=offers, agent=agents, submit=st.integers(20, 120), unlock=st.integers(15, 90))
    def hire(self, agent: Agent, submit: int, unlock: int) -> Any:
        """The whole way to a lock, so that most histories have some."""
        offer = self.offer(agent, min(15, submit - 5), submit, unlock)
        self.buy(offer, False)
        self.market.world.advance(70_000 if self.market.world.realistic else 200)
        return offer

    @rule(offer=offers, steps=st.lists(st.tuples(st.sampled_from(ACTIONS), WAITS), min_size=1, max_size=5))
    def act(self, offer: tuple[Agent, dict[str, Any]], steps: list[tuple[str, int]]) -> None:
        world = self.market.world
        for action, then_ms in steps:
            body = {"network": "Preprod", "blockchainIdentifier": offer[1]["blockchainIdentifier"]}
            if action.endswith("submit-result"):
                body["submitResultHash"] = "ef" * 32
            token = world.seller_token if action.startswith("/payment") else world.token
            assert self.market.call("POST", action, body, token=token).status in (200, 400, 404)
            world.advance(then_ms)

    @rule(offer=offers, permille=st.integers(0, 1000))
    def split(self, offer: tuple[Agent, dict[str, Any]], permille: int) -> None:
        row = self.market.world.purchase("Preprod", offer[1]["blockchainIdentifier"])
        escrow = row.escrow if row else None
        if row and escrow and escrow.state == "Disputed" and not escrow.busy:
            self.market.world.advance(max(0, row.dispute_ms - self.market.world.now_ms()))
            if escrow.state == "Disputed" and not escrow.busy:
                self.market.world.jobs.split(row, permille)

    @rule(ms=WAITS)
    def wait(self, ms: int) -> None:
        self.market.world.advance(ms)

    @precondition(lambda self: len(self.market.world.purchases) % 6 == 5)
    @rule()
    def lose_a_transaction(self) -> None:
        self.market.world.chain.lose = 1

    @invariant()
    def money_is_conserved(self) -> None:
        if not hasattr(self, "market"):
            return
        chain = self.market.world.chain
        assert chain.total() == chain.minted
        assert all(amount >= 0 for held in chain.balances.values() for amount in held.values())
        assert all(amount >= 0 for amount in chain.escrowed.values())

    @invariant()
    def each_purchase_is_paid_out_once(self) -> None:
        if not hasattr(self, "market"):
            return
        for row in self.market.world.purchases:
            paid = as_sums(row.withdrawn_buyer + row.withdrawn_seller)
            if row.on_chain not in FINAL:
                assert not paid
                continue
            owed = Counter(as_sums(row.funds))
            owed[""] += row.collateral or 0
            fees = owed - paid
            assert not paid - owed
            assert fees.total() <= owed.total() // 20
            if row.on_chain == "RefundWithdrawn":
                assert not fees


Histories.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase
