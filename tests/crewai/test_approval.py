"""CrewAI's before_tool_call hook: a person sees the quoted price; anything but a yes blocks the hire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("crewai")

from crewai.hooks import register_before_tool_call_hook, unregister_before_tool_call_hook

from masumi_tools.crewai import MasumiAgentTool, MasumiToolkit, approval
from tests.crewai.models import crew_of, heard, native, text
from tests.tools.market import open_service, reprice

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(120)]


class Person:
    """Answers questions, and may do something first."""

    def __init__(self, answer: Any, first: Any = None) -> None:
        self.answer, self.first, self.asked = answer, first, []

    def __call__(self, question: str) -> Any:
        self.asked.append(question)
        if self.first:
            self.first()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def hooked() -> Iterator[Any]:
    """Registers hooks, and takes them away in the end."""
    hooks: list[Any] = []

    def register(hook: Any) -> None:
        hooks.append(hook)
        register_before_tool_call_hook(hook)

    yield register
    for hook in hooks:
        unregister_before_tool_call_hook(hook)


@pytest.fixture
def human(sandbox, buyer):
    """A tool whose service costs 2 ADA."""
    service = open_service(sandbox, f"two-{id(buyer)}", price="2 ADA", title="Two")
    return MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)


@pytest.mark.parametrize("as_text", [False, True], ids=["native", "text"])
def test_a_yes_hires_at_the_price_that_was_shown(human, hooked, counter, as_text):
    person = Person(True)
    hooked(approval(human, above="1 ADA", ask=person))
    step = text(human.name, {"text": "x"}) if as_text else native((human.name, {"text": "x"}))

    crew_of([human], [step], as_text=as_text).kickoff()

    (question,) = person.asked
    assert 'Hire "Two" for 2 ADA?' in question and "'text': 'x'" in question
    assert counter.both == (1, 1)


@pytest.mark.parametrize("answer", [False, None, "yes", 1, RuntimeError("the terminal is gone")])
def test_anything_but_a_yes_blocks_it(human, hooked, counter, answer):
    hooked(approval(human, above="1 ADA", ask=Person(answer)))
    crew = crew_of([human], [native((human.name, {"text": "x"}))])

    crew.kickoff()

    assert "blocked by hook" in heard(crew)
    assert counter.tried == 0


def test_cheaper_hires_and_other_tools_ask_nobody(sandbox, buyer, hooked, counter):
    person = Person(False)
    tools = MasumiToolkit(buyer=buyer).get_tools()
    hooked(approval(*tools, above="1 ADA", ask=person))
    agent = sandbox.service("echo").agent_identifier
    steps = [
        native(("masumi_find", {})),
        native(("masumi_quote", {"agent": agent})),
        native(("masumi_hire", {"agent": agent, "input_data": '{"text": "x"}'})),
        native(("masumi_hire", {"input_data": '{"text": "x"}'})),
    ]

    crew_of(tools, steps).kickoff()

    assert person.asked == []
    assert counter.both == (1, 1)


@pytest.mark.parametrize("price", [1_500_000, 3_000_000])
def test_a_price_that_changes_while_a_person_thinks_is_not_paid(
    sandbox, buyer, human, hooked, counter, price
):
    name = next(s.name for s in sandbox.services if s.agent_identifier == human.target)

    def meanwhile() -> None:
        reprice(sandbox, name, price)
        sandbox.advance(6 * 60_000)
        buyer.quote(sandbox.service("echo").agent_identifier)  # hears of the sandbox's time

    hooked(approval(human, above="1 ADA", ask=Person(True, meanwhile)))
    crew = crew_of([human], [native((human.name, {"text": "x"}))])

    output = crew.kickoff()

    assert output.tool_failures[0].failure.code == "refused"
    assert "2 ADA" in heard(crew)
    assert counter.tried == 0


def test_without_a_callable_crewai_asks_on_the_terminal(human, hooked, counter, monkeypatch):
    said = iter(["no", "yes"])
    monkeypatch.setattr("builtins.input", lambda *args: next(said))
    hooked(approval(human, above="1 ADA"))
    step = native((human.name, {"text": "x"}))

    crew_of([human], [step, step]).kickoff()

    assert counter.both == (1, 1)
