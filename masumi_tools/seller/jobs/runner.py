"""Runs the work of jobs in threads of our own, a set number at a time.

A thread that waits for people gives its place away and parks; when the answer is there it takes a place
again and goes on. If its process dies instead, the work is begun anew elsewhere and the answers that
came already are given again in order. Whoever saves first owns a job: a thread that finds its job taken,
failed or refunded is abandoned, and what it made is dropped.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

from masumi_tools.errors import JournalError
from masumi_tools.inputs import InputSpec, check, served
from masumi_tools.seller.jobs.job import Job, JobState, Question, Rules, move, next_step, pause_ms
from masumi_tools.seller.jobs.table import JobTable
from masumi_tools.seller.work.base import Work, WorkFailed
from masumi_tools.seller.work.human import Abandoned, working
from masumi_tools.text import redact

log = logging.getLogger("masumi_tools.seller")

T = TypeVar("T")
ERROR_LENGTH = 500
_POLL_S = 0.5


@dataclass(slots=True)
class _Run:
    """One thread's work on one job."""

    job_id: str
    attempt: int
    left: threading.Event = field(default_factory=threading.Event)  # the thread ended or parked
    news: threading.Event = field(default_factory=threading.Event)  # look at the table again
    parked_version: int | None = None


class Runner:
    """The workers of one process. `claim` and `perform` are what the queue calls; everything else is inside."""

    def __init__(
        self,
        table: JobTable,
        work: Work,
        spec: InputSpec,
        rules: Rules,
        *,
        owner: str,
        workers: int,
        now_ms: Callable[[], int],
        result_hash: Callable[[Job, str], str],
        finished: Callable[[str], None],
    ) -> None:
        self._table = table
        self._work = work
        self._spec = spec
        self._rules = rules
        self._owner = owner
        self._now = now_ms
        self._result_hash = result_hash
        self._finished = finished
        self.usual_s = 0.0
        self.workers = workers
        self._places = threading.Semaphore(workers)
        self._runs: dict[str, _Run] = {}
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._poller: threading.Thread | None = None

    @property
    def busy(self) -> int:
        """How many jobs are at work here now, parked ones not counted."""
        with self._guard:
            return sum(1 for run in self._runs.values() if run.parked_version is None)

    @property
    def free(self) -> int:
        """How many more jobs may be begun here now."""
        return 0 if self._stopping.is_set() else self.workers - self.busy

    def claim(self, limit: int) -> list[Job]:
        """Take up to `limit` ready jobs for this process alone; each is to be given to `perform`."""
        now = self._now()

        def how(job: Job) -> Job:
            step = next_step(job, now, self._rules)
            if step.do == "fail":
                return move(job, "refused", now, error=step.why)
            return move(job, "claimed", now, owner=self._owner, started_ms=now, error=None)

        taken = [job for job in self._table.claim(how, now, limit) if job.state is JobState.RUNNING]
        with self._guard:
            self._runs.update({job.job_id: _Run(job.job_id, job.attempt) for job in taken})
        return taken

    def perform(self, job: Job) -> None:
        """Do the work of a claimed job; returns when it is done or parked."""
        with self._guard:
            run = self._runs[job.job_id]
        with self._place():
            context = contextvars.Context()
            threading.Thread(
                target=context.run,
                args=(self._in_thread, job, run),
                name=f"job-{job.job_id[:8]}",
                daemon=True,
            ).start()
            while not run.left.wait(_POLL_S):
                if self._stopping.is_set():
                    raise Abandoned
        # the place is given back here: by the end of the work, or by parking

    def stop(self, wait_s: float) -> None:
        """Wait at most `wait_s` for work in progress; the rest is begun again at the next start."""
        end = time.monotonic() + wait_s
        while time.monotonic() < end and self.busy:
            time.sleep(0.02)
        self._stopping.set()
        with self._guard:
            runs = list(self._runs.values())
        for run in runs:
            run.news.set()

    def wake(self, job_id: str) -> None:
        """An answer for this job may be there."""
        with self._guard:
            run = self._runs.get(job_id)
        if run is not None:
            run.news.set()

    # -------------------------------------------------------------------------------------------------

    def _place(self) -> _Place:
        return _Place(self._places, self._stopping)

    def _in_thread(self, job: Job, run: _Run) -> None:
        try:
            self._do(job, run)
        except Abandoned:
            log.info("job %s: the work was abandoned", job.job_id)
        finally:
            with self._guard:
                if self._runs.get(job.job_id) is run:
                    del self._runs[job.job_id]
            if run.parked_version is None and run.left.is_set():
                self._places.release()  # a place taken after parking, not covered by perform()
            run.left.set()

    def _do(self, job: Job, run: _Run) -> None:
        context = _Context(self, job.job_id, run)
        try:
            values = check(self._spec, job.input_sent)
            with working(context):
                text = self._work.run(values, context)
        except WorkFailed as error:
            self._fail(job.job_id, run, redact(str(error), ERROR_LENGTH) or "the work failed")
        except Abandoned:
            raise
        except (
            BaseException
        ) as error:  # sys.exit() in somebody's work is the end of this job, not of its thread
            log.warning("job %s: the work failed", job.job_id, exc_info=True)
            self._fail(job.job_id, run, failed_text(job.job_id, error))
        else:
            now = self._now()
            hashed = self._result_hash(job, text)
            took_s = max(0.0, (now - (job.started_ms or now)) / 1000)
            self.usual_s = took_s if not self.usual_s else 0.8 * self.usual_s + 0.2 * took_s
            if self._change(
                job.job_id,
                run,
                lambda job: move(job, "result", now, result=text, result_hash=hashed, finished_ms=now),
            ):
                self._finished(job.job_id)

    def _fail(self, job_id: str, run: _Run, why: str) -> None:
        now = self._now()
        if self._change(job_id, run, lambda job: move(job, "broke", now, error=why, finished_ms=now)):
            self._finished(job_id)

    def _change(self, job_id: str, run: _Run, how: Callable[[Job], Job]) -> Job | None:
        """Save what the thread made, if the job still runs here in this attempt."""
        return self._trying(job_id, lambda: self._change_now(job_id, run, how))

    def _change_now(self, job_id: str, run: _Run, how: Callable[[Job], Job]) -> Job | None:
        def mine(job: Job) -> Job | None:
            if job.owner != self._owner or job.attempt != run.attempt or job.state is not JobState.RUNNING:
                return None
            return how(job)

        return self._table.change(job_id, self._now(), mine)

    def _trying(self, job_id: str, do: Callable[[], T]) -> T:
        """What the table answers, asked again while the database does not work: the work is done and paid."""
        for tries in count():
            try:
                return do()
            except JournalError as error:
                log.warning("job %s: %s; it is tried again", job_id, error)
            if self._stopping.wait(pause_ms(tries) / 1000):
                break
        raise Abandoned  # begun again at the next start

    # Questions ---------------------------------------------------------------------------------------

    def ask(self, job_id: str, run: _Run, number: int, spec: InputSpec, message: str) -> dict[str, Any]:
        """The answer to the job's question `number`; parks until it is there."""
        schema = served(spec)
        asked = self._put_question(job_id, run, number, schema, message)
        if asked is None:
            raise Abandoned
        if (answer := _answer(asked, number)) is not None:
            return check(spec, answer)
        self._park(run, asked.version)
        while True:
            run.news.wait(5)
            run.news.clear()
            if self._stopping.is_set():
                raise Abandoned
            job = self._trying(job_id, lambda: self._table.get(job_id))
            if job is None or job.owner != self._owner or job.attempt != run.attempt:
                raise Abandoned
            if job.state is JobState.RUNNING:
                break
            if job.state is not JobState.AWAITING_INPUT:
                raise Abandoned
            run.parked_version = job.version
        self._unpark(run)
        answer = _answer(job, number)
        if answer is None:
            raise Abandoned
        return check(spec, answer)

    def _put_question(
        self, job_id: str, run: _Run, number: int, schema: dict[str, Any], message: str
    ) -> Job | None:
        now = self._now()

        def how(job: Job) -> Job:
            questions = job.questions
            if number < len(questions) and questions[number].schema == schema:
                if questions[number].answer is not None:
                    return job
                question = questions[number]  # asked before a restart: the same status id
            else:
                question = Question(str(uuid4()), schema, message, now)
            return move(job, "asked", now, questions=(*questions[:number], question))

        job = self._trying(job_id, lambda: self._table.get(job_id))
        if job is not None and job.owner == self._owner and job.state is JobState.RUNNING and how(job) == job:
            return job  # answered already: nothing to save
        return self._change(job_id, run, how)

    def _park(self, run: _Run, version: int) -> None:
        again = run.left.is_set()
        run.parked_version = version
        if again:
            self._places.release()
        run.left.set()
        with self._guard:
            if self._poller is None:
                self._poller = threading.Thread(target=self._poll, name="answers", daemon=True)
                self._poller.start()

    def _unpark(self, run: _Run) -> None:
        while not self._places.acquire(timeout=_POLL_S):
            if self._stopping.is_set():
                raise Abandoned
        run.parked_version = None

    def _poll(self) -> None:
        """Answers may come in at another machine: one query for all parked jobs tells."""
        while not self._stopping.wait(_POLL_S):
            with self._guard:
                parked = {job_id: run for job_id, run in self._runs.items() if run.parked_version is not None}
            if not parked:
                continue
            try:
                versions = self._table.versions(list(parked))
            except JournalError as error:
                log.warning("cannot look for answers: %s", error)
                continue
            for job_id, run in parked.items():
                if versions.get(job_id) != run.parked_version:
                    run.news.set()

    def progress(self, job_id: str, run: _Run, text: str) -> None:
        now = self._now()
        try:
            self._change_now(job_id, run, lambda job: replace(job, progress=text[:200], changed_ms=now))
        except JournalError as error:  # the work is worth more than a word about it
            log.warning("job %s: its progress could not be saved: %s", job_id, error)


