"""What becomes of a purchase when something is late, missing or wrong, and where the money is then."""

from __future__ import annotations

from typing import Any

import pytest

from masumi_tools.sandbox.chain.changes import set_action
from masumi_tools.sandbox.chain.rows import V1, Payment, Row, Transaction
from masumi_tools.sandbox.timetext import HOUR, MINUTE, iso
from masumi_tools.sandbox.wire import Response

from .market import SOON, Market


@pytest.fixture
def market() -> Market:
    return Market()


def test_purchase_with_less_than_57_seconds_to_pay_is_never_sent(market: Market) -> None:
    agent = market.agent(1)
    offer = market.offer(agent, payByTime=iso(market.world.now_ms() + 56_000))
    market.data("POST", "/purchase", market.order(agent, offer))
    market.world.advance(5 * MINUTE)
    row = market.purchase(offer["blockchainIdentifier"])
    assert (row["onChainState"], row["CurrentTransaction"]) == (None, None)
    assert row["NextAction"] == {
        "requestedAction": "FundsLockingRequested",
        "errorType": None,
        "errorNote": None,
    }
    market.world.advance(MINUTE + SOON)
    for row in (
        market.purchase(offer["blockchainIdentifier"]),
        market.payment(offer["blockchainIdentifier"]),
    ):
        assert row["onChainState"] == "FundsOrDatumInvalid"
        assert row["NextAction"]["requestedAction"] == "WaitingForManualAction"
        assert row["NextAction"]["errorNote"].endswith(
            f"request payByTime ({offer['payByTime']}) passed without on-chain lock; "
            "no FundsLocked tx observed within 300s grace."
        )


def test_offer_that_nobody_pays_lapses_five_minutes_after_pay_by(market: Market) -> None:
    offer = market.offer(market.agent(1))
    market.world.advance(25 * MINUTE)
    assert market.payment(offer["blockchainIdentifier"])["onChainState"] is None
    market.world.advance(SOON)
    assert market.payment(offer["blockchainIdentifier"])["onChainState"] == "FundsOrDatumInvalid"


def test_empty_wallet_is_an_error_for_a_person(market: Market) -> None:
    for wallet in market.world.wallets:
        if wallet.kind == "Purchasing":
            market.world.chain.balance(wallet.address)[""] = 4_999_999
    agent = market.agent(1)
    offer = market.offer(agent)
    market.data("POST", "/purchase", market.order(agent, offer))
    market.world.advance(SOON)
    row = market.purchase(offer["blockchainIdentifier"])
    assert row["NextAction"] == {
        "requestedAction": "WaitingForManualAction",
        "errorType": "InsufficientFunds",
        "errorNote": "Not enough funds in wallets",
    }
    for wallet in market.world.wallets:
        market.world.chain.mint(wallet.address, [(10_000_000, "")])
    body = {"updatedAt": row["updatedAt"], "retryPreviousAction": True}
    market.act("/purchase/error-state-recovery", offer["blockchainIdentifier"], **body)
    market.world.advance(SOON)
    assert market.purchase(offer["blockchainIdentifier"])["onChainState"] == "FundsLocked"


def test_result_within_five_minutes_of_its_deadline_stays_queued(market: Market) -> None:
    identifier = market.locked(market.agent(1))
    market.world.advance(55 * MINUTE)
    market.submit(identifier)
    market.world.advance(4 * MINUTE)
    row = market.payment(identifier)
    assert (row["onChainState"], row["NextAction"]["requestedAction"]) == (
        "FundsLocked",
        "SubmitResultRequested",
    )


