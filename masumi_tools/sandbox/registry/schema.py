"""Reads the registry's inputs and complains in the registry's words.

The registry and the node use different generations of one validation library, so their texts differ
(``filter/status/0: Invalid enum value. ...`` here; protocol N18, N22) and nothing is shared.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from ..bigints import js_number

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z?")


class Complaint(Exception):
    """The input does not fit; the text is what the registry puts into its 400."""


class Fields:
    """One object of the input. Readers note what is wrong and go on; ``done`` raises all of it at once."""

    def __init__(
        self, values: Mapping[str, Any], *, path: str = "", complaints: list[str] | None = None
    ) -> None:
        self._values = values
        self._path = path
        self._complaints: list[str] = [] if complaints is None else complaints

    def done(self) -> None:
        """Raise Complaint when anything was wrong."""
        if self._complaints:
            raise Complaint("; ".join(self._complaints))

    def text(
        self,
        name: str,
        *,
        least: int = 0,
        most: int | None = None,
        required: bool = False,
        trim: bool = False,
    ) -> str | None:
        found, value = self._value(name, required)
        return self._text(name, value, least, most, trim) if found else None

    def texts(self, name: str, *, least: int, most: int) -> list[str] | None:
        return self._each(name, None, lambda where, value: self._text(where, value, least, most, False))

    def choice(self, name: str, allowed: Sequence[str], *, required: bool = False) -> str | None:
        found, value = self._value(name, required)
        return self._choice(name, value, allowed) if found else None

    def choices(self, name: str, allowed: Sequence[str], *, at_most: int) -> list[str] | None:
        return self._each(name, at_most, lambda where, value: self._choice(where, value, allowed))

    def number(self, name: str, *, default: int, most: int, whole: bool = True) -> int | float:
        """A number from 1 to ``most``, coerced the way JavaScript's ``Number`` does it (text "1" is 1)."""
        if name not in self._values:
            return default
        value, before = _number(self._values[name]), len(self._complaints)
        if math.isnan(value):
            self._complain(name, "Expected number, received nan")
            return default
        if whole and not value.is_integer():
            self._complain(name, "Expected integer, received float")
        if value < 1:
            self._complain(name, "Number must be greater than or equal to 1")
        if value > most:
            self._complain(name, f"Number must be less than or equal to {most}")
        if len(self._complaints) > before:
            return default
        return int(value) if value.is_integer() else value

    def moment(self, name: str, *, required: bool = False) -> int | None:
        """A date or date-time with ``Z`` or no zone, as unix ms; an offset is refused (protocol N22)."""
        if name not in self._values and not required:
            return None
        value = self._values.get(name)
        if not isinstance(value, str):
            self._complain(name, "Invalid input")
            return None
        read = _moment(value)
        if read is None:
            self._complain(name, "Invalid date")
        return read

    def inner(self, name: str) -> Fields | None:
        """An object inside this one; None when it is absent (or, with a complaint, something else)."""
        if name not in self._values:
            return None
        value = self._values[name]
        if not isinstance(value, dict):
            self._complain(name, f"Expected object, received {_kind(value)}")
            return None
        return Fields(value, path=f"{self._path}{name}/", complaints=self._complaints)

    def _value(self, name: str, required: bool) -> tuple[bool, Any]:
        if name in self._values:
            return True, self._values[name]
        if required:
            self._complain(name, "Required")
        return False, None

    def _each(self, name: str, at_most: int | None, read: Any) -> list[str] | None:
        if name not in self._values:
            return None
        value = self._values[name]
        if not isinstance(value, list):
            self._complain(name, f"Expected array, received {_kind(value)}")
            return None
        if at_most is not None and len(value) > at_most:
            self._complain(name, f"Array must contain at most {at_most} element(s)")
        return [one for place, item in enumerate(value) if (one := read(f"{name}/{place}", item)) is not None]

    def _text(self, where: str, value: Any, least: int, most: int | None, trim: bool) -> str | None:
        if not isinstance(value, str):
            self._complain(where, f"Expected string, received {_kind(value)}")
            return None
        read: str = value.strip() if trim else value
        units = len(read.encode("utf-16-le", "surrogatepass")) // 2
        if units < least:
            self._complain(where, f"String must contain at least {least} character(s)")
        elif most is not None and units > most:
            self._complain(where, f"String must contain at most {most} character(s)")
        else:
            return read
        return None

    def _choice(self, where: str, value: Any, allowed: Sequence[str]) -> str | None:
        listed = " | ".join(f"'{word}'" for word in allowed)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self._complain(where, f"Expected {listed}, received {_kind(value)}")
        elif isinstance(value, str) and value in allowed:
            return value
        else:  # such a list may hold numbers as well, so a number is no wrong type
            shown = int(value) if isinstance(value, float) and value.is_integer() else value
            self._complain(where, f"Invalid enum value. Expected {listed}, received '{shown}'")
        return None

    def _complain(self, where: str, text: str) -> None:
        self._complaints.append(f"{self._path}{where}: {text}")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _number(value: Any) -> float:
    if value is None:
        return 0.0
    if isinstance(value, list):
        return _number(value[0]) if len(value) == 1 else 0.0 if not value else math.nan
    if isinstance(value, dict):
        return math.nan
    try:
        return float(js_number(value) if isinstance(value, str) else value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _moment(text: str) -> int | None:
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            read = datetime(day.year, day.month, day.day, tzinfo=UTC)
        elif _DATE_TIME.fullmatch(text):
            read = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
        else:
            return None
    except ValueError:
        return None
    return round(read.timestamp() * 1000)
