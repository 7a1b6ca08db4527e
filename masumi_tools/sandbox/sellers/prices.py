"""Prices as people write them ("1.5 ADA", "1 ADA + 5 tUSDM") and the node's units behind the words."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from ..chain.escrow import TUSDM

UNITS = {"ada": "", "tusdm": TUSDM, "usdm": TUSDM}
NAMES = {"": "ADA", TUSDM: "tUSDM"}


def read_price(text: str) -> dict[str, int]:
    """Unit to base units of a price text; ValueError with an example when it is none."""
    amounts: dict[str, int] = {}
    for part in text.split("+"):
        words = part.split()
        try:
            number, unit = words
            base = Decimal(number) * 1_000_000
            whole = int(base)
        except (ValueError, InvalidOperation, OverflowError):
            raise ValueError(f'A price reads "1.5 ADA" or "5 tUSDM"; not {text!r}.') from None
        if base != whole or whole <= 0 or whole >= 2**63 or unit.lower() not in UNITS:
            raise ValueError(f'A price reads "1.5 ADA" or "5 tUSDM"; not {text!r}.')
        key = UNITS[unit.lower()]
        amounts[key] = amounts.get(key, 0) + whole
    return amounts


def price_text(amounts: Mapping[str, int]) -> str:
    """The text of a price, the other way round: "1.5 ADA"."""
    return " + ".join(f"{_decimal(quantity)} {NAMES.get(unit, unit)}" for unit, quantity in amounts.items())


def _decimal(quantity: int) -> str:
    whole, rest = divmod(quantity, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") if rest else str(whole)
