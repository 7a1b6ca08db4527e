"""Commands of the seller: serve, worker, register, jobs."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from masumi_tools.cli.context import Context, add, guarded, read_input
from masumi_tools.cli.show import foreign, table_of
from masumi_tools.errors import InputError, MissingExtra
from masumi_tools.settings import Settings, take_env_file

Place = Annotated[
    str, typer.Argument(help="Where the service is made: FILE.py:service or package.module:service.")
]


class Period(StrEnum):
    NONE = ""
    DAY = "day"
    MONTH = "month"
    YEAR = "year"


def add_to(app: typer.Typer) -> None:
    add(app, serve, worker, register, jobs)
    app.command(name="try")(guarded(try_work))


def _commands(context: Context | None = None) -> Any:
    """The seller's commands. Those that load the seller's file do it with `.env` in the environment: the work may
    need keys of its own."""
    if context is not None:
        take_env_file(context.env_file)
    return _of_seller("commands")


def _ledger() -> Any:
    return _of_seller("ledger")


def _of_seller(name: str) -> Any:
    """A module of the seller's side; MissingExtra says what it needs."""
    try:
        return import_module(f"masumi_tools.seller.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "masumi_tools":
            raise
        raise MissingExtra(
            f"selling needs {error.name}: pip install 'masumi_tools[seller]'", phase="seller"
        ) from error


def _given(context: Context) -> Settings | None:
    """Settings where flags were given; else the file's own, or those of the environment."""
    return context.settings if context.flags else None


def _sayer(context: Context) -> Callable[[str], None]:
    return lambda words: context.err.print(words, soft_wrap=True, markup=False)


def serve(
    ctx: typer.Context,
    place: Place,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on; else HOST, else 127.0.0.1.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on; else PORT, else 8080.")] = None,
    drain: Annotated[
        float | None, typer.Option(help="Seconds that work in progress gets after SIGTERM (25).")
    ] = None,
    trusted_proxies: Annotated[
        str | None, typer.Option(help="Addresses or networks whose X-Forwarded-For is believed, with commas.")
    ] = None,
) -> None:
    """Serve a service: take requests, get paid, work. In a sandbox it is listed at once."""
    context: Context = ctx.obj
    proxies = trusted_proxies.split(",") if trusted_proxies else None
    _commands(context).serve(
        place,
        host=host,
        port=port,
        drain_s=drain,
        trusted_proxies=proxies,
        settings=_given(context),
        say=_sayer(context),
    )


def try_work(
    ctx: typer.Context,
    place: Place,
    pairs: Annotated[list[str] | None, typer.Argument(help="The input: field=value ...")] = None,
    given: Annotated[
        str | None, typer.Option("--input", "-i", help="The input as JSON, @FILE, or - for stdin.")
    ] = None,
) -> int:
    """Do the work once, without node, payment or server: what a buyer would get for this input."""
    from masumi_tools.seller import dry_run
    from masumi_tools.seller.work.base import WorkFailed

    context: Context = ctx.obj
    service = _commands(context).load(place)
    say = _sayer(context)

    def ask(spec: Any, message: str) -> dict[str, Any]:
        say(message)
        return {field.id: typer.prompt(field.name or field.id, err=True) for field in spec.required}

    try:
        result = dry_run.try_once(service, read_input(pairs or [], given), ask=ask, say=say)
    except WorkFailed as error:
        say(f"The job would fail, and the buyer would read: {error}")
        return 1
    if context.as_json:
        context.print_json({"result": result})
    else:
        context.out.print(result, soft_wrap=True, markup=False, highlight=False)
    return 0


def worker(ctx: typer.Context, place: Place) -> None:
    """Work without taking requests, beside processes that serve on the same database."""
    _commands(ctx.obj).worker(place, settings=_given(ctx.obj))


def register(
    ctx: typer.Context,
    place: Place,
    update: Annotated[bool, typer.Option("--update", help="Renew the registration.")] = False,
    deregister: Annotated[bool, typer.Option("--deregister", help="Deregister the service.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the chain.")] = 900,
    v2: Annotated[
        bool, typer.Option("--v2", help="For Web3CardanoV2; such an entry can be updated.")
    ] = False,
) -> int:
    """Register the service with your node, once, and wait until it is on the chain."""
    context: Context = ctx.obj
    done = _commands(context).register(
        place,
        update=update,
        deregister=deregister,
        source_type="Web3CardanoV2" if v2 else "Web3CardanoV1",
        wait_s=wait,
        settings=_given(context),
        say=_sayer(context),
    )
    if context.as_json:
        context.print_json({"agent_identifier": done.agent_identifier, "state": done.state})
    elif done.done:
        context.out.print(f"{done.state}: {done.agent_identifier}")
    else:
        context.out.print(f"{done.state}: not on the chain yet. Ask again later; nothing is sent twice.")
    return 0 if done.done else 3


def jobs(
    ctx: typer.Context,
    job_id: Annotated[str, typer.Argument(help="One job whole, by its id or the beginning of it.")] = "",
    limit: Annotated[int, typer.Option(help="How many jobs at most.")] = 50,
    every: Annotated[bool, typer.Option("--all", help="All jobs, however many.")] = False,
    state: Annotated[list[str] | None, typer.Option(help="Only jobs in this state; may be repeated.")] = None,
    service: Annotated[str, typer.Option(help="Only jobs of the service of this name.")] = "",
    since: Annotated[datetime | None, typer.Option(help="Only jobs made since this day or moment.")] = None,
    by: Annotated[Period, typer.Option(help="Income by period: day, month or year.")] = Period.NONE,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the jobs to this file.")] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Give this job up; its buyer is refunded on request.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Have this failed job worked on once more.")] = False,
    archive: Annotated[
        Path | None, typer.Option(help="Move ended jobs made before --before to this file of JSON lines.")
    ] = None,
    before: Annotated[datetime | None, typer.Option(help="For --archive.")] = None,
) -> int:
    """The jobs of this shop: listed, one whole, cancelled, run again, archived; and what they earned."""
    context: Context = ctx.obj
    ledger = _ledger()
    if archive is not None:
        if before is None:
            raise InputError("--archive needs --before", phase="jobs")
        moved = ledger.archive(context.settings, _ms(before), archive)
        context.print_json({"archived": moved}) if context.as_json else context.out.print(
            f"archived: {moved}"
        )
        return 0
    if job_id:
        if cancel or again:
            found = ledger.change(context.settings, job_id, "cancel" if cancel else "again")
        else:
            found = ledger.whole(context.settings, job_id)
        _show_one(context, found)
        return 0
    if cancel or again:
        raise InputError("name the job: masumi-tools jobs ID --cancel", phase="jobs")
    found = ledger.jobs(
        context.settings,
        limit=None if every else limit,
        states=state or (),
        service=service,
        since_ms=_ms(since) if since else 0,
        by=by.value,
        zone=_zone(),
    )
    if csv_file is not None:
        _write_csv(csv_file, found["jobs"])
        if found["left_out"]:
            context.err.print(f"{csv_file}: {found['left_out']} more are not in it; --all writes them")
    if context.as_json:
        context.print_json(found)
    else:
        _show_jobs(context, found)
    return 0


