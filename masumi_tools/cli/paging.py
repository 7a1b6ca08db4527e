"""The command `page`: approve and look in a browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masumi_tools.cli.approving import me
from masumi_tools.cli.context import Context, add
from masumi_tools.errors import SettingsError
from masumi_tools.settings import Settings, demo_database_url

if TYPE_CHECKING:
    from masumi_tools.page import Page


def add_to(app: typer.Typer) -> None:
    add(app, page)


def page(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(help="The port on loopback; 0 takes a free one.")] = 0,
    public_url: Annotated[str, typer.Option(help="The address of your tunnel to the page.")] = "",
    notify: Annotated[
        str,
        typer.Option(help="A URL that is notified when an approval is requested and when an open hire ends."),
    ] = "",
    read_only: Annotated[bool, typer.Option("--read-only", help="Show only; no forms.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Show what the last `demo` did.")] = False,
) -> int:
    """Approve prices, answer services and see what agents spend, in a browser. Prints one link, which works once."""
    context: Context = ctx.obj
    from masumi_tools.page import open_page

    settings = replace(context.settings, notify_url=notify) if notify else context.settings
    if demo:
        url = demo_database_url()
        if not Path(url.removeprefix("sqlite:///")).exists():
            raise SettingsError("No demo has run yet. Run it first: masumi-tools demo")
        settings, read_only = replace(settings, database_url=url), True
    made = open_page(
        settings, port=port, public_url=public_url, read_only=read_only, by=me(), shop=_shop(settings)
    )
    if context.as_json:
        context.print_json({"link": made.link})
    else:
        context.out.print(made.link, soft_wrap=True)
    _serve(made)
    return 0


def _serve(page: Page) -> None:
    page.run()


def _shop(settings: Settings) -> Callable[[int], dict[str, Any]] | None:
    """What reads the jobs of services in this database; None where nothing is sold here."""
    try:
        from masumi_tools.seller import ledger
    except ImportError:
        return None
    return lambda most: ledger.jobs_if_any(settings, limit=most)
