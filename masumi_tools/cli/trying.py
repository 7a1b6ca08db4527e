"""Commands to try and to examine: demo, sandbox, simulate, doctor."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from masumi_tools.cli.context import Context
from masumi_tools.cli.show import foreign
from masumi_tools.errors import InputError


def add_to(app: typer.Typer) -> None:
    for command in (demo, sandbox, simulate, doctor):
        app.command()(command)


def demo(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Option(envvar="MASUMI_DEMO_MODEL", help='A real model, such as "openai:gpt-5-mini".'),
    ] = None,
) -> int:
    """An LLM agent with a budget hires services of an embedded sandbox: no keys, no network, seconds."""
    from masumi_tools.demo import run

    context: Context = ctx.obj
    return run(context, model)


def sandbox(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 takes a free one.")] = 0,
    ready_file: Annotated[Path | None, typer.Option(help="Write the addresses as JSON to this file.")] = None,
    time_scale: Annotated[float, typer.Option(help="How many times faster its clock runs.")] = 1.0,
    dialect: Annotated[str, typer.Option(help="today or seed: which buyer routes the node has.")] = "today",
    realistic: Annotated[bool, typer.Option("--realistic", help="The node's own intervals.")] = False,
) -> None:
    """A simulated node, registry and sample services on loopback, until it is stopped."""
    from masumi_tools.sandbox.__main__ import run

    if dialect not in ("today", "seed"):
        raise InputError("--dialect is today or seed")
    if not time_scale > 0:
        raise InputError("--time-scale is a number above 0")
    run(port, ready_file, time_scale, "seed" if dialect == "seed" else "today", realistic)


def simulate(
    ctx: typer.Context,
    seed: Annotated[int, typer.Option(help="The seed of the first history.")] = 0,
    histories: Annotated[int, typer.Option(help="How many histories, one seed after the other.")] = 1,
    trace: Annotated[bool, typer.Option("--trace", help="Print each history step by step.")] = False,
) -> int:
    """Whole worlds from a seed, with crashes, faults and bad sellers; says whether all that must hold held."""
    from masumi_tools.simulation import Summary
    from masumi_tools.simulation.many import run_one

    context: Context = ctx.obj
    summary = Summary()
    begun = time.perf_counter()
    for number in range(seed, seed + histories):
        summary.add(run_one(number, typer.echo if trace and not context.as_json else None))
    summary.seconds = time.perf_counter() - begun
    if context.as_json:
        found = [{"seed": number, "violation": words} for number, words in summary.violations]
        context.print_json({"histories": summary.histories, "hires": dict(summary.ends), "violations": found})
        return 1 if found else 0
    context.out.print(str(summary), markup=False)
    for number, words in summary.violations:
        context.out.print(f"VIOLATION in seed {number}: {words}", style="bold red", markup=False)
    return 1 if summary.violations else 0


def doctor(ctx: typer.Context) -> int:
    """What is wrong with node, token, scope, network, clock, registry and journal, in plain words."""
    from masumi_tools.doctor import examine

    context: Context = ctx.obj
    findings = list(examine(context.settings))
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
