"""``error-state-recovery``: an operator clears the error of a row, or queues its last action again."""

from __future__ import annotations

from typing import Any

from ..changes import set_action
from ..moves import FINAL
from ..objects import row_json
from ..rows import Action, Row
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


def recover_purchase(ctx: Context) -> dict[str, Any]:
    """The purchase without its error. Retrying a funds lock sends money again."""
    row = _found(ctx, ctx.world.purchase(ctx.need_network(), ctx.data["blockchainIdentifier"]), "Purchase")
    ctx.need_creator(row, "You are not authorized to recover this purchase request")
    _need_error(row, "Purchase")
    before = _retryable(row)
    if row.on_chain is None and not (ctx.data["retryPreviousAction"] and before and "FundsLocking" in before):
        message = "Purchase request is in its initial on-chain state. Only a failed funds-locking action can be retried."
        raise Refusal(400, message)
    return _recover(ctx, row, "purchase")


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
    return _recover(ctx, row, "payment")


def _found(ctx: Context, row: Row | None, what: str) -> Row:
    if row is None or row.updated_ms != ctx.data["updatedAt"] or not ctx.sees(row):
        message = f"{what} request not found with the provided blockchain identifier or it was changed"
        raise Refusal(404, message)
    return row


def _need_error(row: Row, what: str) -> None:
    if row.action.requested != MANUAL:
        message = (
            f"{what} request is not in WaitingForManualAction state. Current state: {row.action.requested}"
        )
        raise Refusal(400, message)
    if row.action.error_type is None:
        raise Refusal(400, f"{what} request is not in an error state. No error to clear.")


def _last(row: Row) -> Action | None:
    return row.action_history[-1] if row.action_history else None


def _retryable(row: Row) -> str | None:
    """``...Requested`` for the action just before the error, None when that was none to repeat."""
    before = _last(row)
    if before is None:
        return None
    name = before.requested
    if name.endswith("Initiated"):
        return name[: -len("Initiated")] + "Requested"
    return name if name.endswith("Requested") else None


def _recover(ctx: Context, row: Row, what: str) -> dict[str, Any]:
    before, again = _last(row), _retryable(row)
    retry: bool | None = ctx.data["retryPreviousAction"]
    if retry and again is None:
        raise Refusal(400, f"The immediately preceding {what} action is not retryable.")
    _reset_transaction(row)
    if retry and again is not None and before is not None:
        set_action(ctx.world, row, again, result_hash=before.result_hash)
        ctx.world.jobs.requested(row)
    else:
        set_action(ctx.world, row, "None" if row.on_chain in FINAL else "WaitingForExternalAction")
        ctx.world.jobs.settled(row)
    ctx.world.changed(row)
    return row_json(row)


def _reset_transaction(row: Row) -> None:
    """CurrentTransaction becomes the newest confirmed, else pending, one of the history, or nothing (22.6)."""
    old = row.tx
    row.tx = None
    for status in ("Confirmed", "Pending"):
        found = [tx for tx in row.tx_history if tx.status == status]
        if found:
            row.tx = found[-1]
            row.tx_history.remove(found[-1])
            break
    if old is not None:
        row.tx_history.append(old)
