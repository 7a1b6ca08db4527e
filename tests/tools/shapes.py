"""Do arguments as models really send them end in the right hire? Through real tools, sandbox and start_job.

`python -m tests.tools.shapes [FILE]` sends each payload of a file of the format of argument-shapes.json
through MasumiAgentTool and the toolkit's hire, of LangChain and of CrewAI. What the service was sent is
compared with the verdict, and what was refused must have sent nothing. It names each row that comes out
otherwise; exit status 1 when there is one.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from masumi_tools.errors import InputError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import Buyer
from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.services import Service
from tests.inputs.arguments_report import Outcome, Row, _differs
from tests.tools.market import Counter, open_service, settings_of

_HANDED = re.compile(r"<<<(\w+)\n(.*)\n\1>>>", re.DOTALL)  # a result as the text for the model has it

Way = Callable[[Any, Row], Any]
"""Calls a tool with a row's payload; gives (text, receipt or None)."""


class Shapes:
    """A sandbox with a service for each row's schema, and a buyer that may spend enough."""

    def __init__(self, sandbox: Sandbox, folder: Any) -> None:
        self.sandbox = sandbox
        budget = Budget("100000 ADA", name="shapes")
        self.buyer = Buyer(settings_of(sandbox, folder), budget=budget)
        self._services: dict[str, Service] = {}

    def service(self, row: Row) -> Service:
        """The service that wants this row's input."""
        key = json.dumps(row["target_schema"], sort_keys=True)
        if key not in self._services:
            schema = row["target_schema"]
            served = {"input_data": schema} if isinstance(schema, list) else schema
            name = f"shape-{len(self._services)}-{id(self)}"
            self._services[key] = open_service(self.sandbox, name, schema=served)
        return self._services[key]

    def judge(self, row: Row, way: Way) -> str | None:
        """None when the row comes out as it says on this way; else the difference."""
        counter = Counter(self.sandbox)
        text, receipt = way(self, row)
        handed = _HANDED.search(text)
        if receipt is None and handed is not None:
            got: Outcome = json.loads(handed[2])
        elif receipt is None:
            got = refused(text)
            if counter.tried:
                return "refused, but something was sent"
        else:
            if receipt.result is None:
                return f"no result: {receipt.outcome}, {receipt.reason}"
            got = json.loads(receipt.result)
        return _differs(row, got)


def refused(text: str) -> InputError:
    """The refusal as the tool's answer tells it: the fields, in order, with their sentences."""
    found = re.search(r"nothing was sent: (.*?)\. (?:Send an object|Arguments:) ", text, re.DOTALL)
    said = found[1] if found else text
    fields = re.findall(r"(?:^|; )([^:;]{1,60}): ", said)
    return InputError(text, field_errors={field: [said] for field in fields or [""]})


def _as_call(row: Row) -> Any:
    """The arguments of the call: the payload itself, or the payload as its input_data."""
    return row["payload"] if row.get("arrives_as") == "call" else {"input_data": row["payload"]}


def langchain_tool(shapes: Shapes, row: Row) -> Any:
    from masumi_tools.langchain import MasumiAgentTool

    tool = MasumiAgentTool(shapes.service(row).agent_identifier, buyer=shapes.buyer, scope="lc-tool")
    return _of_message(tool, _as_call(row))


def langchain_kit(shapes: Shapes, row: Row) -> Any:
    from masumi_tools.langchain import MasumiToolkit

    hire = {tool.name: tool for tool in MasumiToolkit(buyer=shapes.buyer, scope="lc-kit").get_tools()}
    given = {"agent": shapes.service(row).agent_identifier, "input_data": row["payload"]}
    return _of_message(hire["masumi_hire"], given)


def _of_message(tool: Any, args: Any) -> Any:
    """Invoked as ToolNode does; what is not an object cannot come in a tool call and gives text alone."""
    if not isinstance(args, dict):
        return str(tool.invoke(args)), None
    message = tool.invoke({"name": tool.name, "args": args, "id": "call-1", "type": "tool_call"})
    return message.text, _receipt(message.artifact)


def _receipt(artifact: Any) -> Any:
    return artifact if hasattr(artifact, "hire_id") else None


def crewai_tool(shapes: Shapes, row: Row) -> Any:
    from masumi_tools.crewai import MasumiAgentTool

    tool = MasumiAgentTool(shapes.service(row).agent_identifier, buyer=shapes.buyer, scope="crew-tool")
    return _of_run(tool, _as_call(row))


def crewai_kit(shapes: Shapes, row: Row) -> Any:
    from masumi_tools.crewai import MasumiToolkit

    hire = {tool.name: tool for tool in MasumiToolkit(buyer=shapes.buyer, scope="crew-kit").get_tools()}
    given = {"agent": shapes.service(row).agent_identifier, "input_data": row["payload"]}
    return _of_run(hire["masumi_hire"], given)


def _of_run(tool: Any, args: Any) -> Any:
    """Run as the native path does, and by the text path's form of the tool where args is not an object."""
    raw = tool.run(**args) if isinstance(args, dict) else tool.to_structured_tool().invoke(args)
    return getattr(raw, "message", str(raw)), getattr(raw, "receipt", None)


WAYS: Mapping[str, Way] = {
    "langchain tool": langchain_tool,
    "langchain toolkit": langchain_kit,
    "crewai tool": crewai_tool,
    "crewai toolkit": crewai_kit,
}


def _judged(shapes: Shapes, row: Row, way: Way) -> str | None:
    """A tool that raises is a wrong row, never the end of the report."""
    try:
        return shapes.judge(row, way)
    except Exception as error:
        return f"raises {type(error).__name__}: {error}"


def main(file: Path) -> int:
    rows = json.loads(file.read_text(encoding="utf-8"))
    wrong = 0
    with Sandbox(time_scale=10) as sandbox, tempfile.TemporaryDirectory() as folder:
        shapes = Shapes(sandbox, folder)
        for name, way in WAYS.items():
            faults = {row["id"]: fault for row in rows if (fault := _judged(shapes, row, way))}
            for row_id, fault in faults.items():
                print(f"{row_id}, {name}\n  {fault}")
            print(f"{name}: {len(rows) - len(faults)} of {len(rows)} rows right")
            wrong += len(faults)
        shapes.buyer.close()
    return 1 if wrong else 0


if __name__ == "__main__":
    from tests.shared import SHARED

    given = [Path(argument) for argument in sys.argv[1:]]
    if not given and SHARED is None:
        sys.exit("name a file: there are no recorded arguments beside the repository")
    sys.exit(main(given[0] if given else SHARED / "protocol" / "wild" / "argument-shapes.json"))
