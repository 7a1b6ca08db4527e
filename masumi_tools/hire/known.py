"""What this journal knows of a service from its own hires: how often it was hired here, and what came of it.

Of each state only the newest hires are read, by an index, so that it costs the same however long the history
is. An agent is known by its identifier. A service that was hired by its URL says itself who it is, so it is
known by that URL and the key that it was paid to.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.purchase import Purchase, State
from masumi_tools.journal.store import Journal
from masumi_tools.models import Listing
from masumi_tools.target import Target

MOST: Final = 20  # of the newest hires of a service so many are looked at
_ENDS: Final = {
    State.DELIVERED: "delivered",
    State.SETTLED: "delivered",
    State.REFUND_REQUESTED: "refunded",
    State.REFUNDED: "refunded",
    State.DISPUTED: "failed",
    State.FAILED: "failed",
    State.WRITTEN_OFF: "failed",
    State.PAYING: "open",
    State.PAID: "open",
    State.LOCKED: "open",
    State.RUNNING: "open",
    State.NEEDS_INPUT: "open",
}
_STATES: Final = tuple(state.value for state in _ENDS)
_DONE: Final = (State.DELIVERED.value, State.SETTLED.value)


@dataclass(frozen=True, slots=True)
class Known:
    """The newest hires of one service in this journal, at most 20: `capped` says that there are more.

    `delivered` counts results that match their hash on the chain or could not be compared; a result that
    does not match counts as `failed`. `median_ms` is the time from order to result, None without one.
    """

    hired: int = 0
    delivered: int = 0
    refunded: int = 0
    failed: int = 0
    open: int = 0
    median_ms: int | None = None
    capped: bool = False

    def __str__(self) -> str:
        """In words: "hired 3 times here: 2 delivered, 1 refunded, median 40 s"."""
        if not self.hired:
            return "never hired here"
        counts = (
            (self.delivered, "delivered"),
            (self.refunded, "refunded"),
            (self.failed, "failed"),
            (self.open, "open"),
        )
        parts = [f"{count} {word}" for count, word in counts if count]
        if self.median_ms is not None:
            parts.append(f"median {_span(self.median_ms)}")
        head = f"hired {self.hired} time{'' if self.hired == 1 else 's'} here"
        return f"{f'the last {self.hired} hires here' if self.capped else head}: {', '.join(parts)}"

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


NEVER: Final = Known()


def _span(ms: int) -> str:
    if ms < 120_000:
        return f"{max(round(ms / 1000), 1)} s"
    return f"{round(ms / 60_000)} min" if ms < 7_200_000 else f"{round(ms / 3_600_000)} h"


Identity = tuple[str, str]


def identity(target: str, listing: Listing | None) -> Identity:
    """Who is meant: the agent; of a URL the URL and its key, as its claim to be an agent proves nothing."""
    whom = Target.kept(target)
    if whom.is_url:
        return str(whom), (listing.seller_vkey or "") if listing else ""
    return Target.kept(listing.agent_identifier if listing else target).text, ""


def known(journal: Journal, target: str, listing: Listing | None) -> Known:
    """What this journal knows of the service, whichever budget hired it."""
    return _summed(_of(journal, target, listing, _STATES))


def is_new(journal: Journal, p: Purchase, budget: Budget | None) -> bool:
    """Whether the budget has a limit for services that never delivered here, and this is one.

    A result that is not proved yet, or is not what the chain says, is no delivery.
    """
    if budget is None or budget.per_new_service is None or p.free:
        return False
    found = _of(journal, p.target, p.listing, _DONE)
    settled = State.SETTLED.value
    return not any(
        record.get("verified") is True or (state == settled and record.get("verified") is not False)
        for state, record in found
    )


def _of(
    journal: Journal, target: str, listing: Listing | None, states: Sequence[str]
) -> list[tuple[str, dict[str, Any]]]:
    mine = identity(target, listing)
    claimed = listing.agent_identifier if listing else ""
    found = journal.of_service(Target.kept(claimed or target).text, states, MOST + 1)
    read = ((row.state, _read(row.record)) for row in found)
    return [(state, record) for state, record in read if record and _identity(record) == mine]


def _read(text: str) -> dict[str, Any] | None:
    """A record as plain JSON, many at once: the whole model is not needed here."""
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _identity(record: dict[str, Any]) -> Identity:
    listing = record.get("listing") or {}
    whom = Target.kept(str(record.get("target")))
    if whom.is_url:
        return str(whom), str(listing.get("seller_vkey") or "")
    return Target.kept(str(listing.get("agent_identifier") or whom)).text, ""


def _end(state: str, record: dict[str, Any]) -> str:
    end = _ENDS[State(state)]
    return "failed" if end == "delivered" and record.get("verified") is False else end


def _summed(found: Iterable[tuple[str, dict[str, Any]]]) -> Known:
    newest = sorted(found, key=lambda one: -int(one[1].get("created_ms") or 0))
    shown = newest[:MOST]
    ends = Counter(_end(state, record) for state, record in shown)
    took = sorted(
        record["result_ms"] - record["created_ms"]
        for state, record in shown
        if _end(state, record) == "delivered" and record.get("result_ms")
    )
    middle = (took[(len(took) - 1) // 2] + took[len(took) // 2]) // 2 if took else None
    return Known(
        hired=len(shown),
        median_ms=middle,
        capped=len(newest) > MOST,
        **{name: ends[name] for name in ("delivered", "refunded", "failed", "open")},
    )
