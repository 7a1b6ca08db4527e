"""Opening the page: a port on loopback, one link with a token, and an end within three seconds."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from masumi_tools.errors import SettingsError
from masumi_tools.journal.store import now_ms
from masumi_tools.page.app import Rooms, rooms_of
from masumi_tools.page.guard import Guard
from masumi_tools.settings import Settings

BEAT_S = 30.0
GRACE_S = 1  # a tab that is open keeps its stream of events open, too


@dataclass
class Page:
    """A page that is served: `link` opens it once, `url` is its address."""

    url: str
    link: str
    _server: uvicorn.Server
    _rooms: Rooms
    _socket: socket.socket

    def run(self) -> None:
        """Serve until the process is told to stop."""
        stop = threading.Event()
        beat = threading.Thread(target=self._beat, args=(stop,), daemon=True)
        beat.start()
        try:
            self._server.run(sockets=[self._socket])
        finally:
            stop.set()
            with contextlib.suppress(Exception):
                self._rooms.journal.page_runs(self.url, 0)
            self._rooms.close()

    def stop(self) -> None:
        """Tell `run`, in another thread, to end."""
        self._rooms.closing.set()
        self._server.should_exit = True

    @contextlib.contextmanager
    def running(self) -> Iterator[Page]:
        """Serve for the time of a block, in a thread."""
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            thread.join(5)

    def _beat(self, stop: threading.Event) -> None:
        """Keep the address in the journal, so that a notice can link to it."""
        while True:
            with contextlib.suppress(Exception):  # a journal that is busy is told at the next beat
                self._rooms.journal.page_runs(self.url, now_ms() + int(3_000 * BEAT_S))
            if stop.wait(BEAT_S):
                return


def open_page(
    settings: Settings,
    *,
    port: int = 0,
    public_url: str = "",
    read_only: bool = False,
    by: str = "the page",
    shop: Callable[[int], dict[str, Any]] | None = None,
) -> Page:
    """The page over these settings' journal, on loopback; `public_url` is where a tunnel of yours shows it.

    `by` is who answers, as receipts say it. `shop` reads the jobs of services of your own, for the room of sellers.

    SettingsError for a public URL that is none or a port that is taken; JournalError for the journal.
    """
    public = urlsplit(public_url.rstrip("/"))
    if public_url and (public.scheme not in ("http", "https") or not public.netloc or public.path):
        raise SettingsError("--public-url is an address such as https://page.example, without a path")
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen(128)  # who comes before the server has started waits
    except OSError as error:
        listening.close()
        raise SettingsError(f"the port {port} cannot be taken: {error.strerror}") from error
    port = listening.getsockname()[1]
    here = f"http://127.0.0.1:{port}"
    shown = f"{public.scheme}://{public.netloc.lower()}" if public_url else ""
    origins = tuple(filter(None, (here, f"http://localhost:{port}", shown)))
    guard = Guard(port, origins, secure=shown.startswith("https://"))
    rooms = rooms_of(settings, guard, read_only=read_only, by=by, shop=shop)
    config = uvicorn.Config(
        rooms.app(),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    url = shown or here
    return Page(url, f"{url}/login?token={guard.link_token}", uvicorn.Server(config), rooms, listening)
