"""Real create_agent loops with a scripted model: hire, be refused, wait, answer, get refunded; pay once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ToolRetryMiddleware

from masumi_tools import Budget, MasumiAgentTool, MasumiToolkit, Receipt
from masumi_tools.hire.buyer import Buyer
from masumi_tools.hire.purchase import State
from masumi_tools.sandbox import Sandbox
from tests.langchain.models import Scripted, answers, calls, said
from tests.tools.market import settings_of

HOUR_MS = 3_600_000


def start(agent: Any, words: str = "do it", **config: Any) -> dict[str, Any]:
    return agent.invoke({"messages": [("user", words)]}, config or None)


@pytest.fixture(params=["sync", "async"])
def run(request):
    """An agent run to its end, plainly or awaiting."""

    async def go(agent: Any) -> dict[str, Any]:
        asked = {"messages": [("user", "do it")]}
        return await agent.ainvoke(asked) if request.param == "async" else agent.invoke(asked)

    return go


async def test_an_agent_hires_and_tells_the_result(sandbox, buyer, counter, run):
    tool = MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)
    agent = create_agent(Scripted(steps=[calls((tool.name, {"text": "hello"})), said]), [tool])

    state = await run(agent)

    message = answers(state)[0]
    assert message.status == "success"
    assert isinstance(message.artifact, Receipt)
    assert (message.artifact.outcome, message.artifact.result) == ("completed", "HELLO")
    assert message.artifact.verified is True
    assert "HELLO" in state["messages"][-1].text
    assert counter.both == (1, 1)


async def test_an_agent_is_refused_before_anything_is_sent(sandbox, settings, counter, run):
    with Buyer(settings, budget=Budget("20 ADA", per_hire="1 ADA")) as buyer:
        tool = MasumiAgentTool.for_agent(sandbox.service("human").agent_identifier, buyer=buyer)
        agent = create_agent(Scripted(steps=[calls((tool.name, {"text": "hello"})), said]), [tool])

        state = await run(agent)

    message = answers(state)[0]
    assert message.status == "error"
    assert message.artifact.outcome == "refused"
    assert "Nothing was paid" in message.text and "the price is 2 ADA" in message.text
    assert counter.tried == 0


async def test_arguments_that_do_not_fit_come_back_with_the_fields_and_nothing_is_sent(
    sandbox, buyer, counter, run
):
    tool = MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)
    agent = create_agent(
        Scripted(steps=[calls((tool.name, {"txt": "hello"})), calls((tool.name, {"text": "hello"})), said]),
        [tool],
    )

    state = await run(agent)

    first, second = answers(state)
    assert first.status == "error" and "text: is required" in first.text
    assert second.artifact.result == "HELLO"
    assert counter.both == (1, 1)


async def test_asking_again_after_still_running_joins_the_hire(sandbox, buyer, counter, run):
    tool = MasumiAgentTool.for_agent(sandbox.service("slow").agent_identifier, buyer=buyer, patience_s=1)
    call = (tool.name, {"text": "later", "seconds": 2})
    agent = create_agent(
        Scripted(steps=[calls(call, ids=["a"]), calls(call, ids=["b"]), calls(call, ids=["c"]), said]),
        [tool],
    )

    state = await run(agent)

    messages = answers(state)
    assert messages[0].artifact.outcome == "open"
    assert messages[0].status == "success"
    assert "exactly the same input: that continues this hire and costs nothing" in messages[0].text
    assert messages[-1].artifact.result == "LATER"
    assert len({message.artifact.hire_id for message in messages}) == 1
    assert counter.both == (1, 1)


async def test_an_agent_finds_quotes_hires_and_sees_its_budget(sandbox, buyer, counter, run):
    tools = MasumiToolkit(buyer=buyer).get_tools()

    def quote(messages):
        return calls(("masumi_quote", {"agent": found_agent(messages, "Echo")}))

    def hire(messages):
        agent = sandbox.service("echo").agent_identifier
        return calls(("masumi_hire", {"agent": agent, "input_data": {"text": "hello"}}))

    find = calls(("masumi_find", {"query": "text in capitals"}))
    agent = create_agent(Scripted(steps=[find, quote, hire, calls(("masumi_budget", {})), said]), tools)

    state = await run(agent)

    found, quoted, hired, budget = answers(state)
    assert "Echo" in found.text and found.artifact["data"]
    assert "1 ADA" in quoted.text and "text (text, required)" in quoted.text
    assert hired.artifact.result == "HELLO"
    assert "19 ADA of 20 ADA left" in budget.text
    assert counter.both == (1, 1)


def found_agent(messages, name: str) -> str:
    line = next(line for line in messages[-1].text.splitlines() if f'"{name}"' in line)
    return re.search(r"agent ([0-9a-f]+)", line)[1]


async def test_an_agent_answers_the_question_of_a_service(sandbox, buyer, counter, run):
    tools = MasumiToolkit(buyer=buyer).get_tools()
    hire = calls(
        (
            "masumi_hire",
            {"agent": sandbox.service("human").agent_identifier, "input_data": {"text": "press"}},
        )
    )

    def answer(messages):
        assert "approve (true or false, required)" in messages[-1].text
        hire_id = re.search(r"masumi_answer with hire_id (\w+)", messages[-1].text)[1]
        return calls(("masumi_answer", {"hire_id": hire_id, "answer": {"approve": True, "comment": "fine"}}))

    agent = create_agent(Scripted(steps=[hire, answer, said]), tools)

    state = await run(agent)

    asked, answered = answers(state)
    assert asked.artifact.outcome == "needs_input" and asked.status == "success"
    assert answered.artifact.result == "PRESS\nfine"
    assert counter.both == (1, 1)


async def test_money_comes_back_when_a_service_never_answers(tmp_path, run):
    with Sandbox() as sandbox:
        settings = settings_of(sandbox, tmp_path)

        def on_progress(progress):
            if progress.state is State.LOCKED:
                sandbox.advance(2 * HOUR_MS)

        with Buyer(settings, budget=Budget("20 ADA"), on_progress=on_progress) as buyer:
            tool = MasumiAgentTool.for_agent(sandbox.service("silent").agent_identifier, buyer=buyer)
            agent = create_agent(Scripted(steps=[calls((tool.name, {"text": "x"})), said]), [tool])

            state = await run(agent)

        message = answers(state)[0]
        assert message.status == "error"
        assert message.artifact.outcome == "refunded"
        assert message.artifact.refunded_text == "3 ADA"
        assert "Refunded: 3 ADA of 3 ADA" in message.text
        assert len(sandbox.ledger()["purchases"]) == 1


async def test_an_agent_asks_for_its_money_back(sandbox, buyer, counter, run):
    tools = MasumiToolkit(buyer=buyer).get_tools()
    hire = calls(
        ("masumi_hire", {"agent": sandbox.service("liar").agent_identifier, "input_data": {"text": "x"}})
    )

    def refund(messages):
        assert "Delivered, but NOT VERIFIED" in messages[-1].text
        hire_id = re.search(r"masumi_refund with hire_id (\w+)", messages[-1].text)[1]
        return calls(("masumi_refund", {"hire_id": hire_id}))

    agent = create_agent(Scripted(steps=[hire, refund, said]), tools)

    state = await run(agent)

    lied, refunded = answers(state)
    assert lied.artifact.verified is False
    assert refunded.artifact.outcome in ("refund_requested", "disputed")
    assert counter.both == (1, 1)


async def test_several_hires_of_one_turn_run_side_by_side_and_equal_ones_are_one(
    sandbox, buyer, counter, run
):
    tool = MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)
    turn = calls((tool.name, {"text": "a"}), (tool.name, {"text": "b"}), (tool.name, {"text": "a"}))
    agent = create_agent(Scripted(steps=[turn, said]), [tool])

    state = await run(agent)

    assert [message.artifact.result for message in answers(state)] == ["A", "B", "A"]
    assert counter.both == (2, 2)


async def test_the_budget_holds_for_hires_of_one_turn(sandbox, settings, counter, run):
    with Buyer(settings, budget=Budget("2 ADA")) as buyer:
        tool = MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)
        turn = calls(*((tool.name, {"text": text}) for text in "abcd"))
        agent = create_agent(Scripted(steps=[turn, said]), [tool])

        state = await run(agent)

    outcomes = sorted(message.artifact.outcome for message in answers(state))
    assert outcomes == ["completed", "completed", "refused", "refused"]
    assert counter.both == (2, 2)


class BreaksAfterTheTool(AgentMiddleware):
    """Something behind the tool fails twice, after the money is gone."""

    def __init__(self) -> None:
        self.ran = 0

    def wrap_tool_call(self, request, handler):
        result = handler(request)
        self.ran += 1
        if self.ran < 3:
            raise ConnectionError("the answer was lost on its way")
        return result


def test_a_retry_of_the_whole_call_pays_once(sandbox, buyer, counter):
    tool = MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)
    broken = BreaksAfterTheTool()
    agent = create_agent(
        Scripted(steps=[calls((tool.name, {"text": "once"})), said]),
        [tool],
        middleware=[ToolRetryMiddleware(initial_delay=0.01, jitter=False), broken],
    )

    state = start(agent)

    assert broken.ran == 3
    assert answers(state)[0].artifact.result == "ONCE"
    assert counter.both == (1, 1)


def test_an_outcome_without_a_result_is_not_retried_by_the_retry_middleware(sandbox, settings, counter):
    with Buyer(settings, budget=Budget("20 ADA")) as buyer:
        tool = MasumiAgentTool.for_agent(sandbox.service("failing").agent_identifier, buyer=buyer)
        agent = create_agent(
            Scripted(steps=[calls((tool.name, {"text": "x"})), said]),
            [tool],
            middleware=[ToolRetryMiddleware(initial_delay=0.01, jitter=False)],
        )

        state = start(agent)

    assert answers(state)[0].artifact.result is None
    assert counter.both == (1, 1)