def test_refund_request_within_three_minutes_of_unlock_stays_queued(market: Market) -> None:
    identifier = market.locked(market.agent(1))
    market.submit(identifier)
    market.world.advance(SOON)
    market.world.advance(int(market.purchase(identifier)["unlockTime"]) - 3 * MINUTE - market.world.now_ms())
    market.act("/purchase/request-refund", identifier)
    market.world.advance(2 * MINUTE)
    row = market.purchase(identifier)
    assert row["NextAction"]["requestedAction"] == "SetRefundRequestedRequested"
    market.world.advance(HOUR)
    row = market.purchase(identifier)
    assert (row["onChainState"], row["NextAction"]["requestedAction"]) == (
        "Withdrawn",
        "WaitingForManualAction",
    )


def test_lost_transaction_times_out_and_costs_nothing(market: Market) -> None:
    before = market.balance("Purchasing", V1)
    agent = market.agent(1)
    offer = market.offer(agent)
    market.world.chain.lose = 1
    market.data("POST", "/purchase", market.order(agent, offer))
    market.world.advance(SOON)
    row = market.purchase(offer["blockchainIdentifier"])
    assert (row["NextAction"]["requestedAction"], row["CurrentTransaction"]["status"]) == (
        "FundsLockingInitiated",
        "Pending",
    )
    market.world.advance(7 * MINUTE)
    row = market.purchase(offer["blockchainIdentifier"])
    assert row["NextAction"] == {
        "requestedAction": "WaitingForExternalAction",
        "errorType": "Unknown",
        "errorNote": "Timeout when waiting for transaction",
    }
    assert row["CurrentTransaction"]["status"] == "FailedViaTimeout"
    assert market.balance("Purchasing", V1) == before


def test_another_spelling_of_an_identifier_locks_money_that_its_row_never_sees(market: Market) -> None:
    agent = market.agent(1)
    offer = market.offer(agent)
    spelled = offer["blockchainIdentifier"].upper()
    market.data("POST", "/purchase", market.order(agent, offer, blockchainIdentifier=spelled))
    market.world.advance(SOON)
    assert market.payment(offer["blockchainIdentifier"])["onChainState"] == "FundsLocked"
    assert market.purchase(spelled)["NextAction"]["requestedAction"] == "FundsLockingInitiated"
    market.world.advance(8 * MINUTE)
    assert market.purchase(spelled)["NextAction"]["errorNote"] == "Timeout when waiting for transaction"
    market.world.advance(18 * MINUTE)
    row = market.purchase(spelled)
    assert row["onChainState"] == "FundsOrDatumInvalid"
    assert row["CurrentTransaction"]["status"] == "FailedViaTimeout"
    assert market.world.chain.escrowed[""] == 3_000_000


def test_lock_of_a_price_that_changed_is_invalid_for_the_seller_and_comes_back(market: Market) -> None:
    agent = market.agent(1)
    offer = market.offer(agent)
    assert agent.metadata is not None
    agent.metadata["agentPricing"]["fixedPricing"][0]["amount"] = "2500000"
    market.data("POST", "/purchase", market.order(agent, offer))
    market.world.advance(SOON)
    identifier = offer["blockchainIdentifier"]
    assert market.purchase(identifier)["onChainState"] == "FundsLocked"
    assert market.payment(identifier)["onChainState"] == "FundsOrDatumInvalid"
    market.world.advance(71 * MINUTE)
    assert market.purchase(identifier)["onChainState"] == "RefundWithdrawn"


def test_recovered_lock_has_no_transaction_and_takes_no_refund_request(market: Market) -> None:
    identifier = market.locked(market.agent(1))
    row = market.world.purchase("Preprod", identifier)
    assert row is not None
    set_action(
        market.world, row, "WaitingForManualAction", error=("Unknown", "Rolled back transaction detected.")
    )
    updated = market.purchase(identifier)["updatedAt"]
    market.world.advance(1)
    cleared = market.act("/purchase/error-state-recovery", identifier, updatedAt=updated)
    assert (cleared["CurrentTransaction"], cleared["NextAction"]["errorType"]) == (None, None)
    body = {"network": "Preprod", "blockchainIdentifier": identifier}
    assert market.refused("POST", "/purchase/request-refund", body)[0] == 404
    market.world.advance(71 * MINUTE)
    assert market.purchase(identifier)["onChainState"] == "RefundWithdrawn"