def _show_jobs(context: Context, found: dict[str, Any]) -> None:
    table = table_of("job", "service", "state", "made", "price", "money", "what", unbroken=("job", "state"))
    for job in found["jobs"]:
        what = job["error"] or job["progress"] or (f"refund {job['refund']}" if job["refund"] else "")
        table.add_row(
            job["job_id"],
            foreign(job["service"], 40),
            job["state"],
            _ledger().iso(job["created_ms"], _zone()),
            " + ".join(job["price"]) or "free",
            job["money"],
            foreign(what or "", 200),
        )
    context.out.print(table if found["jobs"] or found["left_out"] else "no jobs")
    if found["left_out"]:
        context.out.print(f"… and {found['left_out']} more; --all lists them")
    for name in ("income", "expected", "refunded"):
        if found[name]:
            context.out.print(f"{name}: {', '.join(found[name])}")
    for period, amounts in found["periods"].items():
        context.out.print(f"income {period}: {', '.join(amounts)}")
    if found["contested"]:
        context.out.print(f"disputed: {found['contested']}")


def _show_one(context: Context, found: dict[str, Any]) -> None:
    if context.as_json:
        context.print_json(found)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in found.items():
        if value in (None, "", [], {}):
            continue
        if name.endswith(("_ms", "_time")) and isinstance(value, int) and value > 0:
            value = _ledger().iso(value, _zone())
        table.add_row(name.removesuffix("_ms"), foreign(str(value), 4000))
    context.out.print(table)


def _write_csv(file: Path, jobs: list[dict[str, Any]]) -> None:
    names = ["job_id", "service", "state", "created", "price", "money", "on_chain", "refund", "error"]
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, names, extrasaction="ignore")
        writer.writeheader()
        for job in jobs:
            made = _ledger().iso(job["created_ms"])
            row = {**job, "created": made, "price": " + ".join(job["price"])}
            # A spreadsheet takes what begins so for a formula, and the words may be a stranger's.
            row = {k: f"'{v}" if isinstance(v, str) and v[:1] in "=+-@\t" else v for k, v in row.items()}
            writer.writerow(row)


def _zone() -> tzinfo:
    return datetime.now().astimezone().tzinfo or UTC


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
