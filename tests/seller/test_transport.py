"""The seller's quick transport against real sockets that behave, misbehave and hang."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from masumi_tools.calls.call import Call, Reply
from masumi_tools.net.http import AsyncHttp
from masumi_tools.seller.fast.transport import NodeTransport
from masumi_tools.settings import Settings

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}'


@asynccontextmanager
async def node(serve: Serve) -> AsyncIterator[str]:
    """The address of a node that serves each connection so."""
    tasks: list[asyncio.Task[None]] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def request(reader: asyncio.StreamReader) -> bytes:
    """One whole request; b"" when the other side is gone."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = next(
        (int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    return head + await reader.readexactly(length)


def saying(*answers: bytes, then_close: bool = False) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            if not await request(reader):
                return
            writer.write(answer)
            await writer.drain()
        if not then_close:
            await reader.read()

    return serve


async def ask(
    url: str, *, timeout_s: float = 5, times: int = 1, transport: NodeTransport | None = None
) -> list[Reply]:
    settings = Settings(node_url=url, node_token="secret", database_url="sqlite://")  # type: ignore[arg-type]
    own = transport or NodeTransport()
    http = AsyncHttp(settings, async_transport=own)
    call = Call("POST /payment", "node", f"{url}/api/v1/payment?a=b", b'{"x":"y"}', timeout_s)
    replies = [await http.send(call) for _ in range(times)]
    await own.aclose()
    return replies


async def test_a_request_is_whole_and_connections_are_kept():
    seen: list[bytes] = []
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while got := await request(reader):
            seen.append(got)
            writer.write(OK)

    async with node(serve) as url:
        replies = await ask(url, times=3)

    assert [reply.body for reply in replies] == [{"a": 1}] * 3
    assert connections == 1
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/v1/payment?a=b HTTP/1.1\r\n") and body == b'{"x":"y"}'
    assert b"token: secret" in head and b"host: 127.0.0.1" in head.lower()


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 7\r\n\r\n{"a":1}',
        b'HTTP/1.0 200 OK\r\n\r\n{"a":1}',
        b'HTTP/1.1 200 OK\r\n\r\n{"a":1}',
    ],
    ids=["chunked", "close", "HTTP/1.0", "until the end"],
)
async def test_every_way_to_end_an_answer(answer: bytes):
    async with node(saying(answer, then_close=True)) as url:
        (reply,) = await ask(url)

    assert (reply.status, reply.body, reply.fault) == (200, {"a": 1}, None)


async def test_an_error_of_the_node_is_a_reply():
    text = b'{"status":"error","error":{"message":"no"}}'
    answer = b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
    async with node(saying(answer)) as url:
        (reply,) = await ask(url)

    assert reply.status == 400 and reply.body["error"]["message"] == "no"


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"not http at all\r\n\r\n", OK[:-3]]
)
async def test_a_broken_answer_is_lost_and_is_not_asked_for_again(answer: bytes):
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += bool(await request(reader))
        writer.write(answer)
        await writer.drain()

    async with node(serve) as url:
        (reply,) = await ask(url)

    assert reply.fault == "lost" and reply.unknown
    assert asked == 1


async def test_a_connection_that_the_node_closed_meanwhile_is_not_used():
    async with node(saying(OK, then_close=True)) as url:
        own = NodeTransport()
        settings = Settings(node_url=url, database_url="sqlite://")
        http = AsyncHttp(settings, async_transport=own)
        call = Call("GET /health", "node", f"{url}/api/v1/health")
        first = await http.send(call)
        await asyncio.sleep(0.05)
        second = await http.send(call)
        await own.aclose()

    assert first.ok and second.ok


async def test_a_node_that_is_silent_or_not_there():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with node(silent) as url:
        (reply,) = await ask(url, timeout_s=0.2)
        assert reply.fault == "lost" and "0.2 s" in reply.detail
    (reply,) = await ask(url)
    assert reply.fault == "unsent"


async def test_many_at_once_and_a_cancelled_one():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await request(reader):
            await asyncio.sleep(0.05)
            writer.write(OK)

    async with node(serve) as url:
        own = NodeTransport()
        http = AsyncHttp(Settings(node_url=url, database_url="sqlite://"), async_transport=own)
        call = Call("GET /health", "node", f"{url}/api/v1/health")
        tasks = [asyncio.create_task(http.send(call)) for _ in range(150)]
        await asyncio.sleep(0.02)
        tasks[0].cancel()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        after = await http.send(call)
        await own.aclose()

    assert isinstance(replies[0], asyncio.CancelledError)
    assert all(isinstance(reply, Reply) and reply.ok for reply in [*replies[1:], after])
