"""`masumi-tools hire` killed at random moments while node, registry and services misbehave at random.

Each schedule is one hire that nobody else makes, over a journal that it shares with others. Its process is
killed up to three times and started again; in the end the faults are gone, time goes on and somebody sweeps.
Then both books must agree: one purchase at most for each hire, and every budget adds up.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.hire.purchase import State
from tests.processes.books import Books, books
from tests.processes.city import City, city
from tests.processes.nest import Ended, Nest

LANES = 8
HOUR = 3_600_000
SERVICES = {"echo": 5, "echo-v2": 2, "failing": 3, "human": 3, "silent": 1, "free": 2}
DEEDS = (
    "drop-request",
    "drop-reply",
    "error-500",
    "error-500-after-commit",
    "conflict-500",
    "html-502",
    "rate-limit",
    "delay",
    "garbage",
    "wrong-content-type",
)
PLACES = (
    "GET /payment-information",
    "GET /api-key-status",
    "POST /start_job",
    "POST /purchase",
    "POST /purchase/resolve-blockchain-identifier",
    "GET /purchase/diff",
    "POST /purchase/request-refund",
    "GET /status",
    "POST /provide_input",
)
PAID_FOR = {State.DELIVERED, State.SETTLED, State.REFUNDED}


@dataclass
class Schedule:
    """What happens to one hire: drawn from its number, so that a failing one can be told."""

    number: int
    url: str
    service: str
    kills: list[float]
    faults: list[dict[str, Any]]
    log: list[str] = field(default_factory=list)

    @classmethod
    def drawn(cls, seed: int, number: int, url: str, lasts_s: float) -> Schedule:
        chance = random.Random(f"{seed}/{number}")
        service = chance.choices(list(SERVICES), list(SERVICES.values()))[0]
        kills = [chance.uniform(0, 1.2 * lasts_s) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
        faults: list[dict[str, Any]] = [
            {
                "on": chance.choice(PLACES),
                "do": chance.choice(DEEDS),
                "times": chance.randint(1, 3),
                "after": chance.randint(0, 2),
                "delay_ms": 200,
                "retry_after_s": 0,
            }
            for _ in range(chance.choice((0, 1, 1, 2)))
        ]
        return cls(number, url, service, kills, faults)

    @property
    def text(self) -> str:
        return f"schedule {self.number}"

    @property
    def budget(self) -> str:
        return f"budget {self.number}"


@dataclass(frozen=True)
class Field:
    nest: Nest
    town: City

    def command(self, url: str, *words: str, kill_after_s: float | None = None) -> Ended:
        env = self.town.env | {"MASUMI_DATABASE_URL": url}
        return self.nest.run(
            "tests.processes.acts:cli", env=env, arguments=[*words, "--json"], kill_after_s=kill_after_s
        )

    def hire(self, one: Schedule, kill_after_s: float | None = None) -> Ended:
        ended = self.command(
            one.url,
            "hire",
            self.town.agent(one.service),
            f"--input={json.dumps({'text': one.text})}",
            "--budget=20 ADA",
            f"--budget-name={one.budget}",
            "--patience=3" if one.service == "silent" else "--patience=20",
            kill_after_s=kill_after_s,
        )
        one.log.append("killed" if ended.killed else f"{ended.status} {ended.out[-2000:]} {ended.err[-500:]}")
        assert ended.killed or (ended.status in (0, 1, 3) and "outcome" in ended.json), one
        return ended

    def play(self, one: Schedule) -> None:
        """The hire under faults and kills, and then once more to its end."""
        for fault in one.faults:
            self.town.arm(**fault)
        for kill_after_s in one.kills:
            self.hire(one, kill_after_s)
        ended = self.hire(one)
        if ended.json["outcome"] == "needs_input":
            answered = self.command(one.url, "answer", ended.json["hire_id"], "approve=true", "--patience=20")
            one.log.append(f"{answered.status} {answered.out[-2000:]} {answered.err[-500:]}")

    def sweep(self, url: str) -> None:
        ended = self.nest.run("tests.processes.acts:sweep", env=self.town.env | {"MASUMI_DATABASE_URL": url})
        assert ended.status == 0, ended.err


def run(folder: Path, seed: int, count: int) -> tuple[list[Schedule], dict[str, Books], float]:
    began = time.monotonic()
    with Nest(folder) as nest, city(folder) as town:
        field = Field(nest, town)
        urls = [f"sqlite:///{folder / f'lane{lane}.sqlite'}" for lane in range(LANES)]
        first = Schedule(0, urls[0], "echo", [], [])
        field.hire(first)
        lasts_s = field.hire(Schedule(-1, urls[0], "echo", [], [])).seconds
        schedules = [
            Schedule.drawn(seed, number, urls[number % LANES], lasts_s) for number in range(1, count + 1)
        ]
        with ThreadPoolExecutor(LANES) as pool:
            list(pool.map(field.play, schedules))
            town.disarm()
            for ahead in (0, 3 * HOUR, 24 * HOUR):
                town.advance(ahead)
                list(pool.map(field.sweep, urls))
        rows = town.purchases()
    found: dict[str, Books] = {}
    for url in urls:
        found |= books(url, rows)
    return schedules, found, time.monotonic() - began


def check(schedules: list[Schedule], found: dict[str, Books], seconds: float, seed: int) -> None:
    ends: Counter[str] = Counter()
    for one in schedules:
        its = found[one.budget]
        try:
            its.check()
            state = its.last.state
            assert its.last.ended or state is State.NEEDS_INPUT, state
            if its.purchases:
                paid = [p for p in its.hires if p.state in PAID_FOR]
                assert len(paid) == 1, [p.state for p in its.hires]
                if paid[0].result is not None and one.service != "human":
                    assert paid[0].result == one.text.upper()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {one}\n{[p.history for p in its.hires]}") from error
        ends[f"{one.service} {state.value}"] += 1
    killed = sum(line == "killed" for one in schedules for line in one.log)
    print(f"\n{len(schedules)} schedules, {killed} kills, {seconds:.0f} s: {dict(sorted(ends.items()))}")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_hundred_random_schedules_keep_the_books_in_balance(tmp_path: Path) -> None:
    check(*run(tmp_path, 1, 200), seed=1)


@pytest.mark.torture
@pytest.mark.timeout(0)
def test_many_random_schedules(tmp_path: Path) -> None:
    seed = int(time.time())
    for round_ in range(10):
        folder = tmp_path / str(round_)
        folder.mkdir()
        check(*run(folder, seed + round_, 500), seed=seed + round_)
