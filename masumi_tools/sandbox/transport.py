"""An httpx transport that talks to a sandbox in process: the same answers and faults, and no socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

import anyio
import httpx

from .faults import Answer
from .timetext import http_date
from .wire import Request, parsed_query


class SandboxTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers for the URLs of one sandbox; any other address is a ``httpx.ConnectError``.

    A dropped exchange is a ``httpx.ReadError``, as a reset connection is; one that hangs, or is later than
    the request's read time-out allows, is a ``httpx.ReadTimeout`` (at once, without the waiting). ``late`` is
    called on the way to the service and on the way back: where the clock is moved by hand it lets the time of
    the way pass.
    """

    def __init__(
        self,
        origin: str,
        exchange: Callable[[Request], Answer],
        now_ms: Callable[[], int],
        late: Callable[[], None] | None = None,
    ) -> None:
        self._ask = exchange
        self._now_ms = now_ms
        self._netloc = urlsplit(origin).netloc
        self._late = late

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        answer = self._exchange(request)
        if answer.wait_ms:
            time.sleep(answer.wait_ms / 1000)
        return self._response(request, answer)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        answer = self._exchange(request)
        if answer.wait_ms:
            await anyio.sleep(answer.wait_ms / 1000)
        return self._response(request, answer)

    def _exchange(self, request: httpx.Request) -> Answer:
        url = request.url
        if url.netloc.decode() != self._netloc:
            raise httpx.ConnectError(
                f"Nothing of the sandbox lives at {url.host}:{url.port}", request=request
            )
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = parsed_query(url.query.decode())
        if self._late is not None:
            self._late()
        answer = self._ask(Request(request.method, url.path, query, headers, request.content))
        if self._late is not None:
            self._late()
        limit_s = request.extensions.get("timeout", {}).get("read")
        if answer.end == "hang" or (limit_s is not None and answer.wait_ms / 1000 > limit_s):
            raise httpx.ReadTimeout("The read operation timed out", request=request)
        if answer.end == "drop":
            raise httpx.ReadError("Connection reset by peer", request=request)
        return answer

    def _response(self, request: httpx.Request, answer: Answer) -> httpx.Response:
        response = answer.response
        if response is None:
            raise httpx.ReadError("Connection reset by peer", request=request)
        now_ms = self._now_ms()
        headers = {**response.headers, "Sandbox-Now": str(now_ms), "date": http_date(now_ms)}
        body = b"" if request.method == "HEAD" else response.body
        return httpx.Response(response.status, headers=headers, content=body, request=request)
