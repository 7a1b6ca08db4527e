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
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

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
            read = client.read_request()
        except _Refused as refused:
            self._refuse(client, refused)
            return False
        if read is None:
            return False
        request, keep = read
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
        client.send(answer.response, self._now_ms(), keep=keep, body=request.method != "HEAD")
        return keep

    def _refuse(self, client: _Client, refused: _Refused) -> None:
        body = json.dumps({"status": "error", "error": {"message": str(refused)}}).encode()
        client.send(
            Response(refused.status, {"content-type": JSON_TYPE}, body), self._now_ms(), keep=False, body=True
        )
        client.drain()


class _Client:
    """One connection with what was read from it and not yet used."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = bytearray()

    def read_request(self) -> tuple[Request, bool] | None:
        """The next request and whether the connection stays open after it; None when the client went away."""
        head = self._head()
        if head is None:
            return None
        lines = head.split("\r\n")
        method, target, version = _request_line(lines[0])
        headers = _headers(lines[1:])
        try:
            parts = urlsplit(target)
            query = parsed_query(parts.query)
        except ValueError:
            raise _Refused(400, "Bad request target") from None
        body = self._body(headers)
        keep = headers.get("connection", "" if version == "HTTP/1.1" else "close").lower() != "close"
        return Request(method, unquote(parts.path, errors="replace"), query, headers, body), keep

    def send(self, response: Response, now_ms: int, *, keep: bool, body: bool) -> None:
        lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        lines += [f"content-length: {len(response.body)}", f"Sandbox-Now: {now_ms}"]
        lines.append(f"date: {http_date(now_ms)}")
        if not keep:
            lines.append("connection: close")
        data = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        self.connection.settimeout(BODY_S)
        self.connection.sendall(data + response.body if body else data)

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

    def _head(self) -> str | None:
        until: float | None = None
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEAD_CAP:
                raise _Refused(431, "Request header fields too large")
            if b"\n\n" in self._buffer:
                raise _Refused(400, "Bad request line or headers")
            if self._buffer and until is None:
                until = time.monotonic() + HEAD_S
            try:
                self._more(IDLE_S if until is None else until - time.monotonic())
            except _Gone:
                return None
        if end > HEAD_CAP:
            raise _Refused(431, "Request header fields too large")
        head = bytes(self._buffer[:end]).decode("latin-1")
        del self._buffer[: end + 4]
        return head

    def _body(self, headers: dict[str, str]) -> bytes:
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is None and length is None:
            return b""
        if coding is not None and (length is not None or coding.lower() != "chunked"):
            raise _Refused(400, "Bad transfer-encoding")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise _Refused(400, "Bad content-length")
        if length is not None and (len(length) > 12 or int(length) > BODY_CAP):
            raise _Refused(413, "request entity too large")
        if headers.get("expect", "").lower() == "100-continue":
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        until = time.monotonic() + BODY_S
        return self._take(int(length), until) if length is not None else self._chunks(until)

    def _chunks(self, until: float) -> bytes:
        body = bytearray()
        while True:
            size_text = self._line(until).split(b";")[0].strip()
            try:
                size = int(size_text, 16) if len(size_text) <= 8 else BODY_CAP + 1
            except ValueError:
                raise _Refused(400, "Bad chunk") from None
            if size < 0 or len(body) + size > BODY_CAP:
                raise _Refused(413, "request entity too large")
            if size == 0:
                while self._line(until):
                    pass
                return bytes(body)
            body += self._take(size, until)
            if self._line(until):
                raise _Refused(400, "Bad chunk")

    def _line(self, until: float) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > HEAD_CAP:
                raise _Refused(400, "Bad chunk")
            self._more(until - time.monotonic())
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _take(self, size: int, until: float) -> bytes:
        while len(self._buffer) < size:
            self._more(until - time.monotonic())
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _more(self, seconds: float) -> None:
        if seconds <= 0:
            raise _Gone
        self.connection.settimeout(seconds)
        try:
            data = self.connection.recv(65_536)
        except TimeoutError:
            raise _Gone from None
        if not data:
            raise _Gone
        self._buffer += data


def _request_line(line: str) -> tuple[str, str, str]:
    words = line.split(" ")
    if len(words) != 3 or not words[0] or len(words[0]) > 20 or not _METHOD_CHARS.issuperset(words[0]):
        raise _Refused(400, "Bad request line")
    method, target, version = words
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise _Refused(505 if version.startswith("HTTP/") else 400, "HTTP/1.1 is spoken here")
    if len(target) > 16_384:
        raise _Refused(414, "URI too long")
    if not target.startswith(("/", "http://")) and target != "*":
        raise _Refused(400, "Bad request target")
    return method, target, version


def _headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > 200:
        raise _Refused(431, "Too many header fields")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        lower = name.lower()
        if not colon or not name or name != name.strip() or " " in name or "\n" in line or "\r" in line:
            raise _Refused(400, "Bad header")
        if lower in headers and lower in ("content-length", "transfer-encoding", "host"):
            raise _Refused(400, "Bad header")
        headers[lower] = value.strip()
    return headers
