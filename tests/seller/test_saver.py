"""New jobs that come at the same time: each caller hears what became of its own."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools.errors import JournalError
from masumi_tools.journal import database
from masumi_tools.seller.fast.saver import Saver
from masumi_tools.seller.jobs.job import Rules
from masumi_tools.seller.jobs.table import JobTable
from tests.seller.test_jobs import NOW, job


@pytest.fixture
def table(database_url: str) -> Iterator[JobTable]:
    one = JobTable(database_url, Rules(), "mine")
    yield one
    one.close()


async def test_all_that_come_together_are_saved(table: JobTable):
    saver = Saver(table, lambda: NOW)

    await asyncio.gather(*(saver.add(job(job_id=f"j{n}")) for n in range(50)))
    await saver.add(job(job_id="later"))

    assert {one.job_id for one in table.every()} == {"later", *(f"j{n}" for n in range(50))}


@pytest.mark.parametrize(("apart_s", "saves"), [(0.0005, [2]), (1.0, [1, 1])], ids=["crowded", "alone"])
async def test_where_jobs_come_fast_a_save_waits_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart_s: float, saves: list[int]
):
    table = JobTable(f"sqlite:///{tmp_path}/jobs.sqlite", Rules(), "mine")
    saver = Saver(table, lambda: NOW, itertools.count(1, apart_s).__next__)
    for number in range(60):
        await saver.add(job(job_id=f"j{number}"))
    sizes: list[int] = []
    add = table.add_at_once
    monkeypatch.setattr(table, "add_at_once", lambda jobs, now: sizes.append(len(jobs)) or add(jobs, now))

    first = asyncio.create_task(saver.add(job(job_id="a")))
    for _ in range(3):  # by now the first one would be written
        await asyncio.sleep(0)
    await asyncio.gather(first, saver.add(job(job_id="b")))
    table.close()

    assert sizes == saves


async def test_a_job_waits_for_another_writer_without_keeping_the_loop(tmp_path: Path):
    table = JobTable(f"sqlite:///{tmp_path}/jobs.sqlite", Rules(), "mine")
    with sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        saving = asyncio.create_task(Saver(table, lambda: NOW).add(job()))
        for _ in range(20):
            await asyncio.sleep(0)  # the loop goes on, and the job is not said to be saved
        assert not saving.done()
        other.execute("ROLLBACK")
    await saving

    assert table.get("j") is not None
    table.close()


async def test_what_fails_is_told_to_all_it_was_for_and_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table = JobTable(f"sqlite:///{tmp_path}/jobs.sqlite", Rules(), "mine")
    saver = Saver(table, lambda: NOW)
    with monkeypatch.context() as broken:
        broken.setattr(database, "_sync", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        told = await asyncio.gather(*(saver.add(job(job_id=name)) for name in "abc"), return_exceptions=True)
    assert [type(error) for error in told] == [JournalError] * 3

    await saver.add(job(job_id="d"))
    assert table.get("d") is not None
    table.close()


async def test_who_gives_up_waiting_takes_nothing_from_the_others(table: JobTable):
    saver = Saver(table, lambda: NOW)
    first, second = (asyncio.create_task(saver.add(job(job_id=name))) for name in "ab")
    await asyncio.sleep(0)
    first.cancel()
    await second

    assert table.get("b") is not None


async def test_the_end_waits_for_what_is_being_saved(table: JobTable):
    saver = Saver(table, lambda: NOW)
    await saver.end()
    given_up = asyncio.create_task(saver.add(job()))
    await asyncio.sleep(0)
    given_up.cancel()
    await saver.end()

    assert table.get("j") is not None
