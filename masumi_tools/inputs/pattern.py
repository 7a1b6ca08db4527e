"""Patterns in foreign schemas: run where they cannot take long, else only shown to whoever fills in the field."""

from __future__ import annotations

import re
from typing import Final

_MAX_PATTERN: Final = 200
MAX_TEXT: Final = 200  # of the text that is tried; at two open ends a search takes at most this cubed steps
_ATOM: Final = re.compile(r"\\[^1-9k]|\[(?:\\.|[^\]\\])+\]")
_OPEN_END: Final = re.compile(r"[*+?]|\{[0-9]*,[0-9]*\}")
_MANY_STEPS: Final = re.compile(r"\\|\(\?|\)[*+?{]")  # references, look-around, repeated groups


def quick_pattern(text: object) -> str:
    """The pattern when it may be run, "" for one that is none or may take for ever."""
    if not isinstance(text, str) or len(text) > _MAX_PATTERN:
        return ""
    plain = _ATOM.sub("x", text).replace("(?:", "(")
    open_ends = len(_OPEN_END.findall(plain))
    several = "|" in plain and (open_ends > 0 or plain.count("(") > 1)  # alternatives multiply
    if _MANY_STEPS.search(plain) or open_ends > 2 or several:
        return ""
    try:
        re.compile(text, re.ASCII)
    except (re.error, OverflowError):
        return ""
    return text


def fits(pattern: str, text: str) -> bool:
    """Whether a text has what the pattern looks for, anywhere in it (JSON Schema); long texts are not tried."""
    return not pattern or len(text) > MAX_TEXT or re.search(pattern, text, re.ASCII) is not None
