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
from typing import TYPE_CHECKING, Any, Literal

from masumi_tools.errors import InputError, MissingExtra
from masumi_tools.seller.jobs.job import RefundPolicy, Rules
from masumi_tools.seller.offering import Offer, price_tuple
from masumi_tools.seller.work.human import spec_of
from masumi_tools.seller.work.work import describes, work_of
from masumi_tools.settings import Serving, Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from masumi_tools.seller.shop import Shop
    from masumi_tools.seller.web.limits import Limits

log = logging.getLogger("masumi_tools.seller")


def sell(
    work: Any,
    *,
    name: str,
    price: Any,
    description: str = "",
    fields: Any = None,
    url: str = "",
    tags: Sequence[str] = (),
    author: str = "",
    contact: str = "",
    organization: str = "",
    capability: tuple[str, str] = ("", "1.0.0"),
    legal: Mapping[str, str] | None = None,
    example_outputs: Sequence[Mapping[str, str]] = (),
    demo: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    workers: int = 4,
    refunds: RefundPolicy = "no-result",
    result_hash: Literal["escaped", "raw"] = "escaped",
    pay_within_s: float = 3600,
    deliver_within_s: float = 6 * 3600,
    unlock_after_s: float = 6 * 3600,
    dispute_after_s: float = 6 * 3600,
    least_work_s: float = 0,
    work_timeout_s: float | None = None,
    source_index: int | None = None,
    interval_s: float = 1.0,
    limits: Limits | None = None,
    webhook_token: str | None = None,
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

    Times are seconds from the start of a job: to be paid, to be delivered, then until the money is the
    seller's (`unlock_after_s`), then until a dispute ends. `least_work_s` is what the work needs at least. Work
    that takes longer than `work_timeout_s` (without it: than the deadline leaves) fails, and its place is
    free again. Waiting for people does not count.
    Raises InputError where any of it cannot be sold, before anything is served.
    """
    if not name.strip() or len(name) > 250:
        raise InputError("a service needs a name of at most 250 characters", phase="sell")
    sold = work_of(work)
    spec = spec_of(fields) if fields is not None else sold.derived()
    if spec.refusal:
        raise InputError(f"these input fields cannot be served: {spec.refusal}", phase="sell")
    sold.bind(spec)
    offer = Offer(
        name=name,
        description=description or describes(work),
        spec=spec,
        price=() if callable(price) else price_tuple(price),
        price_of=price if callable(price) else None,
        url=url.rstrip("/"),
        tags=tuple(tags),
        author=author,
        contact=contact,
        organization=organization,
        capability=capability,
        legal=dict(legal or {}),
        example_outputs=tuple(example_outputs),
        demo=demo,
        source_index=source_index,
        pay_within_s=pay_within_s,
        deliver_within_s=deliver_within_s,
        unlock_after_s=unlock_after_s,
        dispute_after_s=dispute_after_s,
    )
    if workers < 1:
        raise InputError("workers must be at least 1", phase="sell")
    if work_timeout_s is not None and not work_timeout_s > 0:
        raise InputError("work_timeout_s is a number of seconds above 0", phase="sell")
    return Service(
        offer,
        sold,
        settings=settings,
        rules=Rules(
            refunds=refunds,
            least_work_ms=int(least_work_s * 1000),
            work_timeout_ms=None if work_timeout_s is None else int(work_timeout_s * 1000),
        ),
        workers=workers,
        result_hash=result_hash,
        interval_s=interval_s,
        limits=limits,
        webhook_token=webhook_token,
    )


class Service:
    """What `sell` makes. Nothing is opened before it is served: settings are read when the server starts."""

    def __init__(
        self,
        offer: Offer,
        work: Any,
        *,
        settings: Settings | None,
        rules: Rules,
        workers: int,
        result_hash: Literal["escaped", "raw"],
        interval_s: float,
        limits: Limits | None,
        webhook_token: str | None,
    ) -> None:
        self.offer = offer
        self.rules = rules
        self._work = work
        self._settings = settings
        self._workers = workers
        self._result_hash = result_hash
        self._interval_s = interval_s
        self._limits = limits
        self._webhook_token = webhook_token

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
        from masumi_tools.seller.web.limits import Limits

        return Shop(
            self.offer,
            self._work,
            self.settings,
            rules=self.rules,
            limits=self._limits or Limits(),
            workers=self._workers,
            hash_form=self._result_hash,
            interval_s=self._interval_s,
        )

    @cached_property
    def app(self) -> FastAPI:
        """The ASGI app, for any server: `uvicorn module:service.app`."""
        try:
            from masumi_tools.seller.web.app import make_app
            from masumi_tools.seller.web.limits import Limits
        except ModuleNotFoundError as error:
            raise MissingExtra(
                "serving needs the extra seller: pip install 'masumi_tools[seller]'"
            ) from error

        async def start() -> Shop:
            shop = self.open_shop()
            await shop.start()
            return shop

        return make_app(
            self.offer,
            start,
            webhook_token=self._webhook_token,
            body_bytes=(self._limits or Limits()).body_bytes,
            serving=Serving.from_env(),
        )

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
