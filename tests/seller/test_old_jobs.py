"""A table of jobs that version 1 left behind: it is opened, brought up to date, and its jobs are served on."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from masumi_tools.sandbox import Sandbox
from masumi_tools.seller.jobs.job import JobState, Rules
from masumi_tools.seller.jobs.table import JobTable
from masumi_tools.seller.jobs.tables import jobs as columns
from tests.fixtures import restore
from tests.seller.support import Market

DONE = "6be261e9-c09e-422f-add0-08b44f32dc82"
JOBS = {
    DONE: JobState.COMPLETED,
    "dcfb74f7-38b8-4c1c-9d5b-257c5811d123": JobState.FAILED,
    "be095b5d-3594-4643-a2d4-58ccc54c34e9": JobState.AWAITING_INPUT,
    "dcfbcbdb-7733-4e70-b4a8-c26d7b58a23e": JobState.AWAITING_PAYMENT,
}


def test_every_job_of_the_old_table_is_read(tmp_path: Path):
    table = JobTable(restore("old-jobs", tmp_path / "jobs.sqlite"), Rules(), "Shop")
    found = {job.job_id: job for job in table.every()}
    state = {job_id: job.state for job_id, job in found.items()}
    news = table.fact("news Web3CardanoV1")
    table.close()

    assert state == JOBS
    assert found[DONE].result == "DONE" and found[DONE].blockchain_identifier
    assert news and "at_ms" in news


def test_the_jobs_of_the_old_table_count_as_new_ones_do(tmp_path: Path):
    table = JobTable(restore("old-jobs", tmp_path / "jobs.sqlite"), Rules(), "Shop")
    jobs = list(table.every())
    with table.engine.connect() as db:
        kept = {row.job_id: (row.booked, row.price) for row in db.execute(sa.select(columns))}
    new = {job.job_id: table._columns(job, 0) for job in jobs}
    table.close()

    assert {job_id: kept[job_id] for job_id in new if kept[job_id][0]} == {
        job_id: (one["booked"], one["price"]) for job_id, one in new.items() if one["booked"]
    }
    assert kept[DONE][0]


def test_a_service_that_is_started_on_the_old_table_still_knows_its_jobs(tmp_path: Path):
    def work(text: str) -> str:
        return text.upper()

    url = restore("old-jobs", tmp_path / "jobs.sqlite")
    with Sandbox(seed=3) as sandbox, Market(sandbox, tmp_path).shop(work, database_url=url) as buying:
        done = buying.status({"id": DONE})
        new = buying.buy({"text": "new"})

        assert (done["status"], done["result"]) == ("completed", "DONE")
        assert buying.wait(new, "completed")["result"] == "NEW"
