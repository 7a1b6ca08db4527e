"""Commands of the buyer: find, quote, hire, hires, receipt, answer, refund, sweep, budget."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from masumi_tools.cli import show
from masumi_tools.cli.context import Context, add, guarded, read_input, writable
from masumi_tools.cli.ending import told_when_ended
from masumi_tools.errors import InputError, JournalError, JournalVersionError
from masumi_tools.hire.budget import Budget
from masumi_tools.money import parse_amounts
from masumi_tools.text import safe_json

if TYPE_CHECKING:  # what one command needs is imported by that command
    from masumi_tools.hire.find import FindOptions, SortBy
    from masumi_tools.hire.receipt import Receipt
    from masumi_tools.journal.row import Row

Target = Annotated[
    str, typer.Argument(help="Agent identifier, https URL, or the exact name in the registry.")
]
Pairs = Annotated[list[str] | None, typer.Argument(help="The input: field=value ...")]
Given = Annotated[str | None, typer.Option("--input", "-i", help="The input as JSON, @FILE, or - for stdin.")]
MaxPrice = Annotated[str | None, typer.Option(help='The most that this hire may cost, such as "2 ADA".')]
Patience = Annotated[float, typer.Option(help="Seconds to wait; afterwards the hire continues without you.")]
_SHOWN = 50
HireId = Annotated[str, typer.Argument(help="The id of a hire, as `hires` shows it.")]


def add_to(app: typer.Typer) -> None:
    add(app, find, quote, told_when_ended(hire), receipt)
    add(app, *[told_when_ended(command) for command in (answer, refund, sweep)], budget)
    books = typer.Typer(invoke_without_command=True)
    books.callback()(guarded(hires))
    books.command("write-off")(guarded(write_off))
    books.command("archive")(guarded(archive))
    app.add_typer(books, name="hires")


def find(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(help="Words to look for.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only with this tag.")] = None,
    capability: Annotated[str | None, typer.Option(help="Only with this capability.")] = None,
    max_price: MaxPrice = None,
    min_price: Annotated[str | None, typer.Option(help='The least price, such as "1 ADA".')] = None,
    min_uptime: Annotated[
        float | None, typer.Option(help="Percent of the registry's checks that it answered.")
    ] = None,
    checked_within: Annotated[
        float | None, typer.Option(help="Seconds since the registry last checked it.")
    ] = None,
    sort: Annotated[str | None, typer.Option(help="By uptime, price, recency or score.")] = None,
    all_kinds: Annotated[
        bool, typer.Option("--all-kinds", help="Also those that cannot be hired from here.")
    ] = False,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 20,
) -> int:
    """Look for services in the registry."""
    from masumi_tools.hire.buyer import Buyer

    context: Context = ctx.obj
    options: FindOptions = {
        "tags": tag or [],
        "capability": capability,
        "min_price": min_price,
        "max_price": max_price,
        "min_uptime": min_uptime,
        "checked_within_s": checked_within,
        "sort_by": cast("SortBy | None", sort),
        "all_kinds": all_kinds,
    }
    with Buyer(context.settings) as buyer:
        found = buyer.find(" ".join(words or []), limit=limit, **options)
    sandbox = context.settings.sandbox
    if context.as_json:
        hidden = {
            "other_kinds": found.other_kinds,
            "superseded": found.superseded,
            "unusable": found.unusable,
            "offline": found.offline,
        }
        services = [show.listing_json(entry, sandbox=sandbox) for entry in found]
        context.print_json({"services": services, "left_out": hidden})
    else:
        context.out.print(show.listings(found, sandbox=sandbox) if found else "No service matches.")
        if found.left_out:
            more = " --all-kinds shows them." if found.hidden else ""
            context.out.print(f"{found.left_out}{more}")
    return 0


def quote(ctx: typer.Context, target: Target) -> int:
    """What a service costs, and which input it wants. Nothing is paid."""
    from masumi_tools.hire.buyer import Buyer

    context: Context = ctx.obj
    with Buyer(context.settings) as buyer:
        found = buyer.quote(target)
    # A quote shows a price; it is not refused for want of a budget, which `hire` asks for.
    if context.as_json:
        context.print_json(show.quote_json(found))
    else:
        context.out.print(show.quote(found))
    return 1 if found.refusal else 0


def hire(
    ctx: typer.Context,
    target: Target,
    pairs: Pairs = None,
    given: Given = None,
    max_price: MaxPrice = None,
    limit: Annotated[
        str | None, typer.Option("--budget", help='The total of the budget, such as "20 ADA".')
    ] = None,
    budget_name: Annotated[str, typer.Option(help="Its name in the journal.")] = "default",
    approve_above: Annotated[
        str | None, typer.Option(help="Above this price a person is asked first: see `approvals`.")
    ] = None,
    per_new_service: Annotated[
        str | None, typer.Option(help="The most for a service that has never delivered here.")
    ] = None,
    patience: Patience = 600,
    scope: Annotated[str, typer.Option(help="Keeps equal hires of different purposes apart.")] = "",
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Start and pay for a new hire, even if an equal one is open or has just ended."
        ),
    ] = False,
    on_mismatch: Annotated[
        str, typer.Option(help="keep or refund, when the result does not match.")
    ] = "keep",
    output: Annotated[Path | None, typer.Option(help="Also write the result to this file.")] = None,
) -> int:
    """Hire a service: pay into escrow, wait, check the result, or get the money back."""
    from masumi_tools.hire.buyer import Buyer
    from masumi_tools.tools.arguments import read_arguments

    context: Context = ctx.obj
    if on_mismatch not in ("keep", "refund"):
        raise InputError("--on-mismatch is keep or refund")
    data = read_input(pairs or [], given)
    writable(output)
    bounds = _bounds(limit, budget_name, approve_above, per_new_service)
    cap = parse_amounts(max_price) if max_price else None
    begun = time.monotonic()
    with show.live(context) as told, Buyer(context.settings, budget=bounds, on_progress=told) as buyer:
        found = None
        if pairs:
            found = buyer.quote(target)
            if found.listing is not None:
                data = read_arguments(found.spec, data)
        # A price that was only looked up is no limit: without one, nothing is paid.
        agreed = found if found is not None and found.listing is not None and bounds and not cap else None
        made = buyer.hire(
            found.target if found is not None else target,
            data,
            max_price=cap,
            patience_s=max(patience - (time.monotonic() - begun), 0),  # the look at the price counts
            scope=scope,
            again=again,
            on_mismatch="refund" if on_mismatch == "refund" else "keep",
            quote=agreed,
        )
    return show.print_receipt(context, made, output)


def _bounds(
    total: str | None, name: str, approve_above: str | None, per_new_service: str | None
) -> Budget | None:
    """The budget that the options describe; None without one, where no other limit may stand alone."""
    if total:
        return Budget(total, name=name, approve_above=approve_above, per_new_service=per_new_service)
    for option, given in (("--approve-above", approve_above), ("--per-new-service", per_new_service)):
        if given:
            raise InputError(f"{option} needs --budget")
    return None


def hires(
    ctx: typer.Context,
    only_open: Annotated[bool, typer.Option("--open", help="Only hires that have not ended.")] = False,
    budget_name: Annotated[str | None, typer.Option("--budget", help="Only of this budget.")] = None,
    as_csv: Annotated[
        str | None, typer.Option("--csv", help="Write all receipts as CSV to this file, or -.")
    ] = None,
    as_lines: Annotated[str | None, typer.Option("--jsonl", help="Write all receipts as JSON lines.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many of the newest; the table has 50, all else has all.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All hires, however many.")] = False,
) -> int:
    """The hires in the journal: what is open and why, and exports for bookkeeping."""
    if ctx.invoked_subcommand is not None:
        return 0
    from masumi_tools.journal.store import Journal

    context: Context = ctx.obj
    shown = bool(not (as_csv or as_lines or context.as_json))
    most = None if every else limit or (_SHOWN if shown else None)
    with contextlib.closing(Journal(context.settings.database_url)) as journal:
        rows = journal.pages(only_open=only_open, budget=budget_name, size=min(most or 500, 500))
        pages = _newest(rows, most)

        def left_out(count: int) -> int:
            return journal.count(only_open=only_open, budget=budget_name) - count if count == most else 0

        if as_csv or as_lines:
            _export(pages, as_csv or as_lines or "-", "csv" if as_csv else "jsonl")
        elif context.as_json:
            _print_json(context, pages, left_out)
        else:
            found = [entry for page in pages for entry in page]
            context.out.print(show.receipts(found) if found else "There are no hires yet.")
            if (more := left_out(len(found))) > 0:
                context.out.print(f"… and {more} more; --all lists them")
    return 0


def _print_json(context: Context, pages: Iterable[list[Receipt]], left_out: Callable[[int], int]) -> None:
    """One document, written a page at a time: all hires may be more than the memory holds."""
    count, lead = 0, '{"hires": ['
    for page in pages:
        typer.echo(lead + ", ".join(context.json_of(entry.as_json()) for entry in page), nl=False)
        count, lead = count + len(page), ", "
    more = left_out(count)
    typer.echo(("" if count else lead) + (f'], "left_out": {more}}}' if more > 0 else "]}"))


def _newest(pages: Iterable[list[Row]], most: int | None) -> Iterator[list[Receipt]]:
    """The receipts of these pages, a page at a time, up to `most`."""
    from masumi_tools.hire.receipt import receipt_of
    from masumi_tools.hire.rows import purchase_of

    for page in pages:
        rows = page if most is None else page[:most]
        yield [receipt_of(purchase_of(row)) for row in rows]
        most = None if most is None else most - len(rows)
        if most == 0:
            return


def write_off(
    ctx: typer.Context,
    hire_id: HireId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int:
    """Close the books of a hire whose node is gone or does not know it; its budget gets the amount back."""
    from masumi_tools.hire.buyer import Buyer

    context: Context = ctx.obj
    with Buyer(context.settings) as buyer:
        found = buyer.receipt(hire_id)
        if not yes:
            context.out.print(f"{hire_id}: {found.where_the_money_is} {found.reason}".rstrip())
            typer.confirm(
                "It is not asked about any more, and the same input can be hired and paid again. Close it?",
                abort=True,
                err=context.as_json,
            )
        made = buyer.write_off(hire_id)
    if context.as_json:
        context.print_json(made.as_json())
    else:
        context.out.print(show.receipt(made))
    return 0


def archive(
    ctx: typer.Context,
    before: Annotated[datetime, typer.Option(help="Hires that ended before this date.")],
    file: Annotated[
        Path, typer.Option("--to", help="The file that their receipts are added to, as JSON lines.")
    ],
    vacuum: Annotated[
        bool,
        typer.Option(help="Then give the room back to the disk (SQLite; nothing else may write meanwhile)."),
    ] = False,
) -> int:
    """Move old hires out of the journal to a file; what they cost stays counted in their budgets."""
    from masumi_tools.hire import archive as archiving
    from masumi_tools.journal.store import Journal, now_ms

    context: Context = ctx.obj
    journal = Journal(context.settings.database_url)
    try:
        moved = archiving.archive(journal, int(before.timestamp() * 1000), file, now_ms())
        if vacuum:
            journal.vacuum()
    finally:
        journal.close()
    if context.as_json:
        context.print_json({"archived": moved, "file": str(file)})
    else:
        context.out.print(f"archived: {moved}")
    return 0


def receipt(
    ctx: typer.Context,
    hire_id: HireId,
    verify: Annotated[bool, typer.Option("--verify", help="Check hashes and signature, offline.")] = False,
    file: Annotated[
        Path | None,
        typer.Option("--from", help="The file that it was archived to, or exported as JSON lines."),
    ] = None,
) -> int:
    """Show one hire's receipt from the journal; --verify checks it offline."""
    from masumi_tools.hire import archive as archiving

    context: Context = ctx.obj
    found = archiving.receipt_in(file, hire_id) if file else _kept(context, hire_id)
    checks = found.verify() if verify else []
    if context.as_json:
        document = found.as_json()
        if verify:
            document["checks"] = [{"name": c.name, "verdict": c.verdict, "why": c.why} for c in checks]
        context.print_json(document)
    else:
        context.out.print(show.receipt(found))
        if verify:
            context.out.print(show.checks(checks))
    return 1 if any(check.verdict == "not verified" for check in checks) else 0


