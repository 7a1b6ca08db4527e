"""A process that hires is killed at every save and every request; whoever comes after pays nothing twice.

The process dies by SIGKILL before and after each write of the journal, before each request, when its last
byte has been sent, and when the answer is in. Then another process makes the same call, or only sweeps.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.hire.purchase import State
from tests.processes.books import Books, books
from tests.processes.city import City, city
from tests.processes.nest import Ended, Nest

AT_ONCE = 8
HOUR = 3_600_000
PATIENCE_S = 20
LOOKS = ["GET /payment-information", "GET /api-key-status", "GET /input_schema", "POST /start_job"]
PAYS = ["POST /purchase", "POST /purchase/resolve-blockchain-identifier", "GET /status"]
FREE = ["GET /payment-information", "GET /input_schema", "POST /start_job", "GET /status"]
PHASES = ("before", "sent", "after")


@dataclass(frozen=True)
class Story:
    """A service, how its hire ends, and what must not be missing among the points of death."""

    service: str
    ends: frozenset[State]
    requests: list[str]
    saves: list[str]
    answer: Any = None
    patience_s: float = PATIENCE_S
    advance_ms: int = 0
    approve_above: str | None = None
    quoted: bool = False

    def data(self, number: int) -> Any:
        return {"text": f"{self.service} {number}"}


UNPAID = (State.REFUSED, State.AWAITING)  # given up before it was reserved, or waiting for a person
DONE = frozenset({State.DELIVERED, State.SETTLED})
BACK = frozenset({State.REFUNDED})
SAVES = ["add asked", "save_decided", "save started", "save paying", "save paid", "save locked"]
STORIES = {
    "echo": Story("echo", DONE, LOOKS + PAYS, [*SAVES, "save delivered"]),
    "quoted": Story(  # its price is known before, so it is reserved in the write that records it
        "echo",
        DONE,
        LOOKS + PAYS,
        ["add listed", *SAVES[2:], "save delivered"],
        quoted=True,
    ),
    "approved": Story(
        "echo",
        DONE,
        LOOKS + PAYS,
        [*SAVES, "ask", "save awaiting_approval", "answer", "save delivered"],
        approve_above="0.5 ADA",
    ),
    "human": Story(
        "human",
        DONE,
        [*LOOKS, *PAYS, "POST /provide_input"],
        [*SAVES, "save needs_input", "save delivered"],
        answer={"approve": True},
    ),
    "free": Story("free", DONE, FREE, ["add asked", "save running", "save settled"]),
    "failing": Story(
        "failing",
        BACK,
        [*LOOKS, *PAYS, "POST /purchase/request-refund"],
        [*SAVES, "save refund_requested"],
        advance_ms=2 * HOUR,
    ),
    "silent": Story("silent", BACK, LOOKS + PAYS, SAVES, patience_s=4, advance_ms=HOUR),
}


@dataclass(frozen=True)
class Case:
    """One death, at the point of this name; its hire has a budget and an input of its own."""

    point: str
    number: int
    died: bool = False

    @property
    def budget(self) -> str:
        return f"budget {self.number}"


@dataclass(frozen=True)
class Stage:
    """Where a story is played: the processes, the sandbox, one journal."""

    nest: Nest
    town: City
    url: str

    def hire(self, story: Story, number: int, kill_at: str | None = None) -> Ended:
        return self._run(
            "hire",
            target=self.town.agent(story.service),
            data=story.data(number),
            name=f"budget {number}",
            answer=story.answer,
            patience_s=story.patience_s,
            kill_at=kill_at,
            approve_above=story.approve_above,
            quoted=story.quoted,
        )

    def sweep(self) -> Ended:
        return self._run("sweep")

    def resume(self, budget: str) -> Ended:
        return self._run("resume", budget=budget)

    def answer(self, hire_id: str) -> Ended:
        return self._run("cli", arguments=["answer", hire_id, "approve=true", "--json"])

    def _run(self, act: str, **given: Any) -> Ended:
        env = self.town.env | {"MASUMI_DATABASE_URL": self.url}
        ended = self.nest.run(f"tests.processes.acts:{act}", env=env, **given)
        assert ended.killed or ended.status == 0, ended.err + ended.out
        return ended


def play(stage: Stage, story: Story, then: str) -> list[tuple[Case, Books]]:
    """Kill at every point, let others go on, let the deadlines pass; what both books say then.

    The others make the same call again, or two processes sweep at once.
    """
    passed = stage.hire(story, 0).json["passed"]
    cases = [Case(point, number) for number, point in enumerate(points(passed), 1)]
    with ThreadPoolExecutor(AT_ONCE) as pool:

        def die(case: Case) -> Case:
            return replace(case, died=stage.hire(story, case.number, case.point).killed)

        cases = list(pool.map(die, cases))
        if then == "hire":
            list(pool.map(lambda case: stage.hire(story, case.number), cases))
        else:
            sweep(stage, pool)
            # What was reserved and not yet paid goes on only under the budget that it was begun under.
            left = {told["budget"] for told in stage.sweep().json if told["outcome"] == "open"}
            list(pool.map(stage.resume, sorted(left)))
            asked = [told for told in stage.sweep().json if told["outcome"] == "needs_input"]
            list(pool.map(lambda told: stage.answer(told["hire_id"]), asked))
        if story.advance_ms:
            stage.town.advance(story.advance_ms)
            sweep(stage, pool)
    found = books(stage.url, stage.town.purchases())
    return [(case, found.get(case.budget, Books([], [], []))) for case in cases]


def points(passed: list[str]) -> list[str]:
    """Every save and request once; a poll that comes again is the same point."""
    return [point for point in passed if point.endswith("#1")]


def sweep(stage: Stage, pool: ThreadPoolExecutor) -> None:
    for done in [pool.submit(stage.sweep) for _process in range(2)]:
        done.result()


def check(story: Story, then: str, played: list[tuple[Case, Books]]) -> None:
    died = {case.point for case, _ in played if case.died}
    wanted = {f"{phase} {request} #1" for request in story.requests for phase in PHASES}
    wanted |= {f"{phase} {save} #1" for save in story.saves for phase in ("before", "after")}
    assert wanted <= died, wanted - died
    for case, found in played:
        found.check()
        states = [p.state for p in found.hires]
        begun = bool(found.purchases) or any(p.free and p.job_id for p in found.hires)
        if then == "hire":
            assert states[0] in story.ends and begun, (case, states)
        elif states:  # a sweep has no budget, so it gives up what has not been reserved
            assert states[0] in story.ends or (not begun and states[0] in UNPAID), (case, states)
        for p in found.hires:
            if p.state in DONE:
                assert p.free or p.result == story.data(case.number)["text"].upper(), (case, p.result)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("then", ["hire", "sweep"])
@pytest.mark.parametrize("name", STORIES)
def test_killed_anywhere_a_hire_is_paid_once_and_comes_to_its_end(
    nest: Nest, name: str, then: str, tmp_path: Path, sqlite_url: str
) -> None:
    with city(tmp_path) as town:
        played = play(Stage(nest, town, sqlite_url), STORIES[name], then)

    check(STORIES[name], then, played)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("name", "then"),
    [("echo", "hire"), ("quoted", "hire"), ("human", "sweep"), ("approved", "hire"), ("failing", "sweep")],
)
def test_killed_anywhere_over_postgres(
    nest: Nest, name: str, then: str, tmp_path: Path, postgres_url: str
) -> None:
    with city(tmp_path) as town:
        played = play(Stage(nest, town, postgres_url), STORIES[name], then)

    check(STORIES[name], then, played)
