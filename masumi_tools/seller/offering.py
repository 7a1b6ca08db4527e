"""What is offered: the name, the price, the input fields and the times that a buyer is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputSpec
from masumi_tools.models import JobTimes
from masumi_tools.money import Amount, as_wire, parse_amounts

PriceOf = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A service as it is offered. Times are seconds from the start of a job; a free one has no price."""

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
    pay_within_s: float = 3600
    deliver_within_s: float = 6 * 3600
    unlock_after_s: float = 6 * 3600
    dispute_after_s: float = 6 * 3600

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

    @property
    def free(self) -> bool:
        return not self.price and self.price_of is None

    @property
    def work_s(self) -> float:
        """The least time that is left for the work when a buyer pays in the last moment."""
        return self.deliver_within_s - self.pay_within_s

    def funds(self, data: dict[str, Any]) -> tuple[Amount, ...]:
        """What the node must be told to ask for: nothing for a fixed price, which it reads from the chain."""
        return price_tuple(self.price_of(data)) if self.price_of is not None else ()

    def times(self, now_ms: int) -> JobTimes:
        """The four times of a job that begins now, ms."""
        submit = now_ms + int(self.deliver_within_s * 1000)
        unlock = submit + int(self.unlock_after_s * 1000)
        return JobTimes(
            now_ms + int(self.pay_within_s * 1000), submit, unlock, unlock + int(self.dispute_after_s * 1000)
        )

    def pricing(self) -> dict[str, Any]:
        """The price in the registry's shape (protocol N18)."""
        if self.price_of is not None:
            return {"pricingType": "Dynamic"}
        if not self.price:
            return {"pricingType": "Free"}
        rows = [{"amount": row["amount"], "unit": row["unit"] or "lovelace"} for row in as_wire(self.price)]
        return {"pricingType": "Fixed", "FixedPricing": {"Amounts": rows}}


def price_tuple(price: Any) -> tuple[Amount, ...]:
    """The price that a seller gave: text, Amount, a list of either; None, 0 and "free" are free of charge."""
    if price is None or price == 0 or (isinstance(price, str) and price.strip().lower() in ("free", "0")):
        return ()
    many: Sequence[Any] = price if isinstance(price, list | tuple) else [price]
    return tuple(amount for amount in parse_amounts(list(many)) if amount.quantity)
