"""Commands of the seller: serve, worker, register, jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.table import Table

from masumi_tools.cli.context import Context
from masumi_tools.cli.show import foreign
from masumi_tools.errors import MissingExtra
from masumi_tools.settings import Settings

Place = Annotated[
    str, typer.Argument(help="Where the service is made: FILE.py:service or package.module:service.")
]


def add_to(app: typer.Typer) -> None:
    for command in (serve, worker, register, jobs):
        app.command()(command)


def _commands() -> Any:
    try:
        from masumi_tools.seller import commands
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "masumi_tools":
            raise
        raise MissingExtra(
            f"selling needs {error.name}: pip install 'masumi_tools[seller]'", phase="seller"
        ) from error
    return commands


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
    _commands().serve(
        place,
        host=host,
        port=port,
        drain_s=drain,
        trusted_proxies=proxies,
        settings=_given(context),
        say=_sayer(context),
    )


def worker(ctx: typer.Context, place: Place) -> None:
    """Work without taking requests, beside processes that serve on the same database."""
    _commands().worker(place, settings=_given(ctx.obj))


def register(
    ctx: typer.Context,
    place: Place,
    update: Annotated[bool, typer.Option("--update", help="Renew the registration.")] = False,
    deregister: Annotated[bool, typer.Option("--deregister", help="Take it back.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the chain.")] = 900,
    v2: Annotated[
        bool, typer.Option("--v2", help="For Web3CardanoV2; such an entry can be updated.")
    ] = False,
) -> int:
    """Register the service with your node, once, and wait until it is on the chain."""
    context: Context = ctx.obj
    done = _commands().register(
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
    ctx: typer.Context, limit: Annotated[int, typer.Option(help="How many jobs at the most.")] = 50
) -> int:
    """The jobs of this shop, its income per unit, and what is disputed."""
    context: Context = ctx.obj
    found = _commands().jobs(context.settings, limit=limit)
    if context.as_json:
        context.print_json(found)
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    columns = list(found["jobs"][0]) if found["jobs"] else ["no jobs yet"]
    for name in columns:
        table.add_column(name, overflow="fold")
    for job in found["jobs"]:
        table.add_row(*(foreign(str(value if value is not None else ""), 200) for value in job.values()))
    context.out.print(table)
    for name in ("income", "expected", "refunded"):
        if found[name]:
            context.out.print(f"{name}: {', '.join(map(str, found[name]))}")
    if found["disputes"]:
        context.out.print(f"disputed: {len(found['disputes'])}")
    return 0
