"""Saving new jobs under load: what comes at the same time shares a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from masumi_tools.seller.jobs import Job
from masumi_tools.seller.table import JobTable

_MOST_SAVES = 3  # at once: one writes while others wait for the disk


class Saver:
    """Saves new jobs: those that come while others are being saved share the next transaction."""

    def __init__(self, table: JobTable, now_ms: Callable[[], int]) -> None:
        self._table = table
        self._now_ms = now_ms
        self._waiting: list[tuple[Job, asyncio.Future[None]]] = []
        self._saving: set[asyncio.Task[None]] = set()

    async def add(self, job: Job) -> None:
        """Returns when the job is saved; raises what kept it from being saved."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, done))
        if len(self._saving) < _MOST_SAVES:
            self._saving.add(asyncio.create_task(self._save()))
        await done

    async def _save(self) -> None:
        try:
            while self._waiting:
                await self._save_waiting()
        finally:
            self._saving.discard(asyncio.current_task())

    async def _save_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        error: Exception | None = None
        try:
            await asyncio.to_thread(self._table.add, [job for job, _ in batch], self._now_ms())
        except Exception as problem:  # each request must hear of it
            error = problem
        for _, done in batch:
            if done.cancelled():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
