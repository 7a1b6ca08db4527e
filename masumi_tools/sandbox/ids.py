"""Object ids in the style of the node's: they sort as they were made."""

from __future__ import annotations

import random

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number: int, width: int) -> str:
    """The last ``width`` base-36 digits of ``number``."""
    out = []
    for _ in range(width):
        number, rest = divmod(number, 36)
        out.append(_DIGITS[rest])
    return "".join(reversed(out))


class Ids:
    """Makes 25-character ids: ``c``, the time, a counter, the maker's mark and chance."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._count = 0
        self._mark = base36(rng.getrandbits(24), 4)

    def next(self, now_ms: int) -> str:
        self._count += 1
        chance = base36(self._rng.getrandbits(41), 8)
        return f"c{base36(now_ms, 8)}{base36(self._count, 4)}{self._mark}{chance}"
