"""The journal: what one step costs with 100 to 1,000,000 hires behind it, against a bare commit to the same disk.

    python benchmarks/journal.py                       # up to 1,000,000 hires, some minutes
    python benchmarks/journal.py --quick               # up to 10,000, under a minute
    python benchmarks/journal.py --database URL        # an empty PostgreSQL database in place of SQLite
    python benchmarks/journal.py --only shared         # part 4 alone

1. Reserving money, adding, saving and leasing a hire: medians, by how many hires the budget has behind it. The
   largest history costs at most 1.3 times what the smallest does. The floor is one row committed by bare
   sqlite3 with synchronous=FULL.
2. What a budget's lines come to: under 100 ms at the largest history.
3. Open hires of which nothing is due: a look for what is due, in statements and time, under 2 s; and the memory
   of a sweep in pages over all of them when all are due, under 150 MB above what it began with.
4. 1, 2 and 4 processes on one database and one budget: all that one real hire asks of the journal, again and
   again. Hires a second, and statements and disk waits (commits of what was written) of a hire. Four
   processes together get at least 0.6 times as far as one: sharing costs something, and nobody starves.

Exit status 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from masumi_tools import Budget, Buyer, Settings
from masumi_tools.journal import tables, totals
from masumi_tools.journal.row import Entry, Reservation, Row, Usage
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox

MOST_TIMES = 1.3
MOST_USED_MS = 100
MOST_LOOK_S = 2.0
MOST_MB = 150
LEAST_SHARE = 0.6
PROCESSES = (1, 2, 4)
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
        record=RECORD, entries=(Entry("", 1_000_000),), due_ms=FIRST_MS + 1_800_000,
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
            totals._ADD.run_each(db, [{**key._asdict(), **value._asdict()} for key, value in changed.items()])
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

        reserved.append(journal.save_decided(Reservation(row, decide, day_ms)))

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
        after = page[-1].rank, page[-1].hire_id
    return seen, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def alone(url: str, folder: Path, sizes: tuple[int, ...], told: Callable[[str, bool], None]) -> None:
    """Parts 1 to 3, of one process."""
    journal = Journal(url)
    fresh = iter(range(10_000_000, 20_000_000))
    floor = floor_ms(folder)
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


# 4. Many processes -----------------------------------------------------------------------------------

ASKED_OF_IT = (
    "add", "by_call", "drop_lease", "get", "known_under", "link", "of_service", "rows", "save", "save_decided",
    "take_lease", "usage",
)  # fmt: skip
Deed = tuple[str, tuple[Any, ...]]


def one_hire(folder: Path) -> tuple[str, list[Deed]]:
    """The id of a hire that was made in a sandbox, and what was asked of the journal for it, in order."""
    deeds: list[Deed] = []

    def kept(name: str) -> Any:
        def ask(self: Journal, *given: Any) -> Any:
            if name == "save_decided":  # what was decided then is decided again
                money = given[0]

                def deciding(usage: Usage) -> Row:
                    decided: Row = money.decide(usage)
                    deeds.append((name, (replace(money, decide=partial(_as_before, decided)),)))
                    return decided

                return Journal.save_decided(self, replace(money, decide=deciding))
            if name != "rows":
                deeds.append((name, given))
            return getattr(Journal, name)(self, *given)

        return ask

    recorder = type("Recorder", (Journal,), {name: kept(name) for name in ASKED_OF_IT})
    with Sandbox() as sandbox:
        journal = recorder(f"sqlite:///{folder / 'recorded.sqlite3'}")
        with Buyer(
            Settings.from_sandbox(sandbox), budget=Budget("9 ADA", name=BUDGET), journal=journal
        ) as buyer:
            made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"})
        journal.close()
    assert made.outcome == "completed", made
    return made.hire_id, deeds


def repeat(journal: Journal, hire_id: str, deeds: list[Deed], new_id: str) -> None:
    """Ask the same of the journal for another hire."""

    def other(value: Any) -> Any:
        if isinstance(value, Row):
            record = value.record.replace(hire_id, new_id)
            return replace(value, hire_id=new_id, key=new_id, record=record, token=new_id[:32])
        return new_id if value == hire_id else value

    for name, given in deeds:
        if name == "save_decided":
            decided = other(given[0].decide(Usage()))
            journal.save_decided(replace(given[0], hire=decided, decide=partial(_as_before, decided)))
        else:
            getattr(journal, name)(*(other(value) for value in given))


def _as_before(decided: Row, _usage: Usage) -> Row:
    return decided


def share(
    url: str, name: str, hire_id: str, deeds: list[Deed], start: Any, seconds: float, done: Any
) -> None:
    """One of the processes: as many hires as there is time for; says how many, and what they asked of the database."""
    journal = Journal(url)
    counted = {"statements": 0, "waits": 0}

    def count(what: str) -> Callable[..., None]:
        return lambda *_: counted.__setitem__(what, counted[what] + 1)

    def waits(db: sa.Connection) -> None:
        if db.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            counted["waits"] += 1

    repeat(journal, hire_id, deeds, f"{name}-first")
    event.listen(journal._engine, "before_cursor_execute", count("statements"))
    event.listen(journal._engine, "commit", waits)
    start.wait()
    ends, hires = time.perf_counter() + seconds, 0
    while time.perf_counter() < ends:
        repeat(journal, hire_id, deeds, f"{name}-{hires}")
        hires += 1
    done.put((hires, counted["statements"], counted["waits"]))
    journal.close()


def shared(url: str, folder: Path, seconds: float) -> float:
    """Hires a second of 1, 2 and 4 processes; what four come to, in times of one."""
    hire_id, deeds = one_hire(folder)
    Journal(url).close()
    rates: dict[int, float] = {}
    ways = multiprocessing.get_context("spawn")
    for number in PROCESSES:
        start, done = ways.Barrier(number), ways.SimpleQueue()
        rest = (hire_id, deeds, start, seconds, done)
        working = [ways.Process(target=share, args=(url, f"{number}-{n}", *rest)) for n in range(number)]
        for process in working:
            process.start()
        told = [done.get() for _ in working]
        for process in working:
            process.join()
        hires, statements, waits = (sum(one[part] for one in told) for part in range(3))
        rates[number] = hires / seconds
        print(
            f"{number} process{'es' if number > 1 else ''}: {rates[number]:.1f} hires a second, of each "
            f"{statements / hires:.1f} statements and {waits / hires:.1f} disk waits; "
            f"{min(one[0] for one in told)} to {max(one[0] for one in told)} hires each",
            flush=True,
        )
    return rates[PROCESSES[-1]] / rates[PROCESSES[0]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--database", help="an empty PostgreSQL database")
    parser.add_argument("--only", choices=("steps", "shared"), help="parts 1 to 3, or part 4")
    asked = parser.parse_args()
    sizes = QUICK if asked.quick else SIZES
    missed = False

    def told(words: str, right: bool) -> None:
        nonlocal missed
        missed |= not right
        print(f"{words}{'' if right else '   MISSED'}")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = asked.database or f"sqlite:///{folder / 'journal.sqlite3'}"
        if asked.only != "shared":
            alone(url, folder, sizes, told)
        if asked.only != "steps":
            times = shared(url, folder, 2.0 if asked.quick else 20.0)
            told(f"four processes: {times:.2f} times one (at least {LEAST_SHARE})", times >= LEAST_SHARE)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
