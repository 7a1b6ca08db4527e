"""Rows in the shapes in which the node answers them (protocol N8; 4.1 for the raw row of a 409)."""

from __future__ import annotations

from typing import Any

from ..timetext import iso
from .rows import V1, Action, ApiKey, Funds, Payment, PaymentSource, Purchase, Row, Transaction, Wallet

Json = dict[str, Any]


def funds_json(funds: Funds) -> list[Json]:
    return [{"amount": str(amount), "unit": unit} for amount, unit in funds]


def transaction_json(tx: Transaction | None) -> Json | None:
    if tx is None:
        return None
    return _transaction_head(tx) | {
        "previousOnChainState": tx.old_state,
        "newOnChainState": tx.new_state,
        "confirmations": tx.confirmations,
    }


def purchase_json(row: Purchase, *, history: bool | None = None) -> Json:
    """The API shape. ``history``: None leaves the two histories out, False answers null, True fills them."""
    return _common(row, history) | {
        "cooldownTime": row.buyer_cooldown_ms,
        "cooldownTimeOtherParty": row.seller_cooldown_ms,
        "NextAction": _action(row.action),
        "PaidFunds": funds_json(row.funds),
        "SellerWallet": _base(row.other_wallet),
    }


def payment_json(row: Payment, *, history: bool | None = None) -> Json:
    """The API shape of the seller's row; ``history`` as for a purchase."""
    return _common(row, history) | {
        "cooldownTime": row.seller_cooldown_ms,
        "cooldownTimeOtherParty": row.buyer_cooldown_ms,
        "NextAction": _action(row.action) | {"resultHash": row.action.result_hash},
        "RequestedFunds": funds_json(row.funds),
        "BuyerWallet": _base(row.other_wallet),
    }


def row_json(row: Row, *, history: bool | None = None) -> Json:
    if isinstance(row, Purchase):
        return purchase_json(row, history=history)
    if isinstance(row, Payment):
        return payment_json(row, history=history)
    raise TypeError("neither a payment nor a purchase")


def raw_purchase_json(row: Purchase) -> Json:
    """The database row that a 409 carries as ``object``."""
    action, tx, wallet = row.action, row.tx, row.wallet
    return {
        "id": row.id,
        "createdAt": iso(row.created_ms),
        "updatedAt": iso(row.updated_ms),
        "lastCheckedAt": None,
        "paymentSourceId": row.source.id,
        "sellerWalletId": row.other_wallet[0] if row.other_wallet else None,
        "smartContractWalletId": wallet.id if wallet else None,
        "metadata": row.metadata,
        "pricingType": row.pricing_type,
        "blockchainIdentifier": row.identifier,
        "agentIdentifier": row.agent_identifier,
        "agentIdentifierSyncedAt": iso(row.created_ms),
        "agentName": row.agent_name,
        "agentNameSyncedAt": iso(row.created_ms),
        "submitResultTime": str(row.submit_result_ms),
        "unlockTime": str(row.unlock_ms),
        "externalDisputeUnlockTime": str(row.dispute_ms),
        "inputHash": row.input_hash,
        "resultHash": row.result_hash,
        "onChainState": row.on_chain,
        "onChainStateOrResultLastChangedAt": iso(row.state_changed_ms),
        "sellerCoolDownTime": str(row.seller_cooldown_ms),
        "buyerCoolDownTime": str(row.buyer_cooldown_ms),
        "totalBuyerCardanoFees": _ada(row.buyer_fees),
        "totalSellerCardanoFees": _ada(row.seller_fees),
        "nextActionId": action.id,
        "nextActionLastChangedAt": iso(row.action_changed_ms),
        "nextActionOrOnChainStateOrResultLastChangedAt": iso(row.changed_ms),
        "requestedById": row.requested_by,
        "currentTransactionId": tx.id if tx else None,
        "collateralReturnLovelace": _text(row.collateral),
        "payByTime": str(row.pay_by_ms),
        "buyerReturnAddress": row.buyer_return,
        "sellerReturnAddress": row.seller_return,
        "isLimitedToHotWallets": row.scoped,
        "SellerWallet": _base(row.other_wallet),
        "SmartContractWallet": _wallet(wallet),
        "WithdrawnForBuyer": _raw_funds(row, "b", row.withdrawn_buyer),
        "WithdrawnForSeller": _raw_funds(row, "s", row.withdrawn_seller),
        "PaidFunds": _raw_funds(row, "p", row.funds),
        "NextAction": {
            "id": action.id,
            "createdAt": iso(action.created_ms),
            "updatedAt": iso(action.updated_ms),
            "requestedAction": action.requested,
            "submittedTxHash": action.tx_hash,
            "errorType": action.error_type,
            "errorNote": action.error_note,
            "purchaseRequestHistoryId": None,
        },
        "CurrentTransaction": _raw_transaction(tx),
        "TransactionHistory": [],
        "cooldownTime": row.buyer_cooldown_ms,
        "cooldownTimeOtherParty": row.seller_cooldown_ms,
    }


