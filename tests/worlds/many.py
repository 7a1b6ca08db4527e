"""Many histories on several processes, and the summary of what they came to."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from masumi_tools.journal.store import Journal
from tests.worlds.history import Outcome, run
from tests.worlds.journal import MemoryJournal

CHUNK = 20
# One in so many histories keeps its hires in a real SQLite database.
SQLITE_EVERY = 50


@dataclass(slots=True)
class Summary:
    """What many histories came to. `violations` are (seed, what) of those that must not be."""

    histories: int = 0
    seconds: float = 0.0
    steps: int = 0
    crashes: int = 0
    purchases: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.histories += 1
        self.steps += outcome.steps
        self.crashes += outcome.crashes
        self.purchases += outcome.purchases
        self.ends.update(outcome.ends)
        if outcome.violation is not None:
            self.violations.append((outcome.seed, outcome.violation))

    @property
    def per_second(self) -> float:
        return self.histories / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {state}" for state, count in sorted(self.ends.items()))
        return (
            f"histories: {self.histories} ({self.per_second:.0f} a second), steps: {self.steps}, "
            f"crashes: {self.crashes}, purchases: {self.purchases}; hires: {ends or 'none'}"
        )


def run_one(seed: int, trace: Callable[[str], None] | None = None) -> Outcome:
    """The history of this seed, on SQLite for one seed in fifty."""
    return run(seed, trace=trace, journal=on_sqlite if seed % SQLITE_EVERY == 7 else MemoryJournal)


def on_sqlite(now_ms: Callable[[], int]) -> Journal:
    """A real journal in a new SQLite database in memory."""
    return Journal("sqlite:///:memory:", now_ms)


def run_many(
    seeds: range, processes: int = 1, told: Callable[[Summary], None] | None = None, most_violations: int = 1
) -> Summary:
    """Run the histories of these seeds; ends early when so many violations were found."""
    summary, begun = Summary(), time.perf_counter()
    for outcome in _outcomes(seeds, processes):
        summary.add(outcome)
        summary.seconds = time.perf_counter() - begun
        if told is not None:
            told(summary)
        if len(summary.violations) >= most_violations:
            break
    return summary


def many() -> None:
    """For processes that do nothing else: what buyers log of their troubles is no news there."""
    logging.getLogger("masumi_tools").addHandler(logging.NullHandler())
    gc.set_threshold(50_000, 20, 50)  # a history leaves little behind that only a collection frees


def _outcomes(seeds: range, processes: int) -> Iterator[Outcome]:
    if processes <= 1:
        yield from map(run_one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes, many) as pool:
        yield from pool.imap_unordered(run_one, seeds, chunksize=CHUNK)
