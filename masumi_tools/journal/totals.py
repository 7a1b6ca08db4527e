"""The sums of a budget's lines, kept beside them, so that hires that have ended are not read again.

Each line counts in three sums: of its budget, of the service within it, and of the quarter of an hour that it
belongs to. Quarters of an hour serve the midnight of every time zone. Sums are written in the transaction
of the line that changes them and nowhere else; `differences` compares them with the lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from masumi_tools.journal.statement import Statement
from masumi_tools.journal.tables import amounts, archived, totals

SLOT_MS = 15 * 60_000
BUDGET, SERVICE, SLOT = "budget", "service", "slot"


@dataclass(frozen=True, slots=True)
class Line:
    """What one hire does to its budget in one unit; `quantity` and `returned` are base units."""

    unit: str
    budget: str
    service: str
    at_ms: int
    money: str
    quantity: int
    returned: int


class Key(NamedTuple):
    """Which sum: `service` is "" except in sums of a service, `slot_ms` 0 except in those of a slot."""

    budget: str
    kind: str
    service: str
    slot_ms: int
    unit: str
    money: str


class Sum(NamedTuple):
    """Base units in all, and those that came back."""

    quantity: int
    returned: int


def keys_of(line: Line) -> tuple[Key, Key, Key]:
    """The three sums that a line counts in."""
    ends = (line.unit, line.money)
    return (
        Key(line.budget, BUDGET, "", 0, *ends),
        Key(line.budget, SERVICE, line.service, 0, *ends),
        Key(line.budget, SLOT, "", line.at_ms - line.at_ms % SLOT_MS, *ends),
    )


def changes(old: Iterable[Line], new: Iterable[Line]) -> dict[Key, Sum]:
    """What replacing the old lines by the new ones does to each sum, in the order in which they are locked."""
    quantity: Counter[Key] = Counter()
    returned: Counter[Key] = Counter()
    for sign, lines in ((-1, old), (1, new)):
        for line in lines:
            for key in keys_of(line):
                quantity[key] += sign * line.quantity
                returned[key] += sign * line.returned
    return {
        key: Sum(quantity[key], returned[key]) for key in sorted(quantity) if quantity[key] or returned[key]
    }


def _adding_to(table: str) -> sa.TextClause:
    return sa.text(
        f"INSERT INTO {table} (budget, kind, service, slot_ms, unit, money, quantity, returned)"  # noqa: S608
        " VALUES (:budget, :kind, :service, :slot_ms, :unit, :money, :quantity, :returned)"
        " ON CONFLICT (budget, kind, service, slot_ms, unit, money) DO UPDATE SET"
        f" quantity = {table}.quantity + excluded.quantity, returned = {table}.returned + excluded.returned"
    )


_ADD = Statement(_adding_to("masumi_totals"))
_ADD_ARCHIVED = _adding_to("masumi_archived")


def write(db: sa.Connection, hire_id: str, new: list[Line]) -> None:
    """Replace the lines of this hire, and bring the sums after."""
    old = lines_of(db, hire_id)
    if sorted(old, key=repr) == sorted(new, key=repr):
        return
    if old:
        _NO_LINES.run(db, {"value": hire_id})
    _LINE_OF.run_each(db, [{"hire_id": hire_id, **_values(line)} for line in new])
    _ADD.run_each(db, [{**key._asdict(), **value._asdict()} for key, value in changes(old, new).items()])


def archive(db: sa.Connection, hire_ids: Sequence[str]) -> None:
    """Take the lines of these hires away; what they count stays in the sums."""
    old = [Line(*found) for found in db.execute(sa.select(*_LINE).where(amounts.c.hire_id.in_(hire_ids)))]
    if old:
        counted = changes((), old)
        db.execute(_ADD_ARCHIVED, [{**key._asdict(), **value._asdict()} for key, value in counted.items()])
        db.execute(amounts.delete().where(amounts.c.hire_id.in_(hire_ids)))


def _values(line: Line) -> dict[str, Any]:
    return {name: getattr(line, name) for name in Line.__slots__}


_LINE = tuple(amounts.c[name] for name in Line.__slots__)
_LINES_OF = Statement(sa.select(*_LINE).where(amounts.c.hire_id == sa.bindparam("hire_id")))
_LINE_OF = Statement(amounts.insert(), amounts.c.keys())
_NO_LINES = Statement(amounts.delete().where(amounts.c.hire_id == sa.bindparam("value")))


def lines_of(db: sa.Connection, hire_id: str) -> list[Line]:
    return [Line(*found) for found in _LINES_OF.rows(db, {"hire_id": hire_id})]


_COUNTED = sa.func.sum(totals.c.quantity - totals.c.returned)


def _counted(kind: str, *also: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return (
        sa.select(sa.literal(kind), totals.c.unit, _COUNTED)
        .where(
            totals.c.budget == sa.bindparam("budget"),
            totals.c.kind == kind,
            totals.c.money != "released",
            *also,
        )
        .group_by(totals.c.unit)
    )


_USE = Statement(
    sa.union_all(_counted(BUDGET), _counted(SERVICE, totals.c.service == sa.bindparam("service")))
)
_SINCE = Statement(_counted(SLOT, totals.c.service == "", totals.c.slot_ms >= sa.bindparam("slot_ms")))
# Between a moment and the next full slot the lines themselves are read; no zone's midnight needs it.
_BEFORE_SLOT = (
    sa.select(amounts.c.unit, sa.func.sum(amounts.c.quantity - amounts.c.returned))
    .where(
        amounts.c.budget == sa.bindparam("budget"),
        amounts.c.at_ms >= sa.bindparam("since_ms"),
        amounts.c.at_ms < sa.bindparam("slot_ms"),
        amounts.c.money != "released",
    )
    .group_by(amounts.c.unit)
)


def use(
    db: sa.Connection, budget: str, service: str, since_ms: int, without: Sequence[Line]
) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """What counts against the budget, per unit: in all, of the service, and since that moment.

    The lines `without`, which are one hire's, are left out.
    """
    summed: dict[str, Counter[str]] = {BUDGET: Counter(), SERVICE: Counter()}
    for kind, unit, value in _USE.rows(db, {"budget": budget, "service": service}):
        summed[kind][unit] += int(value)
    for line in without:
        if line.budget != budget or line.money == "released":
            continue
        counts = line.quantity - line.returned
        summed[BUDGET][line.unit] -= counts
        summed[SERVICE][line.unit] -= counts if line.service == service else 0
    by_all, by_service = (_not_nothing(counter) for counter in summed.values())
    return by_all, by_service, since(db, budget, since_ms, without)


def since(db: sa.Connection, budget: str, since_ms: int, without: Iterable[Line]) -> dict[str, int]:
    """What counts against the budget since that moment, per unit, without these lines: of a day, or of a month."""
    slot_ms = -(-since_ms // SLOT_MS) * SLOT_MS
    summed: Counter[str] = Counter()
    for _kind, unit, value in _SINCE.rows(db, {"budget": budget, "slot_ms": slot_ms}):
        summed[unit] += int(value)
    if slot_ms != since_ms:
        given = {"budget": budget, "since_ms": since_ms, "slot_ms": slot_ms}
        for unit, value in db.execute(_BEFORE_SLOT, given):
            summed[unit] += int(value)
    for line in without:
        if line.budget == budget and line.money != "released" and line.at_ms >= since_ms:
            summed[line.unit] -= line.quantity - line.returned
    return _not_nothing(summed)


def _not_nothing(summed: Counter[str]) -> dict[str, int]:
    return {unit: value for unit, value in summed.items() if value}


def of_budget(db: sa.Connection, budget: str) -> list[tuple[str, str, int, int]]:
    """(unit, money, quantity, returned) of every sum of the budget that is not nothing."""
    query = sa.select(totals.c.unit, totals.c.money, totals.c.quantity, totals.c.returned).where(
        totals.c.budget == budget, totals.c.kind == BUDGET, totals.c.quantity != 0
    )
    return [
        (found[0], found[1], found[2], found[3])
        for found in db.execute(query.order_by(totals.c.unit, totals.c.money))
    ]


def differences(db: sa.Connection) -> dict[Key, tuple[Sum, Sum]]:
    """The sums that are not those of the lines, as (kept, counted from the lines and the archived)."""
    return {
        Key(*found[:6]): (Sum(*map(int, found[6:8])), Sum(*map(int, found[8:])))
        for found in db.execute(_DIFFERENT)
    }


def mend(db: sa.Connection) -> int:
    """Make the sums anew from the lines and the archived; how many were wrong."""
    wrong = differences(db)
    for key, (_kept, counted) in wrong.items():
        where = [totals.c[name] == value for name, value in key._asdict().items()]
        db.execute(totals.delete().where(*where))
        db.execute(totals.insert().values(**key._asdict(), **counted._asdict()))
    return len(wrong)


def _anew(kind: str, service: Any = None, slot_ms: Any = None) -> sa.Select[Any]:
    lines = amounts.c
    by = [part for part in (lines.budget, service, slot_ms, lines.unit, lines.money) if part is not None]
    named = (
        sa.literal(kind),
        sa.literal("") if service is None else service,
        sa.literal(0) if slot_ms is None else slot_ms,
    )
    sums = (sa.func.sum(lines.quantity), sa.func.sum(lines.returned))
    return sa.select(lines.budget, *named, lines.unit, lines.money, *sums).group_by(*by)


_COUNTED_ANEW = (
    _anew(BUDGET),
    _anew(SERVICE, service=amounts.c.service),
    _anew(SLOT, slot_ms=amounts.c.at_ms - amounts.c.at_ms % sa.literal_column(str(SLOT_MS))),
)


def _different() -> sa.Select[Any]:
    """The sums that differ, kept and counted: the database compares, so that what is right takes no memory."""
    nothing: sa.ColumnElement[int] = sa.literal_column("0")
    sides = [sa.select(*totals.c, nothing.label("counted"), nothing.label("counted_back"))]
    for query in (*_COUNTED_ANEW, sa.select(archived)):
        found = list(query.subquery().c)
        sides.append(sa.select(*found[:6], nothing, nothing, *found[6:]))
    both = list(sa.union_all(*sides).subquery().c)
    quantity, returned, counted, counted_back = map(sa.func.sum, both[6:])
    different: sa.Select[Any] = sa.select(*both[:6], quantity, returned, counted, counted_back)
    different = different.group_by(*both[:6])
    return different.having(sa.or_(quantity != counted, returned != counted_back)).order_by(*both[:6])


_DIFFERENT = _different()
