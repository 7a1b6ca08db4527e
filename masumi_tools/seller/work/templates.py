"""Texts with names in braces, as crews have them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_\-]*)}")


def placeholders(texts: list[str]) -> list[str]:
    """The names in braces that a crew fills in, in the order of their first use; JSON's braces are none."""
    return list(dict.fromkeys(name for text in texts for name in _PLACEHOLDER.findall(text)))


def fill(text: str, values: Mapping[str, Any]) -> str:
    """Text with its placeholders filled in one pass, so that braces inside of a value stay as they are."""
    return _PLACEHOLDER.sub(lambda m: str(values[m[1]]) if m[1] in values else m[0], text)


def as_file_name(value: Any) -> str:
    """A buyer's value as one harmless part of a file's name: letters, digits, "-" and "_", never a path."""
    return re.sub(r"[^\w\-]+", "_", str(value)).strip("_")[:60] or "_"
