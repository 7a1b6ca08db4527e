"""One loop for all jobs: it reads the node's news, and does whatever is due.

One request an interval tells the news of every open job of one kind of escrow. Only one process of a
service watches at a time (it holds a lock; when it dies, another takes over within seconds), but each
hands in the results of its own work at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from masumi_tools.errors import JournalError, SettingsError
from masumi_tools.seller.clock import Clock
from masumi_tools.seller.jobs.engine import Engine
from masumi_tools.seller.jobs.job import (
    Event,
    Job,
    JobState,
    Rules,
    Seen,
    learn,
    lose,
    move,
    next_step,
    pause_ms,
)
from masumi_tools.seller.jobs.locks import Locks
from masumi_tools.seller.jobs.table import Counts, JobTable, service_key
from masumi_tools.seller.payment_node import NodeTrouble, Place, SellerNode, seen

log = logging.getLogger("masumi_tools.seller")

INTERVAL_S = 1.0
_QUIET_EVERY = 5  # with nobody about to pay and nothing due, the news are read every fifth interval
_LEASE_MS = 10_000
_SWEEP_S = 1.0
_REQUEUE_S = 5.0
_HEALTH_S = 15.0
_FIRST_LOOK_BACK_MS = 10 * 60_000
_AT_ONCE = 16
_FAIL_EVENT: dict[JobState, Event] = {JobState.AWAITING_PAYMENT: "refused", JobState.READY: "refused"}


class Watch:
    """Watches over the jobs of one process's table. `run()` is its loop, `tick()` one round of it."""

    def __init__(
        self,
        table: JobTable,
        node: SellerNode,
        engine: Engine,
        locks: Locks,
        clock: Clock,
        rules: Rules,
        *,
        owner: str,
        wake: Callable[[str], None],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._table = table
        self._node = node
        self._engine = engine
        self._locks = locks
        self._clock = clock
        self._rules = rules
        self._owner = owner
        self._lead = f"watch-{service_key(table.service)}"
        self._wake = wake
        self.interval_s = interval_s
        self.counts = Counts({}, {})
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._own: set[str] = set()
        self._places: dict[str, Place] = {}
        self._swept = 0.0
        self._requeued = 0.0
        self._fed = 0.0
        self._limit = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Tick until cancelled. Trouble is logged and passes."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            begun = time.monotonic()
            try:
                await self.tick()
            except (JournalError, NodeTrouble, SettingsError) as error:
                log.warning("the watch: %s", error)
            except Exception:
                log.exception("the watch failed and goes on")
            await self._pause(self.interval_s - (time.monotonic() - begun))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), max(0.02, seconds))

    def poke(self) -> None:
        """Look at the node's news now; a hint such as a webhook's, never a truth. Safe from any thread."""
        self._fed = 0.0
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._news.set)

    def finished(self, job_id: str) -> None:
        """A job of this process has its result; safe from any thread."""
        self._own.add(job_id)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._news.set)

    async def tick(self) -> None:
        """One round: our own results, and, where this process is the watching one, news and what is due."""
        await self._own_results()
        leads = await _threaded(self._locks.take, self._lead)
        if time.monotonic() - self._swept >= _SWEEP_S:
            self._swept = time.monotonic()
            self.counts = await _threaded(self._table.counts)
            if leads:
                await _threaded(self._sweep)
        if leads:
            try:
                await self._read_news()
            except NodeTrouble as error:  # what is due does not wait for them
                log.warning("the node's news: %s", error)
            await self._do_due()
        await self._check_node()

    async def _own_results(self) -> None:
        while self._own:
            job_id = self._own.pop()
            job = await _threaded(self._table.get, job_id)
            if job is not None:
                await self._do(job)

    # The node's news ---------------------------------------------------------------------------------

    async def _read_news(self) -> None:
        sources = await _threaded(self._table.watched_sources)
        if not sources:
            return
        hot = any(self.counts.states.get(state) for state in ("awaiting_payment", "ready", "finished"))
        if not hot and time.monotonic() - self._fed < self.interval_s * _QUIET_EVERY:
            return
        for source in sources:
            await self._read_source(source or "Web3CardanoV1")
        self._fed = time.monotonic()

    async def _read_source(self, source: str) -> None:
        place = self._places.get(source) or await _threaded(self._saved_place, source)
        start, more = place, True
        while more:
            rows, place, more = await self._node.news(source, place)
            if rows:
                await _threaded(self._learn_all, [seen(row) for row in rows])
        self._places[source] = place
        if place != start:
            value = json.dumps({"at_ms": place.at_ms, "row_id": place.row_id})
            await _threaded(self._table.set_fact, f"news {source}", value)

    def _saved_place(self, source: str) -> Place:
        saved = self._table.fact(f"news {source}")
        if saved is not None:
            return Place(**json.loads(saved))
        oldest = self._table.in_state(*JobState, limit=1)
        since = oldest[0].created_ms if oldest else self._clock.now_ms()
        return Place(since - _FIRST_LOOK_BACK_MS)

    def _learn_all(self, news: list[Seen]) -> None:
        by_identifier = {one.blockchain_identifier: one for one in news}
        now = self._clock.now_ms()
        for job in self._table.by_payments(by_identifier):
            one = by_identifier[job.blockchain_identifier]
            if learn(job, one, now, self._rules) != job:
                self.learn(job.job_id, one)

    def learn(self, job_id: str, one: Seen) -> Job | None:
        """Save what the node said of a job, and have its work begun where that makes it ready."""
        now = self._clock.now_ms()
        before: list[Job] = []

        def how(job: Job) -> Job | None:
            before[:] = [job]
            after = learn(job, one, now, self._rules)
            return None if after == job else after

        after = self._table.change(job_id, now, how)
        if after is None:
            return before[0] if before else None
        if after.state is JobState.READY and before[0].state is not JobState.READY:
            self._engine.enqueue(after.job_id, after.attempt)
        if after.state is not before[0].state:
            log.info("job %s: %s -> %s", job_id, before[0].state.value, after.state.value)
        return after

    # What is due -------------------------------------------------------------------------------------

    async def _do_due(self) -> None:
        due = await _threaded(self._table.due, self._clock.now_ms())
        if due:
            await asyncio.gather(*(self._one(job) for job in due))

    async def _one(self, job: Job) -> None:
        async with self._limit:
            try:
                await self._do(job)
            except (NodeTrouble, JournalError) as error:
                log.warning("job %s: %s", job.job_id, error)

    async def _do(self, job: Job) -> None:
        step = next_step(job, self._clock.now_ms(), self._rules)
        match step.do:
            case "fail":
                await self._move(job, _FAIL_EVENT.get(job.state, "broke"), error=step.why)
                self._wake(job.job_id)
            case "undeliver":
                await self._move(job, "undelivered", error=step.why)
            case "ask-node":
                await self._ask_node(job)
            case "submit":
                await self._submit(job)
            case "authorise-refund":
                await self._authorise(job)

    async def _move(self, job: Job, event: Event, **changes: Any) -> None:
        now = self._clock.now_ms()
        state = job.state

        def how(job: Job) -> Job | None:
            return move(job, event, now, **changes) if job.state is state else None

        if await _threaded(self._table.change, job.job_id, now, how):
            log.info("job %s: %s (%s)", job.job_id, event, changes.get("error") or "")

    async def _ask_node(self, job: Job) -> None:
        """Before an unpaid job is given up, the node is asked once more for just this payment."""
        if (job := await self._begin_try(job)) is None:  # type: ignore[assignment]
            return
        after = await _threaded(
            self.learn, job.job_id, seen(await self._node.payment(job.blockchain_identifier))
        )
        if after is not None and after.state is JobState.AWAITING_PAYMENT:
            await self._move(after, "expired", error="no payment came in time")

    async def _submit(self, job: Job) -> None:
        """Hand the hash in. The node is asked first, so that a repeat after a crash is harmless."""
        if job.free:
            await self._move(job, "delivered", owner="")
            return
        if (job := await self._begin_try(job)) is None or job.result_hash is None:  # type: ignore[assignment]
            return
        try:
            now_there = seen(await self._node.payment(job.blockchain_identifier))
            if not _has(now_there, job.result_hash) and now_there.chain.action == "WaitingForExternalAction":
                try:
                    now_there = seen(await self._node.submit(job.blockchain_identifier, job.result_hash))
                except NodeTrouble as trouble:
                    log.warning("job %s: %s", job.job_id, trouble)
                    now_there = seen(await self._node.payment(job.blockchain_identifier))
        except NodeTrouble as trouble:
            log.warning("job %s: the result is not handed in yet: %s", job.job_id, trouble)
            await self._end_try(job)
            return
        await _threaded(self.learn, job.job_id, now_there)
        if _has(now_there, job.result_hash):
            if job.state is JobState.FINISHED:
                await self._move(job, "delivered", owner="", tries=0, next_try_ms=0)
            else:
                await self._end_try(job)
        elif job.state is JobState.FINISHED and now_there.chain.result_hash:
            await self._move(job, "broke", error="another result was recorded for this job")
        elif job.state is JobState.FINISHED and _too_late(now_there):
            await self._move(
                job, "broke", error=f"the payment is {now_there.chain.state}; no result can be recorded"
            )
        else:
            await self._end_try(job)

    async def _authorise(self, job: Job) -> None:
        if (job := await self._begin_try(job)) is None:  # type: ignore[assignment]
            return
        try:
            now_there = seen(await self._node.authorise_refund(job.blockchain_identifier))
        except NodeTrouble as trouble:
            log.warning("job %s: the refund is not authorised yet: %s", job.job_id, trouble)
            await _threaded(self.learn, job.job_id, seen(await self._node.payment(job.blockchain_identifier)))
            await self._end_try(job)
            return
        await _threaded(self.learn, job.job_id, now_there)
        now = self._clock.now_ms()
        await _threaded(
            self._table.change, job.job_id, now,
            lambda job: replace(job, refund="authorised", tries=0, next_try_ms=0, changed_ms=now),
        )  # fmt: skip
        log.info("job %s: the refund is authorised", job.job_id)

    async def _begin_try(self, job: Job) -> Job | None:
        """Take the next call for this job: of two processes at the same moment only one gets it."""
        now = self._clock.now_ms()
        version = job.version

        def how(job: Job) -> Job | None:
            if job.version != version or now < job.next_try_ms:
                return None
            return replace(job, tries=job.tries + 1, next_try_ms=now + _LEASE_MS)

        taken: Job | None = await _threaded(self._table.change, job.job_id, now, how)
        return taken

    async def _end_try(self, job: Job) -> None:
        now = self._clock.now_ms()
        at = now + pause_ms(job.tries)
        await _threaded(self._table.change, job.job_id, now, lambda job: replace(job, next_try_ms=at))

    # The dead ----------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Take the jobs of dead processes, and enqueue what became ready but was not carried on."""
        now = self._clock.now_ms()
        for owner in self._table.owners():
            if owner != self._owner and self._locks.free(owner):
                self._take_over(owner, now)
        if time.monotonic() - self._requeued >= _REQUEUE_S:
            self._requeued = time.monotonic()
            for job in self._table.in_state(JobState.READY, limit=200):
                self._engine.enqueue(job.job_id, job.attempt)

    def _take_over(self, owner: str, now: int) -> None:
        for job in self._table.owned_by(owner):
            after = self._table.change(
                job.job_id, now, lambda job: lose(job, now, self._rules) if job.owner == owner else None
            )
            if after is not None and after.state is JobState.READY:
                log.info("job %s: its process died; the work begins again", job.job_id)
                self._engine.enqueue(after.job_id, after.attempt)

    async def _check_node(self) -> None:
        """Ask a node that nobody asked for a while, so that /availability knows."""
        answered = self._node.answered_at
        if self._node.trouble is not None or answered is None or time.monotonic() - answered > _HEALTH_S:
            await self._node.check()


def _has(one: Seen, result_hash: str) -> bool:
    return result_hash in (one.chain.result_hash, one.chain.coming_hash)


def _too_late(one: Seen) -> bool:
    return one.chain.state not in ("FundsLocked", "RefundRequested", "Disputed", "ResultSubmitted")


async def _threaded(function: Callable[..., Any], *arguments: Any) -> Any:
    """The table blocks, and a writer may wait for another: never on the loop that answers buyers."""
    return await asyncio.to_thread(function, *arguments)
