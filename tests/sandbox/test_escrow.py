"""The simulated node from order to payout: what its jobs do when, and where the money is."""

from __future__ import annotations

from typing import Any

import pytest

from masumi_tools.sandbox.chain.escrow import World
from masumi_tools.sandbox.chain.network import FEE_RECEIVERS
from masumi_tools.sandbox.chain.rows import V1, V2
from masumi_tools.sandbox.chain.sums import FEE, LEAST_COLLATERAL
from masumi_tools.sandbox.clock import Clock
from masumi_tools.sandbox.timetext import HOUR, MINUTE

from .market import RESULT_HASH, SOON, START_MS, Market


@pytest.fixture
def market() -> Market:
    return Market()


def actions(row: dict[str, Any]) -> list[str]:
    """The actions of a row, oldest first."""
    return [entry["requestedAction"] for entry in reversed(row["ActionHistory"])] + [
        row["NextAction"]["requestedAction"]
    ]


@pytest.mark.parametrize("version", [1, 2])
def test_lock_is_seen_by_both_sides_within_200_ms(market: Market, version: int) -> None:
    agent = market.agent(version)
    offer = market.offer(agent)
    market.data("POST", "/purchase", market.order(agent, offer))
    market.world.advance(200)
    bought = market.purchase(offer["blockchainIdentifier"])
    sold = market.payment(offer["blockchainIdentifier"])
    assert bought["onChainState"] == sold["onChainState"] == "FundsLocked"
    assert actions(bought) == ["FundsLockingRequested", "FundsLockingInitiated", "WaitingForExternalAction"]
    assert bought["CurrentTransaction"]["status"] == "Confirmed"
    assert bought["CurrentTransaction"]["txHash"] == sold["CurrentTransaction"]["txHash"]
    assert sold["BuyerWallet"]["walletVkey"] == bought["SmartContractWallet"]["walletVkey"]
    assert bought["totalBuyerCardanoFees"] == FEE / 1_000_000


def test_result_brings_the_seller_its_money_ten_minutes_after_unlock(market: Market) -> None:
    agent = market.agent(1)
    before = market.balance("Selling", V1)
    identifier = market.locked(agent)
    queued = market.submit(identifier)
    assert (queued["NextAction"]["resultHash"], queued["resultHash"]) == (RESULT_HASH, "")
    market.world.advance(SOON)
    bought, sold = market.purchase(identifier), market.payment(identifier)
    assert bought["onChainState"] == "ResultSubmitted"
    assert bought["resultHash"] == sold["resultHash"] == RESULT_HASH
    assert sold["cooldownTime"] > market.world.now_ms() + 16 * MINUTE

    unlock = int(sold["unlockTime"])
    market.world.advance(unlock + 10 * MINUTE - market.world.now_ms())
    assert market.purchase(identifier)["onChainState"] == "ResultSubmitted"
    market.world.advance(SOON)
    bought, sold = market.purchase(identifier), market.payment(identifier)
    assert bought["onChainState"] == sold["onChainState"] == "Withdrawn"
    assert bought["NextAction"]["requestedAction"] == sold["NextAction"]["requestedAction"] == "None"
    assert sold["WithdrawnForSeller"] == [{"amount": "2850000", "unit": ""}]
    assert market.balance("Selling", V1) == before + 2_850_000 - 2 * FEE
    assert market.world.chain.balance(FEE_RECEIVERS[V1] or "")[""] == 150_000


def test_v2_takes_no_fee_from_the_seller(market: Market) -> None:
    identifier = market.locked(market.agent(2))
    market.submit(identifier)
    market.world.advance(8 * HOUR)
    assert market.payment(identifier)["WithdrawnForSeller"] == [{"amount": "3000000", "unit": ""}]


@pytest.mark.parametrize(("version", "source_type"), [(1, V1), (2, V2)])
def test_money_comes_back_by_itself_when_no_result_comes(
    market: Market, version: int, source_type: str
) -> None:
    agent = market.agent(version, {"": 1_000_000})
    before = market.balance("Purchasing", source_type)
    identifier = market.locked(agent)
    assert market.purchase(identifier)["collateralReturnLovelace"] == str(LEAST_COLLATERAL)
    due = int(market.purchase(identifier)["submitResultTime"]) + 10 * MINUTE
    market.world.advance(due - market.world.now_ms())
    assert market.purchase(identifier)["onChainState"] == "FundsLocked"
    market.world.advance(SOON)
    row = market.purchase(identifier)
    assert row["onChainState"] == "RefundWithdrawn"
    assert actions(row)[-3:] == ["WithdrawRefundRequested", "WithdrawRefundInitiated", "None"]
    assert market.balance("Purchasing", source_type) == before - 2 * FEE
    assert market.payment(identifier)["NextAction"]["requestedAction"] == "None"


