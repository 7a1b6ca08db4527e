"""Whose time it is and who is alive: the node's clock, and the names of those that drive hires."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

FRESH_S = 1.0  # so long the sandbox is not asked for its time again


class Clock:
    """The node's clock: this machine's, moved by what the sandbox says its clock shows.

    A clock with its own `now_ms` is told nothing and never stale.
    """

    def __init__(self, now_ms: Callable[[], int] | None = None) -> None:
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._ahead_ms = 0
        self._fresh_until = float("-inf") if now_ms is None else float("inf")

    def now(self) -> int:
        return self._now_ms() + self._ahead_ms

    def follow(self, sandbox_ms: int) -> None:
        self._ahead_ms = sandbox_ms - self._now_ms()
        self._fresh_until = max(self._fresh_until, time.monotonic() + FRESH_S)

    @property
    def stale(self) -> bool:
        """Whether the sandbox's clock may have been moved since it was heard last."""
        return time.monotonic() > self._fresh_until


_living: set[str] = set()


@cache
def _place() -> str:
    """Where process ids mean one process: this machine's run and, within it, this container. Not its name:
    containers may share that, and a pid of one is another process, or none, in the next."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    try:
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    except OSError:
        if sys.platform == "linux":  # there may be containers, and nothing tells them apart
            parts.append(secrets.token_hex(8))
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


@contextlib.contextmanager
def turn() -> Iterator[str]:
    """The name under which one call drives hires; it is dead when the call has ended, however it did.

    It names place and process, so that others in the same place see at once when the process is gone. It
    has at most 44 characters, whatever the machine is called.
    """
    owner = f"{_place()}:{os.getpid()}:{secrets.token_hex(8)}"
    _living.add(owner)
    try:
        yield owner
    finally:
        _living.discard(owner)


def is_dead(owner: str) -> bool:
    """Whether this owner was a call of this process that has ended, or of a process of this place that has."""
    place, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if place != _place() or not pid.isdigit():
        return False
    if int(pid) == os.getpid():
        return owner not in _living
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
