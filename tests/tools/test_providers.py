"""Every provider takes every tool: both toolkits and MCP's list, and a tool of each schema of a real service."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from masumi_tools import MasumiToolkit
from masumi_tools.hire.quote import Quote
from masumi_tools.inputs import args_model, read_input_schema
from masumi_tools.sandbox import Sandbox
from masumi_tools.tools.actions import Actions
from masumi_tools.tools.arguments import read_arguments
from masumi_tools.tools.toolset import agent_card, cards
from tests.inputs.samples import ROWS
from tests.layers import REPO
from tests.shared import SHARED, shared_json
from tests.tools.market import environment_of
from tests.tools.providers import PROVIDERS

WILD = "protocol/wild/input-schemas.json"
INTEGRATIONS = REPO / ".envs" / "providers"
NOTHING = {"type": "object"}


def closed(schema: Any) -> Any:
    """The export of strict mode: every property required, every object closed. It adds and removes nothing else."""
    made = copy.deepcopy(schema)
    found = [made]
    while found:
        one = found.pop()
        if one.get("type") == "object":
            one["required"] = list(one.get("properties", {}))
            one["additionalProperties"] = False
        found += [*one.get("properties", {}).values(), *([one["items"]] if "items" in one else [])]
    return made


def refused(name: str, description: str, schema: dict[str, Any]) -> dict[str, list[str]]:
    """What each provider has against this tool."""
    found = {}
    for provider, check in PROVIDERS.items():
        parameters = closed(schema) if provider == "openai" else schema
        tool = {"name": name, "description": description, "parameters": parameters}
        if faults := list(check(tool)):
            found[provider] = faults
    return found


def as_langchain(tool: BaseTool) -> dict[str, Any]:
    """What LangChain gives every integration of a provider."""
    return tool.tool_call_schema.model_json_schema()  # type: ignore[union-attr]


def test_the_seven_tools_are_taken_by_every_provider(settings):
    for card in cards(Actions(settings=settings)):
        assert refused(card.name, card.description, card.args.model_json_schema()) == {}, card.name
    for tool in MasumiToolkit(settings=settings).get_tools():
        assert refused(tool.name, tool.description, as_langchain(tool)) == {}, tool.name
        strict = convert_to_openai_tool(tool, strict=True)["function"]
        assert list(PROVIDERS["openai"](strict)) == [], tool.name
        assert "null" not in json.dumps(strict)


@pytest.mark.crewai
def test_the_seven_tools_of_crewai_are_taken_by_every_provider(settings):
    crewai = pytest.importorskip("masumi_tools.crewai")
    export = pytest.importorskip("crewai.utilities.pydantic_schema_utils").generate_model_description
    for tool in crewai.MasumiToolkit(settings=settings).get_tools():
        schema = export(tool.args_schema)["json_schema"]["schema"]
        assert refused(tool.name, tool.description, schema) == {}, tool.name


def test_the_toolkits_open_arguments_are_text_that_strict_mode_can_fill(settings, sandbox, buyer):
    """A closed empty object in the place of the input would let nobody be hired."""
    kit = {tool.name: tool for tool in MasumiToolkit(buyer=buyer).get_tools()}
    for name, argument in (("masumi_hire", "input_data"), ("masumi_answer", "answer")):
        sent = convert_to_openai_tool(kit[name], strict=True)["function"]["parameters"]["properties"][
            argument
        ]
        assert sent["type"] == "string" and "additionalProperties" not in sent
    # What a model in strict mode sends: every argument, with nothing in those that it would leave out.
    echo = sandbox.service("echo").agent_identifier
    filled = {"agent": echo, "input_data": '{"text": "strict"}', "max_price": ""}
    assert "STRICT" in kit["masumi_hire"].invoke(filled)
    empty = {"string": "", "array": [], "boolean": False, "number": 0}
    wanted = as_langchain(kit["masumi_find"])["properties"]
    nothing = {
        name: part["enum"][0] if "enum" in part else empty[part["type"]] for name, part in wanted.items()
    }
    assert "Echo" in kit["masumi_find"].invoke(nothing)
    assert "Open hires: 0" in kit["masumi_check"].invoke({"hire_id": "", "wait_seconds": 0})
    assert "Echo" in kit["masumi_find"].invoke(dict.fromkeys(nothing))  # null is taken as ever


def test_a_tool_of_every_recorded_schema_is_taken_by_every_provider():
    read = 0
    faults: dict[str, Any] = {}
    for row in shared_json(WILD):
        spec = read_input_schema(row["served_as"])
        if spec.refusal:
            continue
        model = args_model(
            spec, "hire", lambda payload, spec=spec: read_arguments(spec, payload), quoting=True
        )[0]
        if found := refused("hire", "Hires.", model.model_json_schema()):
            faults[row["id"]] = found
        read += 1
    assert faults == {}
    assert read >= 40


def test_the_tool_of_one_service_is_taken_by_every_provider(sandbox, buyer):
    for service in sandbox.services:
        quote: Quote = buyer.quote(service.agent_identifier)
        if quote.listing is None or quote.refusal:
            continue
        card = agent_card(Actions(buyer=buyer), quote, None, None)
        assert refused(card.name, card.description, card.args.model_json_schema()) == {}, card.name


def test_the_checkers_refuse_what_providers_refuse():
    bad = {
        "type": "object",
        "properties": {
            "a": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "description": "d"},
            "b": {"type": "object", "description": "d"},
            "c d": {"type": "integer", "enum": [1], "description": "d"},
        },
    }
    found = refused("t", "d", bad)
    assert set(found) == set(PROVIDERS)
    assert any("default" in fault for fault in found["openai"])
    assert any("an object without properties" in fault for fault in found["gemini"])
    assert any("choices that are no texts" in fault for fault in found["gemini"])
    assert any("a: type None" in fault for fault in found["smolagents"])


# The converters of the frameworks themselves -----------------------------------------------------


@pytest.fixture
def converted(sandbox: Sandbox, sqlite_url: str) -> dict[str, Any]:
    """What the integrations send for our tools, in an environment that has them."""
    if not (INTEGRATIONS / ".made").exists():
        pytest.skip("the integrations of providers are not installed: make other-frameworks")
    services = [sandbox.service(name).agent_identifier for name in ("echo", "human")]
    rows = [*ROWS, *(shared_json(WILD) if SHARED is not None else ())]
    done = subprocess.run(
        [INTEGRATIONS / "bin" / "python", "-m", "tests.tools.converters", *services],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO), **environment_of(sandbox, sqlite_url)},
        input=json.dumps([row["served_as"] for row in rows]),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def differences(shown: Any, sent: Any, path: str) -> Iterator[str]:
    """Where what is sent is not what our tool shows: type, words, choices, arguments, parts of lists."""
    if str(sent.get("type")).lower() != shown["type"]:
        yield f"{path}: type {sent.get('type')}"
    for key in ("description", "enum"):
        if sent.get(key) != shown.get(key):
            yield f"{path}: {key} {sent.get(key)}"
    ours, theirs = shown.get("properties") or {}, sent.get("properties") or {}
    if set(ours) != set(theirs):
        yield f"{path}: arguments {sorted(set(ours) ^ set(theirs))}"
    for name in set(ours) & set(theirs):
        yield from differences(ours[name], theirs[name], f"{path}.{name}")
    if "items" in shown:
        yield from differences(shown["items"], sent.get("items") or {}, f"{path}[]")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_frameworks_own_converters_keep_every_argument(converted):
    faults: dict[str, Any] = {}
    for provider, sent in converted["sent"].items():
        assert set(sent) == set(converted["shown"])
        for name, tool in sent.items():
            parameters = {**NOTHING, **(tool.get("parameters") or {}), "description": tool["description"]}
            found = list(differences(converted["shown"][name], parameters, "$"))
            if provider in PROVIDERS:
                found += PROVIDERS[provider](tool)
            faults |= {f"{provider} {name}": found} if found else {}
    assert faults == {} and set(converted["sent"]) == {"openai", "anthropic", "google"}
