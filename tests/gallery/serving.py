"""A real HTTP server on loopback in front of the gallery's sellers, each below a path of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request to a seller: `path` is relative to the seller, `body` its JSON or None."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class Told:
    """What a seller answers: JSON, or a page where `body` is text; with status 0 the connection breaks."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[Asked], Told]


class Serving:
    """Sellers by name at `url`/<name>; every request is written down in `seen`."""

    def __init__(self) -> None:
        self.sellers: dict[str, Answer] = {}
        self.seen: list[tuple[str, Asked]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def count(self, seller: str, what: str) -> int:
        """How often `what`, such as "POST /start_job", was asked of a seller."""
        return sum(name == seller and f"{asked.method} {asked.path}" == what for name, asked in self.seen)

    def _answer(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Told:
        parts = urlsplit(target)
        name, _, rest = parts.path.lstrip("/").partition("/")
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            return Told(400, {"detail": "the body is no JSON"})
        asked = Asked(method, f"/{rest}", dict(parse_qsl(parts.query)), headers, body)
        self.seen.append((name, asked))
        if name not in self.sellers:
            return Told(404, "<html><title>Not Found</title></html>")
        return self.sellers[name](asked)

    def _handler(serving) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _exchange(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                told = serving._answer(self.command, self.path, headers, raw)
                if told.status == 0:
                    self.close_connection = True
                    return
                page = isinstance(told.body, str)
                content = told.body.encode() if page else json.dumps(told.body).encode()
                self.send_response(told.status)
                for name, value in told.headers.items():
                    self.send_header(name, value)
                self.send_header("content-type", "text/html" if page else "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = _exchange

            def log_message(self, *_: object) -> None:
                return None

        return Handler
