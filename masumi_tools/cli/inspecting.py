"""The command that looks at one service: inspect."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from masumi_tools.cli.context import Context, add, read_input
from masumi_tools.cli.show import foreign

_WEIGHTS = {
    "blocks": ("blocks a hire", "bold red"),
    "tolerated": ("tolerated", "yellow"),
    "others": ("affects other buyers", "cyan"),
}


def add_to(app: typer.Typer) -> None:
    add(app, inspect)


def inspect(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(help="Agent identifier, or the URL of a service.")],
    pairs: Annotated[
        list[str] | None, typer.Argument(help="Input for --start-job: field=value ... (default: its demo).")
    ] = None,
    given: Annotated[
        str | None, typer.Option("--input", "-i", help="That input as JSON, @FILE, or - for stdin.")
    ] = None,
    start_job: Annotated[
        bool, typer.Option("--start-job", help="Also start one job, which is not paid and lapses.")
    ] = False,
) -> int:
    """How a service deviates from MIP-003 and the node's rules, what our buyer does, what to fix. Costs nothing."""
    from masumi_tools.cli.inspection import inspect as look

    context: Context = ctx.obj
    data = read_input(pairs or [], given) if pairs or given is not None else None
    found = look(context.settings, target, start_job=start_job, input_data=data)
    status = 0 if found.hireable else 1
    if context.as_json:
        context.print_json({**asdict(found), "hireable": found.hireable})
        return status
    head = " · ".join(filter(None, (found.name or found.target, found.price, found.url)))
    context.out.print(foreign(head, 600))
    table = Table.grid(padding=(0, 2))
    for finding in found.findings:
        mark, style = _WEIGHTS[finding.weight]
        words = foreign(f"{finding.what}\n", 600)
        words.append(f"this buyer {finding.ours}; fix: {finding.fix}", style="dim")
        table.add_row(Text(mark, style=style), finding.where, words)
    context.out.print(table)
    verdict = "It can be hired." if found.hireable else "It cannot be hired as it is."
    context.out.print(f"{verdict} {len(found.findings) or 'Nothing'} to fix.")
    return status
