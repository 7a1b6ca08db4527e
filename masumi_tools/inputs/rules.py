"""From a field's rules as sellers write them to what `InputField` holds.

Rules stand in `validations` (a list of {validation, value}, or a dict), in `data`, and at the field's
own level; values are text by MIP-003, numbers and booleans in the wild (protocol I1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from masumi_tools.inputs.fields import ALIASES, KINDS, InputField, Scalar, label_of
from masumi_tools.text import plain_text

MAX_ID: Final = 200
MAX_VALUES: Final = 10_000

_FALSE: Final = frozenset({"false", "0", "no", "off"})
_FORMATS: Final = {"uri": "url", "int": "integer", "tel": "tel-pattern", "telpattern": "tel-pattern"}
_LIMITS: Final[dict[str, str]] = {
    "min": "min", "minlength": "min", "minimum": "min", "minitems": "min",
    "max": "max", "maxlength": "max", "maximum": "max", "maxitems": "max",
}  # fmt: skip
_DIRECT: Final = (
    "min", "max", "minLength", "maxLength", "minimum", "maximum", "step", "accept", "maxSize", "format",
)  # fmt: skip
_ID_FAULT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_false(value: object) -> bool:
    """Whether a flag says no, as a boolean, a number or a word."""
    return value is False or value == 0 or (isinstance(value, str) and value.strip().lower() in _FALSE)


def number(value: object) -> Decimal | None:
    """The number that a rule's value is, given as number or text; None when it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > 40:
        return None
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) < 100 else None


def usable_id(value: object) -> str | None:
    """The key to send, or None when there is none that JSON and a form can hold."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_ID or _ID_FAULT.search(value):
        return None
    return value


def read_field(entry: Mapping[str, Any], field_id: str, group: str = "") -> tuple[InputField, list[str]]:
    """The field of one entry in MIP-003's form, and sentences about what in it was odd."""
    odd: list[str] = []
    held = entry.get("data")
    data: Mapping[str, Any] = held if isinstance(held, Mapping) else {}
    word = _type_word(entry.get("type"))
    formats: list[str] = ["integer"] if word in ("int", "integer") else []
    kind = ALIASES.get(word, word)
    values, labels = read_values(entry, data)
    if kind in ("text", "") and ("enum" in data or "enum" in entry) and values:
        kind = "enum"
    elif not kind and values:
        kind = "option"
    if kind not in KINDS:
        known = "with choices, taken as hints" if values else "taken as any single value"
        odd.append(f"{field_id}: type {plain_text(word, 40) or 'missing'!r} is not known, {known}")
    if any(label != label_of(value) for value, label in zip(values, labels, strict=True)):
        odd.append(f"{field_id}: choices have labels; their values are sent")
    rules = _rules(entry, data)
    bounds = _bounds(rules, field_id, kind, odd)
    if kind == "option" and not values:
        odd.append(f"{field_id}: a choice without choices, taken as free text")
    return (
        InputField(
            id=field_id,
            type=kind or "unknown",
            name=plain_text(entry.get("name") or entry.get("label") or entry.get("title"), 200),
            description=plain_text(data.get("description") or entry.get("description")),
            placeholder=plain_text(data.get("placeholder") or entry.get("placeholder"), 200),
            required=not _optional(entry, data, rules),
            values=values,
            labels=labels,
            formats=tuple(dict.fromkeys([*formats, *bounds.pop("formats")])),
            **bounds,
            output_format=plain_text(data.get("outputFormat"), 40).lower(),
            multiple=data.get("multiple") is True or entry.get("multiple") is True,
            default=_scalar_or_none(data.get("default", entry.get("default"))),
            fixed=_scalar_or_none(data.get("value", data.get("default"))) if kind == "hidden" else None,
            group=group,
        ),
        odd,
    )


