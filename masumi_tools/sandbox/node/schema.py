"""Input schemas that complain in the node's own words: ``path: text; path: text`` (protocol N1)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..bigints import js_number
from ..timetext import read_strict
from ..wire import Refusal

MISSING: Final = object()
Reader = Callable[[Any, str, list[str]], Any]
"""Reads one value; ``issues`` gets the complaints. A missing value is ``MISSING``."""


@dataclass(frozen=True)
class Schema:
    """Fields in the order in which the node complains; ``refine`` looks at the whole once all fields fit."""

    fields: Mapping[str, Reader]
    refine: Callable[[dict[str, Any]], list[str]] | None = None

    def read(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the known fields, others are dropped; Refusal 400 with every complaint."""
        issues: list[str] = []
        found = {name: reader(raw.get(name, MISSING), name, issues) for name, reader in self.fields.items()}
        if self.refine is not None and not any(map(_ends_the_check, issues)):
            issues += self.refine(found)
        if issues:
            raise Refusal(400, "; ".join(issues))
        return found


def kind_of(value: Any) -> str:
    """What the node calls the type of a JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "NaN" if value != value else "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
    return "undefined"


def length_of(text: str) -> int:
    """Length in UTF-16 units, as JavaScript counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def text(
    least: int | None = None,
    most: int | None = None,
    *,
    optional: bool = False,
    default: str | None = None,
    pattern: str | None = None,
    complaint: str = "",
) -> Reader:
    """A string. Optional or with a default it may be missing, never null."""
    shape = re.compile(pattern) if pattern else None

    def read(value: Any, path: str, issues: list[str]) -> Any:
        if value is MISSING and (optional or default is not None):
            return default
        if not isinstance(value, str):
            issues.append(_expected(path, "string", value))
            if isinstance(value, list):  # it has a length too, so the rules of length are looked at as well
                _in_length(len(value), least, most, "array", "items", path, issues)
            return None
        _in_length(length_of(value), least, most, "string", "characters", path, issues)
        if shape is not None and not shape.fullmatch(value):
            issues.append(f"{path}: {complaint}")
        return value

    return read


def nullable(reader: Reader) -> Reader:
    """The same, and null or nothing gives None."""
    return lambda value, path, issues: None if value in (None, MISSING) else reader(value, path, issues)


def flag_text(default: bool = False) -> Reader:
    """A boolean sent as a string: only ``true`` in any case is true."""
    inner = text(default="true" if default else "false")

    def read(value: Any, path: str, issues: list[str]) -> Any:
        found = inner(value, path, issues)
        return isinstance(found, str) and found.lower() == "true"

    return read


def choice(options: Sequence[str], *, optional: bool = False, default: str | None = None) -> Reader:
    """One of some strings."""
    listed = "|".join(f'"{option}"' for option in options)

    def read(value: Any, path: str, issues: list[str]) -> Any:
        if value is MISSING and (optional or default is not None):
            return default
        if isinstance(value, str) and value in options:
            return value
        issues.append(f"{path}: Invalid option: expected one of {listed}")
        return None

    return read


def boolean(*, optional: bool = True, default: bool | None = None) -> Reader:
    """A JSON boolean."""

    def read(value: Any, path: str, issues: list[str]) -> Any:
        if value is MISSING and (optional or default is not None):
            return default
        if not isinstance(value, bool):
            issues.append(_expected(path, "boolean", value))
        return value

    return read


def whole(least: int, most: int) -> Reader:
    """An optional JSON integer."""

    def read(value: Any, path: str, issues: list[str]) -> Any:
        if value is MISSING:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isinf(value):
            issues.append(_expected(path, "number", value))
            return None
        if value != int(value):
            issues.append(f"{path}: Invalid input: expected int, received number")
            return None
        _in_range(value, least, most, path, issues)
        return int(value)

    return read


