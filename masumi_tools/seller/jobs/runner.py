"""Runs the work of jobs in threads of our own, a set number at a time.

A thread that waits for people gives its place away and parks; when the answer is there it takes a place
again and goes on. If its process dies instead, the work is begun anew elsewhere and the answers that
came already are given again. Whoever saves first owns a job: a thread that finds its job taken,
failed or refunded is abandoned, and what it made is dropped. Work that does not come back in its time is
written off: its job fails, its place is free, and what its thread still does changes nothing.
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
from masumi_tools.seller.jobs.job import (
    Job,
    JobState,
    Question,
    Rules,
    lose,
    move,
    next_step,
    pause_ms,
    too_long,
    work_until,
)
from masumi_tools.seller.jobs.table import JobTable
from masumi_tools.seller.tracing import span
from masumi_tools.seller.work.base import Work, WorkBroke, WorkFailed
from masumi_tools.seller.work.human import Abandoned
from masumi_tools.seller.work.inherit import at_work, carry_jobs_into_threads
from masumi_tools.seller.work.loop import LoopLost, work_loop
from masumi_tools.text import redact

log = logging.getLogger("masumi_tools.seller")

T = TypeVar("T")
ERROR_LENGTH = 500
_POLL_S = 0.5
_ORPHANS_EVERY_S = 2.0


@dataclass(slots=True)
class _Run:
    """One thread's work on one job. `until_ms` is when it is written off; waiting for people does not count."""

    job_id: str
    attempt: int
    until_ms: int
    begun: float = field(default_factory=time.monotonic)
    has_place: bool = False
    left: threading.Event = field(default_factory=threading.Event)  # the place was given back
    news: threading.Event = field(default_factory=threading.Event)  # look at the table again
    ended: threading.Event = field(default_factory=threading.Event)  # nobody wants the work any more
    asking: threading.Lock = field(default_factory=threading.Lock)  # one question at a time
    answered: set[str] = field(default_factory=set)  # questions whose answers this attempt has had
    parked_version: int | None = None
    thread: threading.Thread | None = None


