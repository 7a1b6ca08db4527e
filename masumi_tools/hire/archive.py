"""Hires that ended long ago, moved out of the journal to a file of receipts; what they cost stays counted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from masumi_tools.errors import InputError
from masumi_tools.hire.purchase import Purchase
from masumi_tools.hire.receipt import Receipt, receipt_of
from masumi_tools.hire.rows import purchase_of
from masumi_tools.journal.row import Row
from masumi_tools.journal.store import Journal
from masumi_tools.text import safe_json

# An equal call is answered with a hire of the last minutes or hours; those stay.
STAYS_MS = 24 * 3_600_000
PAGE = 500


def archive(journal: Journal, before_ms: int, file: Path, now: int) -> int:
    """Move the hires that ended before `before_ms` to `file`, as JSON lines of their receipts; how many.

    Each receipt is on the disk before its hire leaves the journal, so a hire may stand in the file twice and
    is never lost. Open hires stay, and those whose money a person has to find. InputError where hires of the
    last day would go: equal calls are still answered with them.
    """
    if before_ms > now - STAYS_MS:
        raise InputError("hires of the last day stay in the journal: name an earlier date", phase="journal")
    moved = 0
    for page in journal.pages(size=PAGE):
        over = [(row, p) for row, p in _ended(page) if row.changed_ms < before_ms and not p.stuck]
        if over:
            with file.open("a", encoding="utf-8") as lines:
                _write(lines, [p for _, p in over])
            moved += journal.archive([row for row, _ in over])
    return moved


def receipt_in(file: Path, hire_id: str) -> Receipt:
    """The receipt of this hire in a file of receipts as JSON lines; InputError where there is none."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if hire_id in line:
                try:
                    found = Receipt.model_validate_json(line)
                except ValidationError:
                    continue
                if found.hire_id == hire_id:
                    return found
    raise InputError(f"there is no hire {hire_id[:60]!r} in {file}", phase="journal")


def _ended(page: list[Row]) -> Iterator[tuple[Row, Purchase]]:
    for row in page:
        if not row.is_open:
            yield row, purchase_of(row)


def _write(lines: TextIO, found: list[Purchase]) -> None:
    lines.writelines(safe_json(receipt_of(p).as_json()) + "\n" for p in found)
    lines.flush()
    os.fsync(lines.fileno())
