"""How things look in a terminal: tables, panels and the live line; and as JSON."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from masumi_tools.cli.context import Context, Unwritten, status_of
from masumi_tools.errors import StateError
from masumi_tools.hire.budget import text_of
from masumi_tools.money import Amount, name_of
from masumi_tools.text import plain_text

if TYPE_CHECKING:  # what one command needs is imported by that command
    from masumi_tools.hire.approvals import PendingApproval
    from masumi_tools.hire.flows import Progress
    from masumi_tools.hire.quote import Quote
    from masumi_tools.hire.receipt import Check, Receipt
    from masumi_tools.hire.rows import BudgetLine
    from masumi_tools.inputs import InputSpec
    from masumi_tools.models import Listing

_ROOMY = 110  # columns of a terminal that hold a table of hires with their reasons
COLOURS = {
    "completed": "green",
    "reused": "green",
    "refunded": "cyan",
    "refused": "yellow",
    "lapsed": "yellow",
    "failed": "red",
    "disputed": "red",
}


@contextlib.contextmanager
def live(context: Context) -> Iterator[Callable[[Progress], None]]:
    """A line that says what happens while it happens; with --json or without a terminal only the id is noted."""

    def noted(progress: Progress) -> None:
        context.hire_id = progress.hire_id

    if context.as_json or not context.err.is_terminal:
        yield noted
        return
    from masumi_tools.tools.progress import STEPS

    with context.err.status("asking ...") as status:

        def told(progress: Progress) -> None:
            noted(progress)
            words = STEPS[progress.state.value]
            if progress.text:
                words = f"{words}: {plain_text(progress.text, 100)}"
            status.update(escape(words))

        yield told


def when(ms: int | None) -> str:
    """A time for people, in their zone."""
    if not ms:
        return ""
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def foreign(text: str | None, limit: int = 4000) -> Text:
    """A service's words: shown as they are, never as markup or as control characters."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else " " for c in (text or ""))
    return Text(shown if len(shown) <= limit else shown[:limit] + " ... (cut here; --json has it whole)")


def has_frames(console: Console) -> bool:
    """Whether lines and bars are for people: at a terminal and in a picture of one, not in a pipe."""
    return console.is_terminal or console.record


class _Framed:
    """What it holds in a frame for people at a terminal; as it is into a pipe."""

    def __init__(self, title: str, held: Text, style: str) -> None:
        self._title, self._held, self._style = title, held, style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if has_frames(console):
            yield Panel(self._held, title=self._title, border_style=self._style)
        else:
            yield Text(f"{self._title}:")
            yield self._held


def whole(identifier: str, before: str = "") -> Text:
    """An identifier on a line of its own, which nothing breaks or cuts, so that it can be copied."""
    return Text(f"{before}{plain_text(identifier, 300)}", no_wrap=True, overflow="ignore")


