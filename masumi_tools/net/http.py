"""The only place that makes HTTP requests: `Http` for threads, `AsyncHttp` for asyncio.

`send(call)` answers with a `Reply` whatever the network or the other side does. Services are strangers:
their addresses pass the guard at every connect and every redirect, and no token goes to them. Node
and registry are the user's own: not guarded, and their token goes to exactly their origin. Replies are
cut at `call.cap_bytes`, also after decompression, and a whole call takes at most `call.timeout_s`.
Redirects are followed for a GET to a service, at most five; never for a POST, never with a token.
No request is repeated here, except once when the connection could not be made and nothing was sent.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import time
import weakref
from collections.abc import AsyncGenerator
from functools import cache, partial
from types import TracebackType

import anyio.to_thread
import httpcore
import httpx

from masumi_tools.calls.call import Call, Reply
from masumi_tools.net.apart import apart
from masumi_tools.net.dialling import AsyncDialler, Check, Dialler
from masumi_tools.net.exchange import REPEAT_AFTER_S, Exchange, OnSandboxNow, Party
from masumi_tools.net.kept import AsyncKept
from masumi_tools.settings import Settings

__all__ = ["AsyncHttp", "Http"]

# Node.js and uvicorn close an idle connection after 5 s. Ours are given up before, so that no POST meets
# a connection that is just being closed, which would leave its effect unknown.
_KEPT_S = 4.0
_MOST_CONNECTIONS = 100


class Http:
    """Sends calls for threads: one object for all of them, one pool of kept connections.

    `on_sandbox_now(ms)` is told the sandbox's clock when `settings.sandbox`. `ssl_context` replaces the
    trusted certificates. `transport` (an httpx transport) replaces the network; URLs are still checked.
    Close it with `close()`, use it as a context manager, or just let go of it. After a fork the child
    opens its own connections.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_sandbox_now: OnSandboxNow | None = None,
        transport: httpx.BaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._party = Party(settings, on_sandbox_now)
        self._given = transport
        self._ssl_context = ssl_context
        self._transports: dict[bool, httpx.BaseTransport] = {}
        self._start()

    def _start(self) -> None:
        self._pid, self._transports = os.getpid(), {}
        weakref.finalize(self, _close, self._transports, self._pid)

    def send(self, call: Call, within_s: float | None = None) -> Reply:
        """Makes the call and says what came of it; raises nothing for what happens outside.

        It takes at most `call.timeout_s`, and at most `within_s` where that is less: look-up, every
        address, TLS, sending and reading together. Where the effect of the call stands is in the
        reply: `reply.sent`, `reply.unknown`. Ctrl-C ends the waiting for it, and leaves the client usable.
        """
        if self._given is None and threading.current_thread() is threading.main_thread():
            return apart(partial(self._send, call, within_s))
        return self._send(call, within_s)

    def _send(self, call: Call, within_s: float | None) -> Reply:
        exchange = Exchange(self._party, call, within_s)
        while (reply := exchange.reply) is None:
            try:
                request = exchange.request()
                response = self._transport(exchange.guarded).handle_request(request)
                try:
                    if exchange.opened(response):
                        for chunk in response.stream:  # type: ignore[union-attr]
                            if not exchange.take(chunk):
                                break
                finally:
                    response.close()
                exchange.closed(request, response)
            except Exception as error:  # whatever it is: one call ends, nothing else
                if exchange.failed(error):
                    time.sleep(REPEAT_AFTER_S)
        return exchange.logged(reply)

    def _transport(self, guarded: bool) -> httpx.BaseTransport:
        if self._given is not None:
            return self._given
        if self._pid != os.getpid():  # forked: the parent's connections stay the parent's
            self._start()
        known = self._transports.get(guarded)
        if known is None:
            context = self._ssl_context or _trusted(None if guarded else self._party.ca_bundle)
            made = _transport(self._party.check if guarded else None, context)
            known = self._transports.setdefault(guarded, made)
        return known

    def close(self) -> None:
        """Closes the kept connections; a later `send` opens new ones."""
        _close(self._transports, self._pid)

    def __enter__(self) -> Http:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncHttp:
    """Sends calls for asyncio; the same rules and arguments as `Http`.

    One object may serve several event loops, one after the other or side by side: each has its own
    connections. `close()` closes those of the running loop.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_sandbox_now: OnSandboxNow | None = None,
        async_transport: httpx.AsyncBaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._party = Party(settings, on_sandbox_now)
        self._given = async_transport
        self._ssl_context = ssl_context
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}

    def _never_sent(self, call: Call) -> Reply:
        exchange = Exchange(self._party, call)
        exchange.late()
        assert exchange.reply is not None
        return exchange.logged(exchange.reply)

    async def send(self, call: Call, within_s: float | None = None) -> Reply:
        """As `Http.send`. When the awaiting task is cancelled, the effect of the call is unknown.

        `call.timeout_s` begins with its turn among the calls of this loop, `within_s` now.
        """
        loop = self._loops.get(asyncio.get_running_loop()) or await self._begin_loop()
        turns, asked = loop.turns[call.to == "service"], time.monotonic()
        if turns.locked() and within_s is not None:
            try:
                await asyncio.wait_for(turns.acquire(), max(within_s, 0.0))
            except TimeoutError:
                return self._never_sent(call)
        else:
            await turns.acquire()
        try:
            left = None if within_s is None else within_s - (time.monotonic() - asked)
            return await self._send(loop, call, left)
        finally:
            turns.release()

    async def _send(self, loop: _Loop, call: Call, within_s: float | None) -> Reply:
        exchange = Exchange(self._party, call, within_s)
        while (reply := exchange.reply) is None:
            try:
                request = exchange.request()
                transport = self._given or await self._transport(loop, exchange.guarded)
                response = await transport.handle_async_request(request)
                if isinstance(response.stream, httpx.ByteStream):  # all of it is here already
                    _ = exchange.opened(response) and all(map(exchange.take, response.stream))
                else:
                    await _read(response, exchange)
                exchange.closed(request, response)
            except Exception as error:  # whatever it is: one call ends, nothing else
                if exchange.failed(error):
                    await asyncio.sleep(REPEAT_AFTER_S)
        return exchange.logged(reply)

    async def _begin_loop(self) -> _Loop:
        for other in list(self._loops):
            if other.is_closed():
                self._loops.pop(other, None)
        loop = self._loops[asyncio.get_running_loop()] = _Loop()
        await anext(loop.end)
        return loop

    async def _transport(self, loop: _Loop, guarded: bool) -> httpx.AsyncBaseTransport:
        known = loop.transports.get(guarded)
        if known is None:
            check = self._party.check if guarded else None
            own = None if guarded else self._party.ca_bundle
            # The certificates are files: no event loop waits for them.
            context = self._ssl_context
            if context is None:
                context = await anyio.to_thread.run_sync(_trusted, own)
            known = loop.transports.setdefault(guarded, _async_transport(check, context))
        return known

    async def close(self) -> None:
        """Closes the running loop's connections; a later `send` opens new ones."""
        loop = self._loops.pop(asyncio.get_running_loop(), None)
        if loop is not None:
            await loop.end.aclose()

    async def __aenter__(self) -> AsyncHttp:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _read(response: httpx.Response, exchange: Exchange) -> None:
    try:
        if exchange.opened(response):
            async for chunk in response.stream:  # type: ignore[union-attr]
                if not exchange.take(chunk):
                    break
    finally:
        await response.aclose()


