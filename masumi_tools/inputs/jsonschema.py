"""Fields from the properties of a JSON Schema, as served by some sellers and made by pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from masumi_tools.inputs.fields import InputField, Scalar, label_of
from masumi_tools.inputs.pattern import quick_pattern
from masumi_tools.inputs.rules import MAX_VALUES, number, read_field, usable_id
from masumi_tools.text import plain_text

_MAX_NESTING: Final = 8
_TEXT_FORMATS: Final = {
    "email": "email", "idn-email": "email", "uri": "url", "url": "url", "iri": "url", "uri-reference": "text",
    "date": "date", "date-time": "datetime", "password": "password", "color": "color",
}  # fmt: skip


def read_properties(
    schema: Mapping[str, Any], root: Mapping[str, Any], depth: int = 0
) -> tuple[tuple[InputField, ...], list[str]]:
    """The fields of an object schema; `root` is where its $refs lead. Raises nothing for odd schemas."""
    listed = schema.get("required")
    required = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
    fields: list[InputField] = []
    odd: list[str] = []
    properties = schema.get("properties")
    for name, entry in properties.items() if isinstance(properties, Mapping) else ():
        field_id = usable_id(name)
        if field_id is None:
            odd.append(f"a property has the unusable name {plain_text(name, 40)!r} and is left out")
            continue
        if isinstance(entry, Mapping) and isinstance(entry.get("validations"), list | Mapping):
            field, more = read_field(entry, field_id)
        else:
            field, more = read_property(entry, field_id, root, depth)
        odd += more
        flag = entry.get("required") if isinstance(entry, Mapping) else None
        fields.append(replace(field, required=field_id in required or flag is True))
    return tuple(fields), odd


def read_property(
    entry: object, field_id: str, root: Mapping[str, Any], depth: int = 0
) -> tuple[InputField, list[str]]:
    """One property as a field; what cannot be told apart becomes a field that takes any single value."""
    if not isinstance(entry, Mapping):  # `true` and word shorthands such as {"text": "string"}
        if isinstance(entry, str):
            return read_field({"type": entry}, field_id)
        return InputField(field_id, "object"), []
    shown, nullable = _resolved(entry, root)
    field = InputField(
        id=field_id,
        type="any",
        name=plain_text(shown.get("title") or shown.get("name"), 200),
        description=plain_text(shown.get("description")),
        placeholder=plain_text(_first(shown.get("examples")) or shown.get("placeholder"), 200),
        default=_plain(shown.get("default")),
        filled=True,
        nullable=nullable,
    )
    values = shown.get("enum")
    if values is None and "const" in shown:
        values = [shown["const"]]
    if isinstance(values, list):
        kept = tuple(value for value in values[: MAX_VALUES + 1] if isinstance(value, str | int | float))
        return replace(field, type="enum", values=kept, labels=tuple(map(label_of, kept))), []
    word = shown.get("type")
    if word == "string":
        return _text(field, shown), []
    if word in ("number", "integer"):
        return _number(field, shown, word), []
    if word == "boolean":
        return replace(field, type="boolean"), []
    if word == "array":
        return _list(field, shown, root, depth)
    if word == "object" or isinstance(shown.get("properties"), Mapping):
        parts, odd = read_properties(shown, root, depth + 1) if depth < _MAX_NESTING else ((), [])
        return replace(field, type="object", parts=parts), odd
    if _holds_more(shown):
        return replace(field, type="object"), []
    if isinstance(word, str) and word:
        return read_field(shown, field_id)
    return field, [f"{field_id}: no type given, taken as any single value"]


def _text(field: InputField, shown: Mapping[str, Any]) -> InputField:
    kind = _TEXT_FORMATS.get(str(shown.get("format", "")).lower(), "text")
    description = field.description
    if isinstance(shown.get("pattern"), str):
        description = f"{description} Must match the pattern {plain_text(shown['pattern'], 200)}".strip()
    return replace(
        field,
        type=kind,
        description=description,
        pattern=quick_pattern(shown.get("pattern")),
        minimum=number(shown.get("minLength")),
        maximum=number(shown.get("maxLength")),
    )


def _number(field: InputField, shown: Mapping[str, Any], word: str) -> InputField:
    return replace(
        field,
        type="number",
        formats=("integer",) if word == "integer" else (),
        minimum=number(shown.get("minimum")),
        maximum=number(shown.get("maximum")),
        above=number(shown.get("exclusiveMinimum")),
        below=number(shown.get("exclusiveMaximum")),
        step=number(shown.get("multipleOf")),
    )


def _list(
    field: InputField, shown: Mapping[str, Any], root: Mapping[str, Any], depth: int
) -> tuple[InputField, list[str]]:
    limits = replace(field, minimum=number(shown.get("minItems")), maximum=number(shown.get("maxItems")))
    if depth >= _MAX_NESTING or not isinstance(shown.get("items"), Mapping):
        return replace(limits, type="list"), []
    item, odd = read_property(shown["items"], "item", root, depth + 1)
    if item.type == "enum" and item.values:
        return replace(limits, type="multiselect", values=item.values, labels=item.labels), odd
    return replace(limits, type="list", item=item), odd


def _resolved(entry: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """The schema with local $refs followed and the null alternative taken out; whether null was allowed."""
    shown: dict[str, Any] = dict(entry)
    nullable = shown.get("nullable") is True
    for _ in range(_MAX_NESTING):
        inner: object = None
        if isinstance(shown.get("$ref"), str):
            inner = _referred(shown.pop("$ref"), root)
        elif isinstance(shown.get("allOf"), list) and len(shown["allOf"]) == 1:
            inner = shown.pop("allOf")[0]
        else:
            word = next((key for key in ("anyOf", "oneOf") if isinstance(shown.get(key), list)), None)
            if word is not None:
                others = [part for part in shown[word] if not _is_null(part)]
                nullable = nullable or len(others) < len(shown[word])
                if len(others) == 1:
                    del shown[word]
                    inner = others[0]
                elif values := _only_values(others):
                    del shown[word]
                    inner = {"enum": values}
        if not isinstance(inner, Mapping):
            break
        shown = {**inner, **shown}
    word = shown.get("type")
    if isinstance(word, list):
        others = [part for part in word if part != "null"]
        nullable = nullable or len(others) < len(word)
        shown["type"] = others[0] if len(others) == 1 else None
    return shown, nullable


def _referred(ref: str, root: Mapping[str, Any]) -> object:
    found: object = root
    if not ref.startswith("#/"):
        return None
    for part in ref[2:].split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found


def _is_null(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "null"


def _only_values(parts: list[Any]) -> list[Any]:
    """The values when every alternative is a constant or an enum."""
    values: list[Any] = []
    for part in parts:
        if isinstance(part, Mapping) and "const" in part:
            values.append(part["const"])
        elif isinstance(part, Mapping) and isinstance(part.get("enum"), list):
            values += part["enum"]
        else:
            return []
    return values


def _holds_more(shown: Mapping[str, Any]) -> bool:
    """Whether one of several alternatives is an object or a list."""
    alternatives = [part for key in ("anyOf", "oneOf", "allOf") for part in _listed(shown.get(key))]
    return any(
        isinstance(part, Mapping) and (part.get("type") in ("object", "array") or "$ref" in part)
        for part in alternatives
    )


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else None


def _plain(value: object) -> Scalar | None:
    return value if isinstance(value, str | int | float) else None
