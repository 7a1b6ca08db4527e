"""Crews that are restored from a checkpoint: the same budget and limits, no secret in the file, and one payment."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import zoneinfo
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("crewai")

from crewai import Crew
from crewai.events import crewai_event_bus
from crewai.state.checkpoint_config import CheckpointConfig
from crewai.state.runtime import RuntimeState

from masumi_tools import Budget, Settings
from masumi_tools.crewai import HireText, MasumiAgentTool, MasumiToolkit, approval, restoring
from masumi_tools.errors import MasumiError
from masumi_tools.hire.buyer import Buyer
from masumi_tools.tools import kept
from tests.crewai.models import DONE, Scripted, crew_of, heard, native
from tests.tools.market import environment_of, settings_of

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(120)]

AMOUNTS = ("20 ADA", "7 USDM")
LIMITS = {
    "per_hire": "3 ADA",
    "per_day": ["9 ADA", "7 USDM"],
    "per_service": "4 ADA",
    "deny": ["https://bad.example"],
    "name": "kept",
}


def places(sandbox: Any, folder: Path) -> dict[str, str]:
    """The environment of a process that hires in this sandbox."""
    return environment_of(sandbox, f"sqlite:///{folder}/hires.sqlite3")


@pytest.fixture
def env(sandbox, tmp_path, monkeypatch):
    for name, value in places(sandbox, tmp_path).items():
        monkeypatch.setenv(name, value)


def stored(*tools: Any) -> str:
    """A checkpoint of a crew with these tools, as text."""
    return RuntimeState(root=[crew_of(tools, [])]).model_dump_json()


def opened(text: str, folder: Path) -> Crew:
    """The crew of a checkpoint, as in a process that knows nothing but the file."""
    kept._live.clear()
    file = folder / "checkpoint.json"
    file.write_text(text)
    return Crew.from_checkpoint(CheckpointConfig(restore_from=str(file)))


def tools_of(crew: Crew) -> dict[str, Any]:
    return {tool.name: tool for tool in crew.agents[0].tools}


def test_a_restored_tool_has_its_budget_and_its_limits(env, sandbox, counter, tmp_path):
    budget = Budget(AMOUNTS, **LIMITS)
    echo = sandbox.service("echo").agent_identifier
    tool = MasumiAgentTool(
        echo, budget=budget, scope="s", max_price="2 ADA", patience_s=50, max_usage_count=2
    )
    tool.run(text="x")
    (again,) = tools_of(opened(stored(tool), tmp_path)).values()
    assert again.buyer.budget == budget
    assert again._actions.options == tool._actions.options
    assert (again.name, again.description, again.scope) == (tool.name, tool.description, "s")
    assert again.args_schema.model_json_schema() == tool.args_schema.model_json_schema()
    assert "Not charged again" in again.run(text="x")
    assert "usage limit" in str(again.run(text="y"))  # what was used before the restart counts
    assert counter.both == (1, 1)


def test_every_limit_that_a_budget_can_have_is_kept(env, sandbox, tmp_path):
    echo = sandbox.service("echo").agent_identifier
    given: dict[str, Any] = {**LIMITS, "allow": [echo], "time_zone": zoneinfo.ZoneInfo("Asia/Tokyo")}
    given |= {
        "approve_above": "1 ADA",
        "approval_within": 60,
        "per_new_service": "1 ADA",
        "per_month": "9 ADA",
    }
    budget = Budget(AMOUNTS, **given)
    unset = [field.name for field in dataclasses.fields(Budget) if getattr(budget, field.name) is None]
    assert unset == ["approve"], "a new limit: say here that it is kept"
    (again,) = tools_of(opened(stored(MasumiAgentTool(echo, budget=budget)), tmp_path)).values()
    for field in dataclasses.fields(Budget):
        assert getattr(again.buyer.budget, field.name) == getattr(budget, field.name), field.name


def test_a_checkpoint_holds_no_secret(sandbox, settings, tmp_path):
    tool = MasumiAgentTool(
        sandbox.service("echo").agent_identifier, settings=settings, budget=Budget("20 ADA")
    )
    text = stored(tool, *MasumiToolkit(settings=settings, budget=Budget("20 ADA")).get_tools())
    assert sandbox.token not in text and "20000000" in text
    assert sandbox.token not in str(tool.model_dump()) + repr(tool)


def test_tools_of_one_toolkit_are_restored_as_one(env, sandbox, counter, tmp_path):
    toolkit = MasumiToolkit(budget=Budget("1 ADA"), allow=[sandbox.service("echo").agent_identifier])
    tools = tools_of(opened(stored(*toolkit.get_tools()), tmp_path))
    assert len({id(tool._actions) for tool in tools.values()}) == 1
    refused = tools["masumi_hire"].run(agent=sandbox.service("slow").agent_identifier, input_data="{}")
    assert "is not on the allow list" in str(refused)
    echo = {"agent": sandbox.service("echo").agent_identifier, "input_data": '{"text": "a"}'}
    assert "Done: the service" in tools["masumi_hire"].run(**echo)
    assert "0 ADA of 1 ADA left" in tools["masumi_budget"].run()


def unsaid(_: Any) -> bool:
    raise AssertionError("nobody is asked")


def another(text: str, change: Any) -> str:
    """A checkpoint in which what was kept of the first tool is changed."""
    data = json.loads(text)
    change(data["entities"][0]["agents"][0]["tools"][0])
    return json.dumps(data)


def test_what_cannot_be_rebuilt_with_its_limits_raises_in_words(env, sandbox, settings, counter, tmp_path):
    echo = sandbox.service("echo").agent_identifier
    asking = MasumiAgentTool(echo, budget=Budget("20 ADA", approve_above="0 ADA", approve=unsaid))
    judging = MasumiAgentTool(echo, budget=Budget("20 ADA"), on_mismatch=unsaid)
    plain = stored(MasumiAgentTool(echo, budget=Budget("20 ADA")))
    for text, words in (
        (stored(asking), "approve, a function, cannot be kept"),
        (stored(judging), "on_mismatch, a function, cannot be kept"),
        (another(plain, lambda tool: tool.pop("masumi")), "holds no limits"),
        (another(plain, lambda tool: tool["masumi"].pop("budget")), "cannot be read"),
        (another(plain, lambda tool: tool["masumi"]["budget"].update(per_moon="1 ADA")), "cannot be read"),
        (another(plain, lambda tool: tool["masumi"].update(form=99)), "holds no limits"),
    ):
        with pytest.raises(
            MasumiError, match=r"cannot be restored with its limits.*Nothing was sent"
        ) as caught:
            opened(text, tmp_path)
        assert words in str(caught.value)
    assert counter.tried == 0


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("MASUMI_NODE_URL", None, "its node_url was .* and is None here"),
        ("MASUMI_NODE_URL", "https://other.example/api/v1", "its node_url was"),
        ("MASUMI_DATABASE_URL", "sqlite:////tmp/other.sqlite3", "its database_url was"),
        ("MASUMI_SANDBOX", "0", "its sandbox was True and is False here"),
    ],
)
def test_another_place_is_refused_by_name(env, sandbox, tmp_path, monkeypatch, name, value, words):
    text = stored(MasumiAgentTool(sandbox.service("echo").agent_identifier, budget=Budget("20 ADA")))
    monkeypatch.delenv(name)
    if value is not None:
        monkeypatch.setenv(name, value)
    with pytest.raises(MasumiError, match=words):
        opened(text, tmp_path)


def test_settings_and_functions_in_code_are_given_by_a_buyer(sandbox, settings, counter, tmp_path):
    asked: list[str] = []

    def approve(one: Any) -> bool:
        asked.append(one.price_text)
        return False

    budget = Budget("20 ADA", approve_above="0 ADA", approve=approve)
    tool = MasumiAgentTool(sandbox.service("echo").agent_identifier, settings=settings, budget=budget)
    text = stored(tool)
    with pytest.raises(MasumiError, match="cannot be restored"):
        opened(text, tmp_path)
    richer = pytest.raises(MasumiError, match="its budget was another one")
    with Buyer(settings, budget=Budget("21 ADA")) as buyer, restoring(buyer), richer:
        opened(text, tmp_path)
    with Buyer(settings, budget=budget) as buyer, restoring(buyer):
        (again,) = tools_of(opened(text, tmp_path)).values()
        assert "Nothing was paid" in str(again.run(text="x"))
    assert asked == ["1 ADA"] and counter.tried == 0


def test_where_a_person_was_asked_nobody_hires_before_that_is_so_again(env, sandbox, counter, tmp_path):
    tool = MasumiAgentTool(sandbox.service("echo").agent_identifier, budget=Budget("20 ADA"))
    approval(tool, above="0 ADA", ask=lambda question: False)
    (again,) = tools_of(opened(stored(tool), tmp_path)).values()
    assert "call approval(...) for the restored tools first" in str(again.run(text="x"))
    assert counter.tried == 0
    approval(again, above="0 ADA", ask=lambda question: True)
    assert "Done: the service" in again.run(text="x")


DIES = """
import os, sys
from crewai.events import crewai_event_bus
from crewai.state.runtime import RuntimeState
from masumi_tools import Budget
from masumi_tools.crewai import MasumiAgentTool
from tests.crewai.models import crew_of, native

