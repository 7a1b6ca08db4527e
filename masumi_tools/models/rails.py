"""Whether each way to pay of a node works, as newer nodes tell it (protocol N2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from masumi_tools.models.wire import Names, as_object, joined, short


@dataclass(frozen=True, slots=True)
class Rail:
    """One way to pay of a node, and whether it works; None where the answer does not say."""

    name: str
    ready: bool | None
    why: str = ""


_READY: Final = ("ready", "isReady", "available", "enabled", "ok", "healthy", "operational")
_RAIL: Final = ("rail", "name", "chain", "type", "paymentSourceType", "network", "id")


def read_rails(body: Any) -> list[Rail]:
    """The answer to GET /rail-readiness: a list of rails under any key, or an object keyed by rail.

    Its form is known from the public source only, so whatever says of itself whether it is ready counts.
    """
    told = as_object(body)
    if told is None:
        return []
    row: Any = told.get("data", told)
    parts: list[tuple[str, Any]] = list(row.items()) if isinstance(row, Mapping) else [("rails", row)]
    found: list[Rail] = []
    for key, value in parts:
        entries = value if isinstance(value, list) else [value]
        for entry in entries[:50]:
            if isinstance(entry, Mapping):
                found.append(_rail(Names(entry), "" if isinstance(value, list) else str(key)))
            elif isinstance(entry, bool) and str(key).lower() not in ("success",):
                found.append(Rail(short(str(key), 60), entry))
    return [rail for rail in found if rail.name]


def _rail(entry: Names, key: str) -> Rail:
    told = [text for name in _RAIL if (text := entry.text(name))]
    name = " ".join(dict.fromkeys(filter(None, (key, *told[:3]))))
    ready = next((value for word in _READY if isinstance(value := entry.get(word), bool)), None)
    word = (entry.text("status", "state", "readiness") or "").strip().lower().replace(" ", "_")
    if ready is None and word:
        good = word in ("ready", "ok", "available", "healthy", "up", "operational", "enabled")
        bad = word.startswith(("not", "un", "dis", "down", "fail", "error", "miss", "degrad", "block"))
        ready = True if good else False if bad else None
    reasons = entry.get("reasons", "blockers", "issues", "reason", "message", "detail", "errors", "note")
    listed = reasons if isinstance(reasons, list) else [reasons]
    texts = [
        Names(one).text("message", "reason", "code") if isinstance(one, Mapping) else joined(one)
        for one in listed
    ]
    return Rail(short(name, 80), ready, short("; ".join(filter(None, texts)), 300))
