"""LangGraph runs a node again: after an interrupt, from a checkpoint, in another process. The hire is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from masumi_tools import MasumiAgentTool, MasumiToolkit, Receipt
from tests.fresh import REPO
from tests.langchain.models import Scripted, answers, calls, said
from tests.tools.market import environment_of

THREAD: Any = {"configurable": {"thread_id": "t-1"}}


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    approved: str


@pytest.fixture
def tool(sandbox, buyer):
    service = sandbox.service("echo")
    return MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer, reuse_within_s=0)


def graph_of(node: Any) -> Any:
    graph = StateGraph(State)
    graph.add_node("work", node)
    graph.add_edge(START, "work")
    graph.add_edge("work", END)
    return graph.compile(checkpointer=InMemorySaver())


def test_an_interrupt_after_the_payment_pays_once(tool, counter):
    def node(state: State, config: RunnableConfig) -> Any:
        call = state["messages"][-1].tool_calls[0]
        message = tool.invoke(call, config)
        approved = interrupt("is this good?")
        return {"messages": [message], "approved": approved}

    graph = graph_of(node)
    graph.invoke({"messages": [calls((tool.name, {"text": "paused"}))]}, THREAD)
    assert counter.both == (1, 1)

    state = graph.invoke(Command(resume="yes"), THREAD)

    assert state["approved"] == "yes"
    assert answers(state)[0].artifact.result == "PAUSED"
    assert counter.both == (1, 1)


async def test_a_node_that_failed_after_the_payment_pays_once_when_it_runs_again(tool, counter):
    runs: list[int] = []
    inner = ToolNode([tool])

    async def node(state: State, config: RunnableConfig) -> Any:
        result = await inner.ainvoke(state, config)
        runs.append(1)
        if len(runs) < 3:
            raise ConnectionError("lost")
        return result

    graph = graph_of(node)
    asked: Any = {"messages": [calls((tool.name, {"text": "again"}))]}
    for _attempt in range(2):
        with pytest.raises(ConnectionError):
            await graph.ainvoke(asked, THREAD)
        asked = None

    state = await graph.ainvoke(None, THREAD)

    assert len(runs) == 3
    assert answers(state)[0].artifact.result == "AGAIN"
    assert counter.both == (1, 1)


def test_a_receipt_survives_the_checkpoint(sandbox, buyer, caplog):
    tools = MasumiToolkit(buyer=buyer).get_tools()
    hire = ("masumi_hire", {"agent": sandbox.service("echo").agent_identifier, "text": "kept"})
    agent = create_agent(Scripted(steps=[calls(hire), said]), tools, checkpointer=InMemorySaver())
    agent.invoke({"messages": [("user", "do it")]}, THREAD)

    kept = answers(agent.get_state(THREAD).values)[0].artifact

    receipt = Receipt.model_validate(kept)  # LangGraph keeps what a message holds as plain data
    assert receipt.result == "KEPT"
    assert [check.verdict for check in receipt.verify()] == ["verified"] * 6
    assert "unregistered type" not in caplog.text


@pytest.mark.slow
def test_a_run_goes_on_in_another_process_and_pays_once(sandbox, settings, tmp_path, counter):
    env = environment_of(sandbox, settings.database_url)
    agent = sandbox.service("echo").agent_identifier
    (tmp_path / "settings.json").write_text(json.dumps({"env": env, "agent": agent}))

    def run(mode: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.langchain.survivor", str(tmp_path), mode]
        return subprocess.run(
            command, cwd=REPO, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=60
        )

    died = run("die")
    assert died.returncode == 9, died.stderr
    assert counter.both == (1, 1)

    went_on = run("go on")

    assert went_on.returncode == 0, went_on.stderr
    told = json.loads(went_on.stdout.splitlines()[-1])
    assert "SURVIVED" in told["text"] and told["id"] == "call-0"
    assert counter.both == (1, 1)
