"""The sandbox's HTTP server: what clients see of it, the broken and the hostile ones too."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.__main__ import milliseconds
from masumi_tools.sandbox.faults import Answer
from masumi_tools.sandbox.server import BODY_CAP, HEAD_CAP, HttpServer
from masumi_tools.sandbox.wire import Request, reply


def mirror(request: Request) -> Answer:
    """Says what it was asked; the path chooses how the exchange ends."""
    if request.path == "/drop":
        return Answer(None, end="drop")
    if request.path == "/hang":
        return Answer(None, end="hang")
    value = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": request.headers,
        "size": len(request.body),
        "body": request.body[:100].decode("latin-1"),
    }
    return Answer(reply(200, value), wait_ms=300 if request.path == "/late" else 0)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    running = HttpServer(mirror, lambda: 1_700_000_000_123)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def base(server: HttpServer) -> str:
    return f"http://127.0.0.1:{server.port}"


def talk(server: HttpServer, data: bytes, *, seconds: float = 5) -> bytes:
    """Send raw bytes and return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as raw:
        raw.sendall(data)
        got = b""
        while chunk := raw.recv(65_536):
            got += chunk
        return got


def test_a_connection_serves_many_requests_and_each_answer_tells_the_clock(base: str) -> None:
    with httpx.Client(base_url=base) as client:
        for number in range(50):
            answer = client.post(f"/a%20b/{number}?x=1&y=%C3%BC&z=", json={"n": number})
            assert answer.status_code == 200
            assert answer.headers["sandbox-now"] == "1700000000123"
            assert answer.json()["path"] == f"/a b/{number}"
            assert answer.json()["query"] == {"x": "1", "y": "ü", "z": ""}
            assert json.loads(answer.json()["body"]) == {"n": number}


def test_one_connection_is_enough_for_many_requests(server: HttpServer) -> None:
    ask = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
    got = talk(server, ask % 1 + ask % 2 + b"GET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert got.count(b"HTTP/1.1 200 OK") == 3
    assert got.lower().count(b"connection: close") == 1


def test_http_1_0_ends_the_connection(server: HttpServer) -> None:
    assert talk(server, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK")


def test_head_has_no_body_but_its_length(server: HttpServer) -> None:
    head, _, body = talk(server, b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").partition(
        b"\r\n\r\n"
    )
    assert b"content-length: " in head and b"content-length: 0" not in head
    assert body == b""


def test_chunked_bodies_are_read(base: str) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one "
        yield b"x" * 70_000
        yield b" two"

    assert httpx.post(base + "/", content=pieces()).json()["size"] == 70_008


def test_a_client_that_asks_first_is_told_to_go_on(server: HttpServer) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
        raw.sendall(head)
        assert raw.recv(100).startswith(b"HTTP/1.1 100 Continue")
        raw.sendall(b"abc")
        assert b"200 OK" in raw.recv(65_536)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1 x\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\n\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET somewhere HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http://[bad HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: empty\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 300 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\na: " + b"b" * (HEAD_CAP + 10), 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffffffff\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_ends(
    server: HttpServer, data: bytes, status: int
) -> None:
    got = talk(server, data)
    assert got.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"connection: close" in got
    assert b"Sandbox-Now: " in got
    assert talk(server, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_is_refused_and_its_sender_sees_why(base: str, chunked: bool) -> None:
    body = b"x" * (BODY_CAP + 1_000_000)
    answer = httpx.post(base + "/", content=iter([body]) if chunked else body)
    assert answer.status_code == 413
    assert answer.json()["error"]["message"] == "request entity too large"


def test_clients_that_dawdle_do_not_hold_up_others(server: HttpServer, base: str) -> None:
    dawdlers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
    try:
        for number, raw in enumerate(dawdlers):
            raw.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab"[: 10 + number])
        began = time.monotonic()
        for _ in range(20):
            assert httpx.get(base + "/").status_code == 200
        assert time.monotonic() - began < 5
    finally:
        for raw in dawdlers:
            raw.close()


def test_a_dropped_exchange_is_a_reset_connection(base: str) -> None:
    with httpx.Client() as client:
        assert client.get(base + "/").status_code == 200
        with pytest.raises(httpx.ReadError):
            client.get(base + "/drop")
        assert client.get(base + "/").status_code == 200


def test_a_hanging_exchange_runs_into_the_clients_time_out(base: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(base + "/hang", timeout=0.2)


def test_a_late_answer_comes_late_and_whole(base: str) -> None:
    began = time.monotonic()
    assert httpx.get(base + "/late").json()["path"] == "/late"
    assert time.monotonic() - began >= 0.3
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(base + "/late", timeout=0.05)


def test_threads_end_when_their_clients_go(server: HttpServer, base: str) -> None:
    for path in ("/hang", "/late"):
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(base + path, timeout=0.05)
    until = time.monotonic() + 5
    while [t for t in threading.enumerate() if t.name == "sandbox-client"] and time.monotonic() < until:
        time.sleep(0.02)
    assert not [t for t in threading.enumerate() if t.name == "sandbox-client"]


def test_stop_frees_the_port_and_ends_every_connection() -> None:
    server = HttpServer(mirror, lambda: 0)
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        assert client.get("/").status_code == 200
        server.stop()
        with pytest.raises(httpx.TransportError):
            client.get("/")
    again = HttpServer(mirror, lambda: 0, port=server.port)
    again.start()
    assert httpx.get(f"http://127.0.0.1:{again.port}/").status_code == 200
    again.stop()


def test_many_clients_at_once_are_all_answered(base: str) -> None:
    failures: list[object] = []

    def visit(number: int) -> None:
        with httpx.Client(base_url=base) as client:
            for turn in range(10):
                answer = client.get(f"/{number}/{turn}")
                if answer.json()["path"] != f"/{number}/{turn}":
                    failures.append(answer.text)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_answer_takes_as_long_as_the_latency_says() -> None:
    with Sandbox(latency_ms=120) as slow:
        before = time.monotonic()
        assert httpx.get(f"{slow.node_url}/health").status_code == 200
        assert time.monotonic() - before >= 0.12


@pytest.mark.parametrize(("text", "ms"), [("150ms", 150), ("0.5s", 500), ("20", 20), (" 0ms ", 0)])
def test_a_latency_is_written_as_people_write_times(text: str, ms: int) -> None:
    assert milliseconds(text) == ms


@pytest.mark.parametrize("text", ["", "fast", "-1ms", "61s", "1h"])
def test_what_is_no_latency_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="150ms"):
        milliseconds(text)
