"""HumanInTheLoopMiddleware with the ready configuration: the price that a person sees is the price that is paid."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain.agents.middleware.human_in_the_loop import InterruptOnConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from masumi_tools import MasumiAgentTool, MasumiToolkit
from masumi_tools.langchain import approval
from tests.langchain.models import Scripted, answers, calls, said
from tests.tools.market import open_service, reprice

by_price = pytest.mark.skipif(
    "when" not in InterruptOnConfig.__annotations__, reason="langchain before 1.4 asks for every hire"
)
one_by_one = pytest.mark.skipif(
    "interrupt_mode" not in inspect.signature(HumanInTheLoopMiddleware.__init__).parameters,
    reason="langchain before 1.5 asks for all calls together",
)
THREAD: Any = {"configurable": {"thread_id": "t-1"}}
ASKED: Any = {"messages": [("user", "do it")]}


def resume(*decisions: str) -> Command[Any]:
    return Command(resume={"decisions": [{"type": decision} for decision in decisions]})


def watched(tools: list[Any], steps: list[Any], above: str | None = "1 ADA", saver: Any = None) -> Any:
    middleware = HumanInTheLoopMiddleware(interrupt_on=approval(*tools, above=above))
    return create_agent(
        Scripted(steps=steps), tools, middleware=[middleware], checkpointer=saver or InMemorySaver()
    )


def questions(state: dict[str, Any]) -> list[str]:
    pauses = state.get("__interrupt__", ())
    return [one["description"] for pause in pauses for one in pause.value["action_requests"]]


@pytest.fixture
def human(sandbox, buyer):
    """A tool whose service costs 2 ADA."""
    service = open_service(sandbox, f"two-{id(buyer)}", price="2 ADA", title="Two")
    return MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)


def test_above_the_threshold_a_person_sees_the_price_and_says_yes(human, counter):
    agent = watched([human], [calls((human.name, {"text": "x"})), said])

    state = agent.invoke(ASKED, THREAD)
    (question,) = questions(state)
    assert 'Hire "Two" for 2 ADA?' in question and "'text': 'x'" in question
    assert counter.tried == 0

    state = agent.invoke(resume("approve"), THREAD)

    assert answers(state)[0].artifact.paid_text == "2 ADA"
    assert counter.both == (1, 1)


def test_a_no_sends_nothing(human, counter):
    agent = watched([human], [calls((human.name, {"text": "x"})), said])
    agent.invoke(ASKED, THREAD)

    state = agent.invoke(resume("reject"), THREAD)

    assert answers(state)[0].status == "error"
    assert counter.tried == 0


@by_price
def test_up_to_the_threshold_and_for_other_tools_nobody_is_asked(sandbox, buyer, counter):
    tools = MasumiToolkit(buyer=buyer).get_tools()
    echo, free = sandbox.service("echo").agent_identifier, sandbox.service("free").agent_identifier
    steps = [
        calls(("masumi_find", {}), ("masumi_quote", {"agent": echo}), ("masumi_budget", {})),
        calls(
            ("masumi_hire", {"agent": echo, "text": "a"}), ("masumi_hire", {"agent": free, "text": "Rome"})
        ),
        said,
    ]
    agent = watched(tools, steps)

    state = agent.invoke(ASKED, THREAD)

    assert questions(state) == []
    assert [message.artifact.outcome for message in answers(state)[3:]] == ["completed", "completed"]


@by_price
def test_of_several_calls_only_the_dear_ones_ask(sandbox, buyer, counter):
    tools = MasumiToolkit(buyer=buyer).get_tools()
    echo, human = (sandbox.service(name).agent_identifier for name in ("echo", "human"))
    turn = calls(
        ("masumi_hire", {"agent": echo, "text": "a"}),
        ("masumi_hire", {"agent": human, "input_data": '{"text": "b"}'}),
        ("masumi_hire", {"agent": "ab" * 40, "text": "c"}),
    )
    agent = watched(tools, [turn, said])

    (question,) = questions(agent.invoke(ASKED, THREAD))
    assert 'Hire "Human" for 2 ADA?' in question
    state = agent.invoke(resume("approve"), THREAD)

    outcomes = [m.artifact.outcome if hasattr(m.artifact, "outcome") else m.text for m in answers(state)]
    assert outcomes[:2] == ["completed", "needs_input"]
    assert "was not shown to the person who approves" in outcomes[2]
    assert counter.both == (2, 2)


@pytest.mark.parametrize("price", [1_500_000, 3_000_000])
def test_a_price_that_changed_meanwhile_is_not_paid(sandbox, buyer, human, counter, price):
    agent = watched([human], [calls((human.name, {"text": "x"})), said])
    assert questions(agent.invoke(ASKED, THREAD))
    change(sandbox, buyer, human, price)

    state = agent.invoke(resume("approve"), THREAD)

    message = answers(state)[0]
    assert message.status == "error"
    assert "2 ADA" in message.text and "Nothing was paid" in message.text
    assert counter.tried == 0


def change(sandbox: Any, buyer: Any, tool: Any, price: int) -> None:
    """Another price, and so much time that the old quote has run out."""
    name = next(s.name for s in sandbox.services if s.agent_identifier == tool.target)
    reprice(sandbox, name, price)
    sandbox.advance(6 * 60_000)
    buyer.quote(sandbox.service("echo").agent_identifier)  # hears of the sandbox's time


@pytest.mark.parametrize("price", [500_000, 2_000_000])
def test_the_decision_stands_in_another_process_whatever_the_price_is_then(
    sandbox, buyer, human, counter, price
):
    """Another process is another tool object: it knows the thread's checkpoint and the journal."""
    saver = InMemorySaver()
    steps = [calls((human.name, {"text": "x"})), said]
    assert questions(watched([human], steps, saver=saver).invoke(ASKED, THREAD))
    change(sandbox, buyer, human, price)
    later = MasumiAgentTool(human.target, buyer=buyer, name=human.name)

    state = watched([later], steps, saver=saver).invoke(resume("reject"), THREAD)
    assert "rejected" in answers(state)[0].text
    assert counter.tried == 0