def test_recovered_payment_falls_back_to_its_newest_confirmed_transaction(market: Market) -> None:
    identifier = market.locked(market.agent(1))
    locked = market.payment(identifier)["CurrentTransaction"]
    market.world.chain.lose = 1
    market.submit(identifier)
    market.world.advance(8 * MINUTE)
    row = market.world.payment("Preprod", identifier)
    assert row is not None
    assert market.payment(identifier)["CurrentTransaction"]["status"] == "FailedViaTimeout"
    set_action(market.world, row, "WaitingForManualAction", error=("Unknown", "x"))
    updated = market.payment(identifier)["updatedAt"]
    cleared = market.act("/payment/error-state-recovery", identifier, updatedAt=updated)
    assert cleared["CurrentTransaction"]["id"] == locked["id"]
    market.submit(identifier)
    market.world.advance(SOON)
    assert market.payment(identifier)["onChainState"] == "ResultSubmitted"


def test_lock_that_is_on_its_way_is_not_given_up_until_it_times_out(market: Market) -> None:
    agent = market.agent(1)
    offer = market.offer(agent, payByTime=iso(market.world.now_ms() + 90_000))
    identifier = offer["blockchainIdentifier"]
    market.world.chain.lose = 1
    market.data("POST", "/purchase", market.order(agent, offer))
    market.world.advance(6 * MINUTE + 50_000)
    assert market.purchase(identifier)["onChainState"] is None
    assert market.payment(identifier)["onChainState"] == "FundsOrDatumInvalid"
    market.world.advance(10_000 + SOON)
    assert market.purchase(identifier)["onChainState"] == "FundsOrDatumInvalid"


def test_error_goes_when_the_chain_moves_on(market: Market) -> None:
    identifier = market.locked(market.agent(1))
    market.world.chain.lose = 1
    market.act("/purchase/request-refund", identifier)
    market.world.advance(8 * MINUTE)
    assert market.purchase(identifier)["NextAction"]["errorType"] == "Unknown"
    market.submit(identifier)
    market.world.advance(SOON)
    row = market.purchase(identifier)
    assert (row["onChainState"], row["NextAction"]["errorType"]) == ("ResultSubmitted", None)


def test_row_that_waits_for_a_person_goes_on_waiting_when_the_chain_moves_on(market: Market) -> None:
    identifier = market.locked(market.agent(1))
    row = market.world.purchase("Preprod", identifier)
    assert row is not None
    set_action(market.world, row, "WaitingForManualAction", error=("Unknown", "odd"))
    market.submit(identifier)
    market.world.advance(SOON)
    shown = market.purchase(identifier)
    assert (shown["onChainState"], shown["NextAction"]["requestedAction"]) == (
        "ResultSubmitted",
        "WaitingForManualAction",
    )
    assert shown["NextAction"]["errorNote"] == (
        "odd(WaitingForManualAction) -> State change detected after manual action was required"
    )


def test_queued_result_needs_a_person_when_the_refund_was_authorized_elsewhere(market: Market) -> None:
    identifier = market.locked(market.agent(2))
    market.act("/purchase/request-refund", identifier)
    market.world.advance(SOON)
    market.act("/payment/authorize-refund", identifier)
    row = market.world.payment("Preprod", identifier)
    assert row is not None
    market.world.advance(50)  # sent, not yet seen
    assert row.action.requested == "AuthorizeRefundInitiated"
    set_action(market.world, row, "SubmitResultRequested", result_hash="ab" * 32)
    market.world.advance(SOON)
    shown = market.payment(identifier)["NextAction"]
    assert shown["requestedAction"] == "WaitingForManualAction"
    assert shown["errorNote"].startswith(
        "Unexpected state change detected. Possible a action was executed ext"
    )


