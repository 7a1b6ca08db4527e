"""The demo's scene by MCP: a host starts `masumi-tools mcp`, asks its user about the price, and hires.

The host is the official client of either generation of the SDK, over stdio, and its user says yes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import masumi_tools
from masumi_tools.errors import MasumiError, MissingExtra

try:
    import mcp.types as types
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client
except ModuleNotFoundError as missing:
    raise MissingExtra("the scene by MCP needs the MCP SDK: pip install 'masumi_tools[mcp]'") from missing

Tell = Callable[[str, str], None]
"""Who says what: "host", "user" or "hire", and the words."""

ABOVE: Final = "0.5 ADA"


def hire_by_mcp(
    agent: str, data: dict[str, Any], env: dict[str, str], limits: list[str], folder: Path, tell: Tell
) -> str:
    """The hire_id of one hire that an MCP host made; MasumiError with the server's last words where it broke."""
    errors = folder / "mcp.stderr"
    try:
        answer = asyncio.run(_host(agent, data, env, [*limits, "--approve-above", ABOVE], errors, tell))
        return str(answer["hire"]["hire_id"])
    except Exception as error:
        last = errors.read_text(encoding="utf-8").strip().splitlines()[-1:] if errors.exists() else []
        words = "; ".join([f"{type(error).__name__}: {error}", *last])
        raise MasumiError(f"The scene by MCP broke ({words}). None of this was real money.") from error


async def _host(
    agent: str, data: dict[str, Any], env: dict[str, str], flags: list[str], errors: Path, tell: Tell
) -> Any:
    """The structured answer to one call of masumi_hire."""

    async def user(_context: Any, asked: Any) -> Any:
        tell("host", asked.message.splitlines()[0])
        tell("user", "Yes, pay.")
        return types.ElicitResult(action="accept", content={"approve": True})

    async def progress(_number: float, _total: float | None, words: str | None) -> None:
        if words and " (hire_id" in words:
            tell("hire", words.partition(" (hire_id")[0])

    shown = " ".join(f'"{word}"' if " " in word else word for word in flags)
    tell("host", f"starts: masumi-tools mcp {shown}")
    async with AsyncExitStack() as stack:
        told = stack.enter_context(errors.open("w", encoding="utf-8"))
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "masumi_tools", "mcp", *flags],
            env=env,
            cwd=str(Path(masumi_tools.__file__).parents[1]),  # so that the server is this very package
        )
        session = await _connected(stdio_client(server, told), user, stack)
        tools = (await session.list_tools()).tools
        tell("host", f"has {len(tools)} tools: {', '.join(tool.name for tool in tools)}")
        given = {"agent": agent, "input_data": json.dumps(data)}
        made = await session.call_tool("masumi_hire", given, progress_callback=progress)
        return made.model_dump(mode="json", by_alias=True)["structuredContent"]


async def _connected(transport: Any, user: Any, stack: AsyncExitStack) -> Any:
    """A session of the SDK that is installed, which can ask its user."""
    if "inputSchema" in types.Tool.model_fields:  # 1.x
        reader, writer = await stack.enter_async_context(transport)
        session: Any = await stack.enter_async_context(
            ClientSession(reader, writer, elicitation_callback=user)
        )
        await session.initialize()
        return session
    from mcp import Client  # type: ignore[attr-defined]

    return await stack.enter_async_context(Client(transport, elicitation_callback=user))
