"""The command `mcp`: the tools for MCP hosts, over stdio or HTTP."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from masumi_tools.cli.context import Context, add
from masumi_tools.errors import InputError
from masumi_tools.hire.budget import Budget


def add_to(app: typer.Typer) -> None:
    add(app, mcp)


def mcp(
    ctx: typer.Context,
    budget: Annotated[list[str] | None, typer.Option(help='All that may be spent, such as "20 ADA".')] = None,
    per_hire: Annotated[list[str] | None, typer.Option(help="The most that one hire may cost.")] = None,
    per_day: Annotated[list[str] | None, typer.Option(help="The most that one day may cost.")] = None,
    per_month: Annotated[list[str] | None, typer.Option(help="The most that one month may cost.")] = None,
    per_new_service: Annotated[
        list[str] | None, typer.Option(help="The most for a service that has never delivered here.")
    ] = None,
    approve_above: Annotated[
        list[str] | None, typer.Option(help="A person is asked before a hire above this.")
    ] = None,
    name: Annotated[str, typer.Option(help="The name of the budget in the journal.")] = "mcp",
    allow: Annotated[list[str] | None, typer.Option(help="Only this service may be hired.")] = None,
    service: Annotated[list[str] | None, typer.Option(help="A typed tool for this service.")] = None,
    wait: Annotated[float, typer.Option(help="Seconds that one call waits; the hire continues.")] = 45,
    http: Annotated[
        str | None,
        typer.Option(help="Serve HTTP at this address instead of stdio; a port alone is on 127.0.0.1."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="The file with the bearer token; made when it is not there.")
    ] = None,
) -> int:
    """Serve the tools to an MCP host (Claude, Cursor, VS Code ...) under one budget."""
    from masumi_tools.mcp import serve

    context: Context = ctx.obj
    if not budget and (per_hire or per_day or per_month or per_new_service or approve_above):
        raise InputError('limits need a --budget that they are part of, such as --budget "20 ADA"')
    if token_file is not None and http is None:
        raise InputError("--token-file is for --http; over stdio there is no token")
    limits = (
        Budget(
            budget,
            per_hire=per_hire,
            per_day=per_day,
            per_month=per_month,
            per_new_service=per_new_service,
            approve_above=approve_above,
            name=name,
        )
        if budget
        else None
    )
    serve(
        budget=limits,
        allow=allow or None,
        services=service or (),
        approve_above=approve_above,
        settings=context.settings,
        wait_s=wait,
        http=http,
        token=None if http is None else _token(token_file),
    )
    return 0


def _token(file: Path | None) -> str:
    """The token in this file; a new one is written to it, for its owner alone, when there is none."""
    if file is None:
        raise InputError("--http needs --token-file, so that only its user spends the budget")
    if not file.exists():
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
            out.write(secrets.token_urlsafe(32) + "\n")
    token = file.read_text(encoding="utf-8").strip()
    if len(token) < 16:
        raise InputError(f"the token in {file} has fewer than 16 characters; delete the file for a new one")
    return token
