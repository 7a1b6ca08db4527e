"""Commands for the person who is asked: approvals, approve, deny."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from masumi_tools.cli import show
from masumi_tools.cli.context import Context, add
from masumi_tools.cli.ending import told_when_ended
from masumi_tools.errors import StateError
from masumi_tools.money import parse_amounts, total

if TYPE_CHECKING:
    from masumi_tools.hire.buyer import Buyer

HireId = Annotated[str, typer.Argument(help="The id of a hire, as `approvals` shows it.")]
By = Annotated[str, typer.Option(help="Who answers, for the receipt. Default: this machine's user.")]
Patience = Annotated[float, typer.Option(help="Seconds to wait; afterwards the hire continues without you.")]


def add_to(app: typer.Typer) -> None:
    add(app, approvals, told_when_ended(approve), deny)


def approvals(ctx: typer.Context) -> int:
    """List the hires whose price waits for approval. Nothing is paid or reserved while they wait."""
    from masumi_tools.hire.buyer import Buyer

    context: Context = ctx.obj
    with Buyer(context.settings) as buyer:
        found = buyer.approvals()
    if context.as_json:
        context.print_json({"approvals": [entry.as_json() for entry in found]})
    else:
        context.out.print(show.approvals(found) if found else "No hire waits for approval.")
    return 0


def approve(
    ctx: typer.Context,
    hire_id: HireId,
    price: Annotated[
        str, typer.Option(help='The price you saw, such as "2 ADA": at any other one nothing is approved.')
    ] = "",
    by: By = "",
    patience: Patience = 600,
) -> int:
    """Approve the price of a hire that waits: it is paid and continues."""
    from masumi_tools.hire.buyer import Buyer

    context: Context = ctx.obj
    context.hire_id = hire_id
    with show.live(context) as told, Buyer(context.settings, on_progress=told) as buyer:
        seen = _seen(buyer, hire_id, price) if price else ""
        made = buyer.approve(hire_id, by=by or me(), seen=seen, patience_s=patience)
    return show.print_receipt(context, made)


def _seen(buyer: Buyer, hire_id: str, price: str) -> str:
    """The digest of what is asked about this hire at this price; StateError where it is asked at another."""
    named = parse_amounts(price)
    waiting = next((one for one in buyer.approvals() if one.hire_id == hire_id), None)
    if waiting is None:
        return "nothing was asked"  # as the answer says, also where something is by then
    if total(waiting.price) != named:
        raise StateError(
            f"the hire {hire_id} asks for {waiting.price_text}, not {price}; nothing was approved or paid"
        )
    return waiting.digest


def deny(
    ctx: typer.Context,
    hire_id: HireId,
    why: Annotated[str, typer.Argument(help="The reason, for the receipt.")] = "",
    by: By = "",
) -> int:
    """Refuse the price of a hire that waits. Nothing is paid."""
    from masumi_tools.hire.buyer import Buyer

    context: Context = ctx.obj
    with Buyer(context.settings) as buyer:
        made = buyer.deny(hire_id, why, by=by or me())
    status = show.print_receipt(context, made)
    return 0 if made.outcome == "refused" else status


def me() -> str:
    """The name of this machine's user, for receipts."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "the command line"
