"""How connections are made: one name look-up, every answer checked, the checked address dialled, all on time.

Network backends for httpcore, which does HTTP and TLS on top; TLS still checks the host's name. Each
call gives one `Deadline` in place of httpcore's separate time-outs, so that neither a server that sends a
byte now and then nor a name with many silent addresses can stretch a call.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from ipaddress import ip_address
from typing import Any

import httpcore

Check = Callable[[str, Sequence[str]], None]

# More answers than these are checked but not tried.
_MOST_TRIED = 4
_PIECE = 16 * 1024


class Deadline(float):
    """Seconds from now, as the float that httpcore hands on, together with the moment when they end."""

    def __new__(cls, seconds: float) -> Deadline:
        self = super().__new__(cls, seconds)
        self.at = time.monotonic() + seconds
        return self

    at: float

    def left_s(self) -> float:
        """Seconds that are left; negative when the time is over."""
        return self.at - time.monotonic()


class ConnectTime(float):
    """Seconds for look-up, all addresses and TLS together, counted from when the connecting begins.

    To wait for a free connection of ours is no fault of the other side; `whole` bounds both.
    """

    def __new__(cls, seconds: float, whole: Deadline) -> ConnectTime:
        self = super().__new__(cls, seconds)
        self.whole = whole
        return self

    whole: Deadline

    def begin(self) -> Deadline:
        """The deadline of a connection that is begun now."""
        return Deadline(min(self, self.whole.left_s()))


def _begun(timeout: float | None) -> float | None:
    return timeout.begin() if isinstance(timeout, ConnectTime) else timeout


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, in the order of the system's resolver. The only look-up that is made."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Dialler(httpcore.NetworkBackend):
    """Connects for the blocking client; `check` raises for a host whose addresses are not allowed."""

    def __init__(self, check: Check | None = None) -> None:
        self._check = check
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        timeout = _begun(timeout)
        addresses = [host]
        if not _is_literal(host):
            wait = _left_s(timeout, httpcore.ConnectTimeout)
            try:
                addresses = _look_up(host, port).result(wait)
            except (OSError, UnicodeError) as error:
                raise _not_found(host, error) from error
        if self._check is not None:
            self._check(host, addresses)
        for address, left in _tries(addresses):
            wait = _left_s(timeout, httpcore.ConnectTimeout, share=left)
            try:
                stream = self._sockets.connect_tcp(address, port, wait, local_address, socket_options)
                return _Stream(stream, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if left == 1:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")


class AsyncDialler(httpcore.AsyncNetworkBackend):
    """Connects for the asyncio client; `check` as for `Dialler`."""

    def __init__(self, check: Check | None = None) -> None:
        self._check = check
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        timeout = _begun(timeout)
        addresses = [host]
        if not _is_literal(host):
            wait = _left_s(timeout, httpcore.ConnectTimeout)
            try:
                addresses = await asyncio.wait_for(asyncio.wrap_future(_look_up(host, port)), wait)
            except (OSError, UnicodeError) as error:
                raise _not_found(host, error) from error
        if self._check is not None:
            self._check(host, addresses)
        for address, left in _tries(addresses):
            wait = _left_s(timeout, httpcore.ConnectTimeout, share=left)
            try:
                stream = await self._sockets.connect_tcp(address, port, wait, local_address, socket_options)
                return _AsyncStream(stream, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if left == 1:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")


class _Stream(httpcore.NetworkStream):
    """A stream whose every step takes only the time that is left of the whole call."""

    def __init__(self, inner: httpcore.NetworkStream, connecting: float | None) -> None:
        self._inner = inner
        self._connecting = connecting  # until when TLS has to stand

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left_s(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In pieces: one write may hold on as long as each single send makes some progress.
        for start in range(0, len(buffer), _PIECE):
            self._inner.write(buffer[start : start + _PIECE], _left_s(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        wait = _left_s(self._connecting, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, wait), None)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _AsyncStream(httpcore.AsyncNetworkStream):
    """As `_Stream`, for asyncio."""

    def __init__(self, inner: httpcore.AsyncNetworkStream, connecting: float | None) -> None:
        self._inner = inner
        self._connecting = connecting

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, _left_s(timeout, httpcore.ReadTimeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, _left_s(timeout, httpcore.WriteTimeout))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        wait = _left_s(self._connecting, httpcore.ConnectTimeout)
        return _AsyncStream(await self._inner.start_tls(ssl_context, server_hostname, wait), None)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left_s(timeout: float | None, error: type[httpcore.TimeoutException], share: int = 1) -> float | None:
    """The seconds that this step may take: its share of those that are left, where other addresses wait."""
    if not isinstance(timeout, Deadline):
        return timeout
    left = timeout.left_s()
    if left <= 0:
        raise error("the time for this call is over")
    return left / share


def _tries(addresses: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The addresses to try, each with how many are left, itself included."""
    tried = addresses[:_MOST_TRIED]
    for number, address in enumerate(tried):
        yield address, len(tried) - number


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _not_found(host: str, error: OSError | UnicodeError) -> httpcore.ConnectError | httpcore.ConnectTimeout:
    if isinstance(error, TimeoutError):
        return httpcore.ConnectTimeout(f"the name service did not answer for {host} in time")
    return httpcore.ConnectError(f"the name {host} was not found: {error}")


def _look_up(host: str, port: int) -> Future[list[str]]:
    """The look-up in a thread of its own: the system's resolver knows no time-out and cannot be stopped."""
    future: Future[list[str]] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            future.set_result(resolve(host, port))
        except BaseException as error:  # handed to the caller
            future.set_exception(error)

    try:
        threading.Thread(target=work, name="masumi-resolve", daemon=True).start()
    except RuntimeError as error:
        raise httpcore.ConnectError(f"no thread to look up {host}: {error}") from error
    return future