def test_an_approved_price_is_kept_for_another_process(sandbox, buyer, human, counter):
    saver = InMemorySaver()
    steps = [calls((human.name, {"text": "x"})), said]
    assert questions(watched([human], steps, saver=saver).invoke(ASKED, THREAD))
    change(sandbox, buyer, human, 500_000)
    later = MasumiAgentTool(human.target, buyer=buyer, name=human.name)

    state = watched([later], steps, saver=saver).invoke(resume("approve"), THREAD)

    assert "2 ADA was approved, but the price is now 0.5 ADA" in answers(state)[0].text
    assert counter.tried == 0


@one_by_one
async def test_it_works_awaiting_and_one_by_one(human, counter):
    middleware = HumanInTheLoopMiddleware(interrupt_on=approval(human), interrupt_mode="per_call")
    agent = create_agent(
        Scripted(steps=[calls((human.name, {"text": "x"})), said]),
        [human],
        middleware=[middleware],
        checkpointer=InMemorySaver(),
    )
    state = await agent.ainvoke(ASKED, THREAD)
    (pause,) = state["__interrupt__"]
    assert "for 2 ADA?" in pause.value["description"]

    state = await agent.ainvoke(Command(resume={pause.id: {"type": "approve"}}), THREAD)

    assert answers(state)[0].artifact.paid_text == "2 ADA"
    assert counter.both == (1, 1)


def test_a_dynamic_price_always_asks(sandbox, buyer, counter):
    service = open_service(sandbox, "any-price", pricing_type="Dynamic", demands=((1_000_000, ""),))
    tools = MasumiToolkit(buyer=buyer).get_tools()
    hire = {"agent": service.agent_identifier, "text": "x", "max_price": "1.5 ADA"}
    agent = watched(tools, [calls(("masumi_hire", hire)), said])

    (question,) = questions(agent.invoke(ASKED, THREAD))
    assert "at most 1.5 ADA" in question
    state = agent.invoke(resume("approve"), THREAD)

    assert answers(state)[0].artifact.paid_text == "1 ADA"
