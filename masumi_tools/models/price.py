"""Prices as registries, nodes, sellers and on-chain metadata write them, read into one form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from masumi_tools.errors import AmountError
from masumi_tools.models.wire import Names, joined, quoted, short
from masumi_tools.money import Amount, total

_ASSET: Final = re.compile(r"[0-9a-fA-F]{56,150}")
_WHOLE: Final = re.compile(r"[0-9]{1,25}")
_MAX_ROWS: Final = 25  # what on-chain metadata of the first version may hold (protocol N12)


class PricingType(StrEnum):
    """How a seller's price is fixed: in the registry, by each offer, or nothing to pay."""

    FIXED = "Fixed"
    FREE = "Free"
    DYNAMIC = "Dynamic"


@dataclass(frozen=True, slots=True)
class Price:
    """What a listing says that a hire costs.

    `pricing` is None where the listing says nothing that we know. `amounts` are summed per unit and
    sorted; they are empty for Free, for Dynamic (the seller's offer names them), and where `problems`
    says why they could not be read. `listed` holds amount and unit as text, as they stood.
    """

    pricing: PricingType | None = None
    amounts: tuple[Amount, ...] = ()
    listed: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def is_free(self) -> bool:
        """Nothing to pay: Free, or Fixed with nothing but zeros, which sellers run without payment."""
        if self.pricing is PricingType.FIXED and self.amounts:
            return all(amount.quantity == 0 for amount in self.amounts)
        return self.pricing is PricingType.FREE


def wire_amount(entry: Any) -> Amount:
    """One entry of a wire list, {amount, unit} or {amount, asset}, as an Amount of base units.

    Only what the node would pay: whole numbers, and "" or lovelace (ADA) or policy id and asset name in
    hex. A ticker ("USDM", "ada") is refused: a price in one locks no funds and ends in an error state.
    AmountError says so.
    """
    quantity, unit = _listed(entry)
    if unit.lower() != "lovelace" and unit != "" and _ASSET.fullmatch(unit) is None:
        raise AmountError(f"the unit {quoted(unit)} is neither lovelace nor policy id and asset name in hex")
    if _WHOLE.fullmatch(quantity) is None:
        raise AmountError(f"the amount {quoted(quantity)} is not a whole number of base units")
    return Amount.from_wire(quantity, unit)


def wire_amounts(entries: Any) -> tuple[Amount, ...]:
    """A wire list of amounts, summed per unit. AmountError names the first that cannot be read."""
    if not isinstance(entries, list):
        raise AmountError(f"amounts are a list of amount and unit, not {quoted(entries)}")
    return total(wire_amount(entry) for entry in entries)


def _listed(entry: Any) -> tuple[str, str]:
    """Amount and unit of an entry as text; a list of text is one text in chunks."""
    if not isinstance(entry, Mapping):
        raise AmountError(f"an amount is an object with amount and unit, not {quoted(entry)}")
    names = Names(entry)
    quantity = names.get("amount", "quantity")
    unit = joined(names.get("unit", "asset"))
    if unit is None:
        if names.get("unit", "asset") is not None or not {"unit", "asset"} & names.folded:
            raise AmountError("the unit is missing")
        unit = ""  # null is what some services make of ADA's empty unit
    if isinstance(quantity, float) and quantity.is_integer() and 0 <= quantity < 2**53:
        quantity = int(quantity)
    if isinstance(quantity, int) and not isinstance(quantity, bool):
        quantity = str(quantity)
    text = joined(quantity)
    if text is None:
        raise AmountError(f"the amount {quoted(quantity)} is not a whole number of base units")
    return text.strip(), unit.strip()


def read_price(value: Any) -> Price:
    """The price in a listing's pricing value, in every nesting that is seen (protocol S8).

    An object or a list of one; amounts in FixedPricing.Amounts, Pricing, fixedPricing (list or one
    object), fixed, or the list itself holding the amounts.
    """
    if isinstance(value, list):
        if len(value) > 1 and all(_has_type(part) for part in value):
            return Price(
                problems=("AgentPricing: several prices are listed and it is not said which is due",)
            )
        if value and isinstance(value[0], Mapping) and not _has_type(value[0]):
            return _fixed(value)
        value = value[0] if value else None
    if not isinstance(value, Mapping):
        return Price(problems=("AgentPricing: missing",))
    names = Names(value)
    word = names.text("pricingType", "type") or ""
    pricing = next((kind for kind in PricingType if kind.lower() == word.strip().lower()), None)
    if pricing is PricingType.FIXED:
        return _fixed(_amount_rows(names))
    if pricing is None:
        return Price(problems=(f"AgentPricing: the pricing type {quoted(word)} is not known",))
    return Price(pricing)


def _has_type(value: Any) -> bool:
    return isinstance(value, Mapping) and "pricingType" in Names(value)


def _amount_rows(names: Names) -> Any:
    for found in names.all("FixedPricing", "Pricing", "fixed", "Amounts", "amount"):
        if isinstance(found, Mapping):
            inner = Names(found)
            rows = inner.get("Amounts", "Pricing", "fixed")
            return rows if rows is not None else [found]
        if isinstance(found, list):
            return found
    return []


def _fixed(rows: Any) -> Price:
    rows = rows if isinstance(rows, list) else [rows]
    listed: list[tuple[str, str]] = []
    amounts: list[Amount] = []
    problems: list[str] = []
    for row in rows[:_MAX_ROWS]:
        try:
            listed.append(_listed(row))
            amounts.append(wire_amount(row))
        except AmountError as error:
            problems.append(f"AgentPricing: {short(error.message, 200)}")
    if not rows:
        problems.append("AgentPricing: Fixed without amounts; that is an unknown price, not a free one")
    if len(rows) > _MAX_ROWS:
        problems.append(f"AgentPricing: {len(rows)} amounts, the limit is {_MAX_ROWS}")
    return Price(PricingType.FIXED, () if problems else total(amounts), tuple(listed), tuple(problems))
