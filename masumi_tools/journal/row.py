"""One saved record as the journal knows it, with what it does to its budget; and the sums of budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """What one hire does to a budget in one unit: `quantity` in base units, of which `returned` came back."""

    unit: str
    quantity: int
    returned: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One saved record. `money` is how its entries count: reserved, locked, spent, refunded, released.

    `at_ms` is the moment whose day they count to, that of the reservation; 0 takes `created_ms`.
    Saving a row that is `at_rest` gives its lease back in the same transaction. `after` is the id of the
    newest record under the key that was seen when a new one was made ("" for none): adding it answers
    what has come between. `unlock_ms` is its unlock_time, by which a refund must be asked for, 0 without an
    offer. `due_ms` is when an open hire wants to be looked at, by the node's clock; a row that is read has 0
    there, except one that `due` gave, whose `rank` is where it was found, to go on from. `token` is the name
    under which the node's feed tells of it, `known_ms` when its purchase changed last as the record knows it,
    and `news_ms`, which only `due` gives, as the feed told it. `rivals` are keys of which none may be open
    when the row is added; it is not kept.
    """

    hire_id: str
    key: str
    state: str
    is_open: bool
    joinable: bool
    budget: str
    service: str
    created_ms: int
    changed_ms: int
    money: str
    record: str
    entries: tuple[Entry, ...] = ()
    version: int = 0
    at_ms: int = 0
    at_rest: bool = False
    after: str | None = None
    due_ms: int = 0
    unlock_ms: int = 0
    rank: int = 0
    token: str = ""
    known_ms: int = 0
    news_ms: int = 0
    rivals: tuple[str, ...] = ()


class Counted(Protocol):
    """What a budget's use is summed for: a hire, which does not count itself, and the service whose share is told."""

    @property
    def hire_id(self) -> str: ...
    @property
    def budget(self) -> str: ...
    @property
    def service(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Usage:
    """All that counts against one budget, in base units: summed per unit, and per unit and service."""

    total: dict[str, int] = field(default_factory=dict)
    service: dict[str, int] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    month: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money that a row takes from its budget when it is saved: `decide` makes the row of what was used before.

    No other reservation of the same budget comes between the sums and the save. `limits` is kept beside the
    budget's name, for those who want to see it.
    """

    hire: Counted
    decide: Callable[[Usage], Row]
    since_ms: int = 0
    limits: str = ""
    month_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """What the lines of a budget come to, of one unit and one money, in base units."""

    unit: str
    money: str
    quantity: int
    returned: int


def columns(row: Row) -> dict[str, Any]:
    """The row as the table of hires keeps it."""
    return {
        "hire_id": row.hire_id,
        "key": row.key,
        "open_key": row.key if row.joinable else None,
        "state": row.state,
        "is_open": row.is_open,
        "budget": row.budget,
        "service": row.service,
        "created_ms": row.created_ms,
        "changed_ms": row.changed_ms,
        "record": row.record,
    }


def read(found: Any) -> Row:
    """The row from one of that table."""
    return Row(
        hire_id=found.hire_id,
        key=found.key,
        state=found.state,
        is_open=bool(found.is_open),
        joinable=found.open_key is not None,
        budget=found.budget,
        service=found.service,
        created_ms=found.created_ms,
        changed_ms=found.changed_ms,
        money="",
        record=found.record,
        version=found.version,
    )