def test_refund_request_is_queued_then_on_chain_and_cools_down_for_17_minutes(market: Market) -> None:
    identifier = market.locked(market.agent(1))
    asked = market.act("/purchase/request-refund", identifier)
    assert asked["NextAction"]["requestedAction"] == "SetRefundRequestedRequested"
    market.world.advance(SOON)
    row = market.purchase(identifier)
    assert (row["onChainState"], row["cooldownTimeOtherParty"]) == ("RefundRequested", 0)
    left = row["cooldownTime"] - market.world.now_ms()
    assert 16 * MINUTE < left <= 17 * MINUTE

    market.act("/purchase/cancel-refund-request", identifier)
    market.world.advance(16 * MINUTE)
    assert market.purchase(identifier)["NextAction"]["requestedAction"] == "UnSetRefundRequestedRequested"
    market.world.advance(MINUTE + SOON)
    assert market.purchase(identifier)["onChainState"] == "FundsLocked"


def test_requested_refund_is_paid_after_submit_result_time(market: Market) -> None:
    identifier = market.locked(market.agent(1))
    market.act("/purchase/request-refund", identifier)
    market.world.advance(70 * MINUTE + SOON)
    assert market.purchase(identifier)["onChainState"] == "RefundWithdrawn"


def test_result_after_a_refund_request_makes_a_dispute(market: Market) -> None:
    identifier = market.locked(market.agent(1))
    market.act("/purchase/request-refund", identifier)
    market.world.advance(SOON)
    market.submit(identifier)
    market.world.advance(SOON)
    assert market.purchase(identifier)["onChainState"] == "Disputed"


def test_result_that_is_queued_survives_a_refund_request(market: Market) -> None:
    identifier = market.locked(market.agent(1))
    market.act("/purchase/request-refund", identifier)
    market.submit(identifier)
    market.world.advance(2 * SOON)
    row = market.payment(identifier)
    assert (row["onChainState"], row["resultHash"]) == ("Disputed", RESULT_HASH)
    steps = [(tx["previousOnChainState"], tx["newOnChainState"]) for tx in row["TransactionHistory"]]
    assert steps == [("FundsLocked", "RefundRequested"), (None, "FundsLocked")]
    assert row["CurrentTransaction"]["previousOnChainState"] == "RefundRequested"


def disputed(market: Market, version: int) -> str:
    identifier = market.locked(market.agent(version))
    market.submit(identifier)
    market.world.advance(SOON)
    market.act("/purchase/request-refund", identifier)
    market.world.advance(SOON)
    assert market.purchase(identifier)["onChainState"] == "Disputed"
    return identifier


def test_v1_seller_gives_in_and_the_buyer_waits_for_submit_result_time(market: Market) -> None:
    identifier = disputed(market, 1)
    market.act("/payment/authorize-refund", identifier)
    market.world.advance(18 * MINUTE)
    row = market.purchase(identifier)
    assert (row["onChainState"], row["resultHash"]) == ("RefundRequested", None)
    market.world.advance(HOUR)
    assert market.purchase(identifier)["onChainState"] == "RefundWithdrawn"


def test_v2_seller_gives_in_and_the_buyer_collects_at_once(market: Market) -> None:
    identifier = disputed(market, 2)
    market.act("/payment/authorize-refund", identifier)
    market.world.advance(17 * MINUTE + SOON)
    row = market.purchase(identifier)
    assert (row["onChainState"], row["resultHash"]) == ("RefundWithdrawn", None)
    assert int(row["submitResultTime"]) > market.world.now_ms()


def test_v2_buyer_releases_a_dispute_and_the_seller_collects_at_once(market: Market) -> None:
    identifier = disputed(market, 2)
    released = market.act("/purchase/cancel-refund-request", identifier)
    assert released["NextAction"]["requestedAction"] == "AuthorizeWithdrawalRequested"
    market.world.advance(17 * MINUTE + SOON)
    row = market.purchase(identifier)
    assert row["onChainState"] == "Withdrawn"
    assert int(row["unlockTime"]) > market.world.now_ms()


def test_v1_authorize_refund_outside_a_dispute_is_accepted_and_never_picked_up(market: Market) -> None:
    identifier = market.locked(market.agent(1))
    market.act("/purchase/request-refund", identifier)
    market.world.advance(SOON)
    market.act("/payment/authorize-refund", identifier)
    market.world.advance(30 * MINUTE)
    assert market.payment(identifier)["NextAction"]["requestedAction"] == "AuthorizeRefundRequested"


