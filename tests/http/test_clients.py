"""One client for many threads, many event loops and forks: kept connections, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from masumi_tools.calls.call import Call, Reply
from masumi_tools.net.http import AsyncHttp, Http
from masumi_tools.settings import Settings
from tests.http.conftest import MakeClient
from tests.http.peer import Client, Handler, Peer, always, answer

SANDBOX = Settings(sandbox=True)


def echo() -> Handler:
    """Answers with the request's own target, so that mixed-up answers would show."""

    def handle(seen, connection):  # type: ignore[no-untyped-def]
        connection.sendall(answer(200, {"target": seen.target}))
        return True

    return handle


def call(peer: Peer, target: str = "/status") -> Call:
    return Call("GET /status", "service", peer.url + target)


def test_calls_one_after_the_other_share_one_connection(sandboxed: Client) -> None:
    with Peer(echo()) as peer:
        for number in range(20):
            assert sandboxed.get(f"{peer.url}/{number}").body == {"target": f"/{number}"}
            assert sandboxed.post(f"{peer.url}/{number}").ok
    assert peer.connections == 1


def test_the_service_and_the_node_at_one_address_share_no_connection(make_client: MakeClient) -> None:
    """The node's connections are not guarded, so a stranger's call must never find one."""
    with Peer(echo()) as peer:
        client = make_client(Settings(node_url=peer.url, sandbox=True))
        assert client.get(peer.url, to="node").ok and client.get(peer.url).ok
        assert client.get(peer.url, to="node").ok and client.get(peer.url).ok
    assert peer.connections == 2


def test_many_threads_share_a_client() -> None:
    with Peer(echo()) as peer, Http(SANDBOX) as http, ThreadPoolExecutor(16) as threads:
        targets = [f"/{number}" for number in range(400)]
        replies = list(threads.map(lambda target: http.send(call(peer, target)), targets))
    assert [reply.body["target"] for reply in replies] == targets
    assert peer.connections <= 16


def test_ctrl_c_never_comes_between_a_library_and_its_lock() -> None:
    with Peer(echo()) as peer, Http(SANDBOX) as http:
        assert http.send(call(peer, "/")).ok

        inside: list[threading.Thread] = []
        transport = next(iter(http._transports.values()))
        handle = transport.handle_request

        def noted(request: httpx.Request) -> httpx.Response:
            inside.append(threading.current_thread())
            return handle(request)

        transport.handle_request = noted  # type: ignore[method-assign]
        assert http.send(call(peer, "/")).ok
        assert inside[0] is not threading.main_thread(), "signals come to the main thread alone"


def test_the_main_thread_has_one_helper_for_all_of_its_calls_and_none_in_a_fork() -> None:
    helpers: set[threading.Thread] = set()

    def handle(seen, connection):  # type: ignore[no-untyped-def]
        helpers.update(thread for thread in threading.enumerate() if thread.name == "masumi-http")
        connection.sendall(answer(200, {}))
        return True

    with Peer(handle) as peer, Http(SANDBOX) as http:
        for _ in range(5):
            assert http.send(call(peer)).ok
        first = set(helpers)
        assert in_a_child(lambda: http.send(call(peer)).ok) == 0
        assert not any(thread.is_alive() for thread in helpers)
        assert http.send(call(peer)).ok
    assert len(first) == 1 and len(helpers) == 2


def test_a_call_that_ctrl_c_left_keeps_its_thread_and_the_next_one_has_another() -> None:
    stop = threading.Event()

    def handle(seen, connection):  # type: ignore[no-untyped-def]
        if seen.target == "/slow":
            os.kill(os.getpid(), signal.SIGINT)
            stop.wait(10)
        connection.sendall(answer(200, {"target": seen.target}))

    with Peer(handle) as peer, Http(SANDBOX) as http:
        with pytest.raises(KeyboardInterrupt):
            http.send(call(peer, "/slow"))
        assert http.send(call(peer, "/next")).body == {"target": "/next"}
        stop.set()


def test_threads_that_start_at_once_make_no_second_pool() -> None:
    barrier = threading.Barrier(12)

    def go(http: Http, peer: Peer) -> Reply:
        barrier.wait(10)
        return http.send(call(peer))

    with Peer(echo()) as peer, Http(SANDBOX) as http, ThreadPoolExecutor(12) as threads:
        assert all(threads.map(lambda _: go(http, peer).ok, range(12)))
        assert all(threads.map(lambda _: go(http, peer).ok, range(12)))
    assert peer.connections <= 12


async def test_many_tasks_share_a_client() -> None:
    with Peer(echo()) as peer:
        async with AsyncHttp(SANDBOX) as http:
            targets = [f"/{number}" for number in range(200)]
            replies = await asyncio.gather(*(http.send(call(peer, target)) for target in targets))
    assert [reply.body["target"] for reply in replies] == targets
    assert peer.connections <= 100


def test_one_client_serves_one_event_loop_after_the_other_and_leaves_nothing_open() -> None:
    with Peer(echo()) as peer, warnings.catch_warnings():
        warnings.simplefilter("error")
        http = AsyncHttp(SANDBOX)

        async def twice() -> list[Reply]:
            return [await http.send(call(peer, "/a")), await http.send(call(peer, "/b"))]

        for _ in range(3):
            assert [reply.body["target"] for reply in asyncio.run(twice())] == ["/a", "/b"]
        gc.collect()
    assert peer.connections == 3  # one for each loop, closed when the loop ended


