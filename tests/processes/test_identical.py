"""The same call twice at the same instant: one job, one purchase, one receipt."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import AsyncBuyer, Buyer
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.row import Row
from masumi_tools.journal.store import Journal
from masumi_tools.settings import Settings
from tests.processes.books import books
from tests.processes.city import City
from tests.processes.nest import Nest


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    journal = Journal(database_url)
    yield journal
    journal.close()


def settings(town: City, url: str = "") -> Settings:
    return Settings.from_env(town.env | ({"MASUMI_DATABASE_URL": url} if url else {}))


def assert_one(town: City, url: str, hires: list[dict[str, Any]]) -> None:
    jobs = [seen for seen in town.requests() if (seen["method"], seen["path"]) == ("POST", "/start_job")]
    assert len(jobs) == 1
    assert {made["outcome"] for made in hires} <= {"completed", "reused"}
    assert len({made["hire_id"] for made in hires}) == 1
    assert len({made["result"] for made in hires}) == 1
    (found,) = books(url, town.purchases()).values()
    found.check()
    assert len(found.purchases) == len(town.purchases()) == 1 and found.used() == 1_000_000


def told(receipts: list[Receipt]) -> list[dict[str, Any]]:
    return [{name: getattr(made, name) for name in ("outcome", "hire_id", "result")} for made in receipts]


def test_from_two_threads(town: City, journal: Journal, database_url: str) -> None:
    start = threading.Barrier(2)
    with Buyer(settings(town), budget=Budget("20 ADA"), journal=journal) as buyer:

        def call(_number: int) -> Receipt:
            start.wait()
            return buyer.hire(town.agent("echo"), {"text": "hello"}, patience_s=30)

        with ThreadPoolExecutor(2) as pool:
            receipts = list(pool.map(call, range(2)))

    assert_one(town, database_url, told(receipts))


def test_from_two_buyers_in_two_threads(town: City, journal: Journal, database_url: str) -> None:
    start = threading.Barrier(2)

    def call(_number: int) -> Receipt:
        with Buyer(settings(town), budget=Budget("20 ADA"), journal=journal) as buyer:
            start.wait()
            return buyer.hire(town.agent("echo"), {"text": "hello"}, patience_s=30)

    with ThreadPoolExecutor(2) as pool:
        receipts = list(pool.map(call, range(2)))

    assert_one(town, database_url, told(receipts))


async def test_from_two_tasks(town: City, journal: Journal, database_url: str) -> None:
    async with AsyncBuyer(settings(town), budget=Budget("20 ADA"), journal=journal) as buyer:
        receipts = await asyncio.gather(
            *(buyer.hire(town.agent("echo"), {"text": "hello"}, patience_s=30) for _ in range(2))
        )

    assert_one(town, database_url, told(receipts))


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_from_two_processes(nest: Nest, town: City, database_url: str, colour: str) -> None:
    env = town.env | {"MASUMI_DATABASE_URL": database_url}

    def call(_number: int) -> dict[str, Any]:
        ended = nest.run(
            "tests.processes.acts:hire",
            env=env,
            target=town.agent("echo"),
            data={"text": "hello"},
            patience_s=30,
            colour=colour,
        )
        assert ended.status == 0, ended.err
        return dict(ended.json)

    with ThreadPoolExecutor(2) as pool:
        hires = list(pool.map(call, range(2)))

    assert_one(town, database_url, hires)


def test_who_looked_before_the_other_began_and_adds_after_it_ended_gets_its_receipt(
    town: City, journal: Journal, database_url: str
) -> None:
    """The slowest race: a whole hire passes between the second call's look into the journal and its own entry."""
    target, data = town.agent("echo"), {"text": "hello"}
    first = Buyer(settings(town), budget=Budget("20 ADA"), journal=journal)

    class Overtaken(Journal):
        overtaken: list[Receipt] = []

        def add(self, row: Row, *args: Any, **options: Any) -> tuple[Row, bool]:
            if not self.overtaken:
                self.overtaken.append(first.hire(target, data, patience_s=30))
            return super().add(row, *args, **options)

    slow = Overtaken(database_url)
    with Buyer(settings(town), budget=Budget("20 ADA"), journal=slow) as second:
        made = second.hire(target, data, patience_s=30)
    first.close()
    slow.close()

    assert_one(town, database_url, told([*Overtaken.overtaken, made]))


def test_two_calls_that_are_both_refused_both_say_so(town: City, journal: Journal) -> None:
    """An end that comes at once is no reason for an error in the one that joins it."""
    start = threading.Barrier(8)

    def call(_number: int) -> Receipt:
        with Buyer(settings(town), budget=Budget("0.5 ADA"), journal=journal) as buyer:
            start.wait()
            return buyer.hire(town.agent("echo"), {"text": "hello"}, patience_s=30)

    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(call, range(8)))

    assert {made.outcome for made in receipts} == {"refused"}
    assert json.dumps(town.purchases()) == "[]"