def test_admins_split_a_dispute_only_after_its_time(market: Market) -> None:
    identifier = disputed(market, 1)
    row = market.world.purchase("Preprod", identifier)
    assert row is not None
    with pytest.raises(ValueError, match="externalDisputeUnlockTime"):
        market.world.jobs.split(row, 400)
    market.world.advance(14 * HOUR)
    market.world.jobs.split(row, 400)
    shown = market.purchase(identifier)
    assert shown["onChainState"] == "DisputedWithdrawn"
    assert shown["WithdrawnForSeller"] == [{"amount": "1200000", "unit": ""}]
    assert shown["WithdrawnForBuyer"] == [{"amount": "1800000", "unit": ""}]
    assert market.world.chain.total() == market.world.chain.minted


def test_realistic_node_takes_its_own_intervals(market: Market) -> None:
    slow = Market(realistic=True)
    agent = slow.agent(1)
    offer = slow.offer(agent)
    slow.data("POST", "/purchase", slow.order(agent, offer))
    identifier = offer["blockchainIdentifier"]
    slow.world.advance(10_000)
    assert slow.purchase(identifier)["NextAction"]["requestedAction"] == "FundsLockingRequested"
    slow.world.advance(21_000)
    assert slow.purchase(identifier)["NextAction"]["requestedAction"] == "FundsLockingInitiated"
    slow.world.advance(41_000)
    assert slow.purchase(identifier)["onChainState"] == "FundsLocked"


def test_v1_batch_takes_ten_purchases_at_a_time() -> None:
    slow = Market(realistic=True)
    agent = slow.agent(1)
    for _ in range(12):
        slow.data("POST", "/purchase", slow.order(agent, slow.offer(agent)))
    slow.world.advance(31_000)
    taken = [row for row in slow.world.purchases if row.action.requested == "FundsLockingInitiated"]
    assert len(taken) == 10
    slow.world.advance(30_000)
    assert all(row.tx is not None for row in slow.world.purchases)


def test_watchers_hear_of_each_change_at_its_own_time(market: Market) -> None:
    heard: list[tuple[int, str, str | None]] = []
    world = market.world
    world.watch(lambda row: heard.append((world.now_ms() - START_MS, row.action.requested, row.on_chain)))
    agent = market.agent(1)
    market.data("POST", "/purchase", market.order(agent, market.offer(agent)))
    world.advance(10_000)
    assert [entry[1:] for entry in heard] == [
        ("FundsLockingInitiated", None),
        ("WaitingForExternalAction", "FundsLocked"),
        ("WaitingForExternalAction", "FundsLocked"),
    ]
    assert max(entry[0] for entry in heard) <= 200


def test_same_seed_gives_the_same_world() -> None:
    def history() -> dict[str, Any]:
        market = Market()
        market.locked(market.agent(2))
        return market.world.ledger()

    assert history() == history()


def test_advancing_a_real_clock_runs_what_falls_due() -> None:
    market = Market(clock=Clock("real"))
    agent = market.agent(1)
    offer = market.offer(agent)
    market.data("POST", "/purchase", market.order(agent, offer))
    market.world.advance(2 * HOUR)
    assert market.purchase(offer["blockchainIdentifier"])["onChainState"] == "RefundWithdrawn"


def test_ledger_tells_every_row_with_its_history_and_where_the_money_is(market: Market) -> None:
    market.locked(market.agent(1))
    ledger = market.world.ledger()
    assert [row["onChainState"] for row in ledger["payments"] + ledger["purchases"]] == ["FundsLocked"] * 2
    assert ledger["purchases"][0]["ActionHistory"]
    assert ledger["escrowed"] == [{"amount": "3000000", "unit": ""}]
    assert {wallet["type"] for wallet in ledger["wallets"].values()} == {"Selling", "Purchasing"}


def test_world_without_jobs_leaves_rows_alone() -> None:
    market = Market(jobs=False)
    agent = market.agent(1)
    offer = market.offer(agent)
    market.data("POST", "/purchase", market.order(agent, offer))
    market.world.advance(5 * HOUR)
    assert market.purchase(offer["blockchainIdentifier"])["onChainState"] is None


def test_clock_never_goes_back() -> None:
    world = World(clock=Clock("manual", now_ms=START_MS))
    with pytest.raises(ValueError, match="go back"):
        world.advance(-1)
    with pytest.raises(ValueError, match="go back"):
        world.clock.move_to(START_MS - 1)
