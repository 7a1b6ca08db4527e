"""A service behind a socket: for good, or in a thread for the time of a block."""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from masumi_tools.errors import MasumiError, MissingExtra

if TYPE_CHECKING:
    from fastapi import FastAPI


def run(app: FastAPI, host: str, port: int, ready: Callable[[], None]) -> None:
    """Serve until the process is told to stop; `ready` is called once when requests are taken.

    MasumiError when it cannot be served, such as on a port that is taken; the log says why.
    """
    sys.setswitchinterval(0.001)  # crews in threads must not keep /status waiting

    def begun() -> None:
        gc.collect()
        gc.freeze()  # what was imported stays: to look through all of it again takes a tenth of a second
        gc.set_threshold(10_000, 20, 20)
        ready()

    server = _server(app, begun, host=host, port=port, timeout_keep_alive=30)
    with contextlib.suppress(SystemExit):  # uvicorn ends the process with a status of its own
        server.run()
    if not server.started:
        raise _not_started()


@contextlib.contextmanager
def bound(host: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[socket.socket, str]]:
    """A listening socket and the URL that it will be reached at."""
    with socket.create_server((host, port)) as listening:
        yield listening, f"http://{host}:{listening.getsockname()[1]}"


@contextlib.contextmanager
def served(app: FastAPI, listening: socket.socket) -> Iterator[None]:
    """Serve in a thread for the time of the block. MasumiError when it cannot be."""
    begun = threading.Event()
    server = _server(app, begun.set)

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


def _server(app: FastAPI, ready: Callable[[], None], **options: Any) -> Any:
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingExtra("serving needs the extra seller: pip install 'masumi_tools[seller]'") from error

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    return Server(uvicorn.Config(app, log_level="warning", access_log=False, **options))
