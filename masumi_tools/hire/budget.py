"""Budget: what a buyer may spend, and the one decision about it: yes, or which limit and by how much."""

from __future__ import annotations

import contextlib
import datetime as dt
import zoneinfo
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from masumi_tools.errors import InputError
from masumi_tools.hire.notebook import facts
from masumi_tools.keywords import keywords
from masumi_tools.money import Amount, name_of, parse_amounts
from masumi_tools.target import Target, targets
from masumi_tools.text import storable

AmountsLike = str | Amount | Sequence[str | Amount]


class Use(Protocol):
    """What the journal sums up of a budget: base units per unit, in all, of one service, of the day, of the month."""

    @property
    def total(self) -> dict[str, int]: ...
    @property
    def service(self) -> dict[str, int]: ...
    @property
    def since(self) -> dict[str, int]: ...
    @property
    def month(self) -> dict[str, int]: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What an `approve` callback is shown: the service, its price, and the input that would be sent."""

    hire_id: str
    agent_identifier: str
    name: str
    url: str
    price: tuple[Amount, ...]
    input_data: Any
    budget: str

    @property
    def price_text(self) -> str:
        """The price for people, such as "2 ADA + 5 USDM"."""
        return text_of(self.price)


Approve = Callable[[Asked], bool | Awaitable[bool]]


def text_of(amounts: Iterable[Amount]) -> str:
    """Amounts for people: "2 ADA + 5 USDM", or "nothing"."""
    return " + ".join(str(amount) for amount in amounts) or "nothing"


@dataclass(frozen=True, init=False)
class Budget:
    """What may be spent under one name, in amounts such as "20 ADA" or ["20 ADA", "5 USDM"].

    `total` bounds everything ever spent under `name` in the same journal, `per_hire` one price,
    `per_day` what is reserved since midnight and `per_month` since the first of the month in `time_zone`
    (default: this machine's), `per_service` what one service gets,
    `per_new_service` what one gets that has never delivered in this journal. A unit that a limit does not name has no money under that limit; a unit that
    `total` does not name has no budget at all. `allow` and `deny` list agent identifiers or service
    URLs, in any spelling. A price above `approve_above` asks `approve`; anything but True, or an error of it, is a refusal.
    Without `approve` the question waits in the journal (outcome "needs_approval") until a person answers it
    with `Buyer.approve`, the command line or the page, or until `approval_within` (a timedelta, or seconds;
    a day) is over, which is a refusal.
    The use is summed from the journal's rows, so processes and frameworks that share journal and name
    share one budget. InputError for entries of a list that no service can match, AmountError for amounts that cannot be read.
    """

    total: tuple[Amount, ...]
    per_hire: tuple[Amount, ...] | None
    per_day: tuple[Amount, ...] | None
    per_month: tuple[Amount, ...] | None
    per_service: tuple[Amount, ...] | None
    per_new_service: tuple[Amount, ...] | None
    allow: frozenset[Target] | None
    deny: frozenset[Target]
    approve_above: tuple[Amount, ...] | None
    approve: Approve | None = field(repr=False, compare=False)
    approval_within_ms: int
    name: str
    time_zone: dt.tzinfo | None = field(repr=False)

    @keywords()
    def __init__(
        self,
        total: AmountsLike,
        per_hire: AmountsLike | None = None,
        per_day: AmountsLike | None = None,
        per_service: AmountsLike | None = None,
        allow: Iterable[str] | None = None,
        deny: Iterable[str] | None = None,
        approve_above: AmountsLike | None = None,
        approve: Approve | None = None,
        name: str = "default",
        time_zone: dt.tzinfo | None = None,
        approval_within: dt.timedelta | float = dt.timedelta(days=1),
        per_month: AmountsLike | None = None,
        per_new_service: AmountsLike | None = None,
    ) -> None:
        def limit(value: AmountsLike | None) -> tuple[Amount, ...] | None:
            return None if value is None else parse_amounts(value)

        if not name or len(name) > 200 or storable(name) != name:
            raise InputError("a budget's name has 1 to 200 characters, none of them NUL or half a character")
        if approve is not None and approve_above is None:
            raise InputError('approve is asked above a price only: add approve_above="0 ADA" for every price')
        if isinstance(approval_within, dt.timedelta):
            approval_within = approval_within.total_seconds()
        if not 0 < approval_within <= _LONGEST_S:
            raise InputError("approval_within is a time of up to ten years: a timedelta, or seconds")
        values: dict[str, object] = {
            "total": parse_amounts(total),
            "per_hire": limit(per_hire),
            "per_day": limit(per_day),
            "per_month": limit(per_month),
            "per_service": limit(per_service),
            "per_new_service": limit(per_new_service),
            "allow": None if allow is None else targets(allow, "allow"),
            "deny": targets(() if deny is None else deny, "deny"),
            "approve_above": limit(approve_above),
            "approve": approve,
            "approval_within_ms": int(approval_within * 1000),
            "name": name,
            "time_zone": time_zone,
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)
        if not self._asks_somebody():
            raise InputError(
                "approve would never be asked: no price above approve_above fits the other limits"
            )

    def refusal(
        self,
        price: Sequence[Amount],
        use: Use,
        services: Iterable[str],
        claimed: str = "",
        *,
        new: bool = False,
    ) -> str | None:
        """None when `price` may be reserved on top of `use`; else which limit forbids it and by how much.

        `services` are the names under which the service is known, `claimed` is one that it gave itself:
        that may get it denied, and never allowed. `new` says that it has never delivered here.
        """
        names = {Target.kept(service) for service in services if service}
        if (names | {Target.kept(claimed)}) & self.deny:
            return f"the service is on the deny list of the budget {self.name!r}"
        if self.allow is not None and not names & self.allow:
            return f"the service is not on the allow list of the budget {self.name!r}"
        for limit, words, used in (
            (self.per_hire, "per hire", {}),
            (self.per_service, "for this service", use.service),
            (
                self.per_new_service if new else None,
                "for a service that has never delivered here",
                use.service,
            ),
            (self.per_day, "today", use.since),
            (self.per_month, "this month", use.month),
            (self.total, "in total", use.total),
        ):
            if limit is not None and (reason := _over(limit, price, used, words)):
                return f"the price is {text_of(price)}; the budget {self.name!r} {reason}"
        return None

    def _asks_somebody(self) -> bool:
        """Whether some price that the limits allow needs a yes, or none was meant to."""
        if self.approve_above is None:
            return True
        free = {amount.unit: amount.quantity for amount in self.approve_above}
        most = {amount.unit: amount.quantity for amount in self.total}
        for limit in (self.per_hire, self.per_day, self.per_month, self.per_service):
            if limit is not None:
                named = {amount.unit: amount.quantity for amount in limit}
                most = {unit: min(most[unit], named.get(unit, 0)) for unit in most}
        return not any(most.values()) or any(most[unit] > free.get(unit, 0) for unit in most)

    def needs_approval(self, price: Sequence[Amount]) -> bool:
        """Whether a person has to say yes to this price first."""
        if self.approve_above is None:
            return False
        return _over(self.approve_above, price, {}, "") is not None

    def as_json(self) -> dict[str, Any]:
        """The limits as plain JSON values: a process that gets a person's approval later keeps to them."""
        return {
            item.name: _dumped(getattr(self, item.name)) for item in fields(self) if item.name != "approve"
        }

    @classmethod
    def of_json(cls, data: Any) -> Budget:
        """The budget whose limits were kept by `as_json`, without its approve function."""
        budget = cls(())
        for name, value in (data if isinstance(data, dict) else {}).items():
            if name in cls.__dataclass_fields__:
                object.__setattr__(budget, name, _loaded(value))
        return budget

    def _repr_html_(self) -> str:
        limits = ("total", "per_hire", "per_day", "per_month", "per_service", "approve_above")
        return facts(
            f"budget {self.name}",
            [
                (name.replace("_", " "), text_of(getattr(self, name)))
                for name in limits
                if getattr(self, name) is not None
            ],
        )

    def day_start_ms(self, now: int) -> int:
        """Midnight before `now` in the budget's time zone, in ms."""
        here = self._here(now)
        return self._midnight_ms(here.year, here.month, here.day)

    def month_start_ms(self, now: int) -> int | None:
        """The beginning of the month in the budget's time zone, in ms; None where no limit asks for it."""
        here = self._here(now)
        return None if self.per_month is None else self._midnight_ms(here.year, here.month, 1)

    def _here(self, now: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(now / 1000, dt.UTC).astimezone(self.time_zone)

    def _midnight_ms(self, year: int, month: int, day: int) -> int:
        # This machine's zone is asked anew: at midnight its clocks may have stood otherwise than now.
        return int(dt.datetime(year, month, day, tzinfo=self.time_zone).timestamp() * 1000)


_A_DAY = dt.datetime.fromtimestamp(0, dt.UTC).replace(tzinfo=None)
_LONGEST_S = 10 * 366 * 86_400


def _dumped(value: Any) -> Any:
    match value:
        case tuple():
            return {"amounts": [[str(amount.quantity), amount.unit] for amount in value]}
        case frozenset():
            return {"services": sorted(str(target) for target in value)}
        case dt.tzinfo():
            offset = value.utcoffset(_A_DAY) or dt.timedelta()
            return {"zone": getattr(value, "key", None), "offset_s": offset.total_seconds()}
    return value


def _loaded(value: Any) -> Any:
    match value:
        case {"amounts": amounts}:
            return tuple(Amount(int(quantity), unit) for quantity, unit in amounts)
        case {"services": services}:
            return targets(services, "limits")
        case {"zone": zone, "offset_s": offset_s}:
            if zone:
                with contextlib.suppress(KeyError, ValueError, OSError):
                    return zoneinfo.ZoneInfo(zone)
            return dt.timezone(dt.timedelta(seconds=offset_s))
    return value


def _over(limit: Sequence[Amount], price: Sequence[Amount], used: dict[str, int], words: str) -> str | None:
    """Why the price does not fit under the limit, as the end of "the budget ..."; None when it fits."""
    allowed = {amount.unit: amount.quantity for amount in limit}
    for amount in price:
        if amount.quantity == 0:
            continue
        bound = allowed.get(amount.unit)
        if bound is None:
            units = " and ".join(name_of(one.unit) for one in limit)
            return f"has no {name_of(amount.unit)} {words}" + (f", only {units}" if units else "")
        left = max(bound - used.get(amount.unit, 0), 0)
        if amount.quantity > left:
            rest = f", {Amount(left, amount.unit)} of it is left" if left < bound else ""
            return f"allows {Amount(bound, amount.unit)} {words}{rest}"
    return None
