"""What is sold: what a buyer is offered, and how the work is done. `sell` reads it, all that serves takes it whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputSpec
from masumi_tools.models import JobTimes
from masumi_tools.money import Amount, as_wire, parse_amounts
from masumi_tools.seller.jobs.job import RefundPolicy, Rules
from masumi_tools.seller.work.base import Work

PriceOf = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """The times of a job, seconds; InputError for what the node would refuse.

    To be paid and to be delivered count from the start of the job, `unlock_after_s` from the delivery time,
    `dispute_after_s` from the unlock time. `least_work_s` is what the work needs at least, `work_timeout_s` what
    it may take at most (None: what the delivery time leaves); waiting for people does not count.
    """

    pay_within_s: float = 3600
    deliver_within_s: float = 6 * 3600
    unlock_after_s: float = 6 * 3600
    dispute_after_s: float = 6 * 3600
    least_work_s: float = 0
    work_timeout_s: float | None = None

    def __post_init__(self) -> None:
        """The node's own rules (protocol N10), said before a buyer meets them."""
        for name, least in (("pay_within_s", 300), ("unlock_after_s", 900), ("dispute_after_s", 900)):
            if getattr(self, name) < least:
                raise InputError(
                    f"{name} must be at least {least} seconds: the node refuses less", phase="sell"
                )
        if self.deliver_within_s < self.pay_within_s + 900:
            raise InputError(
                "deliver_within_s must be at least 900 seconds more than pay_within_s: "
                "who pays late must still get the result in time",
                phase="sell",
            )
        if self.work_timeout_s is not None and not self.work_timeout_s > 0:
            raise InputError("work_timeout_s is a number of seconds above 0", phase="sell")

    @property
    def work_s(self) -> float:
        """The least time that is left for the work when a buyer pays in the last moment."""
        return self.deliver_within_s - self.pay_within_s

    def times(self, now_ms: int) -> JobTimes:
        """The four times of a job that begins now, ms."""
        submit = now_ms + int(self.deliver_within_s * 1000)
        unlock = submit + int(self.unlock_after_s * 1000)
        return JobTimes(
            now_ms + int(self.pay_within_s * 1000), submit, unlock, unlock + int(self.dispute_after_s * 1000)
        )


@dataclass(frozen=True, slots=True)
class Refunds:
    """When a refund that the buyer asks for is authorised.

    "no-result" (the job failed), "always" (it has ended), "never", or a function of the job.
    """

    when: RefundPolicy = "no-result"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service takes on: `unpaid` jobs in all and from one client, bytes of a request's body."""

    unpaid: int = 20_000
    unpaid_per_client: int = 200
    body_bytes: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Workers:
    """How many jobs are at work at a time, and whether each has a process of its own."""

    places: int = 4
    processes: bool = False

    @classmethod
    def read(cls, given: int | str) -> Self:
        """A number, "process" or "process:8"; InputError otherwise."""
        kind, _, number = given.partition(":") if isinstance(given, str) else ("", "", str(given))
        if kind not in ("", "process") or not (number or "4").isdecimal() or int(number or 4) < 1:
            raise InputError('workers is a number of at least 1, "process" or "process:8"', phase="sell")
        return cls(int(number or 4), kind == "process")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A service as buyers and the registry see it; a free one has no price."""

    name: str
    description: str
    spec: InputSpec
    price: tuple[Amount, ...]
    price_of: PriceOf | None = None
    url: str = ""
    tags: tuple[str, ...] = ()
    author: str = ""
    contact: str = ""
    organization: str = ""
    capability: tuple[str, str] = ("", "1.0.0")
    legal: Mapping[str, str] = field(default_factory=dict)
    example_outputs: tuple[Mapping[str, str], ...] = ()
    demo: Mapping[str, Any] | None = None
    source_index: int | None = None
    deadlines: Deadlines = field(default_factory=Deadlines)

    @property
    def free(self) -> bool:
        return not self.price and self.price_of is None

    def funds(self, data: dict[str, Any]) -> tuple[Amount, ...]:
        """What the node must be told to ask for: nothing for a fixed price, which it reads from the chain."""
        return price_tuple(self.price_of(data)) if self.price_of is not None else ()

    def pricing(self) -> dict[str, Any]:
        """The price in the registry's shape (protocol N18)."""
        if self.price_of is not None:
            return {"pricingType": "Dynamic"}
        if not self.price:
            return {"pricingType": "Free"}
        rows = [{"amount": row["amount"], "unit": row["unit"] or "lovelace"} for row in as_wire(self.price)]
        return {"pricingType": "Fixed", "FixedPricing": {"Amounts": rows}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offering:
    """All that `sell` was told: the offer, the work, and how it is done.

    `interval_s` is how often the node is asked for news (None: as often as it can have some). `portable` is
    the work as other processes can make it, where each job has one of its own.
    """

    offer: Offer
    work: Work
    rules: Rules = field(default_factory=Rules)
    limits: Limits = field(default_factory=Limits)
    workers: Workers = field(default_factory=Workers)
    portable: bytes = b""
    result_hash: Literal["escaped", "raw"] = "escaped"
    interval_s: float | None = None
    webhook_token: str | None = field(default=None, repr=False)


def rules_of(deadlines: Deadlines, refunds: Refunds | RefundPolicy) -> Rules:
    """The rules that a service's jobs are decided by."""
    limit_s = deadlines.work_timeout_s
    return Rules(
        refunds=refunds.when if isinstance(refunds, Refunds) else refunds,
        least_work_ms=int(deadlines.least_work_s * 1000),
        work_timeout_ms=None if limit_s is None else int(limit_s * 1000),
    )


def price_tuple(price: Any) -> tuple[Amount, ...]:
    """The price that a seller gave: text, Amount, a list of either; None, 0 and "free" are free of charge."""
    if price is None or price == 0 or (isinstance(price, str) and price.strip().lower() in ("free", "0")):
        return ()
    many: Sequence[Any] = price if isinstance(price, list | tuple) else [price]
    return tuple(amount for amount in parse_amounts(list(many)) if amount.quantity)
