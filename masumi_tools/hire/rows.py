"""Between record and journal: how a Purchase is saved, what it does to its budget, and the reservation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from masumi_tools.errors import JournalError
from masumi_tools.hire.acceptance import above
from masumi_tools.hire.budget import Budget, text_of
from masumi_tools.hire.counting import counts
from masumi_tools.hire.purchase import Event, Purchase, State
from masumi_tools.journal.row import Entry, Reservation, Row, Usage, Used
from masumi_tools.journal.turns import token
from masumi_tools.models.times import read_time
from masumi_tools.money import Amount
from masumi_tools.target import Target

# What the polls change; a record that differs only in these need not be saved.
_POLLING = {
    "next_node_ms",
    "next_job_ms",
    "quiet_polls",
    "silent_polls",
    "node_read_ms",
    "last_seen_job_ms",
    "looked_ms",
}


def row_of(p: Purchase, before: Purchase | None = None, *, at_rest: bool = False, due_ms: int = 0) -> Row:
    """The row to save; its budget lines only where they differ from those of `before`. `due_ms`: 0 is at once."""
    lines = _lines(p)
    changed = before is None or lines != _lines(before)
    money, entries = lines
    return Row(
        hire_id=p.hire_id,
        key=p.key,
        state=p.state.value,
        is_open=not p.ended,
        joinable=p.joinable,
        budget=p.budget,
        service=service_of(p),
        created_ms=p.created_ms,
        changed_ms=p.changed_ms,
        money=money,
        entries=entries if changed else (),
        record=p.model_dump_json(),
        version=p.version,
        at_ms=p.at(State.RESERVED) or 0,
        at_rest=at_rest,
        due_ms=due_ms,
        unlock_ms=p.terms.times.unlock_time if p.terms else 0,
        token=token(p.terms.blockchain_identifier) if p.terms else "",
        known_ms=changed_ms(p.node.changed_at) if p.node else 0,
    )


def changed_ms(text: str) -> int:
    """When the node says that a purchase changed, in ms of its clock; 0 where that is no time."""
    return read_time(text).ms or 0


def unwritten(p: Purchase, error: JournalError) -> Purchase:
    """The record as it is known, where the journal fails after money may have moved: no reason to raise."""
    return p.but(notes=(*p.notes, f"{error}; the hire continues when the journal works again"))


def purchase_of(row: Row) -> Purchase:
    """The record of a row that was read; JournalError where this version cannot read it."""
    try:
        return Purchase.model_validate_json(row.record).but(version=row.version)
    except ValidationError as error:
        raise JournalError(
            f"the record of hire {row.hire_id} cannot be read; it was written by a newer masumi_tools, or is damaged",
            phase="journal",
            repeatable=False,
        ) from error


def service_of(p: Purchase) -> str:
    """The name under which a service's share of a budget is counted: its agent identifier, else its URL."""
    agent = p.listing.agent_identifier if p.listing else ""
    return Target.kept(agent or p.target).text


@dataclass(frozen=True, slots=True)
class Share:
    """Whose use of which budget is summed before this hire takes its price from it."""

    hire_id: str
    budget: str
    service: str


def share_of(p: Purchase) -> Share:
    """The hire as the journal's sums know it."""
    return Share(p.hire_id, p.budget, service_of(p))


def worth_saving(before: Purchase, after: Purchase) -> bool:
    """Whether there is more to remember than the times of the polls, or what can simply be looked up again."""
    if after.state in (State.ASKED, State.LISTED) or (
        before.state is after.state is State.RESERVED and after.layout == 0
    ):
        return False
    if after.state is not before.state:
        return True
    old, new = before.__dict__, after.__dict__
    return any(new[name] != old[name] for name in new if name not in _POLLING)


def _lines(p: Purchase) -> tuple[str, tuple[Entry, ...]]:
    money = counts(p)
    if not money:
        return "", ()
    back = {amount.unit: amount.quantity for amount in p.returned}
    # The node returns the collateral with a refund; a budget never gets back more than it gave.
    entries = tuple(
        Entry(amount.unit, amount.quantity, min(back.get(amount.unit, 0), amount.quantity))
        for amount in p.price
    )
    return money, entries


