"""The numbered known problems of the field (protocol T1) that are those of tools in frameworks."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

import pytest

from masumi_tools import Budget, MasumiAgentTool, MasumiToolkit
from masumi_tools.hire.buyer import Buyer
from masumi_tools.sandbox import Sandbox
from tests.tools.market import Counter

pytest.importorskip("langchain_core")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def tool(sandbox: Sandbox, buyer: Buyer) -> MasumiAgentTool:
    return MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)


@pytest.fixture
def crew_tool(sandbox: Sandbox, buyer: Buyer) -> Any:
    pytest.importorskip("crewai")
    from masumi_tools.crewai import MasumiAgentTool as CrewTool

    return CrewTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)


crewai = [pytest.mark.crewai, pytest.mark.timeout(120)]


def marked(test: Any) -> Any:
    for mark in crewai:
        test = mark(test)
    return test


@marked
def test_e32_the_same_arguments_after_an_injected_exception_pay_once(
    crew_tool: Any, counter: Counter
) -> None:
    from tests.crewai.models import crew_of, heard, native

    broken: list[int] = []

    def breaks(messages: Any) -> Any:
        broken.append(1)
        raise ConnectionError("injected")

    same = native((crew_tool.name, {"text": "same"}))
    crew = crew_of([crew_tool], [same, breaks, same])

    crew.kickoff()

    assert broken == [1] and "SAME" in heard(crew)
    assert counter.both == (1, 1)


@marked
@pytest.mark.parametrize("fault", ["error-500", "drop-request"])
def test_e33_a_tool_never_raises_after_start_job(
    sandbox: Sandbox, crew_tool: Any, counter: Counter, fault: str
) -> None:
    from tests.crewai.models import crew_of, heard, text

    crew_tool._actions._patience_s = 1
    sandbox.arm({"on": "/purchase", "do": fault, "times": 1000})
    sandbox.arm({"on": "/purchase/resolve-blockchain-identifier", "do": fault, "times": 1000})
    try:
        crew = crew_of([crew_tool], [text(crew_tool.name, {"text": "down"})] * 2, as_text=True)
        crew.kickoff()
    finally:
        sandbox.faults.clear()

    assert "In progress" in heard(crew)
    assert counter.jobs == 1


@marked
def test_e34_two_identical_calls_at_once_are_one_hire(crew_tool: Any, counter: Counter) -> None:
    structured = crew_tool.to_structured_tool()

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(lambda _: str(structured.invoke({"text": "twice"})), range(2)))

    assert all("TWICE" in text for text in told)
    assert counter.both == (1, 1)


def test_e36_a_second_deliberate_hire_is_never_answered_silently_by_the_first(
    tool: MasumiAgentTool, buyer: Buyer, counter: Counter
) -> None:
    target = tool.target
    first = tool.invoke({"text": "twice"})
    repeated = tool.invoke({"text": "twice"})
    again = buyer.hire(target, {"text": "twice"}, again=True)

    assert "Done: the service" in first
    assert "Not charged again" in repeated
    assert again.outcome == "completed"
    assert counter.both == (2, 2)


@marked
def test_e36_what_crewai_may_cache_is_only_what_is_proved(crew_tool: Any) -> None:
    assert crew_tool.cache_function({}, "anything") is False
    assert crew_tool.cache_function({}, crew_tool.run(text="kept")) is True


@marked
def test_e37_a_tool_works_in_a_script_inside_a_loop_and_in_a_thread(crew_tool: Any, counter: Counter) -> None:
    async def inside() -> tuple[str, str]:
        plain = crew_tool._run(text="in a loop")
        return str(plain), str(await crew_tool._arun(text="awaited"))

    script = str(crew_tool._run(text="script"))
    loop, awaited = asyncio.run(inside())
    with ThreadPoolExecutor(1) as pool:
        thread = pool.submit(lambda: str(crew_tool._run(text="thread"))).result()

    for told, word in ((script, "SCRIPT"), (loop, "IN A LOOP"), (awaited, "AWAITED"), (thread, "THREAD")):
        assert word in told
    assert counter.both == (4, 4)


@marked
@pytest.mark.parametrize(
    ("given", "hired"),
    [
        ({"text": {"description": "the text to work on", "type": "str"}}, False),
        ('{"text": "json text"}', True),
        ('{"text": "cut off', False),
        ("{}", False),
    ],
    ids=["a piece of the schema", "JSON text", "malformed", "empty"],
)
def test_e39_what_models_send_instead_of_arguments_is_read_or_refused_with_the_field(
    crew_tool: Any, counter: Counter, given: Any, hired: bool
) -> None:
    told = str(
        crew_tool.to_structured_tool().invoke(given) if isinstance(given, dict) else crew_tool._run(given)
    )

    assert counter.both == ((1, 1) if hired else (0, 0))
    assert ("JSON TEXT" in told) if hired else ("text" in told)


@pytest.mark.parametrize(
    ("given", "hired"),
    [
        ({"input_data": '{"text": "as text"}'}, True),
        ({"input_data": {"text": "nested"}}, True),
        ({"text": "flat"}, True),
        ("a bare string", True),
        ({"input_data": {}}, False),
        ({}, False),
        ({"txt": "misspelt", "nothing": 1}, False),
    ],
)
def test_e40_no_shape_of_arguments_is_dropped_into_an_empty_hire(
    tool: MasumiAgentTool, counter: Counter, given: Any, hired: bool
) -> None:
    tool.invoke(given)

    assert counter.both == ((1, 1) if hired else (0, 0))


async def test_e42_the_loop_goes_on_while_a_service_works(
    sandbox: Sandbox, buyer: Buyer, counter: Counter
) -> None:
    tool = await MasumiAgentTool.afor_agent(sandbox.service("slow").agent_identifier, buyer=buyer)
    beats: list[float] = []

    async def heart() -> None:
        while True:
            beats.append(time.monotonic())
            await asyncio.sleep(0.05)

    beating = asyncio.create_task(heart())
    awaited = await tool.ainvoke({"text": "async", "seconds": 3})
    beating.cancel()
    plain = await asyncio.to_thread(tool.invoke, {"text": "sync", "seconds": 1})

    gaps = [after - before for before, after in itertools.pairwise(beats)]
    assert "ASYNC" in awaited and "SYNC" in plain
    assert len(beats) > 30 and max(gaps) < 1
    assert counter.both == (2, 2)


def test_e44_a_node_that_is_entered_again_after_the_payment_buys_once(
    tool: MasumiAgentTool, counter: Counter
) -> None:
    pytest.importorskip("langgraph")
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Command, interrupt

    class State(TypedDict):
        told: str

    def node(state: State) -> State:
        call = {"name": tool.name, "args": {"text": "paused"}, "id": "call-1", "type": "tool_call"}
        message = tool.invoke(call)
        interrupt("is this good?")
        return {"told": message.text}

    graph: Any = StateGraph(State)
    graph.add_node("work", node)
    graph.add_edge(START, "work")
    graph.add_edge("work", END)
    made = graph.compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "e44"}}
    made.invoke({"told": ""}, thread)
    assert counter.both == (1, 1)

    state = made.invoke(Command(resume="yes"), thread)

    assert "PAUSED" in state["told"]
    assert counter.both == (1, 1)


def test_e46_a_host_that_does_not_wait_gets_a_handle_and_no_failure(
    sandbox: Sandbox, buyer: Buyer, counter: Counter
) -> None:
    tools = {tool.name: tool for tool in MasumiToolkit(buyer=buyer, patience_s=0.5).get_tools()}
    target = sandbox.service("slow").agent_identifier

    told = tools["masumi_hire"].invoke(
        {"agent": target, "input_data": {"text": "later", "seconds": 2}, "max_price": "1 ADA"}
    )
    deadline = time.monotonic() + 20
    later = ""
    while "LATER" not in later and time.monotonic() < deadline:
        later = tools["masumi_check"].invoke({})

    assert "In progress" in told and "masumi_check" in told
    assert "LATER" in later
    assert counter.both == (1, 1)


def test_e48_no_way_to_spend_goes_around_the_cap(sandbox: Sandbox, settings: Any, counter: Counter) -> None:
    with Buyer(settings, budget=Budget("1.5 ADA", name="e48")) as buyer:
        tool = MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)
        kit = {tool.name: tool for tool in MasumiToolkit(buyer=buyer).get_tools()}
        threads = [threading.Thread(target=tool.invoke, args=({"text": f"number {n}"},)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        human = sandbox.service("human").agent_identifier
        told = kit["masumi_hire"].invoke({"agent": human, "input_data": {"text": "x"}})

    assert "Nothing was paid" in told
    assert counter.both == (1, 1)
