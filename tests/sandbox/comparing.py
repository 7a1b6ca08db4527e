"""Compares an answer of the sandbox with the recorded one: shape, types, and every value that is not volatile."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from itertools import combinations
from typing import Any

Path = tuple[str, ...]
SAME_THING = ("id", "blockchainIdentifier", "requestedById", "txHash")
"""Volatile names that still must tell the same thing from another within a story."""
ISO = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")
SLACK_MS = 5_000
"""What the clock of a recording may have gone on between a request and the time in its answer."""
ORDERING = (
    "createdAt",
    "updatedAt",
    "statusUpdatedAt",
    "nextActionLastChangedAt",
    "onChainStateOrResultLastChangedAt",
    "nextActionOrOnChainStateOrResultLastChangedAt",
)
"""Times by which lists are sorted."""
MASKED = re.compile(r"\*{5}.{4}")


def volatile_paths(listed: Iterable[str]) -> list[Path]:
    """The ends of paths whose values differ from run to run, read from a corpus' ``volatile`` list."""
    found: list[Path] = []
    for entry in listed:
        text = re.sub(r"\s*\(.*\)$| in a 409 object$", "", entry)
        if " " in text:
            continue  # prose: the text of a JSON parse error is handled where answers are compared
        match = re.fullmatch(r"(.*)\.\{(.*)\}", text)
        texts = [f"{match.group(1)}.{name}" for name in match.group(2).split(",")] if match else [text]
        found += [tuple(part.replace("[]", "") for part in name.split(".")) for name in texts]
    return found


class Comparison:
    """Collects differences between a recorded and a replayed answer."""

    def __init__(self, volatile: Iterable[str]) -> None:
        self._volatile = volatile_paths(volatile)
        self.now_ms = 0
        self.since_ms = 0
        """Since when the replay follows the recording: times from then on are the same moments in both."""
        self._there: dict[str, str] = {}
        self._back: dict[str, str] = {}

    def new_story(self) -> None:
        """Forget which replayed id stands for which recorded one."""
        self._there.clear()
        self._back.clear()

    def differences(self, recorded: Any, replayed: Any) -> list[str]:
        found: list[str] = []
        self._compare(recorded, replayed, (), found)
        return found

    def _compare(self, old: Any, new: Any, path: Path, found: list[str]) -> None:
        where = ".".join(path) or "body"
        if isinstance(old, dict) and isinstance(new, dict):
            for name in old.keys() - new.keys():
                found.append(f"{where}: {name} is missing")
            for name in new.keys() - old.keys():
                found.append(f"{where}: {name} is not in the recording")
            for name in old.keys() & new.keys():
                self._compare(old[name], new[name], (*path, name), found)
        elif isinstance(old, list) and isinstance(new, list):
            if len(old) != len(new):
                found.append(f"{where}: {len(new)} entries instead of {len(old)}")
            found += [f"{where}: {name} in another order" for name in ORDERING if _turned(old, new, name)]
            for one, other in zip(old, new, strict=False):
                self._compare(one, other, path, found)
        elif _kind(old) != _kind(new) or not self._same(old, new, path):
            found.append(f"{where}: {_short(new)} instead of {_short(old)}")

    def _same(self, old: Any, new: Any, path: Path) -> bool:
        if any(path[-len(end) :] == end for end in self._volatile):
            if isinstance(old, str) and (then := iso_ms(old)) is not None:
                return self._same_time(then, iso_ms(new))
            if path[-1] == "blockTime" and isinstance(old, int) and self.since_ms <= old * 1000:
                return self._same_time(old * 1000, new * 1000)
            named = path[-1] in SAME_THING and isinstance(old, str)
            return not named or self._stands_for(old, new)
        if path[-1:] == ("token",) and isinstance(old, str) and old != new:
            return old.startswith("<token:") or bool(MASKED.fullmatch(old) and MASKED.fullmatch(new))
        return bool(old == new)

    def _same_time(self, old: int, new: int | None) -> bool:
        """A time of its own run: of the same form, and at the same distance from the moment of the request.

        What was there before the run began has another age in each, and only must not lie in the future.
        """
        if new is None:
            return False
        if self.since_ms and old >= self.since_ms:
            return abs(new - old) <= SLACK_MS
        latest = self.now_ms + SLACK_MS
        return (old <= latest) == (new <= latest)

    def _stands_for(self, old: str, new: str) -> bool:
        return self._there.setdefault(old, new) == new and self._back.setdefault(new, old) == old


def _turned(old: list[Any], new: list[Any], name: str) -> bool:
    """Whether two rows of a list of which one is earlier have changed places."""
    before, after = _moments(old, name), _moments(new, name)
    if before is None or after is None or len(before) != len(after):
        return False
    pairs = combinations(zip(before, after, strict=True), 2)
    return any((a < b and c > d) or (a > b and c < d) for (a, c), (b, d) in pairs)


def _moments(rows: list[Any], name: str) -> list[int] | None:
    if not rows or not all(isinstance(row, dict) and isinstance(row.get(name), str) for row in rows):
        return None
    times = [iso_ms(row[name]) for row in rows]
    return [time for time in times if time is not None] if None not in times else None


def iso_ms(text: str) -> int | None:
    """A time as node and registry write it, in ms; None for any other text."""
    if ISO.fullmatch(text) is None:
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return None


def _kind(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(type(value))
    return "number" if isinstance(value, (int, float)) else str(type(value))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."
