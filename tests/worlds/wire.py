"""From a Call to the sandbox and back to a Reply, without httpx: what `Http` would make of the same exchange.

A test sends the same exchanges both ways and compares the replies.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from urllib.parse import parse_qsl, urlsplit

import httpx

from masumi_tools.calls.call import Call, Reply
from masumi_tools.net.exchange import TEXT_CAP
from masumi_tools.net.http import Http
from masumi_tools.net.json import read_json
from masumi_tools.sandbox.wire import Request, Response
from masumi_tools.settings import Settings

NODE, REGISTRY = "https://node.test", "https://registry.test"
# What whoever answers may do to an HTTP client: heads, and statuses where the answer's own is replaced.
_HOSTILE: tuple[tuple[int | None, dict[str, str]], ...] = (
    (302, {"location": "https://xn--0/"}),
    (307, {"location": "http://[::1"}),
    (308, {"location": "//user:pw@169.254.169.254:99999/"}),
    (None, {"content-type": "application/json; charset=utf-99"}),
    (None, {"content-encoding": "gzip"}),
    (None, {"content-encoding": "br, deflate;q=0"}),
    (None, {"content-length": "999999999999999999999"}),
    *(
        (status, {"retry-after": said})
        for status in (None, 429, 503)
        for said in ("86400", "nan", "-1", "soon")
    ),
)


@lru_cache(maxsize=4096)
def place(url: str) -> tuple[str, str, dict[str, str]]:
    """Host, path and query of a URL."""
    parts = urlsplit(url)
    return parts.netloc, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True))


def request_of(call: Call, token: str) -> Request:
    """The request that leaves; only node and registry are told the token."""
    _, path, query = place(call.url)
    headers = {"accept": "application/json"}
    if call.body is not None:
        headers["content-type"] = "application/json"
    if call.to != "service":
        headers["token"] = token
    return Request(call.method, path, query, headers, call.body or b"")


def reply_of(response: Response, cap_bytes: int) -> Reply:
    """What the caller learns of an answer that arrived."""
    headers, body = response.headers, response.body
    if len(body) > cap_bytes:
        detail = f"the answer is larger than {cap_bytes} bytes"
        return Reply(response.status, None, "", headers, "too-large", detail)
    try:
        return Reply(response.status, read_json(body), _text(body), headers)
    except ValueError as error:
        return Reply(response.status, None, _text(body), headers, "not-json", str(error))


def lost(detail: str) -> Reply:
    """The request may have arrived, and no answer came."""
    return Reply(None, fault="lost", detail=detail)


def unsent(detail: str) -> Reply:
    """The request never left."""
    return Reply(None, fault="unsent", detail=detail)


def _text(body: bytes) -> str:
    return body[: 4 * TEXT_CAP].decode("utf-8", "replace")[:TEXT_CAP]


@dataclass(frozen=True)
class Raw(httpx.BaseTransport, httpx.SyncByteStream):
    """Answers anything with this, and may break off in the middle."""

    status: int
    head: dict[str, str]
    body: bytes
    cut: bool

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(self.status, headers=self.head, stream=self)

    def __iter__(self) -> Iterator[bytes]:
        yield self.body[: len(self.body) // 2] if self.cut else self.body
        if self.cut:
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


@cache
def _settings() -> Settings:
    return Settings(node_url=NODE, registry_url=REGISTRY)


def hostile(call: Call, response: Response, rng: random.Random) -> Reply:
    """What the real client makes of this answer, when a head says what nobody should, or the body breaks off."""
    status, said = rng.choice(_HOSTILE)
    raw = Raw(status or response.status, {**response.headers, **said}, response.body, rng.random() < 0.2)
    return Http(_settings(), transport=raw).send(call)
