"""The SDK's server over stdio and HTTP, and the sweep that drives open hires while it serves."""

from __future__ import annotations

import asyncio
import hmac
import io
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
import mcp.types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from masumi_tools.errors import InputError
from masumi_tools.mcp.session import Session
from masumi_tools.mcp.tools import McpTools
from masumi_tools.tools.toolset import CHECK

log = logging.getLogger("masumi_tools.mcp")

SWEEP_EVERY_S: Final = 60.0
INSTRUCTIONS: Final = (
    "Hires agentic services for money from one budget. Find, quote, then hire. A hire that is still open goes "
    f"on by itself: call {CHECK} with its hire_id, and do not hire again."
)


class _Quiet(logging.Filter):
    """1.x logs fifty lines when a client of today asks it what it speaks; that is how such a client begins."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Failed to validate request")


def _server(tools: McpTools) -> Any:
    """The SDK's low-level server over these tools, in either of its generations."""
    if hasattr(Server, "list_tools"):  # 1.x
        server: Any = Server("masumi", instructions=INSTRUCTIONS)

        async def list_1(_: Any) -> Any:
            return types.ServerResult(types.ListToolsResult.model_validate({"tools": tools.listed()}))

        async def call_1(request: Any) -> Any:
            session = Session(server.request_context)
            made = await tools.call(request.params.name, request.params.arguments or {}, session)
            return types.ServerResult(types.CallToolResult.model_validate(made))

        server.request_handlers[types.ListToolsRequest] = list_1
        server.request_handlers[types.CallToolRequest] = call_1
        return server

    async def list_2(_context: Any, _params: Any) -> Any:
        return types.ListToolsResult.model_validate({"tools": tools.listed()})

    async def call_2(context: Any, params: Any) -> Any:
        made = await tools.call(params.name, params.arguments or {}, Session(context, params))
        if "inputRequests" in made:
            return types.InputRequiredResult.model_validate(made)  # type: ignore[attr-defined]
        return types.CallToolResult.model_validate(made)

    newer: Any = Server
    return newer("masumi", instructions=INSTRUCTIONS, on_list_tools=list_2, on_call_tool=call_2)


@asynccontextmanager
async def _sweeping(tools: McpTools, services: Sequence[str]) -> AsyncIterator[None]:
    """Open hires are driven while the server runs; one sweep's trouble does not end it."""

    async def sweep() -> None:
        while True:
            try:
                await tools.actions.buyers.awaiting().sweep()
            except Exception as error:
                log.warning("a sweep failed: %s; open hires stay in the journal", type(error).__name__)
            await asyncio.sleep(SWEEP_EVERY_S)

    await tools.add(services)
    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await tools.actions.buyers.awaiting().aclose()
        tools.actions.buyers.close()


async def over_stdio(tools: McpTools, services: Sequence[str]) -> None:
    """Until stdin ends. Whatever else prints goes to stderr: stdout carries JSON-RPC alone."""
    wire = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    out = anyio.wrap_file(io.TextIOWrapper(wire, encoding="utf-8"))
    logging.getLogger().addFilter(_Quiet())
    server = _server(tools)
    async with _sweeping(tools, services), stdio_server(stdout=out) as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


async def over_http(tools: McpTools, services: Sequence[str], address: str, token: str) -> None:
    import uvicorn

    host, port = _address(address)
    manager = StreamableHTTPSessionManager(_server(tools))
    app = _guarded(manager.handle_request, token)
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", lifespan="off", timeout_graceful_shutdown=2
    )
    async with _sweeping(tools, services), manager.run():
        await uvicorn.Server(config).serve()


def _address(text: str) -> tuple[str, int]:
    """Host and port of `--http`; a port alone is one of loopback."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65_535:
        raise InputError(f"{text!r} is not an address such as 127.0.0.1:8750")
    return host.strip("[]") or "127.0.0.1", int(port)


Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def _guarded(app: Asgi, token: str) -> Asgi:
    """Only the path /mcp, only with the token, and never for a page of another site that a browser runs.

    A foreign Host is 421 and a foreign Origin 403, so that a name that is pointed at this address (DNS
    rebinding) reaches nothing; a missing or wrong token is 401.
    """

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        given = headers.get("authorization", "").removeprefix("Bearer ")
        own = scope.get("server") or ("", 0)
        if scope["path"].rstrip("/") != "/mcp":
            await _refuse(send, 404, "The MCP endpoint is /mcp.")
        elif not _is_own(headers.get("host", ""), own):
            await _refuse(send, 421, "This server does not answer for that host.")
        elif (origin := headers.get("origin")) and not _is_own(origin.partition("://")[2], own):
            await _refuse(send, 403, "This origin may not call this server.")
        elif not hmac.compare_digest(given.encode(), token.encode()):
            await _refuse(send, 401, "A bearer token is needed.")
        else:
            await app(scope, receive, send)

    return guarded


def _is_own(host: str, own: tuple[str, int]) -> bool:
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        return False
    return int(port) == own[1] and name.strip("[]") in {own[0], "127.0.0.1", "localhost", "::1"}


async def _refuse(send: Any, status: int, words: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words.encode()})