def api_key_json(key: ApiKey, *, plain: bool = False) -> Json:
    """A key; its token is shown only in the answer that makes it (``plain``)."""
    return {
        "id": key.id,
        "token": key.token if plain else "*****" + key.token[-4:],
        "permission": "Admin" if key.can_admin else "ReadAndPay" if key.can_pay else "Read",
        "canRead": key.can_read,
        "canPay": key.can_pay,
        "canAdmin": key.can_admin,
        "usageLimited": key.usage_limited,
        "NetworkLimit": list(key.networks),
        "ChainIdLimit": list(key.chains),
        "RemainingUsageCredits": [{"unit": unit, "amount": str(amount)} for amount, unit in key.credits],
        "status": "Active" if key.active else "Revoked",
        "walletScopeEnabled": key.wallet_scoped,
        "WalletScopes": [{"hotWalletId": wallet_id} for wallet_id in key.wallet_ids],
    }


def source_json(source: PaymentSource) -> Json:
    fee = {"walletAddress": source.fee_address} if source.fee_address else None
    return {
        "id": source.id,
        "createdAt": iso(source.created_ms),
        "updatedAt": iso(source.created_ms),
        "network": source.network,
        "paymentSourceType": source.source_type,
        "requiredAdminSignatures": None if source.source_type == V1 else 2,
        "policyId": source.policy_id,
        "smartContractAddress": source.contract_address,
        "lastIdentifierChecked": None,
        "lastCheckedAt": None,
        "AdminWallets": [
            {"walletAddress": address, "order": place}
            for place, address in enumerate(source.admin_addresses, 1)
        ],
        "FeeReceiverNetworkWallet": fee,
        "feeRatePermille": source.fee_permille,
    }


def _common(row: Row, history: bool | None) -> Json:
    source = row.source
    data: Json = {
        "id": row.id,
        "createdAt": iso(row.created_ms),
        "updatedAt": iso(row.updated_ms),
        "blockchainIdentifier": row.identifier,
        "agentIdentifier": row.agent_identifier,
        "agentName": row.agent_name,
        "pricingType": row.pricing_type,
        "lastCheckedAt": None,
        "payByTime": str(row.pay_by_ms),
        "submitResultTime": str(row.submit_result_ms),
        "unlockTime": str(row.unlock_ms),
        "externalDisputeUnlockTime": str(row.dispute_ms),
        "collateralReturnLovelace": _text(row.collateral),
        "buyerReturnAddress": row.buyer_return,
        "sellerReturnAddress": row.seller_return,
        "requestedById": row.requested_by,
        "resultHash": row.result_hash,
        "nextActionLastChangedAt": iso(row.action_changed_ms),
        "onChainStateOrResultLastChangedAt": iso(row.state_changed_ms),
        "nextActionOrOnChainStateOrResultLastChangedAt": iso(row.changed_ms),
        "inputHash": row.input_hash,
        "totalBuyerCardanoFees": _ada(row.buyer_fees),
        "totalSellerCardanoFees": _ada(row.seller_fees),
        "onChainState": row.on_chain,
        "CurrentTransaction": transaction_json(row.tx),
        "WithdrawnForSeller": funds_json(row.withdrawn_seller),
        "WithdrawnForBuyer": funds_json(row.withdrawn_buyer),
        "PaymentSource": {
            "id": source.id,
            "network": source.network,
            "paymentSourceType": source.source_type,
            "smartContractAddress": source.contract_address,
            "policyId": source.policy_id,
        },
        "SmartContractWallet": _wallet(row.wallet),
        "metadata": row.metadata,
    }
    if history is not None:
        data["ActionHistory"] = _actions(row) if history else None
        newest = reversed(row.tx_history)
        data["TransactionHistory"] = [transaction_json(tx) for tx in newest] if history else None
    return data


def _actions(row: Row) -> list[Json]:
    seller = isinstance(row, Payment)
    found = []
    for action in reversed(row.action_history):
        entry: Json = {
            "id": action.id,
            "createdAt": iso(action.created_ms),
            "updatedAt": iso(action.updated_ms),
        }
        entry |= _action(action)
        if seller:
            entry |= {"submittedTxHash": action.tx_hash, "resultHash": action.result_hash}
        found.append(entry)
    return found


def _action(action: Action) -> Json:
    return {
        "requestedAction": action.requested,
        "errorType": action.error_type,
        "errorNote": action.error_note,
    }


def _transaction_head(tx: Transaction) -> Json:
    return {
        "id": tx.id,
        "createdAt": iso(tx.created_ms),
        "updatedAt": iso(tx.updated_ms),
        "txHash": tx.hash,
        "status": tx.status,
        "fees": _text(tx.fees),
        "blockHeight": tx.block_height,
        "blockTime": tx.block_time_s,
    }


def _raw_transaction(tx: Transaction | None) -> Json | None:
    if tx is None:
        return None
    counted = ("utxoCount", "withdrawalCount", "assetMintOrBurnCount", "redeemerCount")
    return _transaction_head(tx) | dict.fromkeys((*counted, "validContract", "outputAmount"))


def _raw_funds(row: Row, mark: str, funds: Funds) -> list[Json]:
    # The entries have ids of their own; made from the row's, so that they stay the same from answer to answer.
    return [
        {"id": f"{row.id[:-3]}{mark}{place:02d}", "amount": str(amount), "unit": unit}
        for place, (amount, unit) in enumerate(funds)
    ]


def _wallet(wallet: Wallet | None) -> Json | None:
    if wallet is None:
        return None
    return {"id": wallet.id, "walletVkey": wallet.vkey, "walletAddress": wallet.address}


def _base(wallet: tuple[str, str] | None) -> Json | None:
    return {"id": wallet[0], "walletVkey": wallet[1]} if wallet else None


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _ada(lovelace: int) -> float | int:
    return lovelace / 1_000_000 if lovelace else 0
