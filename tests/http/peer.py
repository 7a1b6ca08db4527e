"""The other side of a connection, on loopback: a server whose answers a test writes byte by byte."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from masumi_tools.calls.call import Call, Reply
from masumi_tools.net.http import AsyncHttp, Http
from masumi_tools.settings import Settings


@dataclass(frozen=True)
class Seen:
    """One request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


# Answers one request by writing on the socket; a true value keeps the connection for the next one.
Handler = Callable[[Seen, socket.socket], Any]


def answer(status: int = 200, body: bytes | Any = b"{}", **headers: str) -> bytes:
    """The bytes of a whole answer; a body that is no bytes is written as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Anything", f"content-length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + data


def always(*args: Any, **headers: str) -> Handler:
    """A handler that gives the same answer to everything and keeps the connection."""
    data = answer(*args, **headers)

    def handle(seen: Seen, connection: socket.socket) -> bool:
        connection.sendall(data)
        return True

    return handle


class Peer:
    """Listens on a free port of loopback; `seen` has the requests, `connections` how many were made."""

    def __init__(
        self, handler: Handler, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        self._handler = handler
        self._tls = tls
        self._open: list[socket.socket] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{self.port}"
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for connection in self._open:
            connection.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection.makefile("rb") as lines:
                while (seen := _read(lines)) is not None:
                    self.seen.append(seen)
                    if not self._handler(seen, connection):
                        return
        except OSError:
            pass  # the client went away, which is what many tests want
        finally:
            connection.close()


def _read(lines: Any) -> Seen | None:
    first = lines.readline().decode().split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while line := lines.readline().strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    body = lines.read(int(headers.get("content-length", 0)))
    return Seen(first[0], first[1], headers, body)


class Client:
    """One of the two clients behind the same blocking face, so that every rule is tested on both."""

    def __init__(self, colour: str, settings: Settings, **options: Any) -> None:
        self._runner: asyncio.Runner | None = None
        if colour == "sync":
            self.http: Http | AsyncHttp = Http(settings, **options)
        else:
            self._runner = asyncio.Runner()
            if "transport" in options:
                options["async_transport"] = options.pop("transport")
            self.http = AsyncHttp(settings, **options)

    def send(self, call: Call, within_s: float | None = None) -> Reply:
        if isinstance(self.http, Http):
            return self.http.send(call, within_s)
        assert self._runner is not None
        return self._runner.run(self.http.send(call, within_s))

    def get(self, url: str, to: Any = "service", **options: Any) -> Reply:
        return self.send(Call("GET /status", to, url, **options))

    def post(self, url: str, to: Any = "service", body: bytes = b"{}", **options: Any) -> Reply:
        return self.send(Call("POST /start_job", to, url, body, **options))

    def close(self) -> None:
        if isinstance(self.http, Http):
            self.http.close()
        elif self._runner is not None:
            self._runner.close()
