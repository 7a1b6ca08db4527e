"""One process of a service: its parts put together, started, drained and stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from httpx import AsyncBaseTransport

from masumi_tools.errors import JournalError
from masumi_tools.net.http import AsyncHttp
from masumi_tools.proof.hashing import output_candidates
from masumi_tools.seller.agent import Agent
from masumi_tools.seller.clock import Clock
from masumi_tools.seller.fast.saver import Saver
from masumi_tools.seller.health import Health
from masumi_tools.seller.jobs.alive import Life, process_name
from masumi_tools.seller.jobs.contract import Contracts
from masumi_tools.seller.jobs.job import Job, JobState
from masumi_tools.seller.jobs.news import news_of
from masumi_tools.seller.jobs.queue import Queue
from masumi_tools.seller.jobs.runner import Runner
from masumi_tools.seller.jobs.table import JobTable, Told, service_key
from masumi_tools.seller.jobs.watch import INTERVAL_S, NEWS_EVERY_S, Watch
from masumi_tools.seller.logs import JobLog
from masumi_tools.seller.metrics import metrics_for
from masumi_tools.seller.offering import Offering
from masumi_tools.seller.payment_node import SellerNode
from masumi_tools.seller.web.intake import Intake
from masumi_tools.seller.web.open_jobs import OpenJobs
from masumi_tools.seller.web.requests import down
from masumi_tools.seller.work.base import Work
from masumi_tools.seller.work.processes import ProcessWork
from masumi_tools.settings import Settings

log = logging.getLogger("masumi_tools.seller")

AGENT_FACT = "agent_identifier"


class Shop:
    """One process of a service. `start` and `stop` belong to its event loop; its parts are for the routes."""

    def __init__(self, offering: Offering, settings: Settings) -> None:
        offer, rules = offering.offer, offering.rules
        self.offering, self.offer, self.settings = offering, offer, settings
        self.clock = Clock()
        self.owner = process_name()
        self.metrics = metrics_for(offer.name)
        self.table = JobTable(settings.database_url, rules, offer.name, self._told())
        known = settings.agent_identifier or self.table.fact(AGENT_FACT) or ""
        self.agent = Agent(known, settings.seller_vkey, offer.source_index)
        self._quick = _quick_transport()  # only the user's own node and registry are asked over it
        self._http = AsyncHttp(settings, on_sandbox_now=self.clock.heard, async_transport=self._quick)
        self.node = SellerNode(settings, self._http, self.metrics.called if self.metrics else None)
        self.contracts = Contracts(self.table, offer)
        self.draining = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self._watching: asyncio.Task[None] | None = None
        self._make_workers()
        self._make_watch()
        self._make_answers()

    def _make_workers(self) -> None:
        offering = self.offering
        self._processes: ProcessWork | None = None
        work: Work = offering.work
        if offering.workers.processes:
            work = self._processes = ProcessWork(work, self.offer.spec, offering.portable)
        self.runner = Runner(
            self.table,
            work,
            lambda job: self.contracts.values(job, offering.work),
            offering.rules,
            owner=self.owner,
            workers=offering.workers.places,
            now_ms=self.clock.now_ms,
            result_hash=self._result_hash,
            finished=lambda job_id: self.watch.finished(job_id),
        )
        self.queue = Queue(self.runner.claim, self.runner.perform, lambda: self.runner.free)

    def _make_watch(self) -> None:
        given_s = self.offering.interval_s
        every_s = INTERVAL_S if self.settings.sandbox else NEWS_EVERY_S
        key = service_key(self.offer.name)
        self.life = Life(self.settings.database_url, key, self.owner, lambda: self.watch.turning)
        self.watch = Watch(
            self.table,
            self.node,
            self.life,
            self.clock,
            self.offering.rules,
            owner=self.owner,
            wake=self.runner.wake,
            ready=self.queue.poke,
            news=news_of(self.settings),
            interval_s=INTERVAL_S if given_s is None else given_s,
            news_every_s=every_s if given_s is None else given_s,
        )

    def _make_answers(self) -> None:
        self._saver = Saver(self.table, self.clock.now_ms)
        self._intake = Intake(
            self.offering,
            self.agent,
            self.node,
            self._saver,
            contract=self.contracts.key,
            counted=lambda: (self.watch.counts, self.watch.counted_s),
            count=self.watch.count,
            now_ms=self.clock.now_ms,
        )
        self.jobs = OpenJobs(
            self.table,
            self.offering.rules,
            dead=self.life.dead,
            now_ms=self.clock.now_ms,
            ready=self.queue.poke,
            wake=self.runner.wake,
        )
        self.health = Health(
            self.offer, self.agent, self.node, self.life, self.watch, self.runner, lambda: self.draining
        )

    def _told(self) -> Told:
        tellers: list[Told] = [JobLog(self.offer.name)]
        if self.metrics is not None:
            tellers.append(self.metrics.changed)

        def told(before: Job | None, job: Job) -> None:
            for tell in tellers:
                tell(before, job)

        return told

    async def start(self) -> None:
        """Begin to watch and to work."""
        self.loop = asyncio.get_running_loop()
        if self.agent.identifier:
            earlier = await asyncio.to_thread(self.table.adopt, self.agent.identifier)
            if earlier:
                log.warning("the jobs of this agent were kept under the name %r; they continue here", earlier)
        await asyncio.to_thread(self.life.start)
        await asyncio.to_thread(self.contracts.keep, self.clock.now_ms())
        if not self.offer.free:
            await self.agent.learn(self.node, self._http, self.settings)
        if self._processes is not None:
            await asyncio.to_thread(self._processes.start)
        self.queue.start()
        self._watching = asyncio.create_task(self.watch.run())
        log.info("selling %r with %d workers", self.offer.name, self.runner.workers)

    async def start_job(self, body: Mapping[str, Any], client: str) -> Job:
        """A new job with its payment made at the node; Refusal otherwise, and nothing is kept."""
        if self.draining:
            raise down("this service is being stopped; no job was started, try again in a minute")
        job = await self._intake.begin(body, client)
        if job.state is JobState.READY:
            self.queue.poke()
        return job

    async def drain(self, seconds: float) -> None:
        """Take and begin no new job, and wait at most so long for those at work and for their results' way."""
        self.draining = True
        self.queue.stop()
        log.info("no new jobs are started; %d in progress get %g s", self.runner.busy, seconds)
        await asyncio.to_thread(self._idle, time.monotonic() + seconds)

    def _idle(self, end: float) -> None:
        while time.monotonic() < end and (self.runner.busy or self.watch.delivering):
            time.sleep(0.05)

    async def stop(self, wait_s: float = 5.0) -> None:
        """Stop; work in progress gets `wait_s` to end, the rest begins again at the next start."""
        if self._watching is not None:
            self._watching.cancel()
        self.queue.stop()
        await asyncio.to_thread(self.runner.stop, wait_s)
        if self._processes is not None:
            await asyncio.to_thread(self._processes.close)
        await self._saver.end()
        await self._http.close()
        if self._quick is not None:
            await self._quick.aclose()
        try:
            await asyncio.to_thread(self.watch.give_back)
        except JournalError as error:  # the others find out by themselves
            log.warning("the jobs of this process could not be given back: %s", error)
        await asyncio.to_thread(self.life.stop)
        self.table.close()

    def _result_hash(self, job: Job, text: str) -> str:
        return output_candidates(job.identifier_from_purchaser, text)[self.offering.result_hash]


def _quick_transport() -> AsyncBaseTransport | None:
    try:
        from masumi_tools.seller.fast.transport import NodeTransport
    except ModuleNotFoundError:  # uvicorn without its standard extra
        return None
    return NodeTransport()
