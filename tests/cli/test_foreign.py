"""What services and nodes say is shown in a terminal as text: no escape sequence, and no markup of ours."""

from __future__ import annotations

import io

import pytest

from masumi_tools.hire.quote import Quote
from masumi_tools.hire.receipt import Receipt
from masumi_tools.inputs import InputSpec
from masumi_tools.settings import Settings

pytest.importorskip("typer")
from rich.console import Console

from masumi_tools.cli import inspecting, inspection, show
from masumi_tools.cli.context import Context

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m and [/bold] [red]markup"


def shown(renderable: object) -> str:
    out = io.StringIO()
    Console(file=out, width=200, force_terminal=False).print(renderable)
    return out.getvalue()


def is_plain(text: str) -> bool:
    return "[/bold] [red]markup" in text and not set(text) & {"\x1b", "\x07", "\x9b"}


def test_the_refusal_in_a_quote() -> None:
    spec = InputSpec(open_ended=True)

    assert is_plain(shown(show.quote(Quote("x", None, (), False, False, spec, 0, HOSTILE))))


def test_where_the_money_of_a_receipt_is() -> None:
    assert is_plain(shown(show.receipt(Receipt(hire_id="a", outcome="failed", where_the_money_is=HOSTILE))))


def test_what_an_inspection_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = inspection.Finding("GET /status", "tolerated", HOSTILE, "goes on", "mend it")
    found = inspection.Inspection("x", name=HOSTILE, findings=(finding,))
    monkeypatch.setattr(inspection, "inspect", lambda *args, **options: found)
    out = io.StringIO()
    context = Context(flags={"MASUMI_NODE_URL": "http://localhost:3001"}, out=Console(file=out, width=200))
    assert isinstance(context.settings, Settings)

    class Asked:
        obj = context

    inspecting.inspect(Asked(), "x", None, None, False)  # type: ignore[arg-type]

    assert is_plain(out.getvalue()) and out.getvalue().count("[red]markup") == 2


def test_words_between_colons_are_no_pictures() -> None:
    console = Context().out

    with console.capture() as shown:
        console.print("the service :star: says")

    assert shown.get() == "the service :star: says\n"
