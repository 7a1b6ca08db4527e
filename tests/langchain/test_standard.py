"""Both classes of langchain-tests for every LangChain tool, against the sandbox over loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from masumi_tools import Budget, MasumiAgentTool, MasumiToolkit, Settings
from masumi_tools.sandbox import Sandbox
from tests.tools.market import environment_of, settings_of


class World:
    """The sandbox of this file, and what the tools are asked there."""

    sandbox: Sandbox
    settings: Settings
    tools: dict[str, BaseTool]
    asked: dict[str, dict[str, Any]]


@pytest.fixture(autouse=True, scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with Sandbox() as sandbox:
        World.sandbox = sandbox
        World.settings = settings_of(sandbox, tmp_path_factory.mktemp("hires"))
        kit = MasumiToolkit(settings=World.settings, budget=Budget("50 ADA"), patience_s=20)
        World.tools = {tool.name: tool for tool in kit.get_tools()}
        agent = sandbox.service("human").agent_identifier
        hire = {"agent": agent, "input_data": {"text": "hello"}}
        hired = World.tools["masumi_hire"].invoke(
            {"name": "masumi_hire", "args": hire, "id": "before", "type": "tool_call"}
        )
        hire_id = hired.artifact.hire_id
        World.asked = {
            "masumi_find": {"query": "capitals", "max_price": "2 ADA"},
            "masumi_quote": {"agent": agent},
            "masumi_hire": hire,
            "masumi_check": {"hire_id": hire_id, "wait_seconds": 1},
            "masumi_answer": {"hire_id": hire_id, "answer": {"approve": True}},
            "masumi_refund": {"hire_id": hire_id},
            "masumi_budget": {},
        }
        yield
        kit.close()


class OfAgent:
    """One service as a tool, made from its class."""

    @property
    def tool_constructor(self) -> type[BaseTool]:
        return MasumiAgentTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {
            "target": World.sandbox.service("echo").agent_identifier,
            "settings": World.settings,
            "budget": Budget("50 ADA"),
        }

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"text": "hello"}


class TestAgentToolUnit(OfAgent, ToolsUnitTests):
    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        settings = World.settings
        env = environment_of(World.sandbox, settings.database_url)
        target = World.sandbox.service("echo").agent_identifier
        return env, {"target": target}, {"target": target, "settings": settings}


class TestAgentToolIntegration(OfAgent, ToolsIntegrationTests):
    pass


def _of_kit(name: str) -> dict[str, Any]:
    return {
        "tool_constructor": property(lambda self: World.tools[name]),
        "tool_invoke_params_example": property(lambda self: World.asked[name]),
    }


KIT = ("find", "quote", "hire", "check", "answer", "refund", "budget")
for _name in KIT:
    for _base, _kind in ((ToolsUnitTests, "Unit"), (ToolsIntegrationTests, "Integration")):
        _title = f"Test{_name.title()}{_kind}"
        globals()[_title] = type(_title, (_base,), {**_of_kit(f"masumi_{_name}"), "__module__": __name__})


def test_every_tool_of_the_kit_is_tested():
    assert set(World.tools) == {f"masumi_{name}" for name in KIT}
