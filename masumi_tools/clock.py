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
HEARD_S = 600.0  # and so long a node
NOISE_MS = 2_000  # a Date header says whole seconds, and answers take their time
SAMPLES = 3


class Clock:
    """The node's clock: this machine's, moved by what the node says its clock shows.

    A node says it in the Date header of its answers, the sandbox to the millisecond. `steady_ms` runs on
    whatever people do to this machine's clock: a clock that was set since is noticed and the node heard anew.
    A clock with its own `now_ms` and without `steady_ms` is never stale.
    """

    def __init__(
        self, now_ms: Callable[[], int] | None = None, steady_ms: Callable[[], int] | None = None
    ) -> None:
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._steady_ms = steady_ms or (_steady_ms if now_ms is None else None)
        self._ahead_ms = 0
        self._heard: list[int] = []
        self._exact = False
        self._apart_ms = self._apart()
        self._fresh_until = float("-inf")

    def _apart(self) -> int:
        return self._now_ms() - self._steady_ms() if self._steady_ms else 0

    def _notice_jumps(self) -> None:
        """This machine's clock was set: the node's time went on as before, and is heard anew."""
        moved = self._apart() - self._apart_ms
        if abs(moved) <= NOISE_MS:
            return
        self._apart_ms += moved
        if self._heard or self._exact:
            self._ahead_ms -= moved
        self._heard.clear()
        self._fresh_until = float("-inf")

    def now(self) -> int:
        self._notice_jumps()
        return self._now_ms() + self._ahead_ms

    def ticks(self) -> int:
        """Milliseconds that only measure how long something took."""
        return self._steady_ms() if self._steady_ms else self._now_ms()

    def follow(self, sandbox_ms: int) -> None:
        self._notice_jumps()
        self._exact = True
        self._ahead_ms = sandbox_ms - self._now_ms()
        self._fresh_until = max(self._fresh_until, self._seconds() + FRESH_S)

    def hear(self, node_ms: int) -> None:
        """What the Date header of the node's own answer says, in ms. One strange answer among several is passed over."""
        if self._exact:
            return
        self._notice_jumps()
        self._heard = [*self._heard[1 - SAMPLES :], node_ms + 500 - self._now_ms()]
        middle = sorted(self._heard)[(len(self._heard) - 1) // 2]
        self._ahead_ms = middle if abs(middle) > NOISE_MS else 0
        self._fresh_until = self._seconds() + HEARD_S

    def unheard(self) -> None:
        """The node did not say its time: it is not asked for it again at once."""
        self._fresh_until = max(self._fresh_until, self._seconds() + HEARD_S / 10)

    def _seconds(self) -> float:
        return self.ticks() / 1000

    @property
    def ahead_ms(self) -> int:
        """How far the node's clock is ahead of this machine's, as far as is known."""
        return self._ahead_ms

    @property
    def moves(self) -> bool:
        """Whether it is a sandbox's, which a person may move ahead at any moment."""
        return self._exact and self._steady_ms is not None

    @property
    def stale(self) -> bool:
        """Whether the node's time has not been heard lately, or this machine's clock was set since."""
        if self._steady_ms is None:
            return False
        self._notice_jumps()
        return self._seconds() > self._fresh_until


def _steady_ms() -> int:
    """Goes on while the machine sleeps where there is such a clock, and is never set."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return (time.monotonic_ns() if boot is None else time.clock_gettime_ns(boot)) // 1_000_000


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


_place()  # read now: no event loop waits for these files later


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
