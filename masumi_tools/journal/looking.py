"""Looking things up for people: pages of hires, and sums per day and service. Reads only, under no lock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from masumi_tools.journal.database import explained
from masumi_tools.journal.tables import budgets, hires, totals
from masumi_tools.journal.totals import BUDGET, SERVICE, SLOT
from masumi_tools.text import storable

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Filter:
    """Which hires are wanted: in one of these states, of this budget or service, with these words in them."""

    states: tuple[str, ...] = ()
    budget: str | None = None
    service: str = ""
    words: str = ""

    def conditions(self, dialect: str) -> Iterable[sa.ColumnElement[bool]]:
        if self.states:
            yield hires.c.state.in_(self.states)
        if self.budget is not None:
            yield hires.c.budget == storable(self.budget)
        if self.service:
            yield hires.c.service == storable(self.service)
        for word in storable(self.words).split()[:8]:
            escaped = word.replace("/", "//").replace("%", "/%").replace("_", "/_")
            pattern = f"%{escaped}%"
            # LIKE of SQLite knows no capitals (of ASCII), and needs a fraction of the time of lower().
            like = hires.c.record.like if dialect == "sqlite" else hires.c.record.ilike
            yield like(pattern, escape="/")


def _of(kind: str) -> tuple[sa.ColumnElement[bool], ...]:
    """The sums of this kind of every budget; they are named so that the index is read, not the table."""
    return totals.c.budget.in_(sa.select(budgets.c.name)), totals.c.kind == kind


_COUNTS = sa.func.sum(totals.c.quantity - totals.c.returned)


class Looks:
    """What a page over the journal reads."""

    @property
    def _reading(self) -> sa.Engine:
        raise NotImplementedError

    def found(
        self, wanted: Filter, limit: int = 50, offset: int = 0, *, oldest: bool = False
    ) -> tuple[int, list[str]]:
        """How many hires there are of these, and the ids of a page of them: the newest, or the oldest, first."""
        mine = list(wanted.conditions(self._reading.dialect.name))
        age = hires.c.created_ms, hires.c.hire_id
        order = age if oldest else [column.desc() for column in age]
        ids = sa.select(hires.c.hire_id).where(*mine).order_by(*order)
        if wanted.words:  # each record is read for its words: once
            every = [hire_id for (hire_id,) in self._all(ids)]
            return len(every), every[offset : offset + limit]
        count = self._all(sa.select(sa.func.count()).select_from(hires).where(*mine))[0][0]
        return int(count), [hire_id for (hire_id,) in self._all(ids.limit(limit).offset(offset))]

    def states_of(self, services: Iterable[str]) -> dict[str, dict[str, int]]:
        """How many hires of each of these services are in each state."""
        query = sa.select(hires.c.service, hires.c.state, sa.func.count()).where(
            hires.c.service.in_([storable(service) for service in services])
        )
        found: dict[str, dict[str, int]] = {}
        for service, state, number in self._all(query.group_by(hires.c.service, hires.c.state)):
            found.setdefault(service, {})[state] = number
        return found

    def units(self) -> list[str]:
        """The units in which anything was ever reserved."""
        query = sa.select(totals.c.unit).where(*_of(BUDGET)).distinct()
        return [unit for (unit,) in self._all(query.order_by(totals.c.unit))]

    def sums_by_day(self, unit: str, most: int) -> dict[int, int]:
        """What counts against any budget in this unit, in base units, of the newest `most` days that have any.

        Days are UTC, told by their beginning in ms.
        """
        day = (totals.c.slot_ms - totals.c.slot_ms % sa.literal_column(str(DAY_MS))).label("day")
        return self._sums(SLOT, day, unit, day.desc(), most)

    def sums_by_service(self, unit: str, most: int) -> dict[str, int]:
        """What counts against any budget in this unit, in base units, of the `most` services with the largest sums."""
        return self._sums(SERVICE, totals.c.service, unit, _COUNTS.desc(), most)

    def stamp(self) -> str:
        """A text that is another one whenever an open hire was saved, or one began or ended."""
        mine = sa.func.count(), sa.func.max(hires.c.changed_ms), sa.func.sum(hires.c.version)
        return "-".join(str(part or 0) for part in self._all(sa.select(*mine).where(hires.c.is_open))[0])

    def _sums(self, kind: str, key: Any, unit: str, first: Any, most: int) -> dict[Any, int]:
        mine = *_of(kind), totals.c.unit == unit, totals.c.money != "released"
        query = sa.select(key, _COUNTS).where(*mine).group_by(key).having(_COUNTS != 0)
        return {found: int(total) for found, total in self._all(query.order_by(first, key).limit(most))}

    def _all(self, query: Any) -> list[Any]:
        with explained("reading"), self._reading.connect() as db:
            return list(db.execute(query).all())
