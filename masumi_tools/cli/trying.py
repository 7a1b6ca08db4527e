"""Commands to try and to examine: demo, sandbox, doctor."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from masumi_tools.cli.context import Context, add
from masumi_tools.cli.show import foreign
from masumi_tools.errors import InputError, MasumiError


def add_to(app: typer.Typer) -> None:
    add(app, demo, sandbox, doctor)


def demo(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Option(envvar="MASUMI_DEMO_MODEL", help='A real model, such as "openai:gpt-5-mini".'),
    ] = None,
    mcp: Annotated[
        bool, typer.Option("--mcp", help="One hire more, by an MCP host that asks its user first.")
    ] = False,
) -> int:
    """An LLM agent with a budget hires services of an embedded sandbox: no keys, no network, seconds."""
    from masumi_tools.cli.demo import run

    context: Context = ctx.obj
    return run(context, model, mcp)


def sandbox(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 takes a free one.")] = 0,
    ready_file: Annotated[Path | None, typer.Option(help="Write the addresses as JSON to this file.")] = None,
    time_scale: Annotated[float, typer.Option(help="How many times faster its clock runs.")] = 1.0,
    dialect: Annotated[str, typer.Option(help="today or seed: which buyer routes the node has.")] = "today",
    realistic: Annotated[
        bool, typer.Option("--realistic", help="Use the real node's (slow) intervals.")
    ] = False,
    latency: Annotated[str, typer.Option(help="How long each answer takes.")] = "0ms",
    seed: Annotated[
        int | None,
        typer.Option(help="A number: the same port, token and keys each time."),
    ] = None,
) -> None:
    """A simulated node, registry and sample services on loopback, until it is stopped."""
    from masumi_tools.sandbox.__main__ import MOST_SEED, milliseconds, run

    if dialect not in ("today", "seed"):
        raise InputError("--dialect is today or seed")
    if seed is not None and not 0 <= seed <= MOST_SEED:
        raise InputError(f"--seed is a whole number from 0 to {MOST_SEED}")
    if not time_scale > 0:
        raise InputError("--time-scale is a number above 0")
    try:
        latency_ms = milliseconds(latency)
    except ValueError as error:
        raise InputError(f"--latency: {error}") from None
    try:
        run(
            port,
            ready_file,
            time_scale,
            "seed" if dialect == "seed" else "today",
            realistic,
            latency_ms,
            seed,
        )
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise
        why = str(error.strerror or error).partition(" (")[0]
        raise MasumiError(f"The sandbox cannot start: {why}; give another --port") from None


def doctor(
    ctx: typer.Context,
    mend: Annotated[bool, typer.Option("--mend", help="Correct sums of budgets that are wrong.")] = False,
) -> int:
    """What is wrong with node, token, scope, network, clock, registry and journal, in plain words."""
    from masumi_tools.cli.doctor import examine

    context: Context = ctx.obj
    findings = list(examine(context.settings, mend))
    healthy = all(finding.ok is not False for finding in findings)
    if context.as_json:
        listed = [{"name": f.name, "ok": f.ok, "words": f.words} for f in findings]
        context.print_json({"ok": healthy, "findings": listed})
        return 0 if healthy else 1
    table = Table.grid(padding=(0, 2))
    marks = {True: ("ok", "green"), False: ("wrong", "bold red"), None: ("note", "yellow")}
    for finding in findings:
        mark, style = marks[finding.ok]
        table.add_row(Text(mark, style=style), finding.name, foreign(finding.words, 600))
    context.out.print(table)
    return 0 if healthy else 1
