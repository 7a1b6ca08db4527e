"""What both harnesses share: verdicts per file, and the rows that are decided to stay wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

VERDICTS = ("right", "wrong", "left out")


def decided(file: Path) -> dict[str, str]:
    """The rows of a baseline: one "file: row  # reason" a line; a reason is needed. ValueError otherwise."""
    found: dict[str, str] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.exists() else (), 1):
        if not line.strip() or line.startswith("#"):
            continue
        row, _, reason = line.partition("#")
        if ": " not in row or not reason.strip():
            raise ValueError(f'{file.name}:{number}: a line reads "file: row  # reason", not {line!r}')
        found[row.strip()] = reason.strip()
    return found


def counted(file: str, verdicts: Iterable[str]) -> str:
    """One line with what came of a file."""
    counts = Counter(verdicts)
    return f"{file}: " + ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)


def verdict_of(wrong: Iterable[str], right: Iterable[str], baseline: dict[str, str]) -> tuple[int, list[str]]:
    """The exit status, and a line for each row that the baseline speaks of: 1 for a wrong row that it does not name."""
    bad, good = set(wrong), set(right)
    lines = [f"decided: {row}: {why}" for row, why in baseline.items() if row in bad]
    lines += [f"decided, and right now: {row}" for row in baseline if row in good]
    return int(bool(bad - baseline.keys())), lines
