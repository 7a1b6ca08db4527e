"""What every command shares: settings from flags, environment and env file, how it prints, how it is stopped."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from masumi_tools.errors import InputError
from masumi_tools.settings import Settings, environment
from masumi_tools.text import safe_json

if TYPE_CHECKING:
    from masumi_tools.hire.receipt import Receipt

GLOBAL_FLAGS = frozenset({"--json", "--sandbox"})
GLOBAL_OPTIONS = frozenset(
    {
        "--node-url",
        "--node-token",
        "--registry-url",
        "--registry-token",
        "--network",
        "--database-url",
        "--env-file",
    }
)


class Stopped(Exception):
    """Ctrl-C: typer would swallow a KeyboardInterrupt."""


class Unwritten(Exception):
    """The output could not be written: a closed pipe, a full disk."""


class _Console(Console):
    def __init__(self, **options: Any) -> None:
        """Words between colons are no pictures: a service may have named itself so."""
        super().__init__(highlight=False, emoji=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Nothing is cut at the edge of the terminal: an identifier that is longer than a line stays whole."""
        super().print(*objects, **{"crop": False, **options})

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError("its reader is gone")


@dataclass
class Context:
    """The settings given by flags, over those of the environment and an env file, and where to print.

    `hire_id` is the hire that this command drives, `made` what it came to: both outlive an output that
    cannot be written, and a command that is stopped.
    """

    flags: dict[str, str] = field(default_factory=dict)
    as_json: bool = False
    out: Console = field(default_factory=lambda: _console(sys.stdout.isatty()))
    err: Console = field(default_factory=lambda: _Console(stderr=True))
    env_file: Path | None = None
    hire_id: str = ""
    made: Receipt | None = None

    @property
    def settings(self) -> Settings:
        """SettingsError names what is missing or wrong. What the environment has goes before the env file."""
        return Settings.from_env(environment(self.env_file), over=self.flags)

    def json_of(self, document: Any) -> str:
        """As JSON that stdout can take."""
        encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
        return safe_json(document, only_ascii=encoding not in ("utf8", "utf8sig"))

    def print_json(self, document: Any) -> None:
        typer.echo(self.json_of(document))


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, whose Ctrl-C and unwritable output are told by `run` instead of by typer."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        try:
            done = command(*args, **options)
            sys.stdout.flush()
        except BaseException as error:
            if _interrupted(error):
                raise Stopped from error
            if isinstance(error, OSError) and error.filename is None:  # not a file that somebody named
                raise Unwritten(error.strerror or str(error)) from error
            raise
        return done

    return run


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it: what it meets on its way out of a library may raise another error."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def add(app: typer.Typer, *commands: Callable[..., Any]) -> None:
    """Register commands under their names."""
    for command in commands:
        app.command()(guarded(command))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"masumi-tools {version('masumi_tools')}")
        raise typer.Exit


def settings_options(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    node_url: Annotated[str, typer.Option(help="Your payment node (MASUMI_NODE_URL).")] = "",
    node_token: Annotated[str, typer.Option(help="Its API key (MASUMI_NODE_TOKEN).")] = "",
    registry_url: Annotated[str, typer.Option(help="The registry (MASUMI_REGISTRY_URL).")] = "",
    registry_token: Annotated[str, typer.Option(help="Its API key (MASUMI_REGISTRY_TOKEN).")] = "",
    network: Annotated[str, typer.Option(help="Preprod or Mainnet (MASUMI_NETWORK).")] = "",
    database_url: Annotated[str, typer.Option(help="Where hires are kept (MASUMI_DATABASE_URL).")] = "",
    sandbox: Annotated[
        bool,
        typer.Option(
            "--sandbox", help="Sandbox mode: services on loopback are allowed. Never with real money."
        ),
    ] = False,
    env_file: Annotated[
        Path | None, typer.Option(help="A file with settings, NAME=value a line (default: .env here).")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
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
    context: Context = ctx.obj if isinstance(ctx.obj, Context) else Context()
    context.flags = {name: value for name, value in given.items() if value}
    context.as_json, context.env_file = as_json, env_file
    ctx.obj = context


def read_input(pairs: list[str], given: str | None) -> Any:
    """The input of a hire or an answer: `field=value` words, or JSON text, @FILE, or - for stdin.

    `field=@FILE` is the text of the file, `field=@@...` a value that begins with @. InputError for a field that
    is given twice and for a file that cannot be read.
    """
    if given is not None and pairs:
        raise InputError("give the input as field=value words or with --input, not both")
    if given is None:
        fields: dict[str, Any] = {}
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if not equals or not name:
                raise InputError(f"{pair!r} is not field=value")
            if name in fields:
                raise InputError(f"the field {name!r} is given twice; give each field once")
            fields[name] = _value(name, value)
        return fields
    text = given
    if given == "-":
        text = sys.stdin.read()
    elif given.startswith("@"):
        text = _file(given[1:], "--input")
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"--input is not JSON: {error}; an object such as " + '{"text": "hello"}') from error


def _value(name: str, value: str) -> str:
    if value.startswith("@@"):
        return value[1:]
    return _file(value[1:], f"{name}={value}") if value.startswith("@") else value


def _file(place: str, what: str) -> str:
    try:
        return Path(place).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        hint = "" if what == "--input" else "; a value that begins with @ is written with @@"
        raise InputError(f"{what}: the file {place!r} cannot be read: {why}{hint}") from None


def writable(place: Path | None) -> None:
    """InputError when the file cannot be written, before anything is hired for it."""
    if place is None:
        return
    try:
        place.open("a", encoding="utf-8").close()
    except OSError as error:
        raise InputError(f"--output: {place} cannot be written: {error.strerror or error}") from None


def status_of(receipt: Receipt) -> int:
    """The exit status that a receipt means."""
    if receipt.ok:
        return 0
    return 3 if receipt.open else 1


def _console(is_terminal: bool) -> Console:
    """Into a pipe no line is broken: they are read by grep, not by people."""
    return _Console(width=None if is_terminal else 10_000)
