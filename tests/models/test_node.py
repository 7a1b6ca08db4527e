"""Objects of the node in both shapes: the API's, and the raw row that a 409 carries."""

from __future__ import annotations

from typing import Any

import pytest

from masumi_tools.errors import WireError
from masumi_tools.models import (
    NodePayment,
    NodePurchase,
    OnChainState,
    read_key_status,
    read_payment,
    read_payments,
    read_purchase,
    read_purchases,
    read_registration,
    read_registrations,
)
from masumi_tools.money import Amount
from tests.shared import shared_json

FUNDS = [{"amount": "1000000", "unit": ""}, {"amount": "2500000", "unit": "ff" * 30}]


def purchase(**changes: Any) -> dict[str, Any]:
    """A purchase in the shape of the node's API, right after its birth."""
    return {
        "id": "purchase-1",
        "createdAt": "2026-11-25T01:31:26.054Z",
        "updatedAt": "2026-11-25T01:31:26.054Z",
        "blockchainIdentifier": "56" * 450,
        "agentIdentifier": "ab" * 28 + "0102",
        "agentName": "Translator",
        "pricingType": "Fixed",
        "lastCheckedAt": None,
        "payByTime": "1795571485673",
        "submitResultTime": "1795573885673",
        "unlockTime": "1795595485673",
        "externalDisputeUnlockTime": "1795617085673",
        "totalBuyerCardanoFees": 0,
        "totalSellerCardanoFees": 0,
        "nextActionOrOnChainStateOrResultLastChangedAt": "2026-11-25T01:31:26.054Z",
        "requestedById": "key-1",
        "onChainState": None,
        "collateralReturnLovelace": None,
        "cooldownTime": 0,
        "cooldownTimeOtherParty": 0,
        "inputHash": "34" * 32,
        "resultHash": None,
        "NextAction": {"requestedAction": "FundsLockingRequested", "errorType": None, "errorNote": None},
        "CurrentTransaction": None,
        "PaidFunds": FUNDS,
        "WithdrawnForSeller": [],
        "WithdrawnForBuyer": [],
        "PaymentSource": {
            "id": "source-1",
            "network": "Preprod",
            "paymentSourceType": "Web3CardanoV1",
            "smartContractAddress": "addr_test1w",
            "policyId": "ab" * 28,
        },
        "SellerWallet": {"id": "w-1", "walletVkey": "12" * 28},
        "SmartContractWallet": None,
        "metadata": None,
        **changes,
    }


def raw_row(**changes: Any) -> dict[str, Any]:
    """The same purchase as the database row in a 409."""
    row = purchase(
        paymentSourceId="source-1",
        sellerWalletId="w-1",
        nextActionId="a-1",
        currentTransactionId=None,
        sellerCoolDownTime="0",
        buyerCoolDownTime="0",
        isLimitedToHotWallets=False,
        PaidFunds=[{"id": "f", **row} for row in FUNDS],
        TransactionHistory=[],
        NextAction={
            "id": "a-1",
            "createdAt": "2026-11-25T01:31:26.054Z",
            "requestedAction": "FundsLockingRequested",
            "errorType": None,
            "errorNote": None,
            "submittedTxHash": None,
        },
        **changes,
    )
    for name in ("PaymentSource", "cooldownTime", "cooldownTimeOtherParty"):
        del row[name]
    return row


def exists(row: dict[str, Any]) -> dict[str, Any]:
    return {"status": "error", "error": {"message": "Purchase exists"}, "id": row["id"], "object": row}


def test_a_purchase_of_the_api() -> None:
    read = read_purchase({"status": "success", "data": purchase()})
    assert (read.id, read.on_chain_state, read.requested_action) == (
        "purchase-1",
        None,
        "FundsLockingRequested",
    )
    assert read.times.pay_by_time == 1795571485673
    assert read.paid_funds == (Amount(1_000_000), Amount(2_500_000, "ff" * 30))
    assert (read.network, read.source_type, read.seller_vkey) == ("Preprod", "Web3CardanoV1", "12" * 28)
    assert (read.result_hash, read.tx_hash) == (None, None)
    assert not read.needs_a_person


def test_the_raw_row_of_a_409_says_the_same_but_for_its_payment_source() -> None:
    api, row = read_purchase({"data": purchase()}), read_purchase(exists(raw_row()))
    assert (row.network, row.source_type) == (None, None)
    for name in (
        "id",
        "times",
        "paid_funds",
        "input_hash",
        "seller_vkey",
        "blockchain_identifier",
    ):
        assert getattr(row, name) == getattr(api, name)
    assert read_purchase(raw_row()) == row


def test_a_locked_purchase_with_its_transactions() -> None:
    tx = {"id": "t", "txHash": "aa" * 32, "status": "Confirmed", "confirmations": 3}
    read = read_purchase(
        purchase(
            onChainState="ResultSubmitted",
            resultHash="cd" * 32,
            CurrentTransaction=tx,
            TransactionHistory=[{"txHash": "bb" * 32}, {"txHash": None}, tx],
            SmartContractWallet={"id": "w", "walletVkey": "99" * 28, "walletAddress": "addr_test1q"},
            totalBuyerCardanoFees=0.41,
            WithdrawnForBuyer=[{"amount": "-5", "unit": ""}, {"amount": "7", "unit": ""}],
            collateralReturnLovelace="1435230",
        )
    )
    assert read.on_chain_state is OnChainState.RESULT_SUBMITTED and read.result_hash == "cd" * 32
    assert (read.tx_hash, read.tx_hashes) == ("aa" * 32, ("aa" * 32, "bb" * 32))
    assert (read.wallet_vkey, read.buyer_fees_ada) == ("99" * 28, 0.41)
    assert read.withdrawn_for_buyer == (Amount(7),) and read.collateral_return_lovelace == 1435230