class Runner:
    """The workers of one process. `claim` and `perform` are what the queue calls; everything else is inside."""

    def __init__(
        self,
        table: JobTable,
        work: Work,
        values: Callable[[Job], dict[str, Any]],
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
        self._values = values
        self._rules = rules
        self._owner = owner
        self.now_ms = now_ms
        self._result_hash = result_hash
        self._finished = finished
        self._usual_s = 0.0
        self.workers = workers
        self._places = threading.Semaphore(workers)
        self._runs: dict[str, _Run] = {}
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._supervisor: threading.Thread | None = None
        self._unattended: dict[str, int] = {}
        carry_jobs_into_threads()

    @property
    def busy(self) -> int:
        """How many jobs are at work here now; those that wait for people and written-off ones are not."""
        with self._guard:
            return sum(1 for run in self._runs.values() if run.parked_version is None)

    @property
    def usual_s(self) -> float:
        """How long a job takes here: as those before did, or longer where one at work is at it longer."""
        with self._guard:
            ages = [time.monotonic() - run.begun for run in self._runs.values() if run.has_place]
        return max([self._usual_s, *ages]) if len(ages) >= self.workers else self._usual_s

    @property
    def free(self) -> int:
        """How many more jobs may be begun here now."""
        return 0 if self._stopping.is_set() else self.workers - self.busy

    def claim(self, limit: int) -> list[Job]:
        """Take up to `limit` ready jobs for this process alone; each is to be given to `perform`."""
        now = self.now_ms()

        def how(job: Job) -> Job:
            step = next_step(job, now, self._rules)
            if step.do == "fail":
                return move(job, "refused", now, error=step.why)
            return move(job, "claimed", now, owner=self._owner, started_ms=now, error=None)

        taken = [job for job in self._table.claim(how, now, limit) if job.state is JobState.RUNNING]
        with self._guard:
            self._runs.update({job.job_id: self._begun(job, now) for job in taken})
        return taken

    def _begun(self, job: Job, now: int) -> _Run:
        return _Run(job.job_id, job.attempt, work_until(job, job.started_ms or now, self._rules))

    def perform(self, job: Job) -> None:
        """Do the work of a claimed job; returns when it is done, parked or written off."""
        with self._guard:
            run = self._runs[job.job_id]
        self._take_place()
        run.has_place = True
        self._supervise()
        context = contextvars.Context()
        run.thread = threading.Thread(
            target=context.run, args=(self._in_thread, job, run), name=f"job-{job.job_id[:8]}", daemon=True
        )
        run.thread.start()
        while not run.left.wait(_POLL_S):
            if self._stopping.is_set():
                raise Abandoned

    def stop(self, wait_s: float) -> None:
        """Wait at most `wait_s` for work in progress; the rest is begun again at the next start."""
        end = time.monotonic() + wait_s
        while time.monotonic() < end and self.busy:
            time.sleep(0.02)
        self._stopping.set()
        with self._guard:
            runs = list(self._runs.values())
        for run in runs:
            run.ended.set()
            run.news.set()

    def wake(self, job_id: str) -> None:
        """An answer for this job may be there."""
        with self._guard:
            run = self._runs.get(job_id)
        if run is not None:
            run.news.set()

    # Places ------------------------------------------------------------------------------------------

    def _take_place(self) -> None:
        while not self._places.acquire(timeout=_POLL_S):
            if self._stopping.is_set():
                raise Abandoned

    def _give_back(self, run: _Run) -> None:
        with self._guard:
            had, run.has_place = run.has_place, False
        if had:
            self._places.release()
        run.left.set()

    # Watching over them ------------------------------------------------------------------------------

    def _supervise(self) -> None:
        with self._guard:
            if self._supervisor is None:
                self._supervisor = threading.Thread(target=self._watch_over, name="workers", daemon=True)
                self._supervisor.start()

    def _watch_over(self) -> None:
        """Write off what takes too long, wake what was answered elsewhere, give on what nobody works at."""
        looked = 0.0
        while not self._stopping.wait(_POLL_S):
            with self._guard:
                runs = list(self._runs.values())
            try:
                now = self.now_ms()
                for run in runs:
                    if run.has_place and now >= run.until_ms:
                        self._write_off(run)
                self._tell_answered([run for run in runs if run.parked_version is not None])
                if time.monotonic() - looked >= _ORPHANS_EVERY_S:
                    looked = time.monotonic()
                    self._give_on_unattended()
            except JournalError as error:
                log.warning("cannot look after the jobs at work: %s", error)

    def _write_off(self, run: _Run) -> None:
        """The job fails now and its place is free, whatever its thread does."""
        job = self._table.get(run.job_id)
        why = too_long(job, self._rules) if job is not None else ""
        self._change_now(run.job_id, run, lambda job: move(job, "broke", self.now_ms(), error=why))
        log.error("job %s: its work does not come back and is written off: %s", run.job_id, why)
        with self._guard:
            if self._runs.get(run.job_id) is run:
                del self._runs[run.job_id]
        run.ended.set()
        if run.thread is not None:
            work_loop.cancel(run.thread)
        self._give_back(run)
        self._finished(run.job_id)

    def _tell_answered(self, parked: list[_Run]) -> None:
        """Answers may come in at another machine: one query for all parked jobs tells."""
        if parked:
            versions = self._table.versions([run.job_id for run in parked])
            for run in parked:
                if versions.get(run.job_id) != run.parked_version:
                    run.news.set()

    def _give_on_unattended(self) -> None:
        """A job that is ours and runs while nobody here works at it, seen twice, is begun again.

        Work whose job is not ours any more, since it was cancelled or taken over, is told so.
        """
        with self._guard:
            known = dict(self._runs)
        ours = {job.job_id: job for job in self._table.owned_by(self._owner)}
        for run in (run for job_id, run in known.items() if job_id not in ours):
            run.ended.set()
            run.news.set()
        found = {
            job_id: job.version
            for job_id, job in ours.items()
            if job.state is JobState.RUNNING and job_id not in known
        }
        for job_id, version in found.items():
            if self._unattended.get(job_id) == version:
                self._give_on(job_id, version)
        self._unattended = found

    def _give_on(self, job_id: str, version: int) -> None:
        now = self.now_ms()

        def how(job: Job) -> Job | None:
            return lose(job, now, self._rules) if job.version == version else None

        if self._table.change(job_id, now, how) is not None:
            log.warning("job %s: no thread works on it any more; it is started again", job_id)

    # The work ----------------------------------------------------------------------------------------

    def _in_thread(self, job: Job, run: _Run) -> None:
        try:
            with span("masumi job", job_id=job.job_id, attempt=job.attempt):
                self._do(job, run)
        except Abandoned:
            log.info("job %s: the work was abandoned", job.job_id)
        finally:
            with self._guard:
                if self._runs.get(job.job_id) is run:
                    del self._runs[job.job_id]
            self._give_back(run)

    def _do(self, job: Job, run: _Run) -> None:
        context = _Context(self, job.job_id, run)
        try:
            values = self._values(job)
            with at_work(context):
                text = self._work.run(values, context)
        except WorkFailed as error:
            self._fail(job.job_id, run, redact(str(error), ERROR_LENGTH) or "the work failed")
        except Abandoned:
            raise
        except LoopLost:
            now = self.now_ms()
            self._change(job.job_id, run, lambda job: lose(job, now, self._rules))
        except (
            BaseException
        ) as error:  # sys.exit() in somebody's work is the end of this job, not of its thread
            log.warning("job %s: the work failed", job.job_id, exc_info=True)
            self._fail(job.job_id, run, failed_text(job.job_id, error))
        else:
            self._succeed(job, run, text)

    def _succeed(self, job: Job, run: _Run, text: str) -> None:
        now = self.now_ms()
        hashed = self._result_hash(job, text)
        if self._change(
            job.job_id,
            run,
            lambda job: move(job, "result", now, result=text, result_hash=hashed, finished_ms=now),
        ):
            took_s = max(0.0, (now - (job.started_ms or now)) / 1000)
            self._usual_s = took_s if not self._usual_s else 0.8 * self._usual_s + 0.2 * took_s
            self._finished(job.job_id)

    def _fail(self, job_id: str, run: _Run, why: str) -> None:
        now = self.now_ms()
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

        return self._table.change(job_id, self.now_ms(), mine)

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

    def ask(self, job_id: str, run: _Run, spec: InputSpec, question: Question, exact: bool) -> dict[str, Any]:
        """The answer to a question of the job; parks until it is there. Several at once are asked in turn.

        One that was asked before has the same fields and words; `exact` wants the same key as well.
        """
        with run.asking:
            asked = self._put_question(job_id, run, question, exact)
            if asked is None:
                raise Abandoned
            job, status_id = asked
            while (answer := _answer(job, status_id)) is None:
                job = self._answered(job_id, run, job.version)
            run.answered.add(status_id)
            return check(spec, answer)

    def _answered(self, job_id: str, run: _Run, version: int) -> Job:
        """The job, running again, after people answered; Abandoned where that will not be."""
        left_ms = run.until_ms - self.now_ms()
        run.parked_version = version
        self._give_back(run)
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
        self._take_place()
        now = self.now_ms()
        with self._guard:
            run.parked_version, run.has_place, run.begun = None, True, time.monotonic()
            run.until_ms = min(now + left_ms, self._rules.submit_by(job))
        return job

    def _put_question(self, job_id: str, run: _Run, fresh: Question, exact: bool) -> tuple[Job, str] | None:
        """The job with this question asked, or answered in an attempt before; and the question's id."""
        now = fresh.asked_ms

        def same(job: Job) -> Question | None:
            return next(
                (
                    question
                    for question in job.questions
                    if (question.schema, question.message) == (fresh.schema, fresh.message)
                    and (question.key == fresh.key or not exact)
                    and question.status_id not in run.answered
                ),
                None,
            )

        def how(job: Job) -> Job:
            question = same(job) or fresh  # one that was asked before a restart keeps its status id
            others = [q for q in job.questions if q.answer is not None and q.status_id != question.status_id]
            return move(job, "asked", now, questions=(*others, question))

        job = self._trying(job_id, lambda: self._table.get(job_id))
        if job is not None and job.owner == self._owner and job.state is JobState.RUNNING:
            known = same(job)
            if known is not None and known.answer is not None:
                return job, known.status_id  # nothing to save
        asked = self._change(job_id, run, how)
        return (asked, asked.questions[-1].status_id) if asked is not None else None

    def progress(self, job_id: str, run: _Run, text: str) -> None:
        now = self.now_ms()
        try:
            self._change_now(job_id, run, lambda job: replace(job, progress=text[:200], changed_ms=now))
        except JournalError as error:  # the work is worth more than a word about it
            log.warning("job %s: its progress could not be saved: %s", job_id, error)


def failed_text(job_id: str, error: BaseException) -> str:
    """What a stranger reads of a failure: its class and the job's id. What it says stands in the seller's log."""
    kind = error.kind if isinstance(error, WorkBroke) else type(error).__name__
    return f"the work failed: {kind} (job {job_id}); the seller's log says more"


def _answer(job: Job, status_id: str) -> dict[str, Any] | None:
    return next((question.answer for question in job.questions if question.status_id == status_id), None)


class _Context:
    """What `ask_human` and progress reach from inside the work."""

    def __init__(self, runner: Runner, job_id: str, run: _Run) -> None:
        self._runner = runner
        self._run = run
        self.job_id = job_id
        self.ended = run.ended

    def ask(self, spec: InputSpec, message: str, key: str = "", resumed: bool = False) -> dict[str, Any]:
        question = Question(str(uuid4()), served(spec), message, self._runner.now_ms(), key=key)
        return self._runner.ask(self.job_id, self._run, spec, question, exact=resumed)

    def progress(self, text: str) -> None:
        self._runner.progress(self.job_id, self._run, text)