def test_one_client_serves_event_loops_side_by_side() -> None:
    with Peer(echo()) as peer, ThreadPoolExecutor(8) as threads:
        http = AsyncHttp(SANDBOX)

        async def several(number: int) -> list[str]:
            replies = await asyncio.gather(*(http.send(call(peer, f"/{number}")) for _ in range(10)))
            return [reply.body["target"] for reply in replies]

        found = list(threads.map(lambda number: asyncio.run(several(number)), range(8)))
    assert found == [[f"/{number}"] * 10 for number in range(8)]


async def test_connections_that_nobody_wants_again_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("masumi_tools.net.http._KEPT_S", 0.01)
    monkeypatch.setattr("masumi_tools.net.kept._SWEEP_S", 0.0)
    gone = threading.Event()

    def handle(seen, connection):  # type: ignore[no-untyped-def]
        connection.sendall(answer(200, {}))
        if connection.recv(1) == b"":
            gone.set()

    with Peer(handle) as once, Peer(echo()) as often:
        async with AsyncHttp(SANDBOX) as http:
            assert (await http.send(call(once))).ok
            for _ in range(5000):
                assert (await http.send(call(often))).ok
                if gone.is_set():
                    break
    assert gone.is_set()


async def test_a_client_that_closes_in_the_middle_of_a_call_ends_it() -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    stop = threading.Event()

    def handle(seen, connection):  # type: ignore[no-untyped-def]
        loop.call_soon_threadsafe(begun.set)
        stop.wait(10)

    with Peer(handle) as peer:
        http = AsyncHttp(SANDBOX)
        waits = asyncio.create_task(http.send(call(peer)))
        await begun.wait()
        await http.close()
        reply = await asyncio.wait_for(waits, 5)
        stop.set()
    assert (reply.status, reply.fault) == (None, "lost")


async def test_a_cancelled_call_frees_its_connection() -> None:
    stop = threading.Event()

    def handle(seen, connection):  # type: ignore[no-untyped-def]
        if seen.target == "/slow":
            stop.wait(10)
            return False
        connection.sendall(answer(200, {"target": seen.target}))
        return True

    with Peer(handle) as peer:
        async with AsyncHttp(SANDBOX) as http:
            for _ in range(3):
                task = asyncio.create_task(http.send(call(peer, "/slow")))
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert (await http.send(call(peer, "/fast"))).ok
        stop.set()


def in_a_child(work: Callable[[], bool]) -> int:
    """Forks, as servers do beside threads; the child's exit status, 0 when its work was right."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(10)  # a child that hangs dies of it
        right = False
        try:
            right = work()
        finally:
            os._exit(0 if right else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_opens_its_own_connection_and_leaves_the_parent_s_alone() -> None:
    with Peer(echo()) as peer, Http(SANDBOX) as http:
        assert http.send(call(peer, "/parent")).ok

        def work() -> bool:
            right = bool(http.send(call(peer, "/child")).body == {"target": "/child"})
            http.close()
            return right

        assert in_a_child(work) == 0
        assert http.send(call(peer, "/parent")).body == {"target": "/parent"}
    assert peer.connections == 2
    assert [seen.target for seen in peer.seen] == ["/parent", "/child", "/parent"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_in_the_middle_of_a_call_does_not_hang() -> None:
    with Peer(echo()) as peer, Http(SANDBOX) as http:
        assert http.send(call(peer, "/parent")).ok

        def work() -> bool:
            http.close()
            return http.send(call(peer, "/child")).ok

        pool = http._transports[True]._pool  # type: ignore[attr-defined]
        with pool._optional_thread_lock:  # as another thread may hold it at that moment
            assert in_a_child(work) == 0


def test_a_client_that_is_let_go_closes_its_connections() -> None:
    gone = threading.Event()

    def handle(seen, connection):  # type: ignore[no-untyped-def]
        connection.sendall(answer(200, {}))
        if connection.recv(1) == b"":
            gone.set()

    with Peer(handle) as peer, warnings.catch_warnings():
        warnings.simplefilter("error")
        http = Http(SANDBOX)
        assert http.send(call(peer)).ok
        del http
        gc.collect()
        assert gone.wait(10)


def test_a_closed_client_can_be_used_again(make_client: MakeClient) -> None:
    with Peer(always(200, {})) as peer:
        with Http(SANDBOX) as http:
            assert http.send(call(peer)).ok
        assert http.send(call(peer)).ok
        http.close()

        async def again() -> None:
            async with AsyncHttp(SANDBOX) as http:
                assert (await http.send(call(peer))).ok
            assert (await http.send(call(peer))).ok
            await http.close()
            await http.close()

        asyncio.run(again())
    assert peer.connections == 4


def test_a_connection_is_not_kept_for_longer_than_servers_keep_it(
    sandboxed: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Node.js and uvicorn close after five idle seconds; a POST must not meet that moment."""
    from httpcore._async import http11 as async_http11
    from httpcore._sync import http11

    now = 0.0

    class Time:
        @staticmethod
        def monotonic() -> float:
            return now

    monkeypatch.setattr(http11, "time", Time)
    monkeypatch.setattr(async_http11, "time", Time)
    with Peer(echo()) as peer:
        assert sandboxed.get(peer.url).ok
        now = 3.5
        assert sandboxed.get(peer.url).ok and peer.connections == 1
        now = 8.0
        assert sandboxed.get(peer.url).ok and peer.connections == 2
