"""What LangChain's integrations of providers send for our tools, made by their own converters. No key is needed.

`python -m tests.tools.converters AGENT...` with the environment of a sandbox prints, for each provider and each
tool of the toolkit and of these services, what LangChain shows and what is sent. On stdin are input schemas of
other services, as JSON: there is a tool for each of them, too.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from langchain_core.tools import StructuredTool

from masumi_tools import Buyer, MasumiToolkit
from masumi_tools.inputs import args_model, read_input_schema
from masumi_tools.tools.arguments import read_arguments


def openai(tools: list[Any]) -> list[dict[str, Any]]:
    from langchain_openai import ChatOpenAI

    bound: Any = ChatOpenAI(model="gpt-5", api_key="none").bind_tools(tools, strict=True)
    return [tool["function"] for tool in bound.kwargs["tools"]]


def anthropic(tools: list[Any]) -> list[dict[str, Any]]:
    from langchain_anthropic import ChatAnthropic

    bound: Any = ChatAnthropic(model="claude-sonnet-4-5", api_key="none").bind_tools(tools)
    return [{**tool, "parameters": tool["input_schema"]} for tool in bound.kwargs["tools"]]


def google(tools: list[Any]) -> list[dict[str, Any]]:
    from langchain_google_genai._function_utils import convert_to_genai_function_declarations

    made = [
        one.model_dump(mode="json", exclude_none=True)
        for one in convert_to_genai_function_declarations(tools)
    ]
    return [tool for one in made for tool in one["function_declarations"]]


def tools_of(kit: MasumiToolkit, agents: list[str], schemas: list[Any]) -> list[Any]:
    """The tools of the toolkit, of services of the sandbox, and of services that serve these schemas."""
    tools: list[Any] = [*kit.get_tools(), *(kit.for_agent(agent) for agent in agents)]
    for number, schema in enumerate(schemas):
        spec = read_input_schema(schema)
        if not spec.refusal:
            reader = lambda payload, spec=spec: read_arguments(spec, payload)  # noqa: E731
            model = args_model(spec, "hire", reader, quoting=True)[0]
            tools.append(
                StructuredTool(name=f"wild_{number}", description="Hires.", args_schema=model, func=print)
            )
    return tools


def main() -> None:
    with Buyer() as buyer:
        tools = tools_of(MasumiToolkit(buyer=buyer), sys.argv[1:], json.load(sys.stdin))
    shown = {tool.name: tool.tool_call_schema.model_json_schema() for tool in tools}
    sent = {make.__name__: {one["name"]: one for one in make(tools)} for make in (openai, anthropic, google)}
    print(json.dumps({"shown": shown, "sent": sent}))


if __name__ == "__main__":
    main()
