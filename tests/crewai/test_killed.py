"""A crew that is killed by SIGKILL and started again has hired once: one purchase, and its result arrives."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("crewai")

from masumi_tools.hire.purchase import State
from tests.processes.books import books
from tests.processes.city import City, city
from tests.processes.nest import Ended, Nest

pytestmark = [pytest.mark.crewai, pytest.mark.slow, pytest.mark.timeout(120)]

ACT = "tests.crewai.acts:crew"
AT_ONCE = 4
POINTS = (
    "before POST /start_job #1",
    "after save started #1",
    "before POST /purchase #1",
    "sent POST /purchase #1",
    "after POST /purchase #1",
    "after save locked #1",
    "after save delivered #1",
    "told #1",
)


@pytest.fixture(scope="module")
def nest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nest]:
    """Where crews come from: CrewAI takes seconds to import, so that is done once."""
    with Nest(tmp_path_factory.mktemp("nest"), "tests.crewai.acts") as nest:
        yield nest


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with city(tmp_path_factory.mktemp("town")) as town:
        yield town


class Story:
    """One crew that dies at a point, and how it goes on; it has a budget, an input and a home of its own."""

    def __init__(self, nest: Nest, town: City, folder: Path, point: str, then: str) -> None:
        self.point, self.then = point, then
        self.budget = f"{then} {point}"
        self._nest, self._town, self._folder = nest, town, folder
        self._home = folder / self.budget.replace("/", "")

    def play(self) -> None:
        died = self._run("kickoff", self.point)
        assert died.killed, self.budget + died.out + died.err
        again = self._run(self.then)
        assert again.status == 0, self.budget + again.err
        assert self.budget.upper() in again.json["heard"], self.budget

    def _run(self, then: str, kill_at: str | None = None) -> Ended:
        return self._nest.run(
            ACT,
            env=self._town.env
            | {
                "MASUMI_DATABASE_URL": f"sqlite:///{self._folder / 'hires.sqlite3'}",
                "XDG_DATA_HOME": str(self._home),
            },
            agent=self._town.agent("echo"),
            text=self.budget,
            budget=self.budget,
            folder=str(self._home / "checkpoints"),
            then=then,
            kill_at=kill_at,
        )


@pytest.mark.parametrize("then", ["kickoff", "checkpoint", "replay"])
def test_a_crew_that_is_killed_and_started_again_has_hired_once(
    nest: Nest, town: City, tmp_path: Path, then: str
) -> None:
    points = POINTS if then == "kickoff" else POINTS[1::2]
    stories = [Story(nest, town, tmp_path, point, then) for point in points]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(Story.play, stories))
    found = books(f"sqlite:///{tmp_path / 'hires.sqlite3'}", town.purchases())

    assert sorted(found) == sorted(story.budget for story in stories)
    for story in stories:
        of_story = found[story.budget]
        of_story.check()
        assert [p.state for p in of_story.hires] in ([State.DELIVERED], [State.SETTLED]), story.budget
        assert len(of_story.purchases) == 1 and of_story.used() == 1_000_000, story.budget
