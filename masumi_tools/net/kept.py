"""Connections that are kept for the next request to the same origin, at a cost that does not grow with their number.

httpcore's own pool looks at every connection, for every connection, at each event: with fifty in use that is a
third of the CPU of a thousand hires. How many are in use is bounded by whoever sends. HTTP/1.1, and no proxies.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import httpcore

_Key = tuple[bytes, bytes, int]  # scheme, host, port
_SWEEP_S = 1.0  # how often the idle ones of all origins are looked at


class AsyncKept:
    """What an `httpx.AsyncHTTPTransport` wants of a pool, for one event loop."""

    def __init__(
        self, context: ssl.SSLContext, backend: httpcore.AsyncNetworkBackend, keepalive_s: float
    ) -> None:
        self._context = context
        self._backend = backend
        self._keepalive_s = keepalive_s
        self._idle: dict[_Key, list[httpcore.AsyncHTTPConnection]] = {}  # the latest one last
        self._busy: set[httpcore.AsyncHTTPConnection] = set()
        self._sweep_at = 0.0

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """The response, whose stream gives the connection back when it is closed."""
        if request.url.scheme not in (b"http", b"https"):
            raise httpcore.UnsupportedProtocol(f"not HTTP: {request.url.scheme!r}")
        origin = request.url.origin
        key = (origin.scheme, origin.host, origin.port)
        connection = await self._taken(key) or self._made(origin)
        self._busy.add(connection)
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            await self._end(connection)
            raise
        response.stream = _Body(response.stream, partial(self._given_back, key, connection))
        return response

    async def _taken(self, key: _Key) -> httpcore.AsyncHTTPConnection | None:
        if time.monotonic() >= self._sweep_at:
            await self._sweep()
        idle = self._idle.get(key, [])
        while idle:
            found = idle.pop()
            if not found.has_expired():
                return found
            await self._end(found)
        return None

    def _made(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        return httpcore.AsyncHTTPConnection(
            origin,
            ssl_context=self._context,
            keepalive_expiry=self._keepalive_s,
            network_backend=self._backend,
        )

    async def _sweep(self) -> None:
        """Close what nobody has wanted again: the oldest are first, and no other side waits for our goodbye."""
        self._sweep_at = time.monotonic() + _SWEEP_S
        for key, idle in list(self._idle.items()):
            while idle and idle[0].has_expired():
                await self._end(idle.pop(0))
            if not idle and self._idle.get(key) is idle:  # not one that began while we said goodbye
                del self._idle[key]

    async def _given_back(self, key: _Key, connection: httpcore.AsyncHTTPConnection) -> None:
        """After a response: kept where all of it was read."""
        if connection.is_idle() and connection in self._busy:
            self._busy.discard(connection)
            self._idle.setdefault(key, []).append(connection)
        else:
            await self._end(connection)

    async def _end(self, connection: httpcore.AsyncHTTPConnection) -> None:
        self._busy.discard(connection)
        if not connection.is_closed():
            with anyio.CancelScope(shield=True):
                await connection.aclose()

    async def aclose(self) -> None:
        """Close all of them, also those in use."""
        all_of_them = [*self._busy, *(one for idle in self._idle.values() for one in idle)]
        self._idle.clear()
        for connection in all_of_them:
            await self._end(connection)


class _Body:
    """The bytes of a response."""

    def __init__(self, inner: Any, ended: Callable[[], Awaitable[None]]) -> None:
        self._inner = inner
        self._ended = ended
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._inner:
            yield part

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            await self._inner.aclose()
            await self._ended()