def test_unknown_states_and_actions_are_kept_as_text() -> None:
    action = {"requestedAction": "Meditate", "errorType": "Existential", "errorNote": "why"}
    read = read_purchase(purchase(onChainState="Levitating", NextAction=action))
    assert (read.on_chain_state, read.requested_action) == ("Levitating", "Meditate")
    assert not isinstance(read.on_chain_state, OnChainState) and read.needs_a_person


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": None}, "id"),
        ({"blockchainIdentifier": ""}, "blockchainIdentifier"),
        ({"NextAction": None}, "NextAction"),
        ({"NextAction": {}}, "requestedAction"),
        ({"submitResultTime": "soon"}, "submitResultTime"),
        ({"unlockTime": None}, "unlockTime"),
    ],
)
def test_an_object_that_cannot_be_read_names_the_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(WireError, match=rf"^{field}:"):
        read_purchase(purchase(**changes))


@pytest.mark.parametrize(
    "body", [None, [], "text", {}, {"data": None}, {"status": "error", "error": {"message": "x"}}]
)
def test_no_object_at_all_is_an_error_of_the_node(body: Any) -> None:
    for read in (read_purchase, read_payment, read_purchases, read_payments, read_registrations):
        with pytest.raises(WireError) as caught:
            read(body)
        assert caught.value.fault == "node"


def test_a_payment_has_the_sellers_side() -> None:
    row = purchase(
        resultHash="",
        RequestedFunds=FUNDS,
        BuyerWallet={"walletVkey": "77" * 28},
        SmartContractWallet={"walletVkey": "12" * 28, "walletAddress": "addr_test1q"},
        NextAction={"requestedAction": "SubmitResultRequested", "errorType": None, "errorNote": None, "resultHash": "cd"},
    )  # fmt: skip
    read = read_payment({"data": row})
    assert read.requested_funds == (Amount(1_000_000), Amount(2_500_000, "ff" * 30))
    assert read.wallet_vkey == "12" * 28
    assert (read.result_hash, read.next_result_hash) == (None, "cd")
    assert read_payments({"data": {"Payments": [row]}}) == [read]
    assert read_purchases({"data": {"Purchases": []}}) == []


def test_key_status_in_todays_words_and_in_the_older_ones() -> None:
    today = {
        "id": "k", "status": "Active", "permission": "ReadAndPay", "canRead": True, "canPay": True, "canAdmin": False,
        "NetworkLimit": ["Preprod"], "usageLimited": True, "walletScopeEnabled": True,
        "RemainingUsageCredits": [{"amount": "5", "unit": ""}],
    }  # fmt: skip
    read = read_key_status({"status": "success", "data": today})
    assert (read.can_pay, read.can_admin, read.networks, read.wallet_scoped) == (
        True,
        False,
        ("Preprod",),
        True,
    )
    assert read.credits == (Amount(5),) and read.active
    older = read_key_status({"data": {"permission": "Read", "status": "Revoked", "usageLimited": False}})
    assert (older.can_read, older.can_pay, older.active, older.credits) == (True, False, False, None)


def test_a_registration_has_no_identifier_until_it_is_on_chain() -> None:
    row = {"id": "r", "state": "RegistrationRequested", "agentIdentifier": None, "name": "Translator"}
    read = read_registration({"data": row})
    assert (read.state, read.agent_identifier, read.name) == ("RegistrationRequested", None, "Translator")
    assert read_registrations({"data": {"Assets": [row]}}) == [read]


def test_every_purchase_and_payment_of_the_real_nodes_exchanges_is_read() -> None:
    for exchange in shared_json("protocol/node-exchanges.json"):
        sent = exchange["purchase_request"]
        for name in ("purchase_response", "repeat_response", "resolve_response"):
            read = read_purchase(exchange[name])
            assert read.times.as_wire() == {key: sent[key] for key in read.times.as_wire()}
            assert (read.blockchain_identifier, read.seller_vkey) == (
                sent["blockchainIdentifier"],
                sent["sellerVkey"],
            )
        assert read_payment(exchange["payment_response"]).wallet_vkey == sent["sellerVkey"]


def corpus_objects() -> list[tuple[str, Any]]:
    found = []
    for story in shared_json("protocol/node-corpus.json")["stories"]:
        for exchange in story.get("exchanges") or story["steps"]:
            body = exchange["response"]["body"]
            path = exchange["request"]["path"]
            if isinstance(body, dict) and ("object" in body or isinstance(body.get("data"), dict)):
                found.append((path, body))
    return found


def test_every_object_of_the_corpus_is_read() -> None:
    counts = {"purchase": 0, "payment": 0, "409": 0}
    for path, body in corpus_objects():
        data = body.get("data") or {}
        reader = read_purchase if "/purchase" in path else read_payment
        if "object" in body:
            assert read_purchase(body).id == body["id"]
            counts["409"] += 1
        elif "NextAction" in data:
            read: NodePurchase | NodePayment = reader(body)
            assert read.id == data["id"] and (read.on_chain_state or None) == data["onChainState"]
            counts["purchase" if isinstance(read, NodePurchase) else "payment"] += 1
        elif "Purchases" in data:
            counts["purchase"] += len(read_purchases(body))
        elif "Payments" in data:
            counts["payment"] += len(read_payments(body))
    assert all(count > 10 for count in counts.values()), counts
