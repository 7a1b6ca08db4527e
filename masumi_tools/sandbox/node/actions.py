"""Actions on an existing row (protocol N6). Each only queues a NextAction; the jobs do the rest."""

from __future__ import annotations

from typing import Any

from ..chain.changes import set_action
from ..chain.objects import payment_json, purchase_json
from ..chain.rows import V1, Payment, Purchase, Row
from ..wire import Refusal
from . import schema as s
from .context import IDENTIFIER, NETWORK, Context

BY_IDENTIFIER = s.Schema({"blockchainIdentifier": s.text(most=8000), "network": NETWORK})
SUBMIT = s.Schema(
    {
        "network": NETWORK,
        "submitResultHash": s.text(
            64,
            64,
            pattern="[0-9a-fA-F]{64}",
            complaint="submitResultHash must be a 64-char hex sha256 digest",
        ),
        "blockchainIdentifier": IDENTIFIER,
    }
)


def request_refund(ctx: Context) -> dict[str, Any]:
    """The buyer asks for the money back."""
    row = _purchase(ctx, ("FundsLocked", "ResultSubmitted"), "Purchase not found or not in valid state")
    ctx.need_creator(row, "You are not authorized to request a refund for this purchase")
    _queue(ctx, row, "SetRefundRequestedRequested")
    return purchase_json(row)


def cancel_refund_request(ctx: Context) -> dict[str, Any]:
    """V1: the buyer takes the request back. V2: releases a disputed escrow to the seller, for good."""
    missing = "Purchase not found or in invalid state"
    row = _purchase(ctx, ("RefundRequested", "Disputed"), missing)
    if row.tx is None or row.tx.hash is None:
        raise Refusal(404, missing)
    ctx.need_creator(row, "You are not authorized to cancel a refund request for this purchase")
    if row.source.source_type == V1:
        _queue(ctx, row, "UnSetRefundRequestedRequested")
    elif row.on_chain != "Disputed":
        raise Refusal(400, "Authorize withdrawal is only available for disputed V2 purchases")
    else:
        _queue(ctx, row, "AuthorizeWithdrawalRequested")
    return purchase_json(row)


def submit_result(ctx: Context) -> dict[str, Any]:
    """The seller hands in the hash of its result; it stands in NextAction until it is on chain."""
    row = _payment(ctx, ("FundsLocked", "RefundRequested", "Disputed"))
    ctx.need_creator(row, "You are not authorized to submit results for this payment")
    _queue(ctx, row, "SubmitResultRequested", ctx.data["submitResultHash"])
    return payment_json(row)


def authorize_refund(ctx: Context) -> dict[str, Any]:
    """The seller gives the money back. In V1 only a disputed escrow is ever picked up."""
    row = _payment(ctx, ("RefundRequested", "Disputed"))
    ctx.need_creator(row, "You are not authorized to authorize a refund for this payment")
    _queue(ctx, row, "AuthorizeRefundRequested")
    return payment_json(row)


def _purchase(ctx: Context, states: tuple[str, ...], missing: str) -> Purchase:
    row = ctx.world.purchase(ctx.need_network(), ctx.data["blockchainIdentifier"])
    if row is None or not _ready(row, states):
        raise Refusal(404, missing)
    ctx.need_sight(row)
    return row


def _payment(ctx: Context, states: tuple[str, ...]) -> Payment:
    row = ctx.world.payment(ctx.need_network(), ctx.data["blockchainIdentifier"])
    if row is None or not _ready(row, states):
        raise Refusal(404, "Payment not found or in invalid state")
    ctx.need_sight(row)
    return row


def _ready(row: Row, states: tuple[str, ...]) -> bool:
    waiting = row.action.requested == "WaitingForExternalAction"
    return waiting and row.on_chain in states and row.tx is not None and row.wallet is not None


def _queue(ctx: Context, row: Row, requested: str, result_hash: str | None = None) -> None:
    set_action(ctx.world, row, requested, result_hash=result_hash)
    ctx.world.changed(row)
    ctx.world.jobs.requested(row)
