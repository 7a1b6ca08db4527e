"""The official client, of whichever generation is installed where this runs, through a plan of calls.

`python tests/mcp/client.py PLAN.json` prints what came of it as JSON. A plan has `command` and `env` of a
server over stdio, or `url` and `token` of one over HTTP; `calls`, each with `name`, `args` and perhaps
`limit_s`; `person`, what the person at the client says to a price: yes, no, cancel, or nothing at all ("vanishes": the client's process ends); and
`replies`, what the person does with the forms of services, one after the other: an `action` with `content`, or
the action "broken", where the client breaks while it shows the form.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import mcp.types as types
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

NEWER = not hasattr(types.Tool(name="x", inputSchema={"type": "object"}), "inputSchema")


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    """The tools that the server lists, and for each call its answer, error and progress."""
    asked: list[str] = []

    replies = iter(plan.get("replies") or [])
    forms: list[dict[str, Any]] = []

    async def person(_context: Any, params: Any) -> Any:
        if not params.message.startswith("Hire "):
            forms.append(params.model_dump(mode="json", by_alias=True))
            reply = next(replies)
            if reply["action"] == "broken":
                raise RuntimeError("this host cannot draw forms")
            return types.ElicitResult(**reply)
        asked.append(params.message)
        if plan["person"] == "vanishes":
            os._exit(9)
        action = {"yes": "accept", "no": "accept", "cancel": "cancel", "decline": "decline"}[plan["person"]]
        content = {"approve": plan["person"] == "yes"} if action == "accept" else None
        return types.ElicitResult(action=action, content=content)  # type: ignore[arg-type]

    options = {"elicitation_callback": person} if plan.get("person") or plan.get("replies") else {}
    async with AsyncExitStack() as stack:
        session = await _connected(plan, options, stack)
        listed = await session.list_tools()
        answers = [await _called(session, call) for call in plan["calls"]]
    tools = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed.tools]
    return {"newer": NEWER, "tools": tools, "answers": answers, "asked": asked, "forms": forms}


async def _connected(plan: dict[str, Any], options: dict[str, Any], stack: AsyncExitStack) -> Any:
    if "url" in plan:
        headers = {"Authorization": f"Bearer {plan['token']}"}
        if NEWER:
            import httpx2 as library
        else:
            import httpx as library  # type: ignore[no-redef]
        web = await stack.enter_async_context(library.AsyncClient(headers=headers, timeout=60))
        transport = streamable_http_client(plan["url"], http_client=web)
    else:
        first, *rest = plan["command"]
        errors = stack.enter_context(Path(plan["stderr"]).open("a"))  # noqa: SIM115
        transport = stdio_client(StdioServerParameters(command=first, args=rest, env=plan["env"]), errors)
    if NEWER:
        from mcp import Client  # type: ignore[attr-defined]

        return await stack.enter_async_context(Client(transport, **options))
    reader, writer, *_ = await stack.enter_async_context(transport)
    session = await stack.enter_async_context(ClientSession(reader, writer, **options))
    await session.initialize()
    return session


async def _called(session: Any, call: dict[str, Any]) -> dict[str, Any]:
    progress: list[tuple[float, str | None]] = []

    async def listen(number: float, _total: float | None, words: str | None) -> None:
        progress.append((number, words))

    limit = call.get("limit_s", 60)
    try:
        answer = await session.call_tool(
            call["name"],
            call["args"],
            read_timeout_seconds=limit if NEWER else timedelta(seconds=limit),
            progress_callback=listen,
        )
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "progress": progress}
    made: dict[str, Any] = answer.model_dump(mode="json", by_alias=True)
    return {
        "text": "\n".join(part["text"] for part in made["content"]),
        "content": made["structuredContent"],
        "failed": made["isError"],
        "progress": progress,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(run(json.loads(Path(sys.argv[1]).read_text())))))
