"""Real crews with a scripted model, on every path that CrewAI has: hire once, be refused, wait, get money back."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("crewai")

from crewai import Crew, Task
from crewai.events import ToolUsageErrorEvent, ToolUsageFinishedEvent, crewai_event_bus

from masumi_tools import Budget
from masumi_tools.crewai import MasumiAgentTool, MasumiProgressEvent, MasumiToolkit
from masumi_tools.hire.buyer import Buyer
from masumi_tools.hire.purchase import State
from masumi_tools.sandbox import Sandbox
from tests.crewai.models import DONE, Scripted, crew_of, heard, native, text
from tests.tools.market import settings_of

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(120)]

HOUR_MS = 3_600_000


async def in_a_script(crew: Crew) -> Any:
    return await asyncio.to_thread(crew.kickoff)


async def awaited_in_a_thread(crew: Crew) -> Any:
    return await crew.kickoff_async()


async def awaited(crew: Crew) -> Any:
    return await crew.akickoff()


WAYS = {"kickoff": in_a_script, "kickoff_async": awaited_in_a_thread, "akickoff": awaited}


@pytest.fixture(params=[(way, path) for way in WAYS for path in ("native", "text")], ids="-".join)
def way(request):
    """One of CrewAI's ways to run a crew, and one of its ways to call a tool."""
    return WAYS[request.param[0]], request.param[1] == "text"


@pytest.fixture
def echo(sandbox, buyer):
    return MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)


def call(as_text: bool, name: str, args: Any) -> Any:
    return text(name, args) if as_text else native((name, args))


async def test_a_crew_hires_once(echo, counter, way):
    run, as_text = way
    crew = crew_of([echo], [call(as_text, echo.name, {"text": "hello"})], as_text=as_text)

    output = await run(crew)

    assert "HELLO" in heard(crew)
    assert output.tool_failures == []
    assert counter.both == (1, 1)


async def test_a_crew_is_refused_before_anything_is_sent(sandbox, settings, counter, way):
    run, as_text = way
    with Buyer(settings, budget=Budget("20 ADA", per_hire="1 ADA")) as buyer:
        tool = MasumiAgentTool.for_agent(sandbox.service("human").agent_identifier, buyer=buyer)
        crew = crew_of([tool], [call(as_text, tool.name, {"text": "hello"})], as_text=as_text)

        output = await run(crew)

    assert "Nothing was paid" in heard(crew)
    (failure,) = output.tool_failures
    assert failure.failure.code == "refused" and failure.failure.retryable is False
    assert failure.failure.details["receipt"]["outcome"] == "refused"
    assert counter.tried == 0


async def test_arguments_that_do_not_fit_are_answered_and_nothing_is_sent(echo, counter, way):
    run, as_text = way
    steps = [
        call(as_text, echo.name, {"text": "x", "more": 1}),
        call(as_text, echo.name, {"input_data": {"text": "right"}}),
    ]
    crew = crew_of([echo], steps, as_text=as_text)

    await run(crew)

    assert "more: unknown field" in heard(crew)
    assert "RIGHT" in heard(crew)
    assert counter.both == (1, 1)


async def test_money_that_came_back_is_a_failure_with_the_receipt(tmp_path, way):
    run, as_text = way
    with Sandbox() as sandbox:

        def on_progress(progress: Any) -> None:
            if progress.state is State.LOCKED:
                sandbox.advance(2 * HOUR_MS)

        settings = settings_of(sandbox, tmp_path)
        with Buyer(settings, budget=Budget("20 ADA"), on_progress=on_progress) as buyer:
            tool = MasumiAgentTool.for_agent(sandbox.service("silent").agent_identifier, buyer=buyer)
            crew = crew_of([tool], [call(as_text, tool.name, {"text": "x"})], as_text=as_text)

            output = await run(crew)

        (failure,) = output.tool_failures
        assert failure.failure.code == "refunded"
        assert failure.failure.details["receipt"]["refunded_text"] == "3 ADA"
        assert len(sandbox.ledger()["purchases"]) == 1


async def test_a_crew_finds_quotes_hires_and_answers_a_question(sandbox, buyer, counter, way):
    run, as_text = way
    tools = MasumiToolkit(buyer=buyer).get_tools()
    human = sandbox.service("human").agent_identifier

    def answer(messages: Any) -> Any:
        told = "\n".join(str(message.get("content")) for message in messages)
        hire_id = re.findall(r"masumi_answer with hire_id (\w+)", told)[-1]
        return call(as_text, "masumi_answer", {"hire_id": hire_id, "answer": '{"approve": true}'})

    steps = [
        call(as_text, "masumi_find", {"query": "approval"}),
        call(as_text, "masumi_quote", {"agent": human}),
        call(as_text, "masumi_hire", {"agent": human, "input_data": '{"text": "press"}'}),
        answer,
        call(as_text, "masumi_budget", {}),
    ]
    crew = crew_of(tools, steps, as_text=as_text)

    output = await run(crew)

    told = heard(crew)
    assert "2 ADA" in told and "PRESS" in told and "18 ADA of 20 ADA left" in told
    assert output.tool_failures == []
    assert counter.both == (1, 1)


