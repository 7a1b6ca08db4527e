"""The clock that a seller lives by: this machine's, or the sandbox's where there is one."""

from __future__ import annotations

import time


class Clock:
    """`now_ms()` for every decision. `heard` is told the sandbox's time and keeps the distance to it."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._ahead_ms

    def heard(self, sandbox_now_ms: int) -> None:
        self._ahead_ms = sandbox_now_ms - time.time_ns() // 1_000_000