# Recovery


def failing(market: Market, *actions: tuple[str, str | None]) -> Any:
    """A locked payment in need of a person, with these actions before its error."""
    identifier = market.locked(market.agent(1))
    row = market.world.payment("Preprod", identifier)
    assert row is not None
    for name, result_hash in actions:
        set_action(market.world, row, name, result_hash=result_hash)
    set_action(market.world, row, "WaitingForManualAction", error=("Unknown", "x"))
    return row


def recover(market: Market, row: Row, *, retry: bool = True) -> Response:
    body = {
        "network": "Preprod",
        "blockchainIdentifier": row.identifier,
        "updatedAt": iso(row.updated_ms),
        "retryPreviousAction": retry,
    }
    path = "/payment" if isinstance(row, Payment) else "/purchase"
    return market.call("POST", f"{path}/error-state-recovery", body, token=market.world.admin_token)


QUEUED, SENT = "SubmitResultRequested", "SubmitResultInitiated"


@pytest.mark.parametrize(
    ("actions", "found"),
    [
        ([(QUEUED, "aa")], "aa"),
        ([(QUEUED, "aa"), (SENT, "bb")], "bb"),
        ([(QUEUED, "aa"), (SENT, None)], "aa"),
        ([(QUEUED, None), (SENT, None)], None),
        ([(QUEUED, "aa"), ("WaitingForExternalAction", None), (SENT, None)], None),
    ],
)
def test_failed_result_is_sent_again_with_its_hash(
    market: Market, actions: list[tuple[str, str | None]], found: str | None
) -> None:
    row = failing(market, *actions)
    answered = recover(market, row)
    if found is None:
        assert answered.json()["error"]["message"] == (
            "The failed submit-result action has no result hash to retry."
        )
    else:
        assert answered.status == 200
        assert (row.action.requested, row.action.result_hash) == (QUEUED, found)


def test_what_cannot_be_retried(market: Market) -> None:
    row = failing(market)
    assert recover(market, row).json()["error"]["message"] == (
        "The immediately preceding payment action is not retryable."
    )
    assert recover(market, row, retry=False).status == 200
    row = failing(market, (QUEUED, "aa"))
    row.on_chain = "Withdrawn"
    assert recover(market, row).json()["error"]["message"] == (
        "The payment is already completed and its previous action cannot be retried."
    )
    assert recover(market, row, retry=False).json()["data"]["NextAction"]["requestedAction"] == "None"


def test_recovery_takes_the_newest_transaction_of_the_best_kind_and_gives_up_the_others(
    market: Market,
) -> None:
    row = failing(market)
    for ms, (status, tx_hash) in enumerate(
        [
            ("Pending", "00"),
            ("Confirmed", "01"),
            ("Confirmed", None),
            ("Pending", "03"),
            ("FailedViaTimeout", "04"),
        ]
    ):
        tx = Transaction(f"tx{ms}", ms, ms, status, tx_hash)
        row.tx_history.append(tx)
    assert recover(market, row, retry=False).json()["data"]["CurrentTransaction"]["id"] == "tx1"
    assert [tx.status for tx in row.tx_history] == [
        "Pending",
        "Confirmed",
        "Confirmed",
        "FailedViaManualReset",
        "FailedViaTimeout",
    ]


def test_row_outside_the_scope_of_a_key_is_not_found(market: Market) -> None:
    row = failing(market)
    key = market.world.add_key(pay=True, wallet_scoped=True)
    body = {"network": "Preprod", "blockchainIdentifier": row.identifier, "updatedAt": iso(row.updated_ms)}
    path = "/payment/error-state-recovery"
    assert market.refused("POST", path, body, token=key.token) == (404, "Not found")
    identifier = market.locked(market.agent(1))
    body = {"network": "Preprod", "blockchainIdentifier": identifier}
    assert market.refused("POST", "/purchase/request-refund", body, token=key.token) == (404, "Not found")
