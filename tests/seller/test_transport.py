"""The seller's quick transport against real sockets that behave, misbehave and hang."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from masumi_tools.calls.call import Call, Reply
from masumi_tools.net.http import AsyncHttp, Http
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


# The three clients keep the same rules ---------------------------------------------------------------

ONE = b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}'
TWO = b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":2}'
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
RULES: dict[str, tuple[bytes, int | None]] = {
    "an answer": (ONE, 200),
    "a hint first, in its own packet": (EARLY + b"|" + ONE, 200),
    "a hint first, in one packet": (EARLY + ONE, 200),
    "two hints first": (EARLY + b"HTTP/1.1 100 Continue\r\n\r\n" + ONE, 200),
    "two answers in a packet": (ONE + TWO, 200),
    "a hint and then the end": (EARLY + b"|!", None),
    "another protocol": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n|" + ONE, None),
    "status 000": (ONE.replace(b"200", b"000"), None),
    "closed with its answer": (ONE + b"!", 200),
    "closed in the middle": (ONE[:-3] + b"!", None),
    "no length and then the end": (b'HTTP/1.1 200 OK\r\n\r\n{"a":1}!', 200),
}


def in_packets(text: bytes) -> Serve:
    """Says the text after a request, a packet for each part between bars; "!" is the end of the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        for packet in text.rstrip(b"!").split(b"|"):
            writer.write(packet)
            await writer.drain()
            await asyncio.sleep(0.02)
        if not text.endswith(b"!"):
            await reader.read()

    return serve


@pytest.mark.parametrize("client", ["quick", "async", "sync"])
@pytest.mark.parametrize("rule", list(RULES))
async def test_an_answer_means_the_same_to_all_three_clients(client: str, rule: str):
    text, status = RULES[rule]
    async with node(in_packets(text)) as url:
        settings = Settings(node_url=url, node_token="secret", database_url="sqlite://")  # type: ignore[arg-type]
        call = Call("POST /payment", "node", f"{url}/api/v1/payment", b"{}", 2)
        if client == "sync":
            with Http(settings) as http:
                reply = await asyncio.to_thread(http.send, call)
        else:
            quick = NodeTransport() if client == "quick" else None
            async with AsyncHttp(settings, async_transport=quick) as http:
                reply = await http.send(call)
            if quick is not None:
                await quick.aclose()

    if status is None:
        assert reply.unknown and not reply.ok, reply
    else:
        assert (reply.status, reply.body, reply.fault) == (status, {"a": 1}, None)


async def test_an_answer_too_many_is_not_the_answer_to_the_next_request():
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while await request(reader):
            asked += 1
            writer.write(ONE + TWO if asked == 1 else ONE)

    async with node(serve) as url:
        replies = await ask(url, times=2)

    assert [reply.body for reply in replies] == [{"a": 1}] * 2


async def test_an_address_that_says_nothing_does_not_keep_the_others_waiting(monkeypatch: pytest.MonkeyPatch):
    """A node of two addresses, the first of which is gone: its packets are dropped."""
    loop = asyncio.get_running_loop()
    connect = type(loop).sock_connect
    infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("127.0.0.9", "127.0.0.1")]

    async def resolved(self: object, host: str, port: int, **_: object) -> list[object]:
        return [(*info[:4], (info[4][0], port)) for info in infos]

    async def connecting(
        self: asyncio.AbstractEventLoop, sock: socket.socket, address: tuple[str, int]
    ) -> None:
        if address[0] == "127.0.0.9":
            await asyncio.sleep(60)
        await connect(self, sock, address)

    async with node(saying(OK)) as url:
        monkeypatch.setattr(type(loop), "getaddrinfo", resolved)
        monkeypatch.setattr(type(loop), "sock_connect", connecting)
        (reply,) = await ask(url, timeout_s=5)

    assert reply.ok


def test_it_works_in_the_loop_that_a_service_is_served_by():
    uvloop = pytest.importorskip("uvloop")

    async def asked() -> Reply:
        async with node(saying(OK)) as url:
            (reply,) = await ask(url)
        return reply

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(asked()).ok
