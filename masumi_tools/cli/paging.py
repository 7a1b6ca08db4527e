"""The command `page`: approve and look in a browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import typer

from masumi_tools.cli.approving import me
from masumi_tools.cli.context import Context
from masumi_tools.settings import Settings


def add_to(app: typer.Typer) -> None:
    app.command()(page)


def page(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(help="The port on loopback; 0 takes a free one.")] = 0,
    public_url: Annotated[str, typer.Option(help="Where a tunnel of yours shows the page.")] = "",
    notify: Annotated[str, typer.Option(help="A URL that is notified when an approval is requested.")] = "",
    read_only: Annotated[bool, typer.Option("--read-only", help="Show only; no forms.")] = False,
) -> int:
    """Approve, answer and see what agents spend, in a browser. Prints one link, which opens it once."""
    context: Context = ctx.obj
    from masumi_tools.page import open_page

    settings = replace(context.settings, notify_url=notify) if notify else context.settings
    made = open_page(
        settings, port=port, public_url=public_url, read_only=read_only, by=me(), shop=_shop(settings)
    )
    if context.as_json:
        context.print_json({"link": made.link})
    else:
        context.out.print(made.link, soft_wrap=True)
    made.run()
    return 0


def _shop(settings: Settings) -> Callable[[], dict[str, Any]] | None:
    """What reads the jobs of services in this database; None where nothing is sold here."""
    try:
        from masumi_tools.seller import ledger
    except ImportError:
        return None
    return lambda: ledger.jobs_if_any(settings, limit=200)