def failed_text(job_id: str, error: BaseException) -> str:
    """What a stranger reads of a failure: its class and the job's id. What it says stands in the seller's log."""
    return f"the work failed: {type(error).__name__} (job {job_id}); the seller's log says more"


def _answer(job: Job, number: int) -> dict[str, Any] | None:
    return job.questions[number].answer if number < len(job.questions) else None


class _Place:
    """One of the workers' places for the time of a block."""

    def __init__(self, places: threading.Semaphore, stopping: threading.Event) -> None:
        self._places = places
        self._stopping = stopping

    def __enter__(self) -> None:
        while not self._places.acquire(timeout=_POLL_S):
            if self._stopping.is_set():
                raise Abandoned

    def __exit__(self, *_: object) -> None:
        self._places.release()


class _Context:
    """What `ask_human` and progress reach from inside the work."""

    def __init__(self, runner: Runner, job_id: str, run: _Run) -> None:
        self._runner = runner
        self._run = run
        self._asked = 0
        self.job_id = job_id

    def ask(self, spec: InputSpec, message: str) -> dict[str, Any]:
        number, self._asked = self._asked, self._asked + 1
        return self._runner.ask(self.job_id, self._run, number, spec, message)

    def progress(self, text: str) -> None:
        self._runner.progress(self.job_id, self._run, text)
