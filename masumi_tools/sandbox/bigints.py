"""Whole numbers as JavaScript's ``BigInt(text)`` reads them: so the node reads amounts and times."""

from __future__ import annotations

import re

_BASES = {"0x": 16, "0o": 8, "0b": 2}
_DECIMAL = re.compile(r"[+-]?[0-9]+")
_DIGITS = {16: re.compile(r"[0-9a-fA-F]+"), 8: re.compile(r"[0-7]+"), 2: re.compile(r"[01]+")}
_SPACES = "\ufeff \t\n\r\v\f\u00a0\u1680\u2028\u2029\u202f\u205f\u3000"
_SPACES += "".join(map(chr, range(0x2000, 0x200B)))
LIMIT = 2**63
"""Beyond this the node's database refuses a number, and the request ends as a 500."""


def big_int(text: str) -> int:
    """``BigInt(text)``: white space around and ``0x`` are taken, ``""`` is 0; ValueError where it throws."""
    text = text.strip(_SPACES)
    if not text:
        return 0
    base = _BASES.get(text[:2].lower())
    if base:
        if not _DIGITS[base].fullmatch(text[2:]):
            raise ValueError("not a BigInt")
        return int(text[2:], base)
    if not _DECIMAL.fullmatch(text):
        raise ValueError("not a BigInt")
    return int(text)
