"""The journal: what one step costs with 100 to 1,000,000 hires behind it, against a bare commit to the same disk.

    python benchmarks/journal.py                       # up to 1,000,000 hires, some minutes
    python benchmarks/journal.py --quick               # up to 10,000, under a minute
    python benchmarks/journal.py --database URL        # an empty PostgreSQL database in place of SQLite

1. Reserving money, adding, saving and leasing a hire: medians, by how many hires the budget has behind it. The
   largest history costs at most 1.3 times what the smallest does. The floor is one row committed by bare
   sqlite3 with synchronous=FULL.
2. What a budget's lines come to: under 100 ms at the largest history.
3. Open hires of which nothing is due: a look for what is due, in statements and time, under 2 s; and the memory
   of a sweep in pages over all of them when all are due, under 150 MB above what it began with.

Exit status 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from masumi_tools.journal import tables, totals
from masumi_tools.journal.store import Entry, Journal, Row, Usage

MOST_TIMES = 1.3
MOST_USED_MS = 100
MOST_LOOK_S = 2.0
MOST_MB = 150
SIZES = (100, 10_000, 100_000, 1_000_000)
QUICK = (100, 10_000)
TIMES = 200
RECORD = "x" * 3_000  # as long as the record of a usual hire
BUDGET = "company"
FIRST_MS = 1_700_000_000_000
EVERY_MS = 60_000


def row_of(number: int, money: str = "reserved") -> Row:
    return Row(
        hire_id=f"h{number:012}", key=f"k{number:012}", state="locked", is_open=True, joinable=True, budget=BUDGET,
        service=f"agent-{number % 50}", created_ms=FIRST_MS + number * EVERY_MS, changed_ms=FIRST_MS, money=money,
        record=RECORD, entries=(Entry("", 1_000_000),), due_ms=2**50,
    )  # fmt: skip


def fill(journal: Journal, first: int, last: int, *, is_open: bool) -> None:
    """Hires that are there already, by bulk inserts, with their sums."""
    with journal._engine.begin() as db:
        for at in range(first, last, 10_000):
            rows = [
                row_of(number, "locked" if is_open else "spent")
                for number in range(at, min(at + 10_000, last))
            ]
            columns = ("hire_id", "key", "state", "budget", "service", "created_ms", "changed_ms", "record")
            db.execute(
                tables.hires.insert(),
                [
                    {
                        **{name: getattr(row, name) for name in columns},
                        "open_key": row.key if is_open else None,
                        "is_open": is_open,
                        "version": 1,
                        "lease_until_ms": 0,
                    }
                    for row in rows
                ],
            )
            lines = [
                (row.hire_id, totals.Line("", BUDGET, row.service, row.created_ms, row.money, 1_000_000, 0))
                for row in rows
            ]
            db.execute(
                tables.amounts.insert(),
                [{"hire_id": hire_id, **totals._values(line)} for hire_id, line in lines],
            )
            changed = totals.changes((), [line for _, line in lines])
            db.execute(totals._ADD, [{**key._asdict(), **value._asdict()} for key, value in changed.items()])
            if is_open:
                db.execute(
                    tables.turns.insert(),
                    [{"hire_id": row.hire_id, "due_ms": row.due_ms, "lease_until_ms": 0} for row in rows],
                )
        db.execute(sa.text("INSERT INTO masumi_budgets VALUES ('company', '') ON CONFLICT DO NOTHING"))


def median_ms(work: Callable[[], Any], times: int = TIMES) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def steps(journal: Journal, size: int, fresh: Iterator[int]) -> dict[str, float]:
    """The median of each step in ms, with `size` hires behind it."""
    made: list[Row] = []
    day_ms = FIRST_MS + size * EVERY_MS - 86_400_000

    def add() -> None:
        made.append(journal.add(replace(row_of(next(fresh)), entries=(), money=""))[0])

    added = median_ms(add)
    waiting, reserved, saved = iter(list(made)), [], []

    def reserve() -> None:
        row = next(waiting)

        def decide(usage: Usage) -> Row:
            assert usage.total[""] >= size * 1_000_000
            return replace(row, entries=(Entry("", 1_000_000),), money="reserved")

        reserved.append(journal.save_decided(row, decide, day_ms))

    reserving = median_ms(reserve)
    going = iter(list(reserved))
    saving = median_ms(lambda: saved.append(journal.save(replace(next(going), record=RECORD + "y"))))
    ids = iter([row.hire_id for row in saved])

    def lease() -> None:
        hire_id = next(ids)
        assert journal.take_lease(hire_id, "me", 60_000, lambda _: False)
        journal.drop_lease(hire_id, "me")

    leasing = median_ms(lease)
    used = median_ms(lambda: journal.used(BUDGET), 20)
    return {"reserve": reserving, "add": added, "save": saving, "lease": leasing, "used": used}


def floor_ms(folder: Path) -> float:
    """One row committed by bare sqlite3, as safely as the journal does it."""
    db = sqlite3.connect(folder / "floor.sqlite3", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")

    def commit() -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO t (b) VALUES (?)", (RECORD,))
        db.execute("COMMIT")

    return median_ms(commit)


def look(journal: Journal, count: int) -> tuple[float, int]:
    """Seconds and statements of one look for what is due among so many open hires, where nothing is."""
    statements = [0]
    event.listen(
        journal._engine, "before_cursor_execute", lambda *_: statements.__setitem__(0, statements[0] + 1)
    )
    began = time.perf_counter()
    assert journal.due(FIRST_MS, (0, ""), lambda _: False, 500) == [] and journal.count_open() >= count
    return time.perf_counter() - began, statements[0] - 1


def page_through(journal: Journal) -> tuple[int, float]:
    """How many hires a sweep's pages show where all are due, and the MB that they took at most."""
    before, seen, after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0, (0, "")
    while page := journal.due(2**51, after, lambda _: False, 500):
        seen += len(page)
        after = page[-1].due_ms, page[-1].hire_id
    return seen, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--database", help="an empty PostgreSQL database")
    asked = parser.parse_args()
    sizes = QUICK if asked.quick else SIZES
    missed = False

    def told(words: str, right: bool) -> None:
        nonlocal missed
        missed |= not right
        print(f"{words}{'' if right else '   MISSED'}")

    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(asked.database or f"sqlite:///{Path(folder) / 'journal.sqlite3'}")
        fresh = iter(range(10_000_000, 20_000_000))
        floor = floor_ms(Path(folder))
        print(f"a bare commit: {floor:.2f} ms")
        table: dict[int, dict[str, float]] = {}
        filled = 0
        for size in sizes:
            fill(journal, filled, size, is_open=False)
            filled = size
            table[size] = steps(journal, size, fresh)
            print(f"{size:>9} hires: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in table[size].items()))
        least, most = table[sizes[0]], table[sizes[-1]]
        for name in ("reserve", "add", "save", "lease"):
            ratio = most[name] / least[name]
            told(
                f"{name}: {ratio:.2f} times from {sizes[0]} to {sizes[-1]} hires (at most {MOST_TIMES}); "
                f"{most[name] / floor:.1f} bare commits",
                ratio <= MOST_TIMES,
            )
        told(f"used: {most['used']:.1f} ms (under {MOST_USED_MS})", most["used"] < MOST_USED_MS)
        count = sizes[-1] // 10
        fill(journal, 20_000_000, 20_000_000 + count, is_open=True)
        took_s, statements = look(journal, count)
        told(
            f"{count} open, nothing due: {statements} statement, {took_s * 1000:.1f} ms (under {MOST_LOOK_S} s)",
            took_s < MOST_LOOK_S,
        )
        seen, mb = page_through(journal)
        told(f"{seen} due, in pages: {mb:.0f} MB more at most (under {MOST_MB})", mb < MOST_MB)
        journal.close()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
