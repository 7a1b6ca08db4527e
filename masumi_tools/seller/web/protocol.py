"""Who connects and sends nothing, or a request a byte at a time, does not keep the connection for long."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_WITHIN_S = 15.0  # from the connection, or a request's first byte, to the end of its headers


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's own protocol with an end to its patience. Bodies have a limit of their own, in the routes."""

    _hurry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect()

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
