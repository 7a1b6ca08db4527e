"""Who connects and sends nothing, or a request a byte at a time, does not keep the connection for long.

And an answer is one write: uvicorn writes head and body apart, and each is a call of the system, which takes
as long as all that an answer is made with.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_WITHIN_S = 15.0  # from the connection, or a request's first byte, to the end of its headers
_MOST_HEAD = 128_000  # bytes that come before that end; httptools keeps them all


class _Gathering:
    """A transport that sends what is written in one turn of the loop together, all else as its own does."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._send)
        self._pieces.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        data, self._pieces = b"".join(self._pieces), []
        if data and not self._transport.is_closing():
            self._transport.write(data)


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's own protocol with an end to its patience. Bodies have a limit of their own, in the routes."""

    _hurry: asyncio.TimerHandle | None = None
    _head = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Gathering(transport, self.loop))  # type: ignore[arg-type]
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._head = self._head + len(data) if self._hurry is not None else 0
        if self._head > _MOST_HEAD:
            self._give_up()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect()

    def on_headers_complete(self) -> None:
        self._calm()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._calm()
        self._hurry = self.loop.call_later(HEAD_WITHIN_S, self._give_up)

    def _calm(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None

    def _give_up(self) -> None:
        with contextlib.suppress(Exception):
            self.transport.abort()
