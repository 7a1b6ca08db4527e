"""One lasting event loop for all async work of a process.

Clients, pools and semaphores that a file makes at import belong to the first loop that uses them. With a
loop for each job the second job would meet a closed one; here all jobs share one, as in any server.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

log = logging.getLogger("masumi_tools.seller")

T = TypeVar("T")
# Sync parts of async work run here and may wait for people for hours; threads are made when needed.
_MOST_THREADS = 1000
_ANSWERS_WITHIN_S = 5.0


class LoopLost(BaseException):
    """The loop was blocked for good by other work, so this work has to begin again."""


class WorkLoop:
    """An event loop in a thread of its own. It is made by the first async work and lasts with the process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: dict[threading.Thread, Future[Any]] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine comes to; blocks the calling thread, in whose context it runs."""
        thread = threading.current_thread()
        with self._guard:
            future = asyncio.run_coroutine_threadsafe(work, self._running())
            self._open[thread] = future
        try:
            return future.result()
        finally:
            with self._guard:
                self._open.pop(thread, None)

    def cancel(self, thread: threading.Thread) -> None:
        """End what this thread waits for. A loop that does not even take that is left, and a new one is made."""
        with self._guard:
            future, loop = self._open.get(thread), self._loop
        if future is None or loop is None:
            return
        future.cancel()
        alive = threading.Event()
        loop.call_soon_threadsafe(alive.set)
        if alive.wait(_ANSWERS_WITHIN_S):
            return
        log.error("async work blocks the event loop (a sync call inside a coroutine); it gets a new one")
        with self._guard:
            self._loop = None
            others = [one for one in self._open.values() if not one.done()]
        for other in others:
            other.set_exception(LoopLost())

    def is_here(self) -> bool:
        """Whether the caller runs inside of this loop."""
        return self._loop is not None and asyncio._get_running_loop() is self._loop

    def without_holding_it(self, do: Callable[[], T]) -> T:
        """Call what blocks from sync code inside the loop; the loop goes on with other tasks meanwhile."""
        from masumi_tools.seller.work.steps import wait_in_the_middle

        context = contextvars.copy_context()
        future = asyncio.get_running_loop().run_in_executor(None, context.run, do)
        wait_in_the_middle(future)
        return future.result()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            from masumi_tools.seller.work.steps import task_in_steps

            loop = asyncio.new_event_loop()
            loop.set_default_executor(ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="work"))
            loop.set_task_factory(task_in_steps)
            threading.Thread(target=loop.run_forever, name="work-loop", daemon=True).start()
            self._loop = loop
        return self._loop


work_loop = WorkLoop()
