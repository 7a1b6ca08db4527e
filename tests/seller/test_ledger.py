"""The jobs of a shop as its operator reads them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.cli.run import run
from masumi_tools.errors import InputError, StateError
from masumi_tools.seller import ledger
from masumi_tools.seller.jobs.job import Chain, JobState, Rules, from_json
from masumi_tools.seller.jobs.table import JobTable
from masumi_tools.settings import Settings
from tests.seller.test_jobs import LOCKED, NOW, job

ADA = ((2_000_000, ""),)
DAY = 86_400_000


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url)


@pytest.fixture
def table(settings: Settings) -> Iterator[JobTable]:
    one = JobTable(settings.database_url, Rules(), "Shop")
    yield one
    one.close()


@pytest.fixture
def full(table: JobTable) -> JobTable:
    earned = {"price": ADA, "chain": Chain("Withdrawn"), "result": "done"}
    table.add(
        [
            job(JobState.COMPLETED, job_id="old", created_ms=NOW - 40 * DAY, **earned),
            job(JobState.COMPLETED, job_id="new", created_ms=NOW - DAY, **earned),
            job(JobState.FAILED, job_id="bad", price=ADA, chain=LOCKED, error="=no", created_ms=NOW - 2),
            job(JobState.RUNNING, job_id="busy", price=ADA, chain=LOCKED, owner="p", created_ms=NOW - 1),
        ],
        NOW,
    )
    return table


def ids(found: dict[str, Any]) -> list[str]:
    return [one["job_id"] for one in found["jobs"]]


def test_jobs_are_listed_newest_first_with_their_service(full: JobTable, settings: Settings):
    found = ledger.jobs(settings)

    assert ids(found) == ["busy", "bad", "new", "old"]
    assert {one["service"] for one in found["jobs"]} == {"Shop"}
    assert found["income"] == ["4 ADA"] and found["states"] == {"running": 1, "failed": 1, "completed": 2}


def test_jobs_are_filtered_and_their_income_is_told_by_period(full: JobTable, settings: Settings):
    assert ids(ledger.jobs(settings, states=["failed"])) == ["bad"]
    assert ids(ledger.jobs(settings, since_ms=NOW - 2 * DAY)) == ["busy", "bad", "new"]
    assert ids(ledger.jobs(settings, service="Other")) == []
    assert list(ledger.jobs(settings, by="month")["periods"].values()) == [["2 ADA"], ["2 ADA"]]
    with pytest.raises(InputError, match="is not a state"):
        ledger.jobs(settings, states=["lost"])


def test_one_job_is_told_whole_by_the_beginning_of_its_id(full: JobTable, settings: Settings):
    found = ledger.whole(settings, "bu")

    assert (found["job_id"], found["service"], found["owner"]) == ("busy", "Shop", "p")
    for strange in ("", "nope", "%"):
        with pytest.raises(StateError, match="there is"):
            ledger.whole(settings, strange)


def test_a_job_is_cancelled_and_run_again(
    full: JobTable, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("masumi_tools.seller.clock.Clock.now_ms", lambda self: NOW)
    assert ledger.change(settings, "busy", "cancel")["state"] == "failed"
    assert ledger.change(settings, "bad", "again")["state"] == "ready"

    after = full.get("bad")
    assert after is not None and (after.attempt, after.error) == (1, None)
    with pytest.raises(StateError, match="not possible"):
        ledger.change(settings, "new", "cancel")
    with pytest.raises(StateError, match="payment is Withdrawn"):
        ledger.change(settings, "new", "again")


def test_what_would_come_too_late_is_not_run_again(
    full: JobTable, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    late = job().submit_result_time
    monkeypatch.setattr("masumi_tools.seller.clock.Clock.now_ms", lambda self: late)

    with pytest.raises(StateError, match="too late"):
        ledger.change(settings, "bad", "again")


def test_old_jobs_move_to_a_file_whole_and_those_that_are_owed_something_stay(
    full: JobTable, settings: Settings, tmp_path: Path
):
    file = tmp_path / "old.jsonl"
    assert ledger.archive(settings, NOW, file) == 2
    assert ledger.archive(settings, NOW, file) == 0

    kept = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(one["job_id"] for one in kept) == ["new", "old"]
    assert from_json(kept[0]).result == "done"
    assert ids(ledger.jobs(settings)) == ["busy", "bad"]


def test_a_job_that_changed_meanwhile_is_not_removed(full: JobTable):
    before = full.get("new")
    assert before is not None
    full.save(before, NOW)

    assert full.remove([before]) == 0 and full.get("new") is not None


def test_the_command_line_lists_shows_and_writes(
    full: JobTable,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("MASUMI_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("COLUMNS", "200")

    def said(*words: str) -> str:
        assert run(["jobs", *words]) == 0
        return capsys.readouterr().out

    listed = said("--csv", str(tmp_path / "jobs.csv"))
    assert "Shop" in listed and "income: 4 ADA" in listed
    assert "completed" in said("new")
    rows = list(csv.DictReader((tmp_path / "jobs.csv").read_text().splitlines()))
    assert [row["job_id"] for row in rows] == ["busy", "bad", "new", "old"]
    assert rows[1]["error"] == "'=no"  # no formula for a spreadsheet
