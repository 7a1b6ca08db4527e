"""One HTTP request and one answer as plain data, and the envelopes of node and registry.

Everything in the sandbox that answers is a function ``answer(world, request) -> Response``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

JSON_TYPE = "application/json; charset=utf-8"


@dataclass(slots=True)
class Request:
    """A request as a server sees it: header names lower-case, query decoded, body as raw bytes.

    A query parameter that comes twice is a list, as in Express.
    """

    method: str
    path: str
    query: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def asked(self, *names: str) -> str | None:
        """The first query parameter of these that was given, once."""
        return next((value for name in names if isinstance(value := self.query.get(name), str)), None)

    @property
    def token(self) -> str | None:
        """The ``token`` header, the only credential that node and registry read (protocol N1)."""
        token = self.headers.get("token")
        return token and token.strip(" \t")  # a server's parser cuts what stands around a header's value

    def check_charset(self) -> None:
        """415 for a body in another encoding than UTF, which neither node nor registry reads."""
        kind = self.headers.get("content-type", "")
        named = re.search(r";\s*charset=\"?([^\s;\"]+)", kind, re.IGNORECASE)
        if named and not named[1].lower().startswith("utf-"):
            raise Refusal(415, f'unsupported charset "{named[1].upper()}"')


@dataclass(slots=True)
class Response:
    """An answer: status, headers (lower-case names) and the body's bytes."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body read as JSON; ValueError when it is none."""
        return json.loads(self.body)


class Refusal(Exception):
    """Ends the handling of a request with an error envelope; handlers raise it, ``answer`` sends it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def response(self) -> Response:
        return failure(self.status, self.message, headers=self.headers, extra=self.extra)


def reply(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer with any status."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    return Response(status, {"content-type": JSON_TYPE, **(headers or {})}, body)


def success(data: Any) -> Response:
    """The success envelope, always 200, also for creates (protocol N1)."""
    return reply(200, {"status": "success", "data": data})


def failure(
    status: int,
    message: str,
    *,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Response:
    """The error envelope; ``extra`` adds top-level keys (a 409 carries ``id`` and ``object``)."""
    return reply(status, {"status": "error", "error": {"message": message}, **(extra or {})}, headers)


def parsed_query(text: str) -> dict[str, Any]:
    """A query string's parameters: text, or a list where one comes more than once. ValueError past 200 of them."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=200):
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def request(
    method: str,
    url: str,
    *,
    json_body: Any = None,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    query: Mapping[str, Any] | None = None,
) -> Request:
    """A Request from a path or URL (its query string is read) and a value that is sent as JSON."""
    parts = urlsplit(url)
    found = parsed_query(parts.query) | dict(query or {})
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    if token is not None:
        lower["token"] = token
    if body is None:
        body = b"" if json_body is None else json.dumps(json_body, ensure_ascii=False).encode()
    if body:
        lower.setdefault("content-type", "application/json")
    return Request(method.upper(), parts.path, found, lower, body)
