"""Trouble that comes back every second is said once a minute."""

from __future__ import annotations

import logging
import threading
import time

EVERY_S = 60.0


class Murmur:
    """Logs the first of a trouble at once and then one line a minute; `passed` says its end, once."""

    def __init__(self, log: logging.Logger, every_s: float = EVERY_S) -> None:
        self._log = log
        self._every_s = every_s
        self._guard = threading.Lock()
        self._said: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def warning(self, words: str, *values: object) -> bool:
        """Log it, unless the same trouble (the same `words`) was logged within the last minute; whether it was."""
        now = time.monotonic()
        with self._guard:
            times = self._times[words] = self._times.get(words, 0) + 1
            if words in self._said and now - self._said[words] < self._every_s:
                return False
            self._said[words] = now
            self._times[words] = 0
        again = f" ({times} times since it was last said)" if times > 1 else ""
        self._log.warning(words + "%s", *values, again)
        return True

    def passed(self, words: str) -> None:
        """All is well again: said once after trouble, and the next trouble is logged at once."""
        with self._guard:
            if not self._said:
                return
            self._said.clear()
            self._times.clear()
        self._log.warning(words)