def receipt(made: Receipt) -> RenderableType:
    """A receipt as people want to read it: outcome, result, money, and how to go on."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    colour = COLOURS.get(made.outcome, "blue")
    table.add_row("outcome", Text(made.outcome, style=f"bold {colour}"))
    if made.reason:
        table.add_row("why", foreign(made.reason, 600))
    if made.service or made.url:
        table.add_row("service", foreign(made.service or made.url, 400))
    table.add_row("money", foreign(made.where_the_money_is, 600))
    if made.paid:
        table.add_row(
            "paid", f"{made.paid_text}, {made.refunded_text} refunded" if made.refunded else made.paid_text
        )
    if made.result is not None:
        table.add_row("checked", _checked(made))
    if made.approval is not None and made.approval.by:
        said = {"yes": "approved", "no": "refused"}.get(made.approval.answer, "not answered")
        table.add_row("asked", foreign(f"{said} by {made.approval.by}, {when(made.approval.at_ms)}", 300))
    if made.outcome == "needs_approval":
        table.add_row("next", f"masumi-tools approve {made.hire_id}")
        table.add_row("", f"or: masumi-tools deny {made.hire_id} WHY")
    elif made.outcome == "needs_input":
        spec = question_spec(made)
        given = " ".join(f"{field.id}=..." for field in spec.required or spec.asked)
        table.add_row("asked", foreign(_fields_line(spec)))
        table.add_row("next", foreign(f"masumi-tools answer {made.hire_id} {given}"))
    elif made.open:
        table.add_row("next", f"masumi-tools sweep; then masumi-tools receipt {made.hire_id}")
    table.add_row("hire", made.hire_id)
    parts: list[RenderableType] = [table]
    if made.agent_identifier:
        parts.append(whole(made.agent_identifier, "agent    "))
    if made.result is not None:
        parts.append(_Framed("result (the service's words)", foreign(made.result), colour))
    return Group(*parts)


def _checked(made: Receipt) -> str:
    if made.verified is None:
        return "not yet: no hash is on the chain" if made.paid else "free services put no hash on the chain"
    return "matches the hash on the chain" if made.verified else "does NOT match the hash on the chain"


class _Hires:
    """A line for each hire; why it is as it is stands beside it where there is room, else below it."""

    _NAMES = ("hire", "when", "service", "outcome", "paid")

    def __init__(self, found: Sequence[Receipt]) -> None:
        self._found = found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width >= _ROOMY:
            table = table_of(*self._NAMES, "why", unbroken=("hire", "outcome"))
            for made in self._found:
                table.add_row(*_hire_cells(made), _why(made))
            yield table
            return
        widths = [max(map(cell_len, column)) for column in zip(*map(_hire_words, self._found), strict=True)]
        for made in self._found:
            row = Table.grid(padding=(0, 2, 0, 0))
            for width in widths:
                row.add_column(overflow="fold", min_width=min(width, 16))
            row.add_row(*_hire_cells(made))
            yield row
            if why := _why(made):
                yield Padding(why, (0, 0, 0, 2), expand=False)


def receipts(found: Sequence[Receipt]) -> RenderableType:
    """The hires, one after the other, each with its identifier whole."""
    return _Hires(found)


def _hire_cells(made: Receipt) -> tuple[Text, ...]:
    paid = f"{made.paid_text}, {made.refunded_text} refunded" if made.refunded else made.paid_text
    return (
        whole(made.hire_id),
        Text(when(made.created_ms)[:16], no_wrap=True),
        foreign(made.service or made.url, 60),
        Text(made.outcome, style=COLOURS.get(made.outcome, "blue"), no_wrap=True),
        Text(paid),
    )


def _hire_words(made: Receipt) -> tuple[str, ...]:
    return tuple(cell.plain for cell in _hire_cells(made))


def _why(made: Receipt) -> Text:
    return foreign(made.reason or (made.where_the_money_is if made.open else ""), 200)


def table_of(*names: str, unbroken: Sequence[str] = ()) -> Table:
    """A table whose cells are folded, except in the columns that are copied from or read as one word."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=name in unbroken)
    return table


def approvals(found: Sequence[PendingApproval]) -> Table:
    table = table_of("hire", "service", "price", "input", "budget", "waits until", unbroken=("hire",))
    for one in found:
        table.add_row(
            one.hire_id,
            foreign(one.name or one.url, 60),
            Text(one.price_text, style="bold"),
            foreign(json.dumps(one.input_data, ensure_ascii=False), 300),
            foreign(one.budget, 60),
            when(one.until_ms),
        )
    return table


def checks(lines: Sequence[Check]) -> Table:
    table = table_of("checked offline", "verdict", "why")
    styles = {"verified": "green", "not verified": "red", "not verifiable": "yellow"}
    for line in lines:
        table.add_row(line.name, Text(line.verdict, style=styles[line.verdict]), foreign(line.why, 300))
    return table


def listings(found: Sequence[Listing], *, sandbox: bool = False) -> RenderableType:
    """Each service with its price, what it does, and its identifier whole."""
    parts: list[RenderableType] = []
    for entry in found:
        head = foreign(entry.name, 60)
        head.stylize("bold")
        parts.append(head + Text(f"  {price_text(entry)}"))
        if words := foreign(_not_hireable(entry, sandbox) or entry.description, 200):
            parts.append(Padding(words, (0, 0, 0, 2), expand=False))
        parts.append(whole(entry.agent_identifier, "  "))
    return Group(*parts)


def price_text(entry: Listing) -> str:
    if entry.price.is_free:
        return "free"
    return text_of(entry.price.amounts) if entry.price.amounts else "set by each offer"


def _not_hireable(entry: Listing, sandbox: bool) -> str:
    """Why an entry that is only shown cannot be hired, or by what it was superseded; empty otherwise."""
    if (obstacle := entry.obstacle(sandbox=sandbox)) is not None:
        return f"cannot be hired: {obstacle}"
    return f"superseded by {entry.superseded_by}" if entry.superseded_by else ""


def health_text(entry: Listing) -> str:
    """What the registry's checks saw, for people; empty where it never checked."""
    percent = entry.health.percent
    return "" if percent is None else f"{percent:.0f} % of {entry.health.checks} checks answered"