def _kept(context: Context, hire_id: str) -> Receipt:
    from masumi_tools.hire.receipt import receipt_of
    from masumi_tools.hire.rows import purchase_of
    from masumi_tools.journal.store import Journal

    journal = Journal(context.settings.database_url)
    try:
        row = journal.get(hire_id)
    finally:
        journal.close()
    if row is None:
        raise InputError(f"there is no hire {hire_id!r} in this journal; `masumi-tools hires` lists them")
    return receipt_of(purchase_of(row))


def answer(
    ctx: typer.Context, hire_id: HireId, pairs: Pairs = None, given: Given = None, patience: Patience = 600
) -> int:
    """Give a service the input that it asked for, then wait for its result."""
    from masumi_tools.hire.buyer import Buyer
    from masumi_tools.tools.arguments import read_arguments

    context: Context = ctx.obj
    context.hire_id = hire_id
    data = read_input(pairs or [], given)
    with show.live(context) as told, Buyer(context.settings, on_progress=told) as buyer:
        seen = None
        if pairs:
            asked = buyer.receipt(hire_id)
            data, seen = read_arguments(show.question_spec(asked), data), asked.question
        return show.print_receipt(context, buyer.answer(hire_id, data, seen=seen, patience_s=patience))


def refund(ctx: typer.Context, hire_id: HireId, patience: Patience = 60) -> int:
    """Request a refund of a hire."""
    from masumi_tools.hire.buyer import Buyer

    context: Context = ctx.obj
    context.hire_id = hire_id
    with show.live(context) as told, Buyer(context.settings, on_progress=told) as buyer:
        made = buyer.refund(hire_id, patience_s=patience)
    show.print_receipt(context, made)
    if made.outcome in ("refunded", "refund_requested", "disputed", "refused", "lapsed"):
        return 0  # the money is here, or on its way
    return 3 if made.open else 1


