"""One loop for all jobs: it reads the node's news, and does whatever is due.

One request an interval tells the news of every open job of one kind of escrow, for all services of a process.
Only one process of a service watches at a time (the oldest that lives; when it dies, another takes over), but
each hands in the results of its own work at once.
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
from masumi_tools.seller.jobs.alive import Life
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
from masumi_tools.seller.jobs.murmur import Murmur
from masumi_tools.seller.jobs.news import News
from masumi_tools.seller.jobs.table import Counts, JobTable
from masumi_tools.seller.payment_node import NodeTrouble, Place, SellerNode, seen

log = logging.getLogger("masumi_tools.seller")

INTERVAL_S = 1.0
STANDS_STILL_S = 90.0  # a round asks the node at most a few times in a row, each for 30 s at the most
NEWS_EVERY_S = 20.0  # news reach a real node's database no sooner (protocol N7)
_QUIET_EVERY = 5  # with nobody about to pay and nothing due, the news are read every fifth time
_ROUND = (
    0.8  # of an interval: rounds are not exact, and one that comes a moment early must not wait for the next
)
_LEASE_MS = 10_000
_SWEEP_S = 1.0
_COUNT_SHARE = 20  # to count very many open jobs takes at most a twentieth of the time
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
        life: Life,
        clock: Clock,
        rules: Rules,
        *,
        owner: str,
        wake: Callable[[str], None],
        ready: Callable[[], None],
        news: News,
        interval_s: float = INTERVAL_S,
        news_every_s: float = INTERVAL_S,
    ) -> None:
        self._table = table
        self._node = node
        self._life = life
        self._clock = clock
        self._rules = rules
        self._owner = owner
        self._wake = wake
        self._ready = ready
        self._shared = news
        self.interval_s = interval_s
        self.news_every_s = news_every_s
        self.counts = Counts({}, {})
        self.counted_s = float("-inf")  # when the counting of `counts` began: jobs saved later are not in it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._own: set[str] = set()
        self._handing = False
        self._murmur = Murmur(log)
        self._places: dict[str, Place] = {}
        self._swept = 0.0
        self._pause_s = _SWEEP_S
        self._turned = time.monotonic()
        self._fed = float("-inf")
        self._poked = False
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self._counting = asyncio.Lock()

    async def run(self) -> None:
        """Tick until cancelled. Trouble is logged and passes."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._turned = time.monotonic()
            self._news.clear()
            begun = time.monotonic()
            try:
                await self.tick()
            except (JournalError, NodeTrouble, SettingsError) as error:
                self._murmur.warning("the watch: %s", error)
            except Exception as error:
                if self._murmur.warning("the watch failed and is tried again: %s", repr(error)):
                    log.warning("the watch failed so", exc_info=True)
            else:
                self._murmur.passed("the watch works again")
            await self._pause(self.interval_s - (time.monotonic() - begun))

    @property
    def turning(self) -> bool:
        """Whether the loop goes round. A watch that does not leaves the lead to another process."""
        return time.monotonic() - self._turned < STANDS_STILL_S

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), max(0.02, seconds))

    def poke(self) -> None:
        """Look at the node's news now; a hint such as a webhook's, never a truth. Safe from any thread."""
        self._poked = True
        self._look_now()

    def finished(self, job_id: str) -> None:
        """A job of this process has its result; safe from any thread."""
        self._own.add(job_id)
        self._look_now()

    def _look_now(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the service has ended meanwhile
                self._loop.call_soon_threadsafe(self._news.set)

    async def tick(self) -> None:
        """One round: our own results, and, where this process is the watching one, news and what is due."""
        await self._own_results()
        leads = self._life.leads
        begun = time.monotonic()
        if begun - self._swept >= self._pause_s:
            self._swept = begun
            await self.count()
            self._pause_s = max(_SWEEP_S, _COUNT_SHARE * (time.monotonic() - begun))
            if leads:
                await _threaded(self._sweep)
        if leads:
            try:
                await self._read_news()
            except NodeTrouble as error:  # what is due does not wait for them
                self._murmur.warning("the node's news: %s", error)
            await self._do_due()
        await self._check_node()

    async def count(self) -> None:
        """Count the open jobs as they are now. Who asks while a count waits to begin shares it."""
        asked = time.monotonic()
        async with self._counting:
            if self.counted_s < asked:
                begun = time.monotonic()
                self.counts = await _threaded(self._table.counts)
                self.counted_s = begun

    @property
    def delivering(self) -> bool:
        """Whether results of this process are on their way to the node."""
        return bool(self._own) or self._handing

    async def _own_results(self) -> None:
        self._handing = bool(self._own)
        try:
            await self._hand_in()
        finally:
            self._handing = False

    async def _hand_in(self) -> None:
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
        every_s = _ROUND * self.news_every_s * (1 if hot else _QUIET_EVERY)
        begun = time.monotonic()
        if not self._poked and begun - self._fed < every_s:
            return
        within_s = 0.0 if self._poked else _ROUND * self.news_every_s
        self._poked = False
        for source in sources:
            await self._read_source(source or "Web3CardanoV1", within_s)
        self._fed = begun

    async def _read_source(self, source: str, within_s: float) -> None:
        place = self._places.get(source) or await _threaded(self._saved_place, source)
        start, more = place, True
        while more:
            page = await self._shared.since(source, place, self._node.news, within_s)
            place, more = page.after, page.more
            if page.rows:
                await _threaded(self._learn_all, [seen(row) for row in page.rows])
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
            self._ready()
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

        await _threaded(self._table.change, job.job_id, now, how)

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
        """Take the jobs of dead processes."""
        now = self._clock.now_ms()
        for owner in self._table.owners():
            if self._life.dead(owner):
                self._take_over(owner, now)

    def give_back(self) -> None:
        """Let go of the jobs that this process holds, so that another one, or the next start, goes on at once."""
        self._take_over(self._owner, self._clock.now_ms(), "its process was stopped")

    def _take_over(self, owner: str, now: int, why: str = "its process died") -> None:
        for job in self._table.owned_by(owner):
            after = self._table.change(
                job.job_id, now, lambda job: lose(job, now, self._rules) if job.owner == owner else None
            )
            if after is not None and after.state is JobState.READY:
                log.info("job %s: %s; the work begins again", job.job_id, why)
                self._ready()

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
