"""Two thousand histories, always the same ones, in which nothing happens that must not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.worlds import run, run_many
from tests.worlds.journal import MemoryJournal
from tests.worlds.many import SQLITE_EVERY, on_sqlite, run_one
from tests.worlds.plan import plan_of

HISTORIES = 2_000
AT_ONCE = 500  # so that processes which run tests beside each other share them


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(0, HISTORIES, AT_ONCE))
def test_two_thousand_histories_hold_all_that_must_hold(first: int) -> None:
    summary = run_many(range(first, first + AT_ONCE), most_violations=3)

    print(summary)
    assert summary.violations == [], "make simulate SEED=N TRACE=1 shows it step by step"
    assert summary.crashes > AT_ONCE // 3, "many processes died on the way"
    assert summary.purchases > AT_ONCE // 3
    assert set(summary.ends) == {"settled", "refunded", "refused", "lapsed", "failed"}


@pytest.mark.parametrize(
    ("seed", "what"),
    [
        (10806, "a process slept between its order to pay and the answer, and took the payment for lapsed"),
        (
            13302,
            "who died after an approval kept the hire for an hour, and a refund was not asked for in time",
        ),
        (94051, "a machine slept over midnight before it reserved, and the day before was charged"),
        (12772, "two calls of a process drove one hire after a sleep, and one of them raised"),
        (584, "a hire that was asked for on one network went on, and was paid, on another"),
        (502, "a refund was disputed for ever, for the answer to our wish for it was lost"),
        (44, "a result without its proof was handed out at once while a dead process held the lease"),
        (
            6649,
            "a sweep shortly before the unlock time believed a spoilt answer, and did not ask the service again",
        ),
    ],
)
def test_a_history_that_once_went_wrong_does_not_again(seed: int, what: str) -> None:
    assert run_one(seed).violation is None, what


def test_a_history_is_its_seed() -> None:
    """The same steps in another process, whatever order its sets and hashes have."""
    traces = [_trace_elsewhere(hash_seed) for hash_seed in ("1", "2")]

    assert traces[0] == traces[1]
    assert traces[0].count("\n") > 500


def _trace_elsewhere(hash_seed: str) -> str:
    code = "from tests.worlds import run\nfor seed in range(20): run(seed, trace=print)"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("seed", [3, 15, 28, 31, 88, 542])
def test_a_history_is_the_same_on_a_real_database(seed: int) -> None:
    traces: list[list[str]] = [[], []]

    for trace, journal in zip(traces, (MemoryJournal, on_sqlite), strict=True):
        assert run(seed, trace=trace.append, journal=journal).violation is None

    assert traces[0] == traces[1]
    assert traces[0]


def test_a_share_of_the_histories_runs_on_sqlite() -> None:
    assert sum(seed % SQLITE_EVERY == 7 for seed in range(HISTORIES)) == HISTORIES // SQLITE_EVERY


def test_plans_are_of_every_kind() -> None:
    plans = [plan_of(seed) for seed in range(500)]

    tempers = {seller.temper.name for plan in plans for seller in plan.sellers}
    assert len(tempers) > 30
    for what in ("dialect", "realistic", "registry", "scoped_key", "poor", "processes"):
        assert len({getattr(plan, what) for plan in plans}) > 1, what
    for what in ("node", "service", "registry", "crash", "freeze", "journal", "crossed", "lost_tx"):
        assert len({getattr(plan.chaos, what) for plan in plans}) > 1, what
    assert {wish.action for plan in plans for wish in plan.wishes} == {"hire", "sweep", "refund", "resume"}