class _Loop:
    """The connections of one event loop. They end with it: a loop that shuts down ends its generators.

    `turns` bounds what is on its way at once, to strangers and to the user's own node and registry apart.
    """

    def __init__(self) -> None:
        self.turns = {to: asyncio.Semaphore(_MOST_CONNECTIONS // 2) for to in (True, False)}
        self.transports: dict[bool, httpx.AsyncBaseTransport] = {}
        self.end = self._ends()

    async def _ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            while self.transports:
                await self.transports.popitem()[1].aclose()


def _close(transports: dict[bool, httpx.BaseTransport], pid: int) -> None:
    """Closes what this process opened; a child must not say goodbye on its parent's connections."""
    while transports and pid == os.getpid():
        transports.popitem()[1].close()


@cache
def _trusted(ca_bundle: str | None) -> ssl.SSLContext:
    """One for the process: reading the certificates takes longer than a request.

    `ca_bundle` is trusted beside the usual authorities, by the user's own node and registry alone: who may
    vouch for a company's node need not vouch for every stranger.
    """
    context = httpx.create_ssl_context(trust_env=False)
    if ca_bundle is not None:
        context.load_verify_locations(cafile=ca_bundle)
    return context


def _transport(check: Check | None, context: ssl.SSLContext) -> httpx.HTTPTransport:
    transport = httpx.HTTPTransport(verify=context, trust_env=False)
    # httpx has no argument for the network backend; this attribute is all that we take of its inside.
    transport._pool = httpcore.ConnectionPool(
        ssl_context=context,
        max_connections=_MOST_CONNECTIONS,
        max_keepalive_connections=_MOST_CONNECTIONS,
        keepalive_expiry=_KEPT_S,
        network_backend=Dialler(check),
    )
    return transport


def _async_transport(check: Check | None, context: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False)
    transport._pool = AsyncKept(context, AsyncDialler(check), _KEPT_S)  # type: ignore[assignment]
    return transport
