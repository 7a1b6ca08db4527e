"""Object ids in the style of the node's: they sort as they were made."""

from __future__ import annotations

import random

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]


def base36(number: int, pairs: int) -> str:
    """The last ``2 * pairs`` base-36 digits of ``number``."""
    out = ""
    for _ in range(pairs):
        number, rest = divmod(number, 1296)
        out = _PAIRS[rest] + out
    return out


class Ids:
    """Makes 25-character ids: ``c``, the time, a counter, the maker's mark and chance."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._count = 0
        self._mark = base36(rng.getrandbits(24), 2)

    def next(self, now_ms: int) -> str:
        self._count += 1
        chance = base36(self._rng.getrandbits(41), 4)
        return f"c{base36(now_ms, 4)}{base36(self._count, 2)}{self._mark}{chance}"
