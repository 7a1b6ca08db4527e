"""A service behind a socket: for good, or in a thread for the time of a block."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from masumi_tools.errors import MasumiError, MissingExtra
from masumi_tools.settings import Serving

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger("masumi_tools.seller")

_OWN_FILES = 200  # files and connections that are not buyers'
_MOST_FILES = 65_536


def run(app: FastAPI, serving: Serving, ready: Callable[[], None]) -> None:
    """Serve until the process is told to stop; `ready` is called once when requests are taken.

    SIGTERM drains: status and answers are still served, no new job is begun, and the work in progress gets
    `serving.drain_s`. MasumiError when it cannot be served, such as on a port that is taken; the log says why.
    """
    sys.setswitchinterval(
        0.0003
    )  # crews in threads must not keep /status waiting; a millisecond made it half as slow again

    def begun() -> None:
        gc.collect()
        gc.freeze()  # what was imported stays: to look through all of it again takes a tenth of a second
        gc.set_threshold(10_000, 20, 20)
        ready()

    server = _server(
        app,
        begun,
        drain_s=serving.drain_s,
        host=serving.host,
        port=serving.port,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        limit_concurrency=connections(),
        **believes(serving.trusted_proxies),
    )
    with contextlib.suppress(SystemExit):  # uvicorn ends the process with a status of its own
        server.run()
    if not server.started:
        raise _not_started()


def believes(proxies: Sequence[str]) -> dict[str, Any]:
    """X-Forwarded-For is read from these addresses and networks alone, the last one that is none of them counts."""
    return {"proxy_headers": bool(proxies), "forwarded_allow_ips": list(proxies)}


def connections() -> int | None:
    """How many connections fit into what the system lets this process open; more get a 503 each."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return None if soft == resource.RLIM_INFINITY else max(50, soft - _OWN_FILES)


@contextlib.contextmanager
def bound(host: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[socket.socket, str]]:
    """A listening socket and the URL that it will be reached at."""
    with socket.create_server((host, port)) as listening:
        yield listening, f"http://{host}:{listening.getsockname()[1]}"


@contextlib.contextmanager
def served(app: FastAPI, listening: socket.socket) -> Iterator[None]:
    """Serve in a thread for the time of the block. MasumiError when it cannot be."""
    begun = threading.Event()
    server = _server(app, begun.set, drain_s=0)

    def serve() -> None:
        try:
            with contextlib.suppress(SystemExit):
                server.run([listening])
        finally:
            begun.set()

    thread = threading.Thread(target=serve, name="serving", daemon=True)
    thread.start()
    begun.wait()
    if not server.started:
        raise _not_started()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def _not_started() -> MasumiError:
    return MasumiError("the service could not be started; the lines before say why", phase="serve")


def _server(app: FastAPI, ready: Callable[[], None], drain_s: float, **options: Any) -> Any:
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingExtra("serving needs the extra seller: pip install 'masumi_tools[seller]'") from error

    class Server(uvicorn.Server):
        _draining: asyncio.Task[None] | None = None

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            self._loop = asyncio.get_running_loop()
            if self.started:
                ready()

        def handle_exit(self, sig: int, frame: Any) -> None:
            if sig != signal.SIGTERM or drain_s <= 0 or self._draining is not None or not self.started:
                super().handle_exit(sig, frame)  # Ctrl-C, and whoever says it twice
                return
            self._draining = self._loop.create_task(self._drain())
            self._loop.call_soon_threadsafe(lambda: None)  # wakes the loop

        async def _drain(self) -> None:
            try:
                shop = app.state.door.shop
                if shop is not None:
                    await shop.drain(drain_s)
            finally:
                self.should_exit = True

    with contextlib.suppress(ModuleNotFoundError):  # uvicorn without its standard extra
        from masumi_tools.seller.web.protocol import PatientProtocol

        options["http"] = PatientProtocol
    return Server(uvicorn.Config(app, log_level="warning", access_log=False, **options))
