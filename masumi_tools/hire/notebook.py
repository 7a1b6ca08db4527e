"""What a notebook shows of receipts and quotes: a small table, every word of it escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from masumi_tools.text import plain_text

_MOST: Final = 2_000
_SHORT: Final = 200
_CELL: Final = "text-align:left;vertical-align:top"


def facts(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """A table of names and values; rows without a value are left out."""
    lines = "".join(
        f'<tr><th style="{_CELL}">{_safe(name)}</th><td style="{_CELL}">{_safe(value)}</td></tr>'
        for name, value in rows
        if value
    )
    return f"<table><caption>{_safe(title)}</caption>{lines}</table>"


def table(title: str, names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table with a line of names; long cells are cut."""
    head = "".join(f'<th style="{_CELL}">{_safe(name)}</th>' for name in names)
    lines = "".join(
        "<tr>"
        + "".join(f'<td style="{_CELL}">{_safe(plain_text(value, _SHORT))}</td>' for value in row)
        + "</tr>"
        for row in rows
    )
    return f"<table><caption>{_safe(title)}</caption><tr>{head}</tr>{lines}</table>"


def _safe(text: str) -> str:
    """Foreign text as text: no markup, no control characters, its lines kept."""
    lines = [escape(plain_text(line, _MOST)) for line in text[: _MOST * 2].splitlines()]
    return "<br>".join(lines)
