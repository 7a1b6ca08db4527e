"""Running a command: flags that stand anywhere, errors as one sentence, and the exit status."""

from __future__ import annotations

import json

import typer

from masumi_tools.cli import buying, inspecting, selling, trying
from masumi_tools.cli.context import GLOBAL_FLAGS, GLOBAL_OPTIONS, Context, settings_options
from masumi_tools.errors import InputError, MasumiError
from masumi_tools.text import redact

# typer brings its own click from some version on; its exceptions are found through what typer exports.
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]

DONE, LOST_NOTHING, USAGE, OPEN = 0, 1, 2, 3

app = typer.Typer(
    name="masumi-tools",
    help="Hire paid agentic services on the Masumi Network, sell your own, and try it all offline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(settings_options)
for room in (trying, buying, inspecting, selling):
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


def run(arguments: list[str]) -> int:
    """Run one command; its exit status. Errors are one sentence on stderr, or JSON with --json."""
    as_json = "--json" in arguments
    try:
        result = app(hoist(arguments), standalone_mode=False)
    except _ClickError as error:
        words = str(error.format_message()) if hasattr(error, "format_message") else str(error)
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(words)
            return USAGE
        return _failed(words, USAGE, as_json)
    except (typer.Abort, KeyboardInterrupt):
        return _failed("Stopped. An open hire goes on with `masumi-tools sweep`.", OPEN, as_json)
    except typer.Exit as end:
        return int(end.exit_code)
    except InputError as error:
        return _failed(str(error), USAGE, as_json, error)
    except MasumiError as error:
        return _failed(str(error), LOST_NOTHING, as_json, error)
    except BrokenPipeError:
        return LOST_NOTHING
    except OSError as error:
        return _failed(
            f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), LOST_NOTHING, as_json
        )
    return result if isinstance(result, int) else DONE


def _failed(message: str, status: int, as_json: bool, error: MasumiError | None = None) -> int:
    message = redact(message, 4_000)  # our own sentences; foreign text in them was cut before
    if as_json:
        document: dict[str, object] = {"error": message}
        if error is not None:
            document |= {"phase": error.phase, "fault": error.fault, "money": error.money}
            if isinstance(error, InputError) and error.field_errors:
                document["field_errors"] = error.field_errors
        typer.echo(json.dumps(document))
    else:
        typer.echo(message, err=True)
    return status


__all__ = ["Context", "app", "run"]
