"""The queue: each ready job is claimed once, not more at a time than there is room for, whatever fails meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from masumi_tools.errors import JournalError
from masumi_tools.seller.jobs.job import Job, JobState
from masumi_tools.seller.jobs.queue import Queue
from tests.seller.support import until
from tests.seller.test_jobs import job


class Desk:
    """Stands for the table and the workers: which jobs are ready, and what was performed."""

    def __init__(self, places: int = 2) -> None:
        self.ready: list[Job] = []
        self.performed: list[str] = []
        self.places = places
        self.at_work = self.most = 0
        self.guard = threading.Lock()
        self.works = threading.Event()
        self.works.set()
        self.fails = 0

    def free(self) -> int:
        with self.guard:
            return self.places - self.at_work

    def claim(self, limit: int) -> list[Job]:
        with self.guard:
            if self.fails:
                self.fails -= 1
                raise JournalError("the journal failed while looking for jobs: the server cannot be reached")
            taken, self.ready = self.ready[:limit], self.ready[limit:]
            self.at_work += len(taken)
            self.most = max(self.most, self.at_work)
            return taken

    def perform(self, one: Job) -> None:
        self.works.wait(10)
        with self.guard:
            self.at_work -= 1
            self.performed.append(one.job_id)


@pytest.fixture
def opened() -> Iterator[Callable[..., Queue]]:
    queues: list[Queue] = []

    def make(desk: Desk, look_again_s: float = 60.0) -> Queue:
        queues.append(Queue(desk.claim, desk.perform, desk.free, look_again_s))
        queues[-1].start()
        return queues[-1]

    yield make
    for queue in queues:
        queue.stop()


def test_all_that_is_ready_is_done_and_never_more_at_a_time_than_there_is_room(opened: Callable[..., Queue]):
    desk = Desk()
    desk.ready = [job(JobState.READY, job_id=f"j{n}") for n in range(12)]
    opened(desk)  # no poke: each end of a job makes it look again

    until(lambda: len(desk.performed) == 12, "all the work")
    assert sorted(desk.performed) == sorted(f"j{n}" for n in range(12)) and desk.most == 2


def test_a_poke_is_enough_to_have_a_new_job_begun(opened: Callable[..., Queue]):
    desk = Desk()
    queue = opened(desk)
    desk.ready = [job(JobState.READY)]
    queue.poke()

    until(lambda: desk.performed == ["j"], "the work")


def test_a_job_that_another_process_made_ready_is_seen(opened: Callable[..., Queue]):
    desk = Desk()
    opened(desk, 0.02)
    desk.ready = [job(JobState.READY)]

    until(lambda: desk.performed == ["j"], "the work")


def test_while_the_database_fails_nothing_is_begun_and_one_line_is_logged(
    opened: Callable[..., Queue], caplog: pytest.LogCaptureFixture
):
    desk = Desk()
    desk.fails = 20
    desk.ready = [job(JobState.READY)]
    opened(desk, 0.01)

    until(lambda: desk.performed == ["j"], "the work")
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if "cannot look for jobs" in line] == [
        "cannot look for jobs: the journal failed while looking for jobs: the server cannot be reached"
    ]
    assert "jobs are looked for again" in said


def test_a_queue_that_was_stopped_begins_nothing(opened: Callable[..., Queue]):
    desk = Desk()
    desk.works.clear()
    desk.ready = [job(JobState.READY, job_id=f"j{n}") for n in range(4)]
    queue = opened(desk)
    until(lambda: desk.at_work == 2, "two jobs")
    queue.stop()
    desk.works.set()

    until(lambda: len(desk.performed) == 2, "the two")
    assert [one.job_id for one in desk.ready] == ["j2", "j3"]
