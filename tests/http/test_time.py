"""One time-out for a whole call: look-up, every address, TLS, sending and reading together."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from masumi_tools.calls.call import Call
from masumi_tools.net.http import AsyncHttp, Http
from masumi_tools.settings import Settings
from tests.http.conftest import MakeClient, Names
from tests.http.peer import Client, Peer, Seen, always

SILENT = ["127.0.0.21", "127.0.0.22", "127.0.0.23", "127.0.0.24"]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port at which four addresses of loopback answer nothing, not even the first packet."""
    port, held = 0, []
    for address in SILENT:
        listener = socket.socket()
        listener.bind((address, port))
        listener.listen(0)
        port = listener.getsockname()[1]
        held.append(listener)
        for _knock in range(2):  # the queue is full from now on
            knocker = socket.socket()
            knocker.setblocking(False)
            knocker.connect_ex((address, port))
            held.append(knocker)
    yield port
    for one in held:
        one.close()


def test_silent_addresses_share_the_time_of_one_call(sandboxed: Client, names: Names, silent: int) -> None:
    names.set("seller.example", SILENT)
    began = time.monotonic()
    reply = sandboxed.post(f"https://seller.example:{silent}/start_job", timeout_s=0.8)
    took = time.monotonic() - began
    assert (reply.fault, reply.sent) == ("unsent", False)
    assert 0.5 < took < 1.6


def test_after_three_silent_addresses_the_fourth_is_still_reached(
    make_client: MakeClient, names: Names, silent: int, certificate: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    client = make_client(Settings(sandbox=True), ssl_context=trusting)
    with Peer(always(200, {"here": 1}), tls=certificate, host="127.0.0.25", port=silent) as peer:
        names.set("seller.example", [*SILENT[:3], "127.0.0.25"])
        reply = client.get(f"https://seller.example:{peer.port}/", timeout_s=3)
    assert reply.body == {"here": 1}


def test_tls_that_never_begins_ends_with_the_call(sandboxed: Client, names: Names) -> None:
    names.set("seller.example", ["127.0.0.1"])
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        reply = sandboxed.post(f"https://seller.example:{listener.getsockname()[1]}/", timeout_s=0.5)
        took = time.monotonic() - began
        stop.set()
    assert (reply.fault, reply.sent) == ("unsent", False)
    assert took < 2


def test_a_caller_s_time_bounds_a_call_that_could_take_longer(sandboxed: Client) -> None:
    stop = threading.Event()
    with Peer(lambda seen, connection: stop.wait(10)) as peer:
        call = Call("GET /status", "service", peer.url, timeout_s=30)
        began = time.monotonic()
        reply = sandboxed.send(call, within_s=0.4)
        took = time.monotonic() - began
        stop.set()
    assert reply.detail == "no answer within 0.4 s"
    assert took < 2


async def test_waiting_for_a_turn_among_many_counts_for_the_caller() -> None:
    stop, full, loop = threading.Event(), asyncio.Event(), asyncio.get_running_loop()

    def hangs(seen: Seen, connection: socket.socket) -> None:
        if len(peer.seen) == 50:
            loop.call_soon_threadsafe(full.set)
        stop.wait(10)

    with Peer(hangs) as peer:
        async with AsyncHttp(Settings(sandbox=True)) as http:
            call = Call("GET /status", "service", peer.url, timeout_s=5)
            waiting = [asyncio.create_task(http.send(call)) for _ in range(60)]
            await full.wait()
            began = time.monotonic()
            reply = await http.send(call, within_s=0.2)
            took = time.monotonic() - began
            stop.set()
            await asyncio.gather(*waiting)
    assert (reply.fault, reply.sent) == ("unsent", False)
    assert took < 2


def test_no_time_at_all_sends_nothing() -> None:
    with Peer(always()) as peer, Http(Settings(sandbox=True)) as http:
        reply = http.send(Call("GET /status", "service", peer.url), within_s=-1)
        assert reply.fault == "unsent" and peer.seen == []