def _bounds(rules: Sequence[tuple[str, Any]], field_id: str, kind: str, odd: list[str]) -> dict[str, Any]:
    """What the rules say of the values, by the names that InputField has for it."""
    limits: dict[str, Any] = {}
    formats: list[str] = []
    accept: tuple[str, ...] = ()
    max_size: int | None = None
    for rule, value in rules:
        if rule in _LIMITS:
            limits.setdefault(_LIMITS[rule], value)
        elif rule == "format":
            name = str(value).strip().lower().replace("_", "-")
            formats.append(_FORMATS.get(name.replace("-", ""), name))
        elif rule == "accept":
            accept = tuple(part.strip().lower() for part in str(value).split(",") if part.strip())[:50]
        elif rule == "maxsize":
            size = number(value)
            max_size = int(size) if size is not None and size > 0 else None
        elif rule not in ("optional", "required", "step"):
            odd.append(f"{field_id}: rule {plain_text(rule, 40)!r} is not known and left to the service")
    step = next((number(value) for rule, value in rules if rule == "step"), None)
    return {
        "minimum": _limit(kind, limits.get("min"), field_id, "min", odd),
        "maximum": _limit(kind, limits.get("max"), field_id, "max", odd),
        "step": step if step is not None and step > 0 else None,
        "formats": formats,
        "accept": accept,
        "max_size": max_size,
    }


def read_values(
    entry: Mapping[str, Any], data: Mapping[str, Any]
) -> tuple[tuple[Scalar, ...], tuple[str, ...]]:
    """The choices and the words for them, from data.values, data.options, data.enum or a top-level enum."""
    for place in (data, entry):
        for name in ("values", "options", "enum", "choices"):
            listed = place.get(name)
            if isinstance(listed, Mapping):
                listed = [{"value": key, "label": label} for key, label in listed.items()]
            if isinstance(listed, list) and listed:
                pairs = [_choice(item) for item in listed[: MAX_VALUES + 1]]
                kept = [pair for pair in pairs if pair is not None]
                return tuple(value for value, _ in kept), tuple(label for _, label in kept)
    return (), ()


def _choice(item: object) -> tuple[Scalar, str] | None:
    if isinstance(item, Mapping):
        value = next((item[key] for key in ("value", "id", "key", "name") if key in item), item.get("label"))
        label = plain_text(item.get("label") or item.get("name") or item.get("title"), 200)
    else:
        value, label = item, ""
    if isinstance(value, str | int | float):
        return value, label or label_of(value)
    return None


def _type_word(value: object) -> str:
    return re.sub("[ _]", "-", value.strip().lower()) if isinstance(value, str) else ""


def _rules(entry: Mapping[str, Any], data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Every rule as (word, value), those in `validations` first."""
    listed = entry.get("validations")
    rules: list[tuple[str, Any]] = []
    if isinstance(listed, Mapping):
        rules += [(str(key), value) for key, value in listed.items()]
    elif isinstance(listed, list):
        for item in listed:
            if isinstance(item, Mapping):
                word = next((item[key] for key in ("validation", "rule", "type") if key in item), None)
                rules += [(word, item.get("value"))] if isinstance(word, str) else list(item.items())
            elif isinstance(item, str):
                rules.append((item, "true"))
    for place in (data, entry):
        rules += [
            (key, place[key])
            for key in _DIRECT
            if place.get(key) is not None and not isinstance(place[key], Mapping | list)
        ]
    return [(re.sub("[ _-]", "", word).lower(), value) for word, value in rules]


def _optional(entry: Mapping[str, Any], data: Mapping[str, Any], rules: list[tuple[str, Any]]) -> bool:
    """Optional when a rule or flag says so; the mere word counts, and only a plain no takes it back."""
    for rule, value in rules:
        if rule == "optional":
            return not is_false(value)
        if rule == "required":
            return is_false(value)
    for place in (entry, data):
        if place.get("optional") is not None:
            return not is_false(place["optional"])
        if place.get("required") is not None:
            return is_false(place["required"])
    return False


def _limit(kind: str, value: object, field_id: str, word: str, odd: list[str]) -> Decimal | str | None:
    """A limit in the form that the kind compares: text for dates, a number for all else."""
    if value is None or value == "":
        return None
    found = number(value)
    if KINDS.get(kind) == "moment":
        if isinstance(value, str) and found is None:
            return value.strip()[:40]
        odd.append(f"{field_id}: {word} {plain_text(value, 20)!r} is not a {kind}, left to the service")
        return None
    if found is None:
        odd.append(f"{field_id}: {word} {plain_text(value, 20)!r} is not a number, left to the service")
    return found


def _scalar_or_none(value: object) -> Scalar | None:
    return value if isinstance(value, str | int | float) else None
