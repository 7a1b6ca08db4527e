"""The sandbox's clock: the wall clock, the wall clock times a factor, or one that is moved by hand."""

from __future__ import annotations

import time
from typing import Literal

Mode = Literal["real", "scaled", "manual"]


class Clock:
    """Unix milliseconds of the simulated network. ``advance`` works in every mode and never goes back."""

    def __init__(self, mode: Mode = "real", *, now_ms: int | None = None, scale: float = 1.0) -> None:
        if mode != "scaled" and scale != 1.0:
            raise ValueError("only a scaled clock takes a scale")
        self.mode: Mode = mode
        self.scale = scale
        wall = time.time_ns() // 1_000_000
        self._base_ms = wall if now_ms is None else now_ms
        self._started_ns = time.monotonic_ns()

    def now_ms(self) -> int:
        if self.mode == "manual":
            return self._base_ms
        return self._base_ms + int((time.monotonic_ns() - self._started_ns) * self.scale) // 1_000_000

    def advance(self, ms: int) -> None:
        """Move the clock forward by ``ms``; ValueError when negative."""
        if ms < 0:
            raise ValueError("the clock cannot go back")
        self._base_ms += ms

    def move_to(self, now_ms: int) -> None:
        """Set a manual clock; it may not go back (replays set an equal or later time)."""
        if self.mode != "manual":
            raise ValueError("only a manual clock can be set")
        if now_ms < self._base_ms:
            raise ValueError("the clock cannot go back")
        self._base_ms = now_ms
