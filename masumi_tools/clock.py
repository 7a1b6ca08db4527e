"""Whose time it is and who is alive: the node's clock, and the names of those that drive hires."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable


class Clock:
    """The node's clock: this machine's, moved by what the sandbox says its clock shows."""

    def __init__(self, now_ms: Callable[[], int] | None = None) -> None:
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._ahead_ms = 0

    def now(self) -> int:
        return self._now_ms() + self._ahead_ms

    def follow(self, sandbox_ms: int) -> None:
        self._ahead_ms = sandbox_ms - self._now_ms()


def owner_name() -> str:
    """Who drives: machine, process and a random part, so that a dead process of this machine is recognised."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(6)}"


def is_dead(owner: str) -> bool:
    """Whether this owner was a process of this machine that has ended."""
    host, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or not pid.isdigit() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