def listing_json(entry: Listing, *, sandbox: bool = False) -> dict[str, Any]:
    return {
        "name": entry.name,
        "agent_identifier": entry.agent_identifier,
        "url": entry.api_base_url,
        "description": entry.description,
        "price": price_text(entry),
        "status": entry.status,
        "tags": list(entry.tags),
        "capability": entry.capability,
        "kind": entry.kind,
        "cannot_be_hired": entry.obstacle(sandbox=sandbox),
        "payment_source": entry.source_text or None,
        "superseded_by": entry.superseded_by or None,
        "uptime_percent": entry.health.percent,
        "claims_not_verified": list(entry.claims),
        "notes": list(entry.notes),
    }


def quote(found: Quote) -> RenderableType:
    if found.listing is None:
        return Text(style="yellow") + foreign(found.refusal or "The service cannot be hired.", 600)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("service", foreign(found.listing.name, 100))
    if found.listing.description:
        table.add_row("does", foreign(found.listing.description, 400))
    table.add_row("price", Text(found.price_text, style="bold"))
    table.add_row("known", Text(str(found.known)))
    if found.listing.source_text:
        table.add_row("paid by", Text(found.listing.source_text))
    table.add_row("url", foreign(found.listing.api_base_url, 300))
    if health := health_text(found.listing):
        table.add_row("uptime", health)
    if found.listing.claims:
        table.add_row("claims", foreign("; ".join(found.listing.claims), 300) + Text(" (not verified)"))
    if found.listing.superseded_by:
        table.add_row("newer", Text(f"agent {found.listing.superseded_by} took its place"))
    for note in found.listing.notes:
        table.add_row("note", foreign(note, 300))
    if found.reached:
        table.add_row("input", foreign(_fields_line(found.spec)))
    if found.refusal:
        table.add_row("but", Text("it cannot be hired now: ", style="yellow") + foreign(found.refusal, 400))
    return table


def quote_json(found: Quote) -> dict[str, Any]:
    document: dict[str, Any] = listing_json(found.listing) if found.listing else {"target": found.target}
    document["price"] = found.price_text
    document["known"] = {"text": str(found.known), **found.known.as_json()}
    document["amounts"] = [{"amount": str(amount.quantity), "unit": amount.unit} for amount in found.price]
    document["fields"] = [
        {
            "id": field.id,
            "type": field.type,
            "name": field.name,
            "required": field.required,
            "description": field.description,
        }
        for field in found.spec.asked
    ]
    if found.refusal:
        document["refusal"] = found.refusal
    return document


def question_spec(made: Receipt) -> InputSpec:
    """What a hire that needs input asks for; StateError when it asks for nothing."""
    if made.outcome != "needs_input":
        raise StateError(
            f"the hire {made.hire_id} is not waiting for an answer (it is {made.outcome})", money=made.money
        )
    from masumi_tools.inputs import read_input_schema

    return read_input_schema(made.question)


def _fields_line(spec: InputSpec) -> str:
    from masumi_tools.inputs import describe

    return describe(spec)


class _Bar:
    """What is used of a budget in one unit: a bar at a terminal, and in words."""

    def __init__(self, line: BudgetLine) -> None:
        self._line = line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line, shown = self._line, Text("  ")
        if line.limit and has_frames(console):
            filled = min(round(30 * line.used / line.limit), 30)
            shown.append("█" * filled, style="red" if filled == 30 else "yellow")
            shown.append("░" * (30 - filled), style="green")
            shown.append("  ")
        yield shown.append(str(line))


def budget(name: str, lines: Sequence[BudgetLine]) -> RenderableType:
    """A budget with a bar per unit."""
    return Group(Text(name, style="bold"), *map(_Bar, lines))


def budget_json(lines: Sequence[BudgetLine]) -> list[dict[str, Any]]:
    def shown(quantity: int | None, unit: str) -> str | None:
        return None if quantity is None else str(Amount(quantity, unit))

    return [
        {
            "unit": name_of(line.unit),
            **{
                name: shown(getattr(line, name), line.unit)
                for name in ("limit", "left", "reserved", "locked", "spent", "refunded", "released")
            },
        }
        for line in lines
    ]


def print_receipt(context: Context, made: Receipt, output: Path | None = None) -> int:
    """Print what was hired, or write it where the person wants it; the exit status of the command."""
    context.made = made  # first: whatever becomes of the printing, this is what was hired
    if output is not None and made.result is not None:
        try:
            output.write_text(made.result, encoding="utf-8")
        except OSError as error:
            raise Unwritten(f"{output}: {error.strerror or error}") from error
    if context.as_json:
        context.print_json(made.as_json())
    else:
        context.out.print(receipt(made))
    return status_of(made)