tool = MasumiAgentTool(sys.argv[1], budget=Budget("20 ADA", per_hire="2 ADA", name="crew"))
crew = crew_of([tool], [native((tool.name, {"text": "hi"}))])
said = type(crew.agents[0].llm).call

def call(model, messages, *args, **options):
    if len(model.steps) == 1:  # the tool has answered
        crewai_event_bus.flush()  # CrewAI's own listener writes while others still change what it writes
        RuntimeState(root=[crew]).checkpoint(sys.argv[2])
        os.kill(os.getpid(), 9)
    return said(model, messages, *args, **options)

type(crew.agents[0].llm).call = call
crew.kickoff()
"""


def test_a_crew_whose_process_died_goes_on_from_its_checkpoint_and_pays_once(env, sandbox, counter, tmp_path):
    script = tmp_path / "dies.py"
    script.write_text(DIES)
    checkpoints = tmp_path / "checkpoints"
    root = str(Path(__file__).parents[2])
    died = subprocess.run(
        [sys.executable, str(script), sandbox.service("echo").agent_identifier, str(checkpoints)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    last = max(checkpoints.rglob("*.json"), key=lambda file: file.stat().st_mtime)
    assert sandbox.token not in last.read_text()
    assert counter.both == (1, 1)

    crew = opened(last.read_text(), tmp_path)
    steps = [native(("hire_echo", {"text": "hi"})), DONE]
    model = Scripted(model="scripted", steps=steps)  # CrewAI restores the models that it knows
    crew.agents[0].llm = model
    if executor := getattr(crew.agents[0], "agent_executor", None):
        executor.llm = model
    crew.kickoff()

    (tool,) = tools_of(crew).values()
    assert tool.buyer.budget == Budget("20 ADA", per_hire="2 ADA", name="crew")
    assert counter.both == (1, 1)
    assert len(tool.buyer.hires()) == 1


def test_a_replayed_crew_pays_once(sandbox, buyer, counter):
    tool = MasumiAgentTool(sandbox.service("echo").agent_identifier, buyer=buyer)
    crew = crew_of([tool], [native((tool.name, {"text": "hi"}))])
    crew.kickoff()
    crewai_event_bus.flush()
    crew.agents[0].llm.steps[:] = [native((tool.name, {"text": "hi"})), DONE]
    crew.replay(str(crew.tasks[0].id))
    assert "Not charged again" in heard(crew)
    assert counter.both == (1, 1)


def test_tools_are_pickled_without_secrets_and_come_back_with_their_limits(env, sandbox, counter):
    tool = MasumiAgentTool(
        sandbox.service("echo").agent_identifier, budget=Budget("20 ADA", per_hire="2 ADA")
    )
    toolkit = MasumiToolkit(budget=Budget("20 ADA", per_hire="2 ADA"))
    data = pickle.dumps((tool, toolkit))
    assert sandbox.token.encode() not in data
    kept._live.clear()
    again, kit = pickle.loads(data)
    assert again.buyer.budget == tool.buyer.budget
    assert {one._actions for one in kit.get_tools()} == {kit._actions}
    text = again.run(text="x")
    assert "Done: the service" in text and isinstance(pickle.loads(pickle.dumps(text)), HireText)
    assert "Not charged again" in tool.run(text="x")
    assert counter.both == (1, 1)


def test_copies_share_budget_and_journal(sandbox, buyer):
    tool = MasumiAgentTool(sandbox.service("echo").agent_identifier, buyer=buyer)
    for made in (copy.deepcopy(tool), copy.copy(tool), tool.model_copy(deep=True)):
        assert made.buyer is buyer and made.name == tool.name
    kit = copy.deepcopy(MasumiToolkit(buyer=buyer))
    assert all(one.buyer is buyer for one in kit.get_tools())


def test_a_tool_with_settings_in_code_is_not_unpickled_where_they_are_missing(sandbox, tmp_path):
    settings: Settings = settings_of(sandbox, tmp_path)
    tool = MasumiAgentTool(
        sandbox.service("echo").agent_identifier, settings=settings, budget=Budget("2 ADA")
    )
    data = pickle.dumps(tool)
    kept._live.clear()
    with pytest.raises(MasumiError, match="MASUMI_NODE_URL"):
        pickle.loads(data)
