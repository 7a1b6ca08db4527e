"""`sell`: one call makes a paid MIP-003 service of a crew, a LangChain Runnable or a function."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from masumi_tools.errors import InputError, MissingExtra
from masumi_tools.inputs import InputSpec
from masumi_tools.keywords import keywords
from masumi_tools.seller.jobs.job import RefundPolicy
from masumi_tools.seller.offering import (
    Deadlines,
    Limits,
    Offer,
    Offering,
    Refunds,
    Workers,
    price_tuple,
    rules_of,
)
from masumi_tools.seller.work.base import Work
from masumi_tools.seller.work.human import spec_of
from masumi_tools.seller.work.processes import imported_for_work, portable
from masumi_tools.seller.work.work import describes, work_of
from masumi_tools.settings import Serving, Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from masumi_tools.seller.shop import Shop

log = logging.getLogger("masumi_tools.seller")


class Shown(TypedDict, total=False):
    """What the registry and buyers are shown of a service, beside its name and price."""

    description: str
    url: str
    tags: Sequence[str]
    author: str
    contact: str
    organization: str
    capability: tuple[str, str]
    legal: Mapping[str, str] | None
    example_outputs: Sequence[Mapping[str, str]]
    demo: Mapping[str, Any] | None
    source_index: int | None


class Times(TypedDict, total=False):
    """The fields of `Deadlines`, each by itself."""

    pay_within_s: float
    deliver_within_s: float
    unlock_after_s: float
    dispute_after_s: float
    least_work_s: float
    work_timeout_s: float | None


class Options(Shown, Times, total=False):
    """What `sell` takes beside its named arguments."""

    settings: Settings | None
    limits: Limits | None
    result_hash: Literal["escaped", "raw"]
    interval_s: float | None
    webhook_token: str | None


@keywords(Options)
def sell(
    work: Any,
    *,
    name: str,
    price: Any,
    fields: Any = None,
    workers: int | str = 4,
    deadlines: Deadlines | None = None,
    refunds: Refunds | RefundPolicy = "no-result",
    **more: Unpack[Options],
) -> Service:
    """A service that sells `work`: `service.app` is ASGI, `service.run()` serves it.

    `name` is also what jobs are kept under: services of different names may share a database.
    `work` is a Crew (a template that is copied for each job and must not have run), a function that makes
    a Crew, a LangChain Runnable, or a function, sync or async, whose parameters are its input. `price` is
    "2 ADA", an Amount, a list of either, "free", or a function of the input (Dynamic pricing).
    `fields` (MIP-003 fields or a pydantic model) replace those that follow from the work.

    Money: a job is begun only when the buyer's payment is locked in escrow as asked; its result is saved
    before its hash goes to the chain, and handed out when the node has taken the hash. A crash loses no
    paid job. `refunds` says when a refund that the buyer asks for is authorised: "no-result" (the job
    failed), "always" (it has ended), "never", or a function of the job.

    Times are in `deadlines`, or each by itself (`pay_within_s=...`), see `Deadlines`. Work that takes too long
    fails, and its place is free again. `workers` is how many jobs are at work at a time, in threads; with
    "process" or "process:8" each job has a process of its own, which is killed then.

    `description`, `url`, `tags`, `author`, `contact`, `organization`, `capability` (name and version), `legal`,
    `example_outputs`, `demo` and `source_index` are what buyers are shown. `settings` are those of the
    environment unless given, `limits` what is taken on at once. `result_hash="raw"` hashes results without
    escaping, `interval_s` is how often the node is asked for news, `webhook_token` lets the node hasten it.

    Raises InputError where any of it cannot be sold, before anything is served, TypeError for an unknown keyword.
    """
    shown, times = _part(more, Shown), _part(more, Times)
    if times and deadlines is not None:
        raise InputError(f"give deadlines or {', '.join(times)}, not both", phase="sell")
    deadlines = deadlines or Deadlines(**times)
    sold = work_of(work)
    spec = _spec(sold, fields)
    hands = Workers.read(workers)
    offering = Offering(
        offer=_offer(name, price, shown.pop("description", "") or describes(work), spec, deadlines, shown),
        work=sold,
        rules=rules_of(deadlines, refunds),
        limits=more.get("limits") or Limits(),
        workers=hands,
        portable=portable(work) if hands.processes else b"",
        result_hash=more.get("result_hash", "escaped"),
        interval_s=more.get("interval_s"),
        webhook_token=more.get("webhook_token"),
    )
    return Service(offering, more.get("settings"))


def _part(more: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    return {name: more[name] for name in kind.__annotations__ if name in more}


def _spec(work: Work, fields: Any) -> InputSpec:
    spec = spec_of(fields) if fields is not None else work.derived()
    if spec.refusal:
        raise InputError(f"these input fields cannot be served: {spec.refusal}", phase="sell")
    work.bind(spec)
    return spec


def _offer(
    name: str, price: Any, description: str, spec: InputSpec, deadlines: Deadlines, shown: dict[str, Any]
) -> Offer:
    if not name.strip() or len(name) > 250:
        raise InputError("a service needs a name of at most 250 characters", phase="sell")
    shown["url"] = shown.get("url", "").rstrip("/")
    shown["legal"] = dict(shown.get("legal") or {})
    for some in ("tags", "example_outputs"):
        shown[some] = tuple(shown.get(some, ()))
    return Offer(
        name=name,
        description=description,
        spec=spec,
        price=() if callable(price) else price_tuple(price),
        price_of=price if callable(price) else None,
        deadlines=deadlines,
        **shown,
    )


class Service:
    """What `sell` makes. Nothing is opened before it is served: settings are read when the server starts."""

    def __init__(self, offering: Offering, settings: Settings | None = None) -> None:
        self.offering = offering
        self._settings = settings

    @property
    def offer(self) -> Offer:
        """What buyers and the registry see."""
        return self.offering.offer

    @property
    def settings(self) -> Settings:
        """The settings that were given, else those of the environment now."""
        return self._settings or Settings.from_env()

    def with_settings(self, settings: Settings) -> Service:
        """The same service under other settings."""
        other = copy(self)
        other.__dict__.pop("app", None)
        other._settings = settings
        return other

    def open_shop(self) -> Shop:
        """The runtime of one process: for the server, a worker, or a test that drives it by hand."""
        from masumi_tools.seller.shop import Shop

        return Shop(self.offering, self.settings)

    @cached_property
    def app(self) -> FastAPI:
        """The ASGI app, for any server: `uvicorn module:service.app`."""
        try:
            from masumi_tools.seller.web.app import make_app
        except ModuleNotFoundError as error:
            raise MissingExtra(
                "serving needs the extra seller: pip install 'masumi_tools[seller]'"
            ) from error

        async def start() -> Shop:
            shop = self.open_shop()
            await shop.start()
            return shop

        return make_app(self.offering, start, Serving.from_env())

    def run(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        drain_s: float | None = None,
        trusted_proxies: Sequence[str] | None = None,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve until the process is told to stop. Behind a proxy, `host="0.0.0.0"` where it needs that.

        What is not given is read from the environment (`masumi_tools.settings.Serving`). `drain_s` is how
        long work in progress gets after SIGTERM, `trusted_proxies` whose X-Forwarded-For is believed.
        `ready` is called once, when requests are taken. MasumiError when it cannot be served; the log says why.
        """
        from masumi_tools.seller import logs
        from masumi_tools.seller.web import serving

        if imported_for_work():  # the seller's file ends in service.run(), and a job's process reads it
            return
        how = Serving.from_env()
        given: dict[str, Any] = {"host": host, "port": port, "drain_s": drain_s}
        if trusted_proxies is not None:
            how = replace(how, trusted_proxies=tuple(trusted_proxies))
        how = replace(how, **{name: value for name, value in given.items() if value is not None})
        logs.configure(how)
        serving.run(self.app, how, ready)

    @contextmanager
    def trial(self, settings: Settings) -> Iterator[str]:
        """Serve in a thread, listed by the sandbox of these settings, for the time of the block.

            with Sandbox() as sandbox, service.trial(Settings.from_sandbox(sandbox)) as agent:
                ...  # a Buyer can hire `agent`, the agent identifier

        SettingsError when the settings are not those of a sandbox.
        """
        from masumi_tools.seller import trial
        from masumi_tools.seller.web import serving

        with serving.bound() as (listening, url):
            tried = self.with_settings(trial.listed(self.offer, settings, url))
            with serving.served(tried.app, listening):
                yield tried.settings.agent_identifier or ""

    def work(self) -> None:
        """Work without serving, on the same database as the processes that serve, until told to stop."""
        if imported_for_work():
            return
        asyncio.run(self._work_until_told())

    async def _work_until_told(self) -> None:
        from masumi_tools.seller import logs

        how = Serving.from_env()
        logs.configure(how)
        shop = self.open_shop()
        await shop.start()
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, told.set)
        await told.wait()
        await shop.drain(how.drain_s)
        await shop.stop(0)