async def test_a_hire_that_goes_on_is_picked_up_by_check(sandbox, buyer, counter, way):
    run, as_text = way
    tools = MasumiToolkit(buyer=buyer, patience_s=1).get_tools()
    hire = {"agent": sandbox.service("slow").agent_identifier, "input_data": '{"text": "x", "seconds": 2}'}
    steps = [
        call(as_text, "masumi_hire", hire),
        call(as_text, "masumi_check", {}),
        *(call(as_text, "masumi_check", {"wait_seconds": seconds}) for seconds in (1, 2, 3)),
    ]
    crew = crew_of(tools, steps, as_text=as_text)

    await run(crew)

    told = heard(crew)
    assert "In progress" in told and "masumi_check with hire_id" in told
    assert "<<<" in told.rsplit("Done: the service", 1)[-1]
    assert counter.both == (1, 1)


def test_parallel_native_calls_run_side_by_side_within_one_budget(sandbox, settings, counter):
    with Buyer(settings, budget=Budget("2 ADA")) as buyer:
        tool = MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)
        turn = native(*((tool.name, {"text": letter}) for letter in ("a", "b", "c", "a")))
        crew = crew_of([tool], [turn])

        output = crew.kickoff()

    assert {failure.failure.code for failure in output.tool_failures} == {"refused"}
    assert counter.both == (2, 2)


async def test_a_tool_runs_inside_a_running_loop_plainly_and_awaited(echo, counter):
    plain = echo.run(text="plain")
    awaited = await echo.arun(text="awaited")
    direct = await echo._arun(text="plain")

    assert "PLAIN" in plain and "AWAITED" in awaited and "PLAIN" in direct
    assert plain.receipt.outcome == "completed" and direct.receipt.outcome == "reused"
    assert counter.both == (2, 2)


def test_whoever_calls_run_directly_gets_an_answer_and_no_exception(sandbox, buyer, echo, counter):
    kit = {tool.name: tool for tool in MasumiToolkit(buyer=buyer).get_tools()}
    for tool in (*kit.values(), echo):
        for args, given in (((), {}), ((), {"a": 1}), ((None,), {}), (("not JSON {",), {}), (([1],), {})):
            tool._run(*args, **given)
            tool.to_structured_tool().invoke(given)
    agent = sandbox.service("echo").agent_identifier
    hired = kit["masumi_hire"]._run(agent=agent, text="direct")

    assert "DIRECT" in hired
    assert "HI" in echo._run("hi") and "HO" in echo._run({"input_data": {"text": "ho"}})
    assert counter.jobs == len(buyer.hires()) == counter.purchases


def test_rows_with_equal_inputs_are_one_hire(echo, counter):
    crew = crew_of(
        [echo], [native((echo.name, {"text": "copied"})), DONE, native((echo.name, {"text": "copied"}))]
    )

    outputs = crew.kickoff_for_each(inputs=[{"n": 1}, {"n": 2}])

    assert len(outputs) == 2
    assert counter.both == (1, 1)


def test_a_crew_that_is_run_again_pays_once_and_a_scope_of_its_own_pays_anew(echo, buyer, sandbox, counter):
    def kickoff() -> None:
        crew_of(
            [echo], [native((echo.name, {"text": "same"})), native((echo.name, {"text": "same"}))]
        ).kickoff()

    kickoff()
    assert counter.both == (1, 1)

    kickoff()
    assert counter.both == (1, 1)

    crew = crew_of([echo], [native((echo.name, {"text": "same"}))])
    agent: Any = crew.agents[0]
    agent.llm.steps += [native((echo.name, {"text": "same"})), DONE]
    second = Task(description="Once more.", expected_output="x", agent=agent)
    Crew(agents=[agent], tasks=[*crew.tasks, second]).kickoff()
    assert counter.both == (1, 1)

    other = MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer, scope="second")
    crew_of([other], [native((other.name, {"text": "same"}))]).kickoff()
    assert counter.both == (2, 2)


def test_a_fault_of_our_own_runs_once_and_raises_nothing(echo, monkeypatch, counter):
    ran: list[int] = []

    def broken(*args: Any, **options: Any) -> None:
        ran.append(1)
        raise RuntimeError("a bug")

    monkeypatch.setattr(type(echo.buyer), "hire", broken)
    crew = crew_of([echo], [text(echo.name, {"text": "x"})], as_text=True)

    output = crew.kickoff()

    assert len(ran) == 1
    assert output.tool_failures[0].failure.code == "error"
    assert "Do not hire again: a hire may have started" in heard(crew)
    assert counter.tried == 0


