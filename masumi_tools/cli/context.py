"""What every command shares: settings from flags and environment, and how it prints."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from masumi_tools.errors import InputError
from masumi_tools.hire.receipt import Receipt
from masumi_tools.settings import Settings

GLOBAL_FLAGS = frozenset({"--json", "--sandbox"})
GLOBAL_OPTIONS = frozenset(
    {
        "--node-url",
        "--node-token",
        "--registry-url",
        "--registry-token",
        "--network",
        "--database-url",
    }
)


@dataclass
class Context:
    """The settings given by flags, over those of the environment, and where to print."""

    flags: dict[str, str] = field(default_factory=dict)
    as_json: bool = False
    out: Console = field(default_factory=lambda: _console(sys.stdout.isatty()))
    err: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))

    @property
    def settings(self) -> Settings:
        """SettingsError names what is missing or wrong."""
        return Settings.from_env(over=self.flags)

    def print_json(self, document: Any) -> None:
        typer.echo(json.dumps(document, ensure_ascii=False, default=str))


def settings_options(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    node_url: Annotated[str, typer.Option(help="Your payment node (MASUMI_NODE_URL).")] = "",
    node_token: Annotated[str, typer.Option(help="Its API key (MASUMI_NODE_TOKEN).")] = "",
    registry_url: Annotated[str, typer.Option(help="The registry (MASUMI_REGISTRY_URL).")] = "",
    registry_token: Annotated[str, typer.Option(help="Its API key (MASUMI_REGISTRY_TOKEN).")] = "",
    network: Annotated[str, typer.Option(help="Preprod or Mainnet (MASUMI_NETWORK).")] = "",
    database_url: Annotated[str, typer.Option(help="Where hires are kept (MASUMI_DATABASE_URL).")] = "",
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Services on loopback are allowed.")] = False,
) -> None:
    """Hire paid agentic services on the Masumi Network, sell your own, and try it all offline."""
    given = {
        "MASUMI_NODE_URL": node_url,
        "MASUMI_NODE_TOKEN": node_token,
        "MASUMI_REGISTRY_URL": registry_url,
        "MASUMI_REGISTRY_TOKEN": registry_token,
        "MASUMI_NETWORK": network,
        "MASUMI_DATABASE_URL": database_url,
        "MASUMI_SANDBOX": "1" if sandbox else "",
    }
    ctx.obj = Context({name: value for name, value in given.items() if value}, as_json)


def read_input(pairs: list[str], given: str | None) -> Any:
    """The input of a hire or an answer: `field=value` words, or JSON text, @FILE, or - for stdin."""
    if given is not None and pairs:
        raise InputError("give the input as field=value words or with --input, not both")
    if given is None:
        fields: dict[str, Any] = {}
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if not equals or not name:
                raise InputError(f"{pair!r} is no field=value")
            fields[name] = value
        return fields
    text = given
    if given == "-":
        text = sys.stdin.read()
    elif given.startswith("@"):
        text = Path(given[1:]).read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"--input is no JSON: {error}; an object such as " + '{"text": "hello"}') from error


def status_of(receipt: Receipt) -> int:
    """The exit status that a receipt means."""
    if receipt.ok:
        return 0
    return 3 if receipt.open else 1


def _console(is_terminal: bool) -> Console:
    """Into a pipe the lines are wide enough for an agent identifier: they are read by grep, not by people."""
    return Console(highlight=False, width=None if is_terminal else 200)
