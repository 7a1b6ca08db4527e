"""One lasting event loop for all async work of a process.

Clients, pools and semaphores that a file makes at import belong to the first loop that uses them. With a
loop for each job the second job would meet a closed one; here all jobs share one, as in any server.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
# Sync parts of async work run here and may wait for people for hours; threads are made when needed.
_MOST_THREADS = 1000


class WorkLoop:
    """An event loop in a thread of its own. It is made by the first async work and lasts with the process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine comes to; blocks the calling thread, whose context it runs in."""
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._guard:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                loop.set_default_executor(ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="work"))
                threading.Thread(target=loop.run_forever, name="work-loop", daemon=True).start()
                self._loop = loop
            return self._loop


work_loop = WorkLoop()