def query_number(least: int, most: int, default: int) -> Reader:
    """A number in a query string, read as JavaScript's ``Number`` reads; fractions are cut off (22)."""

    def read(value: Any, path: str, issues: list[str]) -> Any:
        if value is MISSING:
            return default
        number = js_number(value) if isinstance(value, str) else math.nan
        if math.isnan(number) or math.isinf(number):
            issues.append(f"{path}: Invalid input: expected number, received {kind_of(number)}")
            return None
        _in_range(number, least, most, path, issues)
        return int(number)

    return read


def iso_time(*, default_ms: int | None = None, optional: bool = False) -> Reader:
    """A date or date-time text without offset; gives unix ms."""

    def read(value: Any, path: str, issues: list[str]) -> Any:
        if value is MISSING and (optional or default_ms is not None):
            return default_ms
        found = read_strict(value) if isinstance(value, str) else None
        if found is None:
            issues.append(f"{path}: Invalid input")
        return found

    return read


def record(fields: Mapping[str, Reader], *, optional: bool = False) -> Reader:
    """An object inside the body."""

    def read(value: Any, path: str, issues: list[str]) -> Any:
        if value is MISSING and optional:
            return None
        if not isinstance(value, dict):
            issues.append(_expected(path, "object", value))
            return None
        return {
            name: reader(value.get(name, MISSING), f"{path}.{name}", issues)
            for name, reader in fields.items()
        }

    return read


def items(
    reader: Reader,
    *,
    least: int | None = None,
    most: int | None = None,
    optional: bool = False,
    default: Sequence[Any] | None = None,
) -> Reader:
    """An array."""

    def read(value: Any, path: str, issues: list[str]) -> Any:
        if value is MISSING and (optional or default is not None):
            return None if default is None else list(default)
        if not isinstance(value, list):
            issues.append(_expected(path, "array", value))
            if isinstance(value, str):
                _in_length(length_of(value), least, most, "string", "characters", path, issues)
            return None
        found = [reader(entry, f"{path}[{place}]", issues) for place, entry in enumerate(value)]
        _in_length(len(value), least, most, "array", "items", path, issues)
        return found

    return read


def union(*readers: Reader) -> Reader:
    """One of several shapes. The complaints of a shape that fits but for its bounds are given, else one for all."""

    def read(value: Any, path: str, issues: list[str]) -> Any:
        likely: list[tuple[Any, list[str]]] = []
        for reader in readers:
            found: list[str] = []
            result = reader(value, path, found)
            if not found:
                return result
            if not any(map(_ends_the_check, found)):
                likely.append((result, found))
        if len(likely) != 1:
            issues.append(f"{path}: Invalid input")
            return None
        issues += likely[0][1]
        return likely[0][0]

    return read


def refined(reader: Reader, rules: Callable[[Any, str, list[str]], None]) -> Reader:
    """The same, and ``rules`` look at the whole unless its shape is wrong."""

    def read(value: Any, path: str, issues: list[str]) -> Any:
        found: list[str] = []
        result = reader(value, path, found)
        issues += found
        if not any(map(_ends_the_check, found)):
            rules(result, path, issues)
        return result

    return read


def optional(reader: Reader) -> Reader:
    """The same, and nothing gives None; null is a value."""
    return lambda value, path, issues: None if value is MISSING else reader(value, path, issues)


def _ends_the_check(issue: str) -> bool:
    """Whether a complaint is of a kind after which the node does not look at the whole any more."""
    return ": Invalid input" in issue or ": Invalid option" in issue


def _in_length(
    length: int, least: int | None, most: int | None, kind: str, units: str, path: str, issues: list[str]
) -> None:
    if least is not None and length < least:
        issues.append(f"{path}: Too small: expected {kind} to have >={least} {units}")
    if most is not None and length > most:
        issues.append(f"{path}: Too big: expected {kind} to have <={most} {units}")


def _in_range(number: float, least: int, most: int, path: str, issues: list[str]) -> None:
    if number < least:
        issues.append(f"{path}: Too small: expected number to be >={least}")
    if number > most:
        issues.append(f"{path}: Too big: expected number to be <={most}")


def _expected(path: str, wanted: str, value: Any) -> str:
    return f"{path}: Invalid input: expected {wanted}, received {kind_of(value)}"
