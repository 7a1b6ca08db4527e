"""The jobs as they are saved, on SQLite and PostgreSQL."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from masumi_tools.errors import JournalBusy, JournalError, JournalVersionError
from masumi_tools.journal import database
from masumi_tools.seller.jobs.job import Chain, Job, JobState, Rules, move
from masumi_tools.seller.jobs.table import JobTable
from tests.seller.test_jobs import LOCKED, NOW, job


@pytest.fixture
def table(database_url: str):
    one = JobTable(database_url, Rules(), "mine")
    yield one
    one.close()


def test_a_job_is_read_as_it_was_saved(table: JobTable):
    table.add([job(), job(job_id="k", blockchain_identifier="other")], NOW)

    assert table.get("j") == job(version=1)
    assert table.get("nope") is None
    assert [one.job_id for one in table.by_payments(["other", "unknown", ""])] == ["k"]


@pytest.fixture
def on_file(tmp_path: Path):
    """A table in a SQLite file, and the file."""
    one = JobTable(f"sqlite:///{tmp_path}/jobs.sqlite", Rules(), "mine")
    yield one, tmp_path / "jobs.sqlite"
    one.close()


def test_a_job_that_is_saved_at_once_is_seen_by_all_and_is_on_the_disk_once_settled(
    on_file: tuple[JobTable, Path], monkeypatch: pytest.MonkeyPatch
):
    table, file = on_file
    synced = []
    monkeypatch.setattr(database, "_sync", lambda fd: synced.append(os.fstat(fd)))

    assert table.add_at_once([job(), job(job_id="k")], NOW) is True
    assert synced == []  # it has waited for nothing
    assert table.get("j") == job(version=1) and table.get("k") is not None

    table.settle()
    [log] = synced
    assert os.path.samestat(log, Path(f"{file}-wal").stat())


def test_jobs_saved_at_once_survive_the_end_of_their_process(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    code = (
        "import os, sys; from tests.seller.test_table import *; table = JobTable(sys.argv[1], Rules(), 'mine'); "
        "table.add_at_once([job()], NOW) or os._exit(1); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, url], check=False).returncode == -9

    table = JobTable(url, Rules(), "mine")
    assert table.get("j") == job(version=1)
    table.close()


def test_at_once_means_not_at_all_while_another_writes(on_file: tuple[JobTable, Path]):
    table, file = on_file
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert table.add_at_once([job()], NOW) is False
        other.execute("ROLLBACK")

    assert table.get("j") is None
    assert table.add_at_once([job()], NOW) is True
    assert table.add_at_once([job(job_id="k"), job()], NOW) is False  # one of them is there already
    assert [one.job_id for one in table.every()] == ["j"]
    with pytest.raises(OverflowError):
        table.add_at_once([job(job_id="k", created_ms=2**70)], NOW)
    table.add([job(job_id="k")], NOW)  # and no transaction was left open


@pytest.mark.parametrize(
    "jobs",
    [
        [
            job(),
            job(JobState.READY, job_id="free", free=True),
        ],  # a worker would take it before the disk has it
        [job(job_id=f"j{n}") for n in range(65)],
        [job(input_sent={"text": "x" * 200_000})],
    ],
    ids=["free", "many", "large"],
)
def test_what_takes_longer_or_is_begun_by_itself_is_not_saved_at_once(
    on_file: tuple[JobTable, Path], jobs: list[Job]
):
    table, _ = on_file

    assert table.add_at_once(jobs, NOW) is False and list(table.every()) == []


def test_a_closed_table_saves_nothing_at_once(on_file: tuple[JobTable, Path]):
    table, _ = on_file
    table.close()

    assert table.add_at_once([job()], NOW) is False
    table.settle()


def test_a_disk_that_takes_nothing_is_told_to_who_saves(
    on_file: tuple[JobTable, Path], monkeypatch: pytest.MonkeyPatch
):
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(database, "_sync", broken)
    table, _ = on_file
    table.add_at_once([job()], NOW)

    with pytest.raises(JournalError, match="disk did not take what was saved: Input/output error"):
        table.settle()
    assert table.add_at_once([job(job_id="k")], NOW) is False  # from here on each job waits for the disk


def test_where_there_is_no_file_nothing_is_saved_at_once(postgres_url: str):
    for url in ("sqlite://", postgres_url):
        table = JobTable(url, Rules(), "mine")
        assert table.add_at_once([job()], NOW) is False and list(table.every()) == []
        table.settle()
        table.close()


def test_jobs_of_many_threads_are_all_saved(table: JobTable):
    threads = [
        threading.Thread(target=table.add, args=([job(job_id=f"{n}-{i}") for i in range(5)], NOW))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(one.job_id for one in table.every()) == sorted(
        f"{n}-{i}" for n in range(12) for i in range(5)
    )


def test_a_save_over_another_version_is_refused_and_changes_nothing(table: JobTable):
    table.add([job()], NOW)
    first = table.get("j")
    assert first is not None
    saved = table.save(move(first, "locked", NOW), NOW)

    with pytest.raises(JournalBusy):
        table.save(move(first, "expired", NOW), NOW)
    assert saved.version == 2 and table.get("j") == saved


def claimed_by(name: str) -> Callable[[Job], Job]:
    return lambda one: move(one, "claimed", NOW, owner=name)


def test_of_many_claims_at_once_each_job_goes_to_one(table: JobTable):
    table.add([job(JobState.READY, job_id=f"j{n}", attempt=1) for n in range(20)], NOW)
    won: list[tuple[str, str]] = []

    def claim(name: str) -> None:
        while taken := table.claim(claimed_by(name), NOW, 2):
            won.extend((one.job_id, one.owner) for one in taken)

    threads = [threading.Thread(target=claim, args=(f"p{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(20):  # on PostgreSQL what another was about to take is passed over
        claim("last")

    assert sorted(job_id for job_id, _ in won) == sorted(f"j{n}" for n in range(20))
    assert all(
        found is not None and found.owner == owner for job_id, owner in won if [found := table.get(job_id)]
    )


def test_the_oldest_ready_jobs_of_this_service_are_claimed(table: JobTable, database_url: str):
    other = JobTable(database_url, Rules(), "other")
    other.add([job(JobState.READY, job_id="theirs", created_ms=NOW - 9)], NOW)
    table.add(
        [
            job(JobState.READY, job_id=name, created_ms=NOW - at)
            for name, at in (("b", 1), ("a", 2), ("c", 0))
        ],
        NOW,
    )
    table.add([job(job_id="unpaid")], NOW)

    assert [one.job_id for one in table.claim(claimed_by("p"), NOW, 2)] == ["a", "b"]
    assert [one.job_id for one in table.claim(claimed_by("p"), NOW, 2)] == ["c"]
    assert table.claim(claimed_by("p"), NOW, 2) == []
    assert table.get("a") == replace(
        claimed_by("p")(job(JobState.READY, job_id="a", created_ms=NOW - 2)), version=2
    )
    other.close()


@pytest.mark.postgres
def test_a_claim_does_not_wait_for_another_one(postgres_url: str):
    table, other = JobTable(postgres_url, Rules(), "mine"), JobTable(postgres_url, Rules(), "mine")
    table.add([job(JobState.READY, job_id="a"), job(JobState.READY, job_id="b", created_ms=NOW + 1)], NOW)

    def meanwhile(one: Job) -> Job:
        second = other.claim(claimed_by("q"), NOW, 1)
        assert [job.job_id for job in second] == ["b"]
        return claimed_by("p")(one)

    assert [one.job_id for one in table.claim(meanwhile, NOW, 1)] == ["a"]
    table.close()
    other.close()


def test_who_held_a_job_that_has_ended_is_not_looked_for(table: JobTable):
    table.add([job(JobState.RUNNING, owner="p"), job(JobState.FAILED, job_id="f", owner="q")], NOW)

    assert table.owners() == ["p"]


def test_the_searched_columns_follow_the_record(table: JobTable):
    table.add([job(), job(JobState.READY, job_id="r", owner="p", chain=LOCKED, client="c")], NOW)

    assert table.counts().states == {"awaiting_payment": 1, "ready": 1}
    assert table.counts().unpaid == {"": 1}
    assert table.owners() == ["p"]
    assert [one.job_id for one in table.owned_by("p")] == ["r"]
    assert table.watched_sources() == ["Web3CardanoV1"]
    assert table.due(NOW) == []
    assert [one.job_id for one in table.due(job().pay_by_time + Rules().pay_grace_ms)] == ["j"]
    ended = table.change(
        "r", NOW, lambda one: move(one, "refused", NOW, chain=Chain("RefundWithdrawn"), owner="")
    )
    assert ended is not None and table.watched_sources() == ["Web3CardanoV1"]
    assert table.counts().states == {"awaiting_payment": 1}
    assert [one.job_id for one in table.every()][:1] in (["j"], ["r"])


def test_facts(table: JobTable):
    assert table.fact("x") is None
    table.set_fact("x", "1")
    table.set_fact("x", "2")
    assert table.fact("x") == "2"


def test_services_on_one_database_do_not_see_each_other(table: JobTable, database_url: str):
    other, every = JobTable(database_url, Rules(), "other"), JobTable(database_url, Rules())
    table.add([job(JobState.READY, owner="p")], NOW)
    table.set_fact("x", "1")
    late = job().submit_result_time

    assert other.get("j") is None and other.by_payments(["bid"]) == [] and other.due(late) == []
    assert other.in_state(*JobState) == [] and list(other.every()) == [] and other.owned_by("p") == []
    assert other.owners() == [] and other.watched_sources() == [] and other.counts().states == {}
    assert other.fact("x") is None
    assert other.change("j", NOW, lambda one: one) is None
    with pytest.raises(JournalBusy):
        other.save(job(version=1), NOW)
    assert [one.job_id for one in every.every()] == ["j"]
    for opened in (other, every):
        opened.close()


def test_jobs_of_a_newer_version_are_not_touched(database_url: str):
    first = JobTable(database_url, Rules())
    with first.engine.begin() as db:
        db.execute(sa.text("UPDATE masumi_shop SET value = '99' WHERE name = 'version'"))
    first.close()

    with pytest.raises(JournalVersionError, match="99"):
        JobTable(database_url, Rules())


def test_many_processes_may_open_a_new_database_at_once(database_url: str):
    code = (
        "import sys; from masumi_tools.seller.jobs.table import JobTable; from masumi_tools.seller.jobs.job import Rules; "
        "JobTable(sys.argv[1], Rules())"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, database_url]) for _ in range(4)]

    assert [one.wait(60) for one in running] == [0] * 4


def test_all_jobs_are_read_a_page_at_a_time_newest_first(table: JobTable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("masumi_tools.seller.jobs.table._PAGE", 3)
    jobs = [job(job_id=f"{number:02}", created_ms=number // 4) for number in range(11)]
    table.add(jobs, NOW)

    assert [one.job_id for one in table.every()] == [f"{number:02}" for number in reversed(range(11))]


def test_what_is_asked_every_second_reads_no_more_with_a_long_history(tmp_path: Path):
    """Each of these reads by an index that ended jobs are not in, or only as far as it shows."""
    table = JobTable(f"sqlite:///{tmp_path}/jobs.sqlite", Rules(), "mine")
    table.add([job(JobState.READY, job_id="r")], NOW)
    asked: list[tuple[str, object]] = []

    @sa.event.listens_for(table.engine, "before_cursor_execute")
    def note(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if "FROM masumi_jobs" in statement:
            asked.append((statement, parameters))

    table.due(NOW)
    table.owners()
    table.watched_sources()
    table.counts()
    table.by_payments(["a"])
    table.get("r")
    table.claim(claimed_by("p"), NOW, 2)
    with sqlite3.connect(tmp_path / "jobs.sqlite") as db:
        plans = [
            " | ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))
            for statement, parameters in asked
        ]
    db.close()
    table.close()

    assert len(plans) >= 9
    assert [plan for plan in plans if not plan.startswith("SEARCH masumi_jobs USING")] == []
