"""Saving new jobs under load: what comes at the same time shares a transaction and the wait for the disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from masumi_tools.seller.jobs.job import Job
from masumi_tools.seller.jobs.table import JobTable

# Where jobs come faster than this, a save waits for some more: a disk that is quick would make each a save of its own,
# and a save takes longer than what it saves.
_CROWDED_S = 0.0015
_GATHERS_S = 0.001


class Saver:
    """Saves new jobs: those that come while one save runs, or right before it, share it."""

    def __init__(
        self, table: JobTable, now_ms: Callable[[], int], ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self._table = table
        self._now_ms = now_ms
        self._ticks = ticks
        self._waiting: list[tuple[Job, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._came = 0.0
        self._apart_s = 1.0  # how long after one job the next one comes, as it was lately

    async def add(self, job: Job) -> None:
        """Returns when the job is saved; raises what kept it from being saved."""
        now = self._ticks()
        self._apart_s += (min(now - self._came, 1.0) - self._apart_s) / 8
        self._came = now
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._save_all())
        await done

    async def end(self) -> None:
        """Returns when nothing is being saved any more."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _save_all(self) -> None:
        while self._waiting:
            if self._apart_s < _CROWDED_S:
                await asyncio.sleep(_GATHERS_S)
            batch, self._waiting = self._waiting, []
            error: Exception | None = None
            try:
                await self._save([job for job, _ in batch])
            except Exception as problem:  # each request must hear of it
                error = problem
            for _, done in batch:
                if done.cancelled():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)

    async def _save(self, jobs: list[Job]) -> None:
        # To write a few jobs takes less time than a thread needs to get its turn; the disk, other writers
        # and large inputs are what must not be waited for here.
        if self._table.add_at_once(jobs, self._now_ms()):
            await asyncio.get_running_loop().run_in_executor(None, self._table.settle)
        else:
            await asyncio.to_thread(self._table.add, jobs, self._now_ms())
