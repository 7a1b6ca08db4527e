"""Lists over thousands of hires and jobs: a page is read and not the history, by an index, and what is left out is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

pytest.importorskip("typer")
from masumi_tools.cli.run import run
from masumi_tools.hire import rows
from masumi_tools.hire.budget import Budget
from masumi_tools.journal import tables
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.seller.jobs import table as job_table
from masumi_tools.seller.jobs.job import Chain, JobState, Rules
from tests.hire.clocked import ClockedBuyer
from tests.seller.test_jobs import NOW, job

COUNT = 3_000
ADA = ((2_000_000, ""),)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with 3,000 hires, of which every tenth is open, and as many jobs."""
    file = tmp_path_factory.mktemp("long") / "long.sqlite"
    url = f"sqlite:///{file}"
    with closing(Journal(url)) as journal, Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
        made = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=0)
        with journal._engine.begin() as db:
            (one,) = (dict(found._mapping) for found in db.execute(sa.select(tables.hires)))
            copies = []
            for number in range(1, COUNT):
                hire_id = f"h{number:05}"
                copy = one | {
                    "hire_id": hire_id,
                    "key": hire_id,
                    "open_key": None,
                    "is_open": not number % 10,
                }
                copy |= {"record": one["record"].replace(made.hire_id, hire_id), "created_ms": number}
                copies.append(copy | {"budget": "other" if number % 2 else one["budget"]})
            db.execute(tables.hires.insert(), copies)
    earned = {"price": ADA, "chain": Chain("Withdrawn")}
    contested = {"price": ((1, "ab" * 60), (1, "cd" * 60)), "chain": Chain("Disputed")}
    jobs = job_table.JobTable(url, Rules(), "Shop")
    with closing(jobs):
        made_of = [earned, contested, {}]
        jobs.add(
            [
                job(JobState.COMPLETED, job_id=f"j{n:05}", created_ms=NOW - n, **made_of[n % 3])
                for n in range(COUNT)
            ],
            NOW,
        )
    return file


class Read:
    """What a command read: its queries, and how many records it made sense of."""

    def __init__(self) -> None:
        self.queries: list[tuple[str, Any]] = []
        self.records = 0


@contextmanager
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Read]:
    read = Read()

    def hear(_db: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and ("masumi_hires" in statement or "masumi_jobs" in statement):
            read.queries.append((statement, given))

    def counted(function: Any) -> Any:
        def once(*given: Any) -> Any:
            read.records += 1
            return function(*given)

        return once

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(rows, "purchase_of", counted(rows.purchase_of))
            patch.setattr(job_table, "_job", counted(job_table._job))
            yield read
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)


def plans(file: Path, read: Read) -> list[str]:
    """How SQLite would run these queries."""
    with closing(Journal(f"sqlite:///{file}")) as journal, journal._reading.connect() as db:
        return [
            str(step[3])
            for statement, given in read.queries
            for step in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
        ]


HIRES = {
    "all": ((), COUNT, "h02999"),
    "open": (("--open",), COUNT // 10, "h02990"),
    "of a budget": (("--budget", "other"), COUNT // 2, "h02999"),
}


@pytest.mark.parametrize("name", HIRES)
def test_fifty_of_thousands_of_hires_are_read_by_an_index(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words, count, newest = HIRES[name]

    with reading(monkeypatch) as read:
        assert run(["hires", *words, "--database-url", f"sqlite:///{filled}"]) == 0

    shown = capsys.readouterr().out
    assert newest in shown and f"… and {count - 50} more; --all lists them" in shown
    assert read.records == 50 and len(read.queries) == 2
    assert all("INDEX" in step for step in plans(filled, read)), "no table is scanned, and nothing is sorted"


def test_exports_go_over_many_pages_and_have_all_that_is_asked_for(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = ("--database-url", f"sqlite:///{filled}")
    assert run(["hires", "--csv", str(tmp_path / "csv"), "--limit", "510", *url]) == 0
    lines = (tmp_path / "csv").read_text().splitlines()
    assert len(lines) == 511 and sum(line.startswith("hire_id,") for line in lines) == 1
    assert run(["hires", "--jsonl", str(tmp_path / "jsonl"), "--open", *url]) == 0
    assert len((tmp_path / "jsonl").read_text().splitlines()) == COUNT // 10
    capsys.readouterr()

    run(["hires", "--json", "--limit", "7", *url])

    told = json.loads(capsys.readouterr().out)
    assert (len(told["hires"]), told["left_out"]) == (7, COUNT - 7)


def test_fifty_of_thousands_of_jobs_are_read_and_their_sums_come_from_an_index(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with reading(monkeypatch) as read:
        assert run(["jobs", "--by", "year", "--database-url", f"sqlite:///{filled}"]) == 0

    shown = capsys.readouterr().out
    assert "income: 2000 ADA" in shown and f"… and {COUNT - 50} more; --all lists them" in shown
    assert f"disputed: {COUNT // 3}" in shown and f"expected: {COUNT // 3} " in shown
    long_prices = COUNT // 3
    assert read.records == 50 + 50 + long_prices, (
        "the page, the contested ones, and prices that no index holds"
    )
    steps = plans(filled, read)
    assert not any(step.startswith("SCAN masumi_jobs") and "INDEX" not in step for step in steps), steps


def test_all_jobs_are_listed_when_all_are_asked_for(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs", "--all", "--json", "--database-url", f"sqlite:///{filled}"]) == 0

    found = json.loads(capsys.readouterr().out)

    assert (len(found["jobs"]), found["left_out"], found["contested"]) == (COUNT, 0, COUNT // 3)
