"""Whose time it is and who is alive: the node's clock, and the names of those that drive hires."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator


class Clock:
    """The node's clock: this machine's, moved by what the sandbox says its clock shows."""

    def __init__(self, now_ms: Callable[[], int] | None = None) -> None:
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._ahead_ms = 0

    def now(self) -> int:
        return self._now_ms() + self._ahead_ms

    def follow(self, sandbox_ms: int) -> None:
        self._ahead_ms = sandbox_ms - self._now_ms()


_living: set[str] = set()


@contextlib.contextmanager
def turn() -> Iterator[str]:
    """The name under which one call drives hires; it is dead when the call has ended, however it did.

    It names machine and process, so that others on this machine see at once when the process is gone.
    """
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
    _living.add(owner)
    try:
        yield owner
    finally:
        _living.discard(owner)


def is_dead(owner: str) -> bool:
    """Whether this owner was a call of this process that has ended, or of a process of this machine that has."""
    host, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or not pid.isdigit():
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
