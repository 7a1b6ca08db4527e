"""``error-state-recovery``: an operator clears the error of a row, or queues its last action again."""

from __future__ import annotations

from typing import Any

from ..chain.changes import set_action
from ..chain.moves import FINAL
from ..chain.objects import row_json
from ..chain.rows import Row
from ..wire import Refusal
from . import schema as s
from .context import IDENTIFIER, NETWORK, Context

SCHEMA = s.Schema(
    {
        "blockchainIdentifier": IDENTIFIER,
        "network": NETWORK,
        "updatedAt": s.iso_time(),
        "retryPreviousAction": s.boolean(),
    }
)
MANUAL = "WaitingForManualAction"
SUBMIT = "SubmitResultRequested"


def recover_purchase(ctx: Context) -> dict[str, Any]:
    """The purchase without its error. Retrying a funds lock sends money again."""
    row = _found(ctx, ctx.world.purchase(ctx.need_network(), ctx.data["blockchainIdentifier"]), "Purchase")
    ctx.need_creator(row, "You are not authorized to recover this purchase request")
    _need_error(row, "Purchase")
    again = _to_retry(ctx, row, "purchase")
    if row.on_chain is None and again != "FundsLockingRequested":
        message = "Purchase request is in its initial on-chain state. Only a failed funds-locking action can be retried."
        raise Refusal(400, message)
    return _recover(ctx, row, again, "purchase")


def recover_payment(ctx: Context) -> dict[str, Any]:
    """The payment without its error."""
    row = _found(ctx, ctx.world.payment(ctx.need_network(), ctx.data["blockchainIdentifier"]), "Payment")
    ctx.need_creator(row, "You are not authorized to recover this payment request")
    if row.on_chain is None:
        message = (
            "Payment request is in its initial on-chain state. Can not be recovered. "
            "Please start a new payment request."
        )
        raise Refusal(400, message)
    _need_error(row, "Payment")
    return _recover(ctx, row, _to_retry(ctx, row, "payment"), "payment")


def _found(ctx: Context, row: Row | None, what: str) -> Row:
    if row is None or row.updated_ms != ctx.data["updatedAt"]:
        message = f"{what} request not found with the provided blockchain identifier or it was changed"
        raise Refusal(404, message)
    ctx.need_sight(row)
    return row


def _need_error(row: Row, what: str) -> None:
    if row.action.requested != MANUAL:
        message = (
            f"{what} request is not in WaitingForManualAction state. Current state: {row.action.requested}"
        )
        raise Refusal(400, message)
    if row.action.error_type is None:
        raise Refusal(400, f"{what} request is not in an error state. No error to clear.")


def _to_retry(ctx: Context, row: Row, what: str) -> str | None:
    """``...Requested`` of the action just before the error when it shall be repeated, else None."""
    if not ctx.data["retryPreviousAction"]:
        return None
    before = row.action_history[-1].requested if row.action_history else ""
    if before.endswith("Initiated"):
        return before[: -len("Initiated")] + "Requested"
    if not before.endswith("Requested"):
        raise Refusal(400, f"The immediately preceding {what} action is not retryable.")
    return before


def _result_hash(row: Row) -> str | None:
    """The hash that the failed action was to submit: on the error, the action before, or the one before that."""
    actions = [row.action, *row.action_history[-1:]]
    if [action.requested for action in row.action_history[-2:]] == [SUBMIT, "SubmitResultInitiated"]:
        actions.append(row.action_history[-2])
    return next((action.result_hash for action in actions if action.result_hash), None)


def _recover(ctx: Context, row: Row, again: str | None, what: str) -> dict[str, Any]:
    result_hash = _result_hash(row) if again == SUBMIT else None
    if again == SUBMIT and result_hash is None:
        raise Refusal(400, "The failed submit-result action has no result hash to retry.")
    if again is not None and row.on_chain in FINAL:
        raise Refusal(400, f"The {what} is already completed and its previous action cannot be retried.")
    _reset_transaction(row)
    if again is not None:
        set_action(ctx.world, row, again, result_hash=result_hash)
        ctx.world.jobs.requested(row)
    else:
        set_action(ctx.world, row, "None" if row.on_chain in FINAL else "WaitingForExternalAction")
        ctx.world.jobs.settled(row)
    ctx.world.changed(row)
    return row_json(row)


def _reset_transaction(row: Row) -> None:
    """CurrentTransaction becomes the newest confirmed, else pending, one of the history, or nothing (22.6)."""
    sent = [tx for tx in row.tx_history if tx.hash is not None]
    found = [tx for status in ("Pending", "Confirmed") for tx in sent if tx.status == status]
    row.tx = chosen = found[-1] if found else None
    for tx in row.tx_history:
        newer = chosen is None or (tx is not chosen and tx.created_ms >= chosen.created_ms)
        if newer and tx.status == "Pending":
            tx.status = "FailedViaManualReset"
