"""Crews and Flows in the shapes in which people have them: classes, instances, functions that make one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from masumi_tools.errors import InputError
from masumi_tools.seller import sell
from masumi_tools.seller.work.human import current
from masumi_tools.seller.work.work import describes
from tests.seller.support import Market

crewai = pytest.importorskip("crewai")
from crewai.flow.flow import Flow, listen, start  # noqa: E402

from tests.seller.crews import Scripted, crew  # noqa: E402

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(180)]


class ResearchCrew:
    """As in the official quickstart: the Crew is made by the constructor."""

    def __init__(self, verbose: bool = True, logger: Any = None) -> None:
        self.crew = crew("About {text}", llm=Scripted(lambda prompt: "researched"))


class Shaped:
    def crew(self) -> Any:
        return crew("About {text}", llm=Scripted(lambda prompt: "shaped"))


class WithArguments:
    def __init__(self, llm: str) -> None:
        self.llm = llm

    def crew(self) -> Any:
        return crew("About {text}")


def makes_for(text: str) -> crewai.Crew:
    return crew("About {text}", llm=Scripted(lambda prompt: "made for it"))


async def makes_later(text: str) -> Any:
    return crew("About {text}", llm=Scripted(lambda prompt: "made later"))


def runs_itself(text: str) -> Any:
    return crew("About {text}", llm=Scripted(lambda prompt: "ran")).kickoff(inputs={"text": text})


class State(BaseModel):
    text: str = ""
    words: int = 0


class Typed(Flow[State]):
    """Counts."""

    @start()
    def count(self) -> None:
        self.state.words = len(self.state.text.split())

    @listen(count)
    async def tell(self) -> dict[str, int]:
        return {"words": self.state.words}


class Quiet(Flow[State]):
    @start()
    def count(self) -> None:
        self.state.words = len(self.state.text.split())


class Loose(Flow):
    initial_state = {"text": "nothing"}

    @start()
    def shout(self) -> str:
        return str(self.state["text"]).upper()


def shapes() -> dict[str, tuple[Any, dict[str, Any], str]]:
    """Each with an input and its result. Made here: a flow brings a database, which takes seconds to import."""
    return {
        "the quickstart's class": (ResearchCrew, {"text": "x"}, "researched"),
        "the quickstart's object": (ResearchCrew(), {"text": "x"}, "researched"),
        "a class with crew()": (Shaped, {"text": "x"}, "shaped"),
        "an object with crew()": (Shaped(), {"text": "x"}, "shaped"),
        "its method": (Shaped().crew, {"text": "x"}, "shaped"),
        "a function that makes a crew": (lambda: Shaped().crew(), {"text": "x"}, "shaped"),
        "a function of the input that makes a crew": (makes_for, {"text": "x"}, "made for it"),
        "an async function that makes a crew": (makes_later, {"text": "x"}, "made later"),
        "a function that runs a crew": (runs_itself, {"text": "x"}, "ran"),
        "a flow's class": (Typed, {"text": "a b"}, '{"words": 2}'),
        "a flow": (Typed(), {"text": "a b c"}, '{"words": 3}'),
        "a function that makes a flow": (lambda: Typed(), {"text": "a"}, '{"words": 1}'),
        "a flow that returns nothing": (Quiet, {"text": "a b"}, '{"text": "a b", "words": 2}'),
        "a flow with a loose state": (Loose, {"text": "a"}, "A"),
    }


def test_crews_and_flows_of_every_shape_are_delivered(market: Market):
    made = shapes()
    sold = {name: sell(work, name=name, price="1 ADA") for name, (work, _, _) in made.items()}

    def work(shape: str, data: dict[str, Any]) -> Any:
        return sold[shape].offering.work.run(data, current())

    wrong: dict[str, Any] = {}
    with market.shop(work, workers=3) as buying:
        jobs = {name: buying.buy({"shape": name, "data": data}) for name, (_, data, _) in made.items()}
        for name, job in jobs.items():
            done = buying.wait(job, "completed", "failed", within_s=60)
            if done["result"] != made[name][2]:
                wrong[name] = done["result"] or done["error"]

    assert wrong == {}
    for name, service in sold.items():
        if "function of the input" not in name and "async" not in name and "runs a crew" not in name:
            assert [field.id for field in service.offer.spec.asked][:1] == ["text"], name


def test_a_buyer_cannot_name_the_state_of_another_flow():
    assert "id" not in [field.id for field in sell(Typed, name="x", price="1 ADA").offer.spec.fields]
    assert "id" not in [field.id for field in sell(Loose, name="x", price="1 ADA").offer.spec.fields]


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (WithArguments, "needs llm.*give a function that makes it"),
        (crew("x").agents[0], "Agent cannot be sold.*give a function"),
        (crew("x").tasks[0], "Task cannot be sold"),
        (Scripted(), "Scripted cannot be sold"),
        (crewai.Agent, "needs|cannot be sold|failed"),
        (lambda: crew("x").agents[0], "Agent, which does things"),
    ],
    ids=["class with arguments", "agent", "task", "llm", "class of agents", "makes an agent"],
)
def test_what_is_no_work_is_refused_in_words(work, words):
    with pytest.raises(InputError, match=words):
        sell(work, name="x", price="1 ADA")


def test_no_service_is_described_by_crewai():
    said = {name: describes(work) for name, (work, _, _) in shapes().items()}

    assert {text for text in said.values() if text} == {
        "As in the official quickstart: the Crew is made by the constructor.",
        "Counts.",
    }
    assert describes(crew("x")) == describes(crewai.Crew) == ""


def test_a_buyers_text_never_becomes_a_path(market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    one = crew("About {topic}")
    one.tasks[0].output_file = "reports/{topic}.md"
    with market.shop(one) as buying:
        done = [
            buying.wait(buying.buy({"topic": topic}), "completed", "failed", within_s=60)
            for topic in ("../../../../outside", "/etc/x", "plain")
        ]
        jobs = [one["job_id"] for one in done]

    written = sorted(str(path.relative_to(tmp_path / "temp")) for path in tmp_path.rglob("*.md"))
    assert [one["status"] for one in done] == ["completed"] * 3
    assert written == sorted(
        f"masumi-jobs/{job}/reports/{name}.md"
        for job, name in zip(jobs, ("outside", "etc_x", "plain"), strict=True)
    )


def test_a_knowledge_file_that_the_buyer_names_is_refused():
    class Source:
        file_paths = ["{topic}.txt"]

    one = crew("About {topic}")
    object.__setattr__(one, "knowledge_sources", [Source()])

    with pytest.raises(InputError, match="knowledge source takes the name of its file from the buyer"):
        sell(one, name="x", price="1 ADA")


def kicks_off(text: str) -> Any:
    llm = Scripted(lambda prompt: "second draft" if "shorter" in prompt else "first draft")
    return crew("Write {what}", llm=llm, human=True).kickoff(inputs={"what": text})


class Asking(Flow[State]):
    @start()
    def write(self) -> Any:
        return kicks_off(self.state.text)


@pytest.mark.parametrize("work", [kicks_off, Asking], ids=["function", "flow"])
def test_a_crew_inside_a_function_or_flow_asks_the_buyer(market: Market, work: Any):
    with market.shop(work) as buying:
        job = buying.buy({"text": "a poem"})
        asked = buying.wait(job, "awaiting_input", "failed", within_s=60)
        assert asked.get("message") == "first draft", asked
        assert buying.provide(job, {"feedback": "shorter please"}, status_id=asked["id"]).status_code == 200
        again = buying.wait(job, "awaiting_input", "failed", within_s=60)
        buying.provide(job, {"feedback": ""}, status_id=again["id"])
        done = buying.wait(job, "completed", "failed", within_s=60)

    assert done["result"] == "second draft", done
