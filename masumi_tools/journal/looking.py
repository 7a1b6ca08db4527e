"""Looking things up for people: pages of hires, and sums per day and service. Reads only, under no lock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from masumi_tools.journal.database import explained
from masumi_tools.journal.tables import amounts, hires


@dataclass(frozen=True, slots=True)
class Filter:
    """Which hires are wanted: in one of these states, of this budget or service, with these words in them."""

    states: tuple[str, ...] = ()
    budget: str | None = None
    service: str = ""
    words: str = ""

    def conditions(self) -> Iterable[sa.ColumnElement[bool]]:
        if self.states:
            yield hires.c.state.in_(self.states)
        if self.budget is not None:
            yield hires.c.budget == self.budget
        if self.service:
            yield hires.c.service == self.service
        for word in self.words.split()[:8]:
            yield hires.c.record.icontains(word, autoescape=True)


class Looks:
    """What a page over the journal reads."""

    @property
    def _reading(self) -> sa.Engine:
        raise NotImplementedError

    def count(self, wanted: Filter) -> int:
        """How many hires there are of these."""
        query = sa.select(sa.func.count()).select_from(hires).where(*wanted.conditions())
        return int(self._scalar(query) or 0)

    def states_of(self, service: str) -> dict[str, int]:
        """How many hires of this service are in each state."""
        query = sa.select(hires.c.state, sa.func.count()).where(hires.c.service == service)
        return dict(self._all(query.group_by(hires.c.state)))

    def units(self) -> list[str]:
        """The units in which anything was ever reserved."""
        return [unit for (unit,) in self._all(sa.select(amounts.c.unit).distinct().order_by(amounts.c.unit))]

    def sums_by_day(self, unit: str) -> dict[int, int]:
        """What counts against any budget in this unit, in base units, per day since 1970 (UTC)."""
        return self._sums(amounts.c.at_ms // 86_400_000, unit)

    def sums_by_service(self, unit: str) -> dict[str, int]:
        """What counts against any budget in this unit, in base units, per service."""
        return self._sums(amounts.c.service, unit)

    def stamp(self) -> str:
        """A text that is another one whenever a hire was saved."""
        query = sa.select(sa.func.count(), sa.func.max(hires.c.changed_ms), sa.func.sum(hires.c.version))
        return "-".join(str(part or 0) for part in self._all(query)[0])

    def _sums(self, key: Any, unit: str) -> dict[Any, int]:
        counts = sa.func.sum(amounts.c.quantity - amounts.c.returned)
        query = sa.select(key, counts).where(amounts.c.unit == unit, amounts.c.money != "released")
        return {found: int(total) for found, total in self._all(query.group_by(key)) if total}

    def _scalar(self, query: Any) -> Any:
        with explained("reading"), self._reading.connect() as db:
            return db.scalar(query)

    def _all(self, query: Any) -> list[Any]:
        with explained("reading"), self._reading.connect() as db:
            return list(db.execute(query).all())
