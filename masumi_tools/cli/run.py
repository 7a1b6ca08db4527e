"""Running a command: flags that stand anywhere, errors as one sentence, and the exit status."""

from __future__ import annotations

import contextlib
import os
import sys
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from typer.main import get_command_name
from typer.models import CommandInfo

from masumi_tools.cli import approving, buying, inspecting, paging, selling, serving_mcp, starting, trying
from masumi_tools.cli.context import (
    GLOBAL_FLAGS,
    GLOBAL_OPTIONS,
    Context,
    Stopped,
    Unwritten,
    settings_options,
    status_of,
)
from masumi_tools.cli.ending import end_as_told
from masumi_tools.errors import InputError, MasumiError, MissingExtra, UnknownHire
from masumi_tools.money import parse_amounts
from masumi_tools.text import redact, safe_json

if TYPE_CHECKING:  # what one command needs is imported by that command
    from masumi_tools.hire.receipt import Receipt

# typer brings its own click from some version on; its exceptions are found through what typer exports.
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]

DONE, LOST_NOTHING, USAGE, OPEN = 0, 1, 2, 3

app = typer.Typer(
    name="masumi-tools",
    help="Hire paid agentic services on the Masumi Network, sell your own, and try it all offline.",
    no_args_is_help=True,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,  # frames are for people, not for pipes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(settings_options)
for room in (trying, starting, buying, approving, inspecting, selling, serving_mcp, paging):
    room.add_to(app)


def hoist(arguments: list[str]) -> list[str]:
    """The flags that every command knows moved to the front, where typer reads them."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name = word.split("=", 1)[0]
        if word == "--":
            rest += [word, *words]
        elif name in GLOBAL_FLAGS:
            front.append(word)
        elif name in GLOBAL_OPTIONS:
            front.append(word)
            if "=" not in word:
                front += [next(words, "")]
        else:
            rest.append(word)
    return [*front, *rest]


def _app_of(words: list[str]) -> typer.Typer:
    """The app with the named command and no other: to build all of them takes longer than most of them run."""
    name = _command(words)
    small = copy(app)
    small.registered_commands = [one for one in app.registered_commands if _name(one) == name]
    small.registered_groups = [one for one in app.registered_groups if one.name == name]
    return small if small.registered_commands or small.registered_groups else app


def _command(hoisted: list[str]) -> str:
    """The first word that is no flag of every command."""
    words = iter(hoisted)
    for word in words:
        if word.split("=", 1)[0] in GLOBAL_OPTIONS:
            next(words if "=" not in word else iter(()), "")
        elif word not in GLOBAL_FLAGS:
            return word
    return ""


def _name(command: CommandInfo) -> str:
    return command.name or get_command_name(getattr(command.callback, "__name__", ""))


def run(arguments: list[str]) -> int:
    """Run one command; its exit status. Errors are one sentence on stderr, or JSON with --json."""
    as_json = "--json" in arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what a code page lacks must not end a command that paid
            stream.reconfigure(errors="replace")
    context = Context()
    try:
        _quoted_amounts(arguments)
        hoisted = hoist(arguments)
        result = _app_of(hoisted)(hoisted, standalone_mode=False, obj=context)
    except _ClickError as error:
        words = str(error.format_message()) if hasattr(error, "format_message") else str(error)
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(words)
            return USAGE
        return _failed(words, USAGE, as_json)
    except (Stopped, typer.Abort, KeyboardInterrupt):
        status = _stopped(context)
        end_as_told()
        return status
    except Unwritten as error:
        return _unwritten(context, str(error))
    except typer.Exit as end:
        return int(end.exit_code)
    except (InputError, UnknownHire, MissingExtra) as error:
        return _failed(str(error), USAGE, as_json, error)
    except MasumiError as error:
        return _failed(str(error), LOST_NOTHING, as_json, error)
    except OSError as error:
        return _failed(
            f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), LOST_NOTHING, as_json
        )
    return result if isinstance(result, int) else DONE


def _quoted_amounts(arguments: list[str]) -> None:
    """`--max-price 2 ADA` without quotes would make ADA the service's name or a field."""
    for option, number, unit in zip(arguments, arguments[1:], arguments[2:], strict=False):
        if option not in ("--max-price", "--budget", "--limit") or not number.replace(".", "", 1).isdigit():
            continue
        try:
            parse_amounts(f"{number} {unit}")
        except MasumiError:
            continue
        raise InputError(f'quote the amount: {option} "{number} {unit}"')


def _stopped(context: Context) -> int:
    """Ctrl-C: which hire it was, where its money is, and how it goes on."""
    made = _known(context)
    if made is None:
        return _failed("Stopped. This command hired nothing.", OPEN, context.as_json)
    if not made.open:
        words = f"Stopped. The hire {made.hire_id} is {made.outcome}. {made.where_the_money_is}"
        return _failed(words, status_of(made), context.as_json)
    words = (
        f"Stopped. The hire {made.hire_id} is open: {made.where_the_money_is} "
        f"It continues: run `masumi-tools sweep`, then `masumi-tools receipt {made.hire_id}`."
    )
    return _failed(words, OPEN, context.as_json)


def _unwritten(context: Context, why: str) -> int:
    """The command's own exit status, with the hire on stderr: what was paid is never hidden by a full disk."""
    made = _known(context)
    # The interpreter flushes stdout once more when it ends.
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    if made is None:
        return _said(f"The output could not be written: {why}.", LOST_NOTHING)
    return _said(
        f"The output could not be written: {why}. The hire {made.hire_id} is {made.outcome}. "
        f"{made.where_the_money_is} Read it with `masumi-tools receipt {made.hire_id}`.",
        status_of(made),
    )


def _known(context: Context) -> Receipt | None:
    """What is known of the hire that this command drove."""
    if context.made is not None or not context.hire_id:
        return context.made
    from masumi_tools.hire.receipt import receipt_of
    from masumi_tools.hire.rows import purchase_of
    from masumi_tools.journal.store import Journal

    try:
        journal = Journal(context.settings.database_url)
        try:
            row = journal.get(context.hire_id)
        finally:
            journal.close()
        return receipt_of(purchase_of(row)) if row is not None else None
    except MasumiError:
        return None


def _said(message: str, status: int) -> int:
    with contextlib.suppress(OSError):
        typer.echo(redact(message, 4_000), err=True)
    return status


def _failed(message: str, status: int, as_json: bool, error: MasumiError | None = None) -> int:
    message = redact(message, 4_000)  # our own sentences; foreign text in them was cut before
    if not as_json:
        return _said(message, status)
    document: dict[str, object] = {"error": message}
    if error is not None:
        document |= {"phase": error.phase, "fault": error.fault, "money": error.money}
        if isinstance(error, InputError) and error.field_errors:
            document["field_errors"] = error.field_errors
    typer.echo(safe_json(document, only_ascii=True))
    return status


__all__ = ["Context", "app", "run"]
