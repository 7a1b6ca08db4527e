"""`interrupt()` inside `approve`: the graph pauses, the hire waits unpaid, and the answer continues the same hire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from masumi_tools import AsyncBuyer, Budget, Buyer, MasumiAgentTool, Settings
from masumi_tools.hire.budget import Asked
from masumi_tools.hire.receipt import Receipt
from masumi_tools.sandbox import Sandbox
from tests.langchain.models import Scripted, answers, calls, said
from tests.tools.market import Counter

THREAD: Any = {"configurable": {"thread_id": "t-1"}}
ASKED: Any = {"messages": [("user", "do it")]}


def ask(asked: Asked) -> bool:
    return interrupt({"service": asked.name, "price": asked.price_text}) == "yes"


async def ask_later(asked: Asked) -> bool:
    await asyncio.sleep(0)
    return ask(asked)


def budget(approve: Callable[[Asked], Any] = ask) -> Budget:
    return Budget("20 ADA", approve_above="0.5 ADA", approve=approve, name="paused")


def question(state: dict[str, Any]) -> Any:
    (pause,) = state["__interrupt__"]
    return pause.value


def agent(tool: MasumiAgentTool, saver: InMemorySaver) -> Any:
    script = Scripted(steps=[calls((tool.name, {"text": "x"})), said])
    return create_agent(script, [tool], checkpointer=saver)


@pytest.mark.parametrize("approve", [ask, ask_later], ids=["plain", "async"])
@pytest.mark.parametrize("colour", ["invoke", "ainvoke"])
async def test_the_run_pauses_unpaid_and_a_yes_in_a_new_process_pays_once(
    sandbox: Sandbox, settings: Settings, counter: Counter, colour: str, approve: Any
) -> None:
    saver = InMemorySaver()

    async def turn(given: Any) -> dict[str, Any]:
        """One turn of the run, with tools, buyers and connections of its own."""
        tool = await MasumiAgentTool.afor_agent(
            sandbox.service("echo").agent_identifier, budget=budget(approve), settings=settings
        )
        graph = agent(tool, saver)
        if colour == "invoke":
            state = await asyncio.to_thread(graph.invoke, given, THREAD)
        else:
            state = await graph.ainvoke(given, THREAD)
        await tool._actions.buyers.awaiting().aclose()  # `afor_agent` asked the registry by it
        tool.close()
        return dict(state)

    paused = await turn(ASKED)
    assert question(paused) == {"service": "Echo", "price": "1 ADA"}
    assert answers(paused) == [] and counter.both == (0, 0)
    with Buyer(settings) as other:
        (waiting,) = other.approvals()

    done = await turn(Command(resume="yes"))

    receipt: Receipt = answers(done)[0].artifact
    assert (receipt.hire_id, receipt.ok, receipt.paid_text) == (waiting.hire_id, True, "1 ADA")
    assert "Cost: 1 ADA" in answers(done)[0].text and "Not charged again" not in answers(done)[0].text
    assert counter.both == (1, 1)


def test_a_no_ends_the_hire_unpaid(sandbox: Sandbox, settings: Settings, counter: Counter) -> None:
    tool = MasumiAgentTool.for_agent("echo", budget=budget(), settings=settings)
    graph = agent(tool, InMemorySaver())
    graph.invoke(ASKED, THREAD)

    done = graph.invoke(Command(resume="no"), THREAD)
    tool.close()

    assert answers(done)[0].status == "error" and "not approved" in answers(done)[0].text
    assert counter.both == (0, 0)


def test_a_sweep_outside_of_the_graph_leaves_the_question_open(
    sandbox: Sandbox, settings: Settings, counter: Counter
) -> None:
    tool = MasumiAgentTool.for_agent("echo", budget=budget(), settings=settings)
    graph = agent(tool, InMemorySaver())
    graph.invoke(ASKED, THREAD)

    (swept,) = tool.buyer.sweep()
    assert swept.outcome == "needs_approval"
    done = graph.invoke(Command(resume="yes"), THREAD)
    tool.close()

    assert answers(done)[0].artifact.hire_id == swept.hire_id
    assert counter.both == (1, 1)


class State(TypedDict, total=False):
    outcome: str


@pytest.mark.parametrize("answer", ["yes", "no"])
async def test_a_node_of_ones_own_pauses_in_either_buyer(
    sandbox: Sandbox, settings: Settings, counter: Counter, answer: str
) -> None:
    def plainly(_: State) -> State:
        with Buyer(settings, budget=budget()) as buyer:
            return {"outcome": buyer.hire("echo", {"text": "plain"}).outcome}

    async def awaiting(_: State) -> State:
        async with AsyncBuyer(settings, budget=budget(ask_later)) as buyer:
            return {"outcome": (await buyer.hire("echo", {"text": "async"})).outcome}

    ends = []
    for name, node in (("plain", plainly), ("async", awaiting)):
        builder = StateGraph(State)
        builder.add_node("hire", node)
        builder.add_edge(START, "hire")
        builder.add_edge("hire", END)
        graph = builder.compile(checkpointer=InMemorySaver())
        thread: Any = {"configurable": {"thread_id": name}}
        assert question(await graph.ainvoke({}, thread))["price"] == "1 ADA"
        ends.append((await graph.ainvoke(Command(resume=answer), thread))["outcome"])

    assert set(ends) == {"completed" if answer == "yes" else "refused"}
    assert counter.both == ((2, 2) if answer == "yes" else (0, 0))


def test_where_no_graph_runs_at_all_the_hire_waits_for_a_person(
    sandbox: Sandbox, settings: Settings, counter: Counter
) -> None:
    with Buyer(settings, budget=budget()) as buyer:
        made = buyer.hire("echo", {"text": "no graph"})
        assert made.outcome == "needs_approval" and counter.both == (0, 0)
        done = buyer.approve(made.hire_id, by="ann")

    assert done.outcome == "completed"


def test_another_error_of_the_function_is_still_a_no(
    sandbox: Sandbox, settings: Settings, counter: Counter
) -> None:
    def broken(asked: Asked) -> bool:
        raise RuntimeError("no one is there")

    with Buyer(settings, budget=budget(broken)) as buyer:
        made = buyer.hire("echo", {"text": "broken"})

    assert made.outcome == "refused" and "RuntimeError" in made.reason and counter.both == (0, 0)
