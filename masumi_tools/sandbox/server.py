"""A small HTTP/1.1 server for loopback: one thread per connection, keep-alive, every size and wait bounded.

It knows nothing of Masumi: it reads a Request, asks ``exchange`` for an Answer and sends it. What comes in
may be hostile or broken: it gets a 4xx and a closed connection, and never holds up another client.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

import h11

from .faults import Answer
from .timetext import http_date
from .wire import JSON_TYPE, Request, Response, parsed_query

HEAD_CAP = 32_768
BODY_CAP = 2_000_000
CONNECTIONS_CAP = 256
IDLE_S = 75.0
HEAD_S = 15.0
BODY_S = 30.0
HANG_S = 600.0
_REASONS = {int(status): status.phrase for status in HTTPStatus}
_RESET = struct.pack("ii", 1, 0)
_METHOD_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class _Refused(Exception):
    """The request cannot be read; it is answered with this status, and the connection ends."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Gone(Exception):
    """The client closed the connection or let its time run out."""


class HttpServer:
    """Serves ``exchange`` on 127.0.0.1; every answer carries ``now_ms()`` as it is sent: ``Sandbox-Now``, ``Date``."""

    def __init__(
        self,
        exchange: Callable[[Request], Answer],
        now_ms: Callable[[], int],
        *,
        port: int = 0,
        latency_ms: int = 0,
    ) -> None:
        self._exchange = exchange
        self._latency_s = latency_ms / 1000
        self._now_ms = now_ms
        self._stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="sandbox-http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection; returns when no new one can come."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._thread.is_alive():
            self._thread.join(2)
        with self._guard:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._stopping.wait(0.05):
                    return
                continue
            with self._guard:
                full = len(self._connections) >= CONNECTIONS_CAP
                if not full:
                    self._connections.add(connection)
            if full:
                connection.close()
                continue
            threading.Thread(
                target=self._serve, args=(connection,), name="sandbox-client", daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = _Client(connection)
            while not self._stopping.is_set() and self._one(client):
                pass
        except (OSError, _Gone):
            pass
        finally:
            with self._guard:
                self._connections.discard(connection)
            connection.close()

    def _one(self, client: _Client) -> bool:
        """One exchange; False when the connection must end."""
        try:
            request = client.read_request()
        except _Refused as refused:
            self._refuse(client, refused)
            return False
        if request is None:
            return False
        # Half of the way there, half of it back: what is done is done while the answer is still under way.
        if self._latency_s and not client.wait(self._latency_s / 2, self._stopping):
            return False
        answer = self._exchange(request)
        if self._latency_s and not client.wait(self._latency_s / 2, self._stopping):
            return False
        if answer.wait_ms and not client.wait(answer.wait_ms / 1000, self._stopping):
            return False
        if answer.end == "hang":
            client.wait(HANG_S, self._stopping)
            return False
        if answer.end == "drop" or answer.response is None:
            # A reset, not an orderly end: what a client sees when the other side dies.
            client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            return False
        return client.send(answer.response, self._now_ms(), body=request.method != "HEAD")

    def _refuse(self, client: _Client, refused: _Refused) -> None:
        body = json.dumps({"status": "error", "error": {"message": str(refused)}}).encode()
        client.send(Response(refused.status, {"content-type": JSON_TYPE}, body), self._now_ms(), body=True)
        client.drain()


class _Client:
    """One connection, in the words of HTTP/1.1 (h11)."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_CAP)

    def read_request(self) -> Request | None:
        """The next request; None when the client went away."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        head = self._event(IDLE_S, then_s=HEAD_S)
        if not isinstance(head, h11.Request):
            return None
        if head.http_version not in (b"1.1", b"1.0"):
            raise _Refused(505, "HTTP/1.1 is spoken here")
        method, target = head.method.decode(), head.target.decode("latin-1")
        headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        _check(method, target, headers, len(head.headers))
        try:
            parts = urlsplit(target)
            query = parsed_query(parts.query)
        except ValueError:
            raise _Refused(400, "Bad request target") from None
        return Request(method, unquote(parts.path, errors="replace"), query, headers, self._body())

    def _body(self) -> bytes:
        if self._http.they_are_waiting_for_100_continue:
            self._write(h11.InformationalResponse(status_code=100, headers=[], reason="Continue"))
        body, until = bytearray(), time.monotonic() + BODY_S
        while not isinstance(event := self._event(until - time.monotonic()), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise _Gone
            body += event.data
            if len(body) > BODY_CAP:
                raise _Refused(413, "request entity too large")
        return bytes(body)

    def _event(self, seconds: float, then_s: float | None = None) -> Any:
        """What the client says next; from its first byte on it has `then_s` to say it."""
        until = time.monotonic() + seconds
        if then_s is not None and self._http.trailing_data[0]:
            until = time.monotonic() + then_s
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as wrong:
                raise _Refused(wrong.error_status_hint, str(wrong)) from None
            if event is not h11.NEED_DATA:
                return event
            if (left := until - time.monotonic()) <= 0:
                raise _Gone
            self.connection.settimeout(left)
            try:
                self._http.receive_data(self.connection.recv(65_536))
            except TimeoutError:
                raise _Gone from None
            if then_s is not None:
                until, then_s = time.monotonic() + then_s, None

    def send(self, response: Response, now_ms: int, *, body: bool) -> bool:
        """Answer; whether the connection stays open for another request."""
        headers = [
            *response.headers.items(),
            ("content-length", str(len(response.body))),
            ("Sandbox-Now", str(now_ms)),
            ("date", http_date(now_ms)),
        ]
        if self._http.their_state is not h11.DONE:  # it could not be read to its end
            headers.append(("connection", "close"))
        self.connection.settimeout(BODY_S)
        self._write(
            h11.Response(
                status_code=response.status,
                headers=[
                    (name.encode(), value.strip().encode("latin-1", "replace")) for name, value in headers
                ],
                reason=_REASONS.get(response.status, "Unknown"),
            ),
            *(
                [h11.Data(data=response.body)]
                if body and response.body and response.status not in (204, 304)
                else []
            ),
            h11.EndOfMessage(),
        )
        return self._http.our_state is h11.DONE

    def _write(self, *events: Any) -> None:
        self.connection.sendall(b"".join(self._http.send(event) or b"" for event in events))

    def wait(self, seconds: float, stopping: threading.Event) -> bool:
        """Wait; False when the client went away or the server stops before the time is over."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if stopping.is_set():
                return False
            self.connection.settimeout(min(left, 0.1))
            try:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    return False
                stopping.wait(min(left, 0.05))  # a pipelined request waits its turn
            except TimeoutError:
                continue
        return True

    def drain(self) -> None:
        """Read away what a refused client still sends, so that it gets to see the answer; bounded."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            until, left = time.monotonic() + 2.0, 16_000_000
            while left > 0 and (time_left := until - time.monotonic()) > 0:
                self.connection.settimeout(time_left)
                got = len(self.connection.recv(65_536))
                if not got:
                    return
                left -= got


def _check(method: str, target: str, headers: Mapping[str, str], lines: int) -> None:
    """What HTTP allows and nobody sends who means well."""
    if len(method) > 20 or not _METHOD_CHARS.issuperset(method):
        raise _Refused(400, "Bad request line")
    if len(target) > 16_384:
        raise _Refused(414, "URI too long")
    if not target.startswith(("/", "http://")) and target != "*":
        raise _Refused(400, "Bad request target")
    if lines > 200:
        raise _Refused(431, "Too many header fields")
    if "transfer-encoding" in headers and "content-length" in headers:
        raise _Refused(400, "Bad transfer-encoding")
    length = headers.get("content-length", "")
    if len(length) > 12 or (length and int(length) > BODY_CAP):
        raise _Refused(413, "request entity too large")
