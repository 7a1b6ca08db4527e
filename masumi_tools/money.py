"""Amounts of money: integer base units with their unit, read from and written as text for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from masumi_tools.errors import AmountError

ADA: Final = ""

_USDCX: Final = "1f3aec8bfe7ea4fe14c5f121e2a92e301afe414147860d557cac7e34" + "5553444378"
_USDM: Final = "c48cbb3d5e57ed56e276bc45f99ab39abe94e6cd7ac39fb402da47ad" + "0014df105553444d"
_TUSDM: Final = "16a55b2a349361ff88c03788f93e1e966e5d689605d044fef722ddde" + "0014df10745553444d"

# The units that the node itself knows (protocol N12); every one has six decimals.
_NAMES: Final = {ADA: "ADA", _USDM: "USDM", _TUSDM: "tUSDM", _USDCX: "USDCx"}
_WORDS: Final = {name.lower(): unit for unit, name in _NAMES.items()} | {
    "": ADA,
    "lovelace": ADA,
    "tada": ADA,
}
_DECIMALS: Final = 6

_MAX_DIGITS: Final = 25  # the node takes at most 25 characters
_MAX_UNIT: Final = 150  # and a unit of at most 150
_ASSET: Final = re.compile(r"[0-9a-f]{56,150}")
_NUMBER: Final = re.compile(r"([0-9]{1,25})(?:\.([0-9]{1,25}))?")
_WIRE: Final = re.compile(r"[0-9]{1,25}")
_RIGHT: Final = 'write a number, a space and a unit, such as "1.5 ADA" or "5 USDM"'


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount in integer base units (`quantity`) of one `unit`.

    `unit` is "" for ADA (quantity in lovelace), else policy id and asset name in lower-case hex; any
    word that `unit_of` knows is taken and stored in that form. Adding, subtracting and comparing work
    within one unit only. AmountError for everything else: negative, not an int, an unknown unit.
    """

    quantity: int
    unit: str = ADA

    def __post_init__(self) -> None:
        if type(self.quantity) is not int:
            raise AmountError(
                f"An amount counts base units as an int, not {_shown(self.quantity)}; {_RIGHT}."
            )
        if self.quantity.bit_length() > 128:
            raise AmountError(f"An amount is at most 128 bits, not {_shown(self.quantity)}.")
        if self.quantity < 0:
            raise AmountError(f"An amount cannot be negative ({_shown(self.quantity)}).")
        object.__setattr__(self, "unit", unit_of(self.unit))

    @classmethod
    def parse(cls, text: str) -> Amount:
        """The amount that a person wrote: "1.5 ADA", "5 USDM", "1500000 lovelace", "12 <unit in hex>".

        Reads back what str() writes. AmountError, whose text shows a right one, for anything else:
        no unit, an unknown unit, a sign, an exponent, a decimal comma, or a fraction of a base unit.
        """
        if not isinstance(text, str):
            raise AmountError(f"{_shown(text)} has no unit; {_RIGHT}.")
        words = text.split()
        in_base_units = words[1:4] == ["base", "units", "of"]
        if in_base_units:
            del words[1:4]
        if len(words) != 2:
            raise AmountError(f"{_shown(text)} is not an amount; {_RIGHT}.")
        number, word = words
        match = _NUMBER.fullmatch(number)
        if match is None:
            raise AmountError(f"{_shown(text)} is not an amount: {_number_problem(number)}.")
        unit = unit_of(word)
        if word.lower() in ("lovelace", unit):
            in_base_units = True
        decimals = _DECIMALS if unit in _NAMES and not in_base_units else 0
        whole, fraction = match[1], (match[2] or "").rstrip("0")
        if len(fraction) > decimals:
            allowed = f"at most {decimals} decimals" if decimals else "no decimals"
            raise AmountError(f"{_shown(text)} is a fraction of a base unit: {_shown(word)} has {allowed}.")
        return cls(int(whole + fraction.ljust(decimals, "0")), unit)

    @classmethod
    def from_wire(cls, amount: object, unit: object) -> Amount:
        """The amount that a node, registry or service sent: decimal text or an int, in base units.

        AmountError where it is neither, is longer than the node takes (25 digits), or the unit is not
        ADA, a known name or policy id and asset name in hex.
        """
        if type(amount) is int and 0 <= amount < 10**_MAX_DIGITS:
            return cls(amount, unit_of(unit))
        if not isinstance(amount, str) or _WIRE.fullmatch(amount) is None:
            raise AmountError(f"{_shown(amount)} is not a count of base units: it must be decimal digits.")
        return cls(int(amount), unit_of(unit))

    @property
    def decimal(self) -> Decimal:
        """The amount in whole coins, exactly: Decimal("1.5") for 1,500,000 lovelace.

        AmountError for a unit whose decimals are not known; `quantity` is right for every unit.
        """
        if self.unit not in _NAMES:
            raise AmountError(
                f"How many decimals {self.unit} has is not known; use .quantity, in base units."
            )
        return Decimal(self.quantity).scaleb(-_DECIMALS)

    def __str__(self) -> str:
        if self.unit not in _NAMES:
            return f"{self.quantity} base units of {self.unit}"
        whole, fraction = divmod(self.quantity, 10**_DECIMALS)
        tail = f".{fraction:0{_DECIMALS}d}".rstrip("0").rstrip(".")
        return f"{whole}{tail} {_NAMES[self.unit]}"

    def __add__(self, other: Amount) -> Amount:
        if not isinstance(other, Amount):
            return NotImplemented
        return Amount(self.quantity + self._same_unit(other), self.unit)

    def __sub__(self, other: Amount) -> Amount:
        if not isinstance(other, Amount):
            return NotImplemented
        rest = self.quantity - self._same_unit(other)
        if rest < 0:
            raise AmountError(f"{other} cannot be taken from {self}.")
        return Amount(rest, self.unit)

    def __lt__(self, other: Amount) -> bool:
        if not isinstance(other, Amount):
            return NotImplemented
        return self.quantity < self._same_unit(other)

    def __le__(self, other: Amount) -> bool:
        if not isinstance(other, Amount):
            return NotImplemented
        return self.quantity <= self._same_unit(other)

    def _same_unit(self, other: Amount) -> int:
        if self.unit != other.unit:
            raise AmountError(f"{self} and {other} have different units and cannot be combined.")
        return other.quantity


