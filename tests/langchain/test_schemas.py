"""What providers in strict mode get of the toolkit: no object of free form, which they would close and empty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool

from masumi_tools import MasumiToolkit


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


@pytest.mark.parametrize("strict", [None, True])
def test_every_object_of_a_toolkits_schemas_names_its_properties(buyer, strict):
    for tool in MasumiToolkit(buyer=buyer).get_tools():
        parameters = convert_to_openai_tool(tool, strict=strict)["function"]["parameters"]
        for found in [*objects(parameters)][1:]:
            assert found.get("properties"), f"{tool.name}: {found}"


@pytest.mark.parametrize("given", [{"text": "strict"}, '{"text": "strict"}'])
def test_the_input_is_taken_as_text_and_as_an_object(sandbox, buyer, given):
    kit = {tool.name: tool for tool in MasumiToolkit(buyer=buyer).get_tools()}
    hire = convert_to_openai_tool(kit["masumi_hire"], strict=True)["function"]["parameters"]

    said = kit["masumi_hire"].invoke({"agent": sandbox.service("echo").agent_identifier, "input_data": given})

    assert hire["properties"]["input_data"]["type"] == "string"
    assert "STRICT" in said