def sweep(
    ctx: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until stopped.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds between two rounds of --watch.")] = 30.0,
) -> int:
    """Update every open hire that is due: fetch results, follow refunds, record payouts. Needs no budget."""
    from masumi_tools.hire.buyer import Buyer

    context: Context = ctx.obj
    with Buyer(context.settings) as buyer:
        while True:
            try:
                swept, left = buyer.sweep(), buyer.journal.count_open()
            except JournalError as error:
                if not watch or isinstance(error, JournalVersionError):
                    raise
                context.err.print(f"{error}; the next round is in {interval:g} s", markup=False)
                time.sleep(interval)
                continue
            if context.as_json:
                context.print_json({"hires": [entry.as_json() for entry in swept], "open": left})
            else:
                context.out.print(show.receipts(swept) if swept else _nothing_due(left))
            if not watch:
                return 3 if left else 0
            time.sleep(interval)


def _nothing_due(left: int) -> str:
    if not left:
        return "No hire is open."
    return f"{left} hire{' is' if left == 1 else 's are'} open; nothing is to be done for them now."


def budget(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Only this budget.")] = None,
    limit: Annotated[str | None, typer.Option(help='Its total, such as "20 ADA", if it changed.')] = None,
) -> int:
    """How each budget stands: reserved, locked, spent, refunded, and what is left."""
    from masumi_tools.hire.rows import budget_lines
    from masumi_tools.journal.store import Journal

    context: Context = ctx.obj
    journal = Journal(context.settings.database_url)
    try:
        known = {key: text for key, text in journal.budgets().items() if name in (None, key)}
        lines = {
            key: budget_lines(
                journal.used(key), parse_amounts((limit or text).split(" + ")) if limit or text else ()
            )
            for key, text in known.items()
        }
    finally:
        journal.close()
    if context.as_json:
        context.print_json({"budgets": {key: show.budget_json(value) for key, value in lines.items()}})
    elif not lines:
        context.out.print("No budget was used yet.")
    for key, value in lines.items() if not context.as_json else ():
        if key or value:
            context.out.print(show.budget(key or "no budget, only --max-price", value))
    return 0


def _export(pages: Iterable[list[Receipt]], place: str, form: str) -> None:
    from masumi_tools.hire.receipts import Receipts

    with contextlib.ExitStack() as stack:
        out = (
            sys.stdout
            if place == "-"
            else stack.enter_context(Path(place).open("w", encoding="utf-8", newline=""))
        )
        if form == "jsonl":
            for page in pages:
                out.writelines(safe_json(entry.as_json()) + "\n" for entry in page)
            return
        out.write(Receipts([]).to_csv())
        for page in pages:
            out.write(Receipts(page).to_csv().partition("\n")[2])