def test_a_failed_task_that_is_run_again_pays_once(echo, counter):
    """CrewAI runs a whole task again when its executor breaks."""
    broken: list[int] = []

    def breaks(messages: Any) -> Any:
        broken.append(1)
        raise ConnectionError("the model's provider is gone")

    first = native((echo.name, {"text": "once"}))
    crew = crew_of([echo], [first, breaks, first])

    crew.kickoff()

    assert len(broken) == 1
    assert counter.both == (1, 1)


def test_progress_is_told_on_the_event_bus(echo):
    told: list[MasumiProgressEvent] = []
    ended: list[Any] = []
    with crewai_event_bus.scoped_handlers():

        @crewai_event_bus.on(MasumiProgressEvent)
        def _(source: Any, event: MasumiProgressEvent) -> None:
            told.append(event)

        @crewai_event_bus.on(ToolUsageFinishedEvent)
        def _(source: Any, event: Any) -> None:
            ended.append(event)

        @crewai_event_bus.on(ToolUsageErrorEvent)
        def _(source: Any, event: Any) -> None:
            ended.append(event)

        crew = crew_of([echo], [native((echo.name, {"text": "told"}))])
        crew.kickoff()
        crewai_event_bus.flush()

    assert {"paying", "locked", "delivered"} <= {event.state for event in told}
    assert {event.task_id for event in told} == {str(crew.tasks[0].id)}
    assert [type(event) for event in ended] == [ToolUsageFinishedEvent]


def test_only_what_is_verified_and_finished_is_cached(sandbox, buyer, counter):
    echo = MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)
    liar = MasumiAgentTool.for_agent(sandbox.service("liar").agent_identifier, buyer=buyer)
    ran: list[str] = []
    for tool in (echo, liar):
        tool._card = replace(tool._card, act=counting(ran, tool.name, tool._card.act))
    steps = [native((tool.name, {"text": "x"})) for tool in (echo, liar, echo, liar)]
    crew = crew_of([echo, liar], steps, cache=True)

    crew.kickoff()

    assert ran == [echo.name, liar.name, liar.name]
    assert echo.cache_function({}, echo.run(text="x")) is True
    assert liar.cache_function({}, liar.run(text="x")) is False
    assert liar.cache_function({}, "text") is False


def counting(ran: list[str], name: str, act: Any) -> Any:
    def counted(given: Any, call: Any) -> Any:
        ran.append(name)
        return act(given, call)

    return counted


def test_the_schema_is_strict_and_names_what_the_tool_needs(sandbox, buyer):
    tools = [
        *MasumiToolkit(buyer=buyer).get_tools(),
        MasumiAgentTool.for_agent(sandbox.service("human").agent_identifier, buyer=buyer),
    ]
    crew = crew_of(tools, [])
    crew.kickoff()
    shown = {one["function"]["name"]: one["function"] for one in crew.agents[0].llm.seen[0][1]}  # type: ignore[union-attr]

    assert set(shown) == {tool.name for tool in tools}
    for function in shown.values():
        assert function["strict"] is True
        assert open_objects(function["parameters"]) == []
        assert set(function["parameters"]["required"]) == set(function["parameters"]["properties"])
    for tool in tools:
        assert "MASUMI_NODE_URL" in {variable.name for variable in tool.env_vars}
        assert tool.package_dependencies == ["masumi_tools"]
        assert buyer.settings.node_token and buyer.settings.node_token.reveal() not in repr(tool)
        assert buyer.settings.node_token.reveal() not in tool.model_dump_json()


def open_objects(schema: Any) -> list[Any]:
    """The objects of a schema that take anything."""
    if isinstance(schema, list):
        return [found for item in schema for found in open_objects(item)]
    if not isinstance(schema, dict):
        return []
    inner = [found for value in schema.values() for found in open_objects(value)]
    closed = schema.get("additionalProperties") is False
    return inner + ([schema] if schema.get("type") == "object" and not closed else [])


def test_a_crew_without_tool_failures_gets_plain_sentences(echo, monkeypatch):
    """Older versions of CrewAI have no ToolFailure."""
    monkeypatch.setitem(__import__("sys").modules, "crewai.tools.tool_failure", None)

    assert "unknown field" in echo._run(masumi_refused="x: unknown field")
    assert type(echo._run(masumi_refused="x")).__name__ == "HireText"


def test_a_scripted_model_is_asked_for_everything():
    assert Scripted(model="scripted", steps=["x"]).call([]) == "x"
