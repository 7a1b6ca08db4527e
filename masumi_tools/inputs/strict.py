"""Where a served input schema leaves MIP-003 in the strict reading, by which marketplaces hire or do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from masumi_tools.text import plain_text

_LENGTHS: Final = frozenset({"min", "max"})
# Which rules a strict reader takes per type; one foreign rule and it refuses the whole schema (protocol I3).
_RULES: Final[Mapping[str, frozenset[str]]] = {
    "string": _LENGTHS | {"nonempty", "url", "email"},
    "text": _LENGTHS | {"nonempty", "url", "email"},
    "textarea": _LENGTHS | {"nonempty"},
    "url": _LENGTHS | {"nonempty", "url"},
    "email": _LENGTHS | {"nonempty", "email"},
    "password": _LENGTHS | {"nonempty"},
    "search": _LENGTHS | {"nonempty"},
    "tel": _LENGTHS | {"tel-pattern"},
    "number": _LENGTHS | {"integer"},
    "range": _LENGTHS,
    "boolean": frozenset(),
    "checkbox": _LENGTHS,
    "option": _LENGTHS,
    "radio": frozenset(),
    "none": frozenset(),
    "hidden": frozenset(),
    "color": frozenset(),
    "date": _LENGTHS,
    "datetime-local": _LENGTHS,
    "time": _LENGTHS,
    "month": _LENGTHS,
    "week": _LENGTHS,
    "file": _LENGTHS | {"accept"},
}
_CHOICES: Final = frozenset({"option", "radio"})


def deviations(body: Any) -> list[str]:
    """A sentence for each place where the body of GET /input_schema is not what MIP-003 says; [] when none.

    They harm nobody who reads as leniently as `read_input_schema`; others refuse the whole service for one.
    """
    if not isinstance(body, Mapping):
        return ["the answer is not an object with input_data or input_groups"]
    flat, groups = body.get("input_data"), body.get("input_groups")
    if groups is None:
        if not isinstance(flat, list):
            return ["input_data is not a list of fields"]
        return list(_fields(flat))
    if flat is not None:
        return ["input_data and input_groups are both there; exactly one may be"]
    if not isinstance(groups, list) or not all(_is_group(group) for group in groups):
        return ["input_groups is not a list of groups with an id, a title and input_data"]
    return list(_fields([field for group in groups for field in group["input_data"]]))


def _is_group(group: object) -> bool:
    return isinstance(group, Mapping) and isinstance(group.get("input_data"), list)


def _fields(fields: list[Any]) -> Iterator[str]:
    seen: set[str] = set()
    for number, field in enumerate(fields, 1):
        if not isinstance(field, Mapping):
            yield f"field {number} is not an object"
            continue
        name = field.get("id")
        if not isinstance(name, str) or not name:
            yield f"field {number} has no id that is text"
            continue
        label = plain_text(name, 60)
        if name in seen:
            yield f"{label}: the id comes twice"
        seen.add(name)
        yield from (f"{label}: {sentence}" for sentence in _field(field))


def _field(field: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(field.get("name"), str) or not field["name"]:
        yield "has no name that is text"
    kind = field.get("type")
    if not isinstance(kind, str) or kind not in _RULES:
        yield f"type {plain_text(kind, 40) or 'missing'!r} is not one of MIP-003"
        return
    data = field.get("data")
    held: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    if data is not None and not isinstance(data, Mapping):
        yield "data is not an object"
    if kind in _CHOICES and not _are_choices(held.get("values")):
        yield "data.values is not a list of different texts"
    if kind == "file" and not isinstance(held.get("outputFormat"), str):
        yield "data.outputFormat is missing"
    yield from _rules(kind, field.get("validations"))


def _are_choices(values: Any) -> bool:
    texts = isinstance(values, list) and bool(values) and all(isinstance(value, str) for value in values)
    return texts and len(set(values)) == len(values)


def _rules(kind: str, rules: Any) -> Iterator[str]:
    if rules is None:
        return
    if not isinstance(rules, list):
        yield "validations is not a list of validation and value"
        return
    for rule in rules:
        word, value = (
            (rule.get("validation"), rule.get("value")) if isinstance(rule, Mapping) else (None, None)
        )
        if not isinstance(word, str):
            yield "a validation has no name"
        elif not isinstance(value, str):
            yield f"the value of {plain_text(word, 40)} is not text"
        elif word == "optional":
            if value not in ("true", "false"):
                yield 'the value of optional is neither "true" nor "false"'
        elif (value if word == "format" else word) not in _RULES[kind]:
            yield f"the rule {plain_text(value if word == 'format' else word, 40)} is not one of its type"
