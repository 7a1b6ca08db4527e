"""A job goes with the threads that its work starts, and `input()` inside of a job asks the buyer.

Python gives a new thread, or a task of a pool, nothing of the context of who started it. So the two ways
to start one, and `input()`, are wrapped once in the process of a shop. Outside of a job they do what they
always did.
"""

from __future__ import annotations

import builtins
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from masumi_tools.seller.work.human import WorkContext, ask_human, job_here, speak_for

_guard = threading.Lock()
_done = False


def carry_jobs_into_threads() -> None:
    """From now on `ask_human` and `report_progress` work in every thread that the work of a job starts."""
    global _done
    with _guard:
        if _done:
            return
        _done = True
    _wrap_threads()
    _wrap_pools()
    _wrap_input()


@contextmanager
def at_work(context: WorkContext) -> Iterator[None]:
    """Inside: the work of this job. Whatever asks people asks the buyer, crews in a function among them."""
    with speak_for(context):
        if "crewai" not in sys.modules:
            yield
            return
        from masumi_tools.seller.work.crew import answered_by_the_buyer

        with answered_by_the_buyer():
            yield


def _wrap_threads() -> None:
    start = threading.Thread.start

    def start_for_a_job(self: threading.Thread) -> None:
        job = job_here()
        if job is not None:
            self.run = _for(job, self.run)  # type: ignore[method-assign]
        start(self)

    threading.Thread.start = start_for_a_job  # type: ignore[method-assign]


def _wrap_pools() -> None:
    submit = ThreadPoolExecutor.submit

    def submit_for_a_job(
        self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        # None as well: a thread of the pool may have been started by another job
        return submit(self, _for(job_here(), fn), *args, **kwargs)

    ThreadPoolExecutor.submit = submit_for_a_job  # type: ignore[method-assign, assignment]


def _wrap_input() -> None:
    read = builtins.input

    def ask_the_buyer(prompt: object = "", /) -> str:
        if job_here() is None:
            return read(prompt)
        return str(ask_human(str(prompt).strip() or "An answer is needed")["answer"])

    builtins.input = ask_the_buyer


def _for(job: WorkContext | None, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with speak_for(job):
            return function(*args, **kwargs)

    return run
