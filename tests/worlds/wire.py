"""From a Call to the sandbox and back to a Reply, without httpx: what `Http` would make of the same exchange.

A test sends the same exchanges both ways and compares the replies.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import parse_qsl, urlsplit

from masumi_tools.calls.call import Call, Reply
from masumi_tools.net.exchange import TEXT_CAP
from masumi_tools.net.json import read_json
from masumi_tools.sandbox.wire import Request, Response


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
