"""Tools in an event loop in which blocking calls raise, as `langgraph dev` has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage

from masumi_tools import Budget, MasumiAgentTool, MasumiToolkit
from masumi_tools.hire import buyer as buyers
from tests.langchain.models import Scripted, answers, calls

SEVEN = ("find", "quote", "hire", "check", "answer", "refund", "budget")


@pytest.fixture
def env(sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A new machine: settings come from the environment, and there is no journal and no folder for it yet."""
    for name, value in {
        "NODE_URL": sandbox.node_url,
        "NODE_TOKEN": sandbox.token,
        "REGISTRY_URL": sandbox.registry_url,
        "REGISTRY_TOKEN": sandbox.token,
        "DATABASE_URL": f"sqlite:///{tmp_path}/new/folder/hires.sqlite3",
        "SANDBOX": "1",
    }.items():
        monkeypatch.setenv(f"MASUMI_{name}", value)


@pytest.mark.parametrize("first", SEVEN)
async def test_every_tool_opens_the_journal_off_the_loop_when_it_is_called_first(env, sandbox, first):
    echo = sandbox.service("echo").agent_identifier
    given: dict[str, Any] = {
        "find": {"query": "echo"},
        "quote": {"agent": echo},
        "hire": {"agent": echo, "input_data": '{"text": "x"}'},
        "answer": {"hire_id": "0", "answer": "{}"},
        "refund": {"hire_id": "0"},
    }
    with blockbuster_ctx():
        tools = {tool.name: tool for tool in MasumiToolkit(budget=Budget("20 ADA")).get_tools()}
        text = await tools[f"masumi_{first}"].ainvoke(given.get(first, {}))
    right = {
        "find": "Echo",
        "quote": "It can be hired",
        "hire": "Done: the service",
        "budget": "20 ADA left",
    }
    right |= {"check": "No hires are known here", "answer": "there is no hire", "refund": "there is no hire"}
    assert right[first] in text


async def test_a_tool_of_one_service_is_made_and_called_without_blocking(env, sandbox):
    echo = sandbox.service("echo")
    with blockbuster_ctx():
        tool = await MasumiAgentTool.afor_agent(echo.agent_identifier, budget=Budget("20 ADA"))
        other = await MasumiAgentTool.afor_url(echo.url, budget=Budget("20 ADA"))
        third = await MasumiToolkit(budget=Budget("20 ADA")).afor_agent(echo.agent_identifier)
        for one in (tool, other, third):
            assert "A TEXT" in await one.ainvoke({"text": "a text"})


async def test_an_agent_hires_without_blocking(env, sandbox):
    echo = sandbox.service("echo").agent_identifier
    with blockbuster_ctx():
        tools = MasumiToolkit(budget=Budget("20 ADA")).get_tools()
        hire = {"agent": echo, "input_data": json.dumps({"text": "agent"})}
        steps = [
            calls(("masumi_find", {})),
            calls(("masumi_hire", hire)),
            calls(("masumi_budget", {})),
            "done",
        ]
        agent = create_agent(Scripted(steps=steps), tools)
        state = await agent.ainvoke({"messages": [HumanMessage("go")]})
    found, hired, budget = (one.text for one in answers(state))
    assert "AGENT" in hired and "Echo" in found and "19 ADA of 20 ADA left" in budget


async def test_a_fault_of_ours_before_anything_was_sent_says_that_nothing_was_sent(
    sandbox, settings, counter, monkeypatch
):
    def broken(*_: Any, **__: Any) -> Any:
        raise OSError("not to be told")

    monkeypatch.setattr(buyers, "AsyncHttp", broken)
    tools = {
        tool.name: tool for tool in MasumiToolkit(settings=settings, budget=Budget("20 ADA")).get_tools()
    }
    hire = {"agent": sandbox.service("echo").agent_identifier, "input_data": '{"text": "x"}'}
    for text in [await tools["masumi_hire"].ainvoke(hire), await tools["masumi_find"].ainvoke({})]:
        assert "before anything was sent (OSError). Nothing was paid" in text
        assert "not to be told" not in text
    assert counter.tried == 0
