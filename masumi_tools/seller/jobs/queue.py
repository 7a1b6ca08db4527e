"""The table of jobs is the queue: whenever a worker here is free, a ready job is claimed and done.

A claim is one transaction, so each job is begun by one process, on SQLite as on PostgreSQL (where claims of
several processes pass each other by: `FOR UPDATE SKIP LOCKED`). What a dead process had begun becomes ready
again by the watch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from masumi_tools.errors import JournalError
from masumi_tools.seller.jobs.job import Job
from masumi_tools.seller.jobs.murmur import Murmur
from masumi_tools.seller.work.human import Abandoned

log = logging.getLogger("masumi_tools.seller")

LOOK_AGAIN_S = 0.5


class Queue:
    """Claims jobs and has them done, each in a thread, as long as places are free.

    `free()` is how many more may be begun now, those that were claimed not counted; `claim(limit)` takes ready
    jobs, `perform(job)` returns when the job is done or waits for people. `look_again_s` is how soon jobs are seen that another process made ready.
    """

    def __init__(
        self,
        claim: Callable[[int], Iterable[Job]],
        perform: Callable[[Job], None],
        free: Callable[[], int],
        look_again_s: float = LOOK_AGAIN_S,
    ) -> None:
        self._claim = claim
        self._perform = perform
        self._free = free
        self._look_again_s = look_again_s
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._murmur = Murmur(log)

    def start(self) -> None:
        """Begin to look for jobs."""
        threading.Thread(target=self._look, name="jobs", daemon=True).start()

    def poke(self) -> None:
        """There may be a ready job. Safe from any thread."""
        self._news.set()

    def stop(self) -> None:
        """Begin no more jobs; those at work are not touched."""
        self._stopping.set()
        self._news.set()

    def _look(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            free = self._free()
            try:
                jobs = list(self._claim(free)) if free > 0 else []
            except JournalError as error:
                self._murmur.warning("cannot look for jobs: %s", error)
                jobs = []
            else:
                self._murmur.passed("jobs are looked for again")
            for job in jobs:
                threading.Thread(target=self._one, args=(job,), daemon=True).start()
            self._news.wait(self._look_again_s)

    def _one(self, job: Job) -> None:
        try:
            self._perform(job)
        except Abandoned:
            pass
        except JournalError as error:
            log.warning("job %s: %s", job.job_id, error)
        finally:
            self._news.set()