def unit_of(word: object) -> str:
    """The unit that a word names: "" for "ADA", "tADA", "lovelace" and ""; policy id and name for tokens.

    Names in any case ("usdm" is USDM); 56 to 150 hex digits are a unit already and come back in lower
    case, as the chain writes them. AmountError for any other word.
    """
    if isinstance(word, str) and len(word) <= _MAX_UNIT:
        lower = word.lower()
        if lower in _WORDS:
            return _WORDS[lower]
        if _ASSET.fullmatch(lower):
            return lower
    known = ", ".join(_NAMES.values())
    raise AmountError(
        f"{_shown(word)} is not a known unit: use one of {known}, or policy id and asset name in hex; {_RIGHT}."
    )


def name_of(unit: str) -> str:
    """The name of a unit for people, such as "ADA" for ""; an unknown unit comes back as it is."""
    return _NAMES.get(unit, unit)


def total(amounts: Iterable[Amount]) -> tuple[Amount, ...]:
    """The sum per unit, one amount for each unit, sorted by unit. Units never mix."""
    sums: dict[str, int] = {}
    for amount in amounts:
        sums[amount.unit] = sums.get(amount.unit, 0) + amount.quantity
    return tuple(Amount(quantity, unit) for unit, quantity in sorted(sums.items()))


def parse_amounts(value: str | Amount | Iterable[str | Amount]) -> tuple[Amount, ...]:
    """The amounts that a person gave as text, as an Amount or as a list of either, sorted by unit.

    AmountError where one is not an amount, or where a unit is named twice: a limit said twice is a mistake.
    """
    if isinstance(value, str | Amount):
        value = (value,)
    elif not isinstance(value, Iterable):
        raise AmountError(f"{_shown(value)} is not an amount; {_RIGHT}.")
    found: dict[str, Amount] = {}
    for item in value:
        amount = item if isinstance(item, Amount) else Amount.parse(item)
        if amount.unit in found:
            raise AmountError(f"{name_of(amount.unit)} is named twice: {found[amount.unit]} and {amount}.")
        found[amount.unit] = amount
    return total(found.values())


def as_wire(amounts: Iterable[Amount]) -> list[dict[str, str]]:
    """The amounts as the node takes them, in the order given: [{"amount": "2000000", "unit": ""}]."""
    return [{"amount": str(amount.quantity), "unit": amount.unit} for amount in amounts]


def in_words(amounts: Iterable[Amount]) -> str:
    """The amounts in one phrase for people: "2 ADA and 5 USDM", or "nothing" where there are none."""
    return " and ".join(str(amount) for amount in amounts) or "nothing"


def _number_problem(number: str) -> str:
    if number.startswith("-"):
        return "it cannot be negative; " + _RIGHT
    if "," in number:
        return "decimals follow a point, without separators; " + _RIGHT
    return f"{_shown(number)} is not a plain number of at most {_MAX_DIGITS} digits; " + _RIGHT


def _shown(value: object) -> str:
    """What was given, short enough for a message; repr of a stranger's container or huge int can fail."""
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else repr(value[:40]) + "..."
    if value is None or isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 128):
        return repr(value)
    return f"a value of type {type(value).__name__}"
