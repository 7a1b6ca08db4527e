"""What a connection is given and gives: answers in one write, and an end to what is too long, on real sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

pytest.importorskip("httptools")
uvloop = pytest.importorskip("uvloop")
from masumi_tools.seller import sell  # noqa: E402
from masumi_tools.seller.web import serving  # noqa: E402
from masumi_tools.seller.web.protocol import PatientProtocol, _Gathering  # noqa: E402
from masumi_tools.settings import Settings  # noqa: E402

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Counting(PatientProtocol):
    """Counts what reaches the socket."""

    writes: list[bytes]

    def connection_made(self, transport: Any) -> None:
        self.writes = []
        here = self

        class Transport:
            def __getattr__(self, name: str) -> Any:
                return getattr(transport, name)

            def write(self, data: bytes) -> None:
                here.writes.append(data)
                transport.write(data)

        super().connection_made(Transport())


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"last"})


async def serve(request: bytes) -> tuple[bytes, list[bytes]]:
    """What the client read, and what was written for it."""
    made: list[Counting] = []
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(app, lifespan="off")
    config.load()
    state = uvicorn.server.ServerState()

    def protocol() -> Counting:
        made.append(Counting(config=config, server_state=state, app_state={}))
        return made[-1]

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(request)
        read = await reader.read()
        writer.close()
    return read, made[0].writes


def test_head_and_body_of_an_answer_leave_in_one_write():
    last = GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")

    read, writes = asyncio.run(serve(GET + last))

    assert read.count(b"200 OK") == read.count(b"last") == 2 and read.endswith(b"last")
    assert [write.count(b"\r\n\r\nlast") for write in writes] == [1] * len(writes)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/jobs.sqlite")
    app = sell(lambda text: text, name="Free", price="free", settings=settings).app
    with serving.bound() as (listening, url), serving.served(app, listening):
        yield int(url.rpartition(":")[2])


def test_a_head_without_an_end_is_not_kept(port: int):
    with socket.create_connection(("127.0.0.1", port), 10) as endless, pytest.raises(ConnectionError):
        endless.sendall(b"GET /health HTTP/1.1\r\nx: ")
        for _ in range(1000):
            endless.sendall(b"a" * 10_000)
            time.sleep(0.001)


@pytest.mark.parametrize("size", [2_000_000, 10_000_000])
def test_who_sends_too_much_hears_so_after_all_of_it(port: int, size: int):
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"POST /start_job HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
        client.sendall(b"x" * size)

        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_what_was_not_sent_yet_goes_with_a_connection_that_is_lost():
    async def lost_before_it_was_sent() -> bytes:
        _, writer = await asyncio.open_connection(sock=(pair := socket.socketpair())[0])
        turns: list[Any] = []
        loop: Any = SimpleNamespace(call_soon=turns.append)
        with pair[1] as other:
            gathering = _Gathering(writer.transport, loop)
            gathering.write(b"head")
            gathering.abort()
            await asyncio.sleep(0.01)
            turns[0]()
            return other.recv(100)

    assert uvloop.run(lost_before_it_was_sent()) == b""