class Reserving:
    """A hire that takes its price from the budget, or is refused: decided where the sums are made.

    `money` is for the journal, which saves what comes of it; `saved` is then the record. `denied`: a person, or
    the node, said no. `new`: the service has never delivered here.
    """

    def __init__(
        self, p: Purchase, budget: Budget | None, denied: str | None, now: int, *, new: bool = False
    ) -> None:
        self._p, self._budget, self._denied, self._now, self._new = p, budget, denied, now, new
        self._chosen = p
        day_ms, month_ms = periods(budget, now)
        limits = text_of(budget.total) if budget else ""
        self.money = Reservation(share_of(p), self._decide, day_ms, limits, month_ms)

    def _decide(self, usage: Usage) -> Row:
        reason = self._denied or refusal(self._p, self._budget, usage, new=self._new)
        if reason is not None:
            self._chosen = self._p.move(Event.REFUSED, self._now, reason=reason)
        else:
            self._chosen = self._p.move(Event.RESERVED, self._now)
        return row_of(self._chosen)

    def saved(self, row: Row) -> Purchase:
        """The record as it was saved."""
        return self._chosen.but(version=row.version)


def periods(budget: Budget | None, now: int) -> tuple[int, int | None]:
    """When the day of the budget began, and its month where a limit asks for it, in ms."""
    return (budget.day_start_ms(now), budget.month_start_ms(now)) if budget else (0, None)


def refusal(p: Purchase, budget: Budget | None, usage: Usage, *, new: bool = False) -> str | None:
    """Why this price may not be taken from the budget; None when it may. A free service needs only the lists.

    `new` says that the service has never delivered here.
    """
    if not p.free and not p.price:
        return "the price is set by the offer; pass max_price, the most that you accept to pay"
    if budget is None:
        if p.free or p.max_price is not None:
            return above(p.price, p.max_price)
        return "no budget and no max_price is set, so only free services can be hired"
    if p.whom.is_url:
        return budget.refusal(p.price, usage, {p.target}, claimed=service_of(p), new=new)
    names = {service_of(p), p.target}
    if p.listing is not None:
        names.add(p.listing.api_base_url)
    return budget.refusal(p.price, usage, names, new=new)


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """A budget in one unit, in base units: of `limit`, what is reserved, locked, spent and left.

    `refunded` came back and `released` was never used; both are free again. `limit` and `left` are None
    where no limit is known.
    """

    unit: str
    limit: int | None
    reserved: int
    locked: int
    spent: int
    refunded: int
    released: int

    @property
    def used(self) -> int:
        return self.reserved + self.locked + self.spent

    @property
    def left(self) -> int | None:
        return None if self.limit is None else max(self.limit - self.used, 0)

    def __str__(self) -> str:
        def shown(quantity: int) -> str:
            return str(Amount(quantity, self.unit))

        parts = [f"{shown(value)} {name}" for name, value in self._parts() if value]
        head = (
            f"{shown(self.left)} of {shown(self.limit)} left"
            if self.limit is not None and self.left is not None
            else f"{shown(self.used)} used"
        )
        return f"{head}{': ' if parts else ''}{', '.join(parts)}"

    def _parts(self) -> list[tuple[str, int]]:
        return [
            ("reserved", self.reserved),
            ("locked", self.locked),
            ("spent", self.spent),
            ("refunded", self.refunded),
        ]


def budget_lines(used: Sequence[Used], limits: Sequence[Amount] = ()) -> list[BudgetLine]:
    """The lines of a budget per unit, derived from the journal's rows alone."""
    bounds = {amount.unit: amount.quantity for amount in limits}
    lines = {unit: BudgetLine(unit, bounds.get(unit), 0, 0, 0, 0, 0) for unit in bounds}
    for entry in used:
        line = lines.get(entry.unit) or BudgetLine(entry.unit, bounds.get(entry.unit), 0, 0, 0, 0, 0)
        kept = entry.quantity - entry.returned
        if entry.money == "refunded":
            line = replace(line, refunded=line.refunded + entry.returned, spent=line.spent + kept)
        elif entry.money == "released":
            line = replace(line, released=line.released + entry.quantity)
        else:
            line = replace(
                line,
                **{entry.money: getattr(line, entry.money) + kept},
                refunded=line.refunded + entry.returned,
            )
        lines[entry.unit] = line
    return sorted(lines.values(), key=lambda line: line.unit)


__all__ = [
    "BudgetLine",
    "Reserving",
    "budget_lines",
    "changed_ms",
    "purchase_of",
    "refusal",
    "row_of",
    "share_of",
    "text_of",
    "worth_saving",
]
