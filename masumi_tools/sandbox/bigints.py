"""Numbers as JavaScript reads them in texts: ``BigInt`` for amounts and times, ``Number`` for limits."""

from __future__ import annotations

import math
import re

_BASES = {"0x": 16, "0o": 8, "0b": 2}
_DECIMAL = re.compile(r"[+-]?[0-9]+")
_DIGITS = {16: re.compile(r"[0-9a-fA-F]+"), 8: re.compile(r"[0-7]+"), 2: re.compile(r"[01]+")}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
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


def js_number(raw: str) -> float:
    """``Number(text)``: white space is trimmed, nothing is 0, junk is NaN."""
    plain = raw.strip(_SPACES)
    if not plain:
        return 0
    if plain in ("Infinity", "+Infinity", "-Infinity"):
        return -math.inf if plain[0] == "-" else math.inf
    base = _BASES.get(plain[:2].lower())
    if base is None:
        return float(plain) if _NUMBER.fullmatch(plain) else math.nan
    if not _DIGITS[base].fullmatch(plain[2:]):
        return math.nan
    try:
        return float(int(plain[2:], base))
    except OverflowError:
        return math.inf
