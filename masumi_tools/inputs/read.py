"""What a service says about its input, in every dialect met in the field, as one `InputSpec`.

MIP-003 flat and groups, a bare list, one bare field, fields keyed by name, a dict keyed by field, JSON
Schema (wrapped, nested, of pydantic), key-value lists, JSON as text, nulls (protocol S2, I1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from masumi_tools.inputs.fields import ALIASES, KINDS, InputField, InputSpec, counted
from masumi_tools.inputs.jsonschema import read_properties, read_property
from masumi_tools.inputs.lenient import NotJson, read_json
from masumi_tools.inputs.rules import MAX_VALUES, is_false, read_field, usable_id
from masumi_tools.models.wire import read_error
from masumi_tools.text import plain_text

MAX_DEPTH: Final = 32
MAX_NODES: Final = 100_000
MAX_CHARACTERS: Final = 1_000_000
MAX_FIELDS: Final = 200

_ENVELOPE: Final = frozenset(
    {"identifier_from_purchaser", "identifierFromPurchaser", "input_data", "inputData"}
)
_DATA_KEYS: Final = ("input_data", "inputData")
_LIST_KEYS: Final = ("input", "inputs", "fields", "parameters")
_WRAPPERS: Final = ("input_schema", "inputSchema", "schema", "json_schema", "data", "result", "body")
_ERROR_KEYS: Final = frozenset({"detail", "error", "errors", "message", "msg"})
_META_KEYS: Final = frozenset(
    {
        "status", "success", "message", "version", "$schema", "$id", "title", "description", "name",
        "note", "notes", "comment", "comments", "hint", "info", "instructions", "help", "example", "examples",
    }
)  # fmt: skip
# Lists of nothing but names, by whether what they name has to be given.
_NAME_LISTS: Final = {
    "required_fields": True, "requiredFields": True, "required_inputs": True, "requiredInputs": True,
    "required": True, "mandatory": True, "optional_fields": False, "optionalFields": False,
    "optional_inputs": False, "optional": False,
}  # fmt: skip
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def read_input_schema(body: object) -> InputSpec:
    """The input that a service wants, from the body of GET /input_schema or of a question in /status.

    `body` is the JSON value, or the text where it was no JSON. Never raises: what cannot be used is a
    spec whose `refusal` says why (an error instead of a schema, a required field without id, two fields
    with one id, more than 200 fields, 1 MB of text or 32 levels), and `check` raises that. For None, which
    stands for a route that gave nothing, any input is taken: the service itself refuses what it must.
    """
    too_large = _too_large(body)
    if too_large:
        return InputSpec(refusal=too_large)
    spec = _read(body, 0)
    if body is None:
        unknown = "the input schema could not be read, so any input is sent as it is"
        return replace(spec, open_ended=True, problems=(unknown,))
    if spec.refusal:
        return spec
    if len(spec.fields) > MAX_FIELDS:
        return InputSpec(
            dialect=spec.dialect,
            refusal=f"the schema has {len(spec.fields)} fields, at most {MAX_FIELDS} are read",
        )
    spec = _only_once(spec)
    return spec.refused(_impossible(spec)) if not spec.refusal else spec


def _read(body: object, depth: int) -> InputSpec:
    if isinstance(body, str):
        return _text(body, depth)
    if isinstance(body, list):
        return _entries(body, "bare list")
    if body is None:
        return InputSpec(
            dialect="null",
            problems=("the schema is null: the service takes no input, or failed to say which",),
        )
    if not isinstance(body, Mapping):
        return InputSpec(refusal=f"the schema is {plain_text(repr(body), 40)}, not a list of fields")
    if not body:
        return InputSpec(dialect="empty", problems=("the schema is empty: no field is named",))
    groups = body.get("input_groups", body.get("inputGroups"))
    if isinstance(groups, list) and (groups or len(body) == 1):
        return _groups(groups)
    if _is_json_schema(body):
        return _json_schema(body)
    if _is_field(body):
        return _entries([body], "bare field")
    for key in (*_DATA_KEYS, *_LIST_KEYS, *_WRAPPERS):
        if key in body:
            return _inside(body, key, depth)
    if _is_keyed(body):
        return _keyed(body)
    if fields := _named(body):
        return InputSpec(
            fields, "names only", loose=True, problems=("the fields have names only, taken as texts",)
        )
    if "identifier_from_purchaser" in body and isinstance(body["identifier_from_purchaser"], str):
        return _example({key: value for key, value in body.items() if key not in _ENVELOPE})
    said = read_error(body)
    if said or _ERROR_KEYS & set(body):
        return InputSpec(
            refusal=f"the service answered with an error instead of a schema: {plain_text(said, 300)}"
        )
    keys = ", ".join(plain_text(key, 40) for key in list(body)[:5])
    return InputSpec(refusal=f"the schema names no fields; its keys are {keys}")


def _inside(body: Mapping[str, Any], key: str, depth: int) -> InputSpec:
    """The spec under a key that holds the fields or wraps the schema."""
    inner = body[key]
    named = "mip003" if key in _DATA_KEYS else f'fields under "{key}"'
    # the official kit names both keys always, and wants a value for every note (protocol S2, I2)
    official = "input_groups" in body
    if isinstance(inner, list):
        return replace(_entries(inner, named, by_name=key in _LIST_KEYS), fill_notes=official)
    if inner is None and any(body.get(other) is not None for other in (*_DATA_KEYS, *_WRAPPERS)):
        return _read({name: value for name, value in body.items() if name != key}, depth)
    if key in _DATA_KEYS and isinstance(inner, str) and inner.strip().lower() in ALIASES:
        return InputSpec((InputField("input_data"),), "text", wire="text")
    if key in _DATA_KEYS and isinstance(inner, str) and (names := _names_in(inner)):
        return _entries(names, "names only")
    if depth > 4:
        return InputSpec(refusal="the schema is wrapped too often")
    if isinstance(inner, Mapping) and not inner and key not in _DATA_KEYS:
        return _read(None, depth)
    spec = _read(inner, depth + 1)
    if spec.refusal and key in _DATA_KEYS and isinstance(inner, Mapping) and not _ERROR_KEYS & set(inner):
        return _example(inner)
    # n8n's documented shape: a status beside the schema, and a body that is a list of key and value
    if spec.dialect == "keyed by field" and "status" in body:
        return replace(spec, wire="kv-list")
    return replace(spec, fill_notes=official)


def _text(text: str, depth: int) -> InputSpec:
    if depth > 4 or not text.lstrip("\ufeff \t\r\n").startswith(("{", "[", '"', "```")):
        said = read_error(text) or "nothing"
        return InputSpec(refusal=f"the schema cannot be read: the service answered {plain_text(said, 100)!r}")
    try:
        found = read_json(text)
    except NotJson as error:
        return InputSpec(refusal=f"the schema cannot be read: {error.sentence}")
    spec = _read(found.value, depth + 1)
    if found.strict:
        return spec
    return replace(spec, problems=("the schema is not valid JSON and was read leniently", *spec.problems))


def _groups(groups: list[Any]) -> InputSpec:
    fields: list[InputField] = []
    problems: list[str] = []
    refusal = ""
    for number, group in enumerate(groups, 1):
        entries = group.get("input_data", group.get("inputData")) if isinstance(group, Mapping) else None
        if not isinstance(entries, list):
            problems.append(f"group {number} has no list of fields")
            continue
        title = plain_text(group.get("title") or group.get("name"), 200)
        spec = _entries(entries, "groups", group=title)
        fields += spec.fields
        problems += spec.problems
        refusal = refusal or spec.refusal
    return InputSpec(tuple(fields), "groups", problems=tuple(problems), refusal=refusal)


def _entries(entries: list[Any], dialect: str, group: str = "", by_name: bool = False) -> InputSpec:
    """The fields of a list: MIP-003 entries, entries keyed by name, key-value entries, or plain names."""
    if entries and all(
        isinstance(item, Mapping) and isinstance(item.get("input_data"), list) for item in entries
    ):
        return _groups(entries)  # a list of questions, each with its fields
    if entries and all(isinstance(item, Mapping) and "key" in item and "id" not in item for item in entries):
        return _key_values(entries)
    by_name = _keyed_by_name(entries, by_name)
    fields: list[InputField] = []
    problems: list[str] = []
    refusal = ""
    for number, entry in enumerate(entries[: MAX_FIELDS * 10], 1):
        if isinstance(entry, str) and _NAME.fullmatch(entry):
            fields.append(InputField(entry, group=group))
            problems.append(f"{entry}: only a name, taken as text")
            continue
        if not isinstance(entry, Mapping):
            problems.append(f"entry {number} is not a field and is left out")
            continue
        field_id = usable_id(entry.get("name" if by_name else "id"))
        field, odd = read_field(entry, field_id or f"field {number}", group)
        if field_id is None and field.kind != "note":
            label = f" ({field.name})" if field.name else ""
            sentence = f"field {number}{label} has no id, so there is no key to send"
            problems.append(sentence)
            refusal = refusal or (sentence if field.required else "")
            continue
        problems += odd
        fields.append(field)
    if by_name:
        problems.insert(0, "the fields are keyed by name and have no id")
    named = "keyed by name" if by_name else dialect
    return _without_envelope(InputSpec(tuple(fields), named, problems=tuple(problems), refusal=refusal))


def _keyed_by_name(entries: list[Any], by_name: bool) -> bool:
    """Whether `name` is the key to send: no entry has an id, and every name can be one."""
    fields = [entry for entry in entries if isinstance(entry, Mapping)]
    if not fields or any("id" in entry or "validations" in entry for entry in fields):
        return False
    if not all(isinstance(entry.get("name"), str) and _NAME.fullmatch(entry["name"]) for entry in fields):
        return False
    return by_name or all(isinstance(entry.get("required"), bool) for entry in fields)


def _key_values(entries: list[Any]) -> InputSpec:
    """MIP-003's second draft: {key, value} where the value names the type, or {key, type}."""
    fields: list[InputField] = []
    for entry in entries:
        field_id = usable_id(entry["key"])
        if field_id is None:
            return InputSpec(dialect="key-value list", wire="kv-list", refusal="an entry has no usable key")
        word = entry.get("type", entry.get("value"))
        if "type" not in entry and not _is_type_word(word):  # a value to show how one looks
            fields.append(_by_example(field_id, word))
            continue
        # the draft writes "string" for all, so a key that is itself a type word says more
        if word == "string" and "type" not in entry and KINDS.get(field_id, "note") != "note":
            word = field_id
        field, _ = read_field({**entry, "type": word}, field_id)
        fields.append(field)
    problem = "the fields are a list of key and value; no rules are given"
    return InputSpec(tuple(fields), "key-value list", "kv-list", problems=(problem,))


def _names_in(text: str) -> list[str]:
    """The names in a text such as "text, language"; empty where it is anything else."""
    names = [part.strip() for part in text.split(",")]
    return names if len(names) > 1 and all(map(_NAME.fullmatch, names)) else []


def _named(body: Mapping[str, Any]) -> tuple[InputField, ...]:
    """The fields of lists of names, such as required_fields and optional_fields; empty where there are none."""
    found: dict[str, InputField] = {}
    for key, required in _NAME_LISTS.items():
        names = body.get(key)
        if isinstance(names, list) and all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
            found |= {name: InputField(name, required=required) for name in names if name not in found}
    return tuple(found.values())


def _is_type_word(value: object) -> bool:
    return isinstance(value, str) and (value.strip().lower() in ALIASES or value.strip().lower() in KINDS)


def _example(body: Mapping[str, Any]) -> InputSpec:
    """The fields of an example body that stands in the place of a schema: names, and kinds by the values."""
    fields = [
        _by_example(field_id, value)
        for key, value in body.items()
        if not str(key).startswith(("_", "$")) and (field_id := usable_id(key))
    ]
    problem = (
        "an example stands in the place of the schema: names and kinds are taken from it, and all are needed"
    )
    return InputSpec(tuple(fields), "example", loose=True, problems=(problem,))


def _by_example(field_id: str, value: object) -> InputField:
    """The field that an example value is one of; the value is shown as the example."""
    if isinstance(value, str) and _is_type_word(value):
        return read_field({"type": value}, field_id)[0]
    if isinstance(value, bool):
        return InputField(field_id, "boolean")
    if isinstance(value, int | float):
        return InputField(field_id, "number", placeholder=str(value)[:40])
    if isinstance(value, Mapping | list):
        return InputField(field_id, "object")
    return InputField(
        field_id, "text" if isinstance(value, str) else "any", placeholder=plain_text(value, 200)
    )


def _is_json_schema(body: Mapping[str, Any]) -> bool:
    properties = body.get("properties")
    return isinstance(properties, Mapping) and not isinstance(body.get("id"), Mapping | list)


def _json_schema(body: Mapping[str, Any]) -> InputSpec:
    properties = body["properties"]
    for key in _DATA_KEYS:  # the schema of the whole request, not of the fields
        if key in properties and set(properties) <= _ENVELOPE:
            field, odd = read_property(properties[key], key, body)
            return _envelope(field, odd)
    fields, odd = read_properties(body, body)
    closed = body.get("additionalProperties") is False
    return InputSpec(fields, "JSON Schema", loose=True, closed=closed, problems=tuple(odd))


def _envelope(field: InputField, odd: list[str]) -> InputSpec:
    """What a schema of the envelope says: nested fields, one text, or nothing."""
    if field.parts:
        return InputSpec(field.parts, "JSON Schema of the request", loose=True, problems=tuple(odd))
    if field.kind in ("object", "list"):
        problem = "the schema describes the request and not the fields: any input is taken"
        spec = InputSpec(dialect="envelope", open_ended=True, problems=(problem,))
        return replace(spec, wire="kv-list") if field.kind == "list" else spec
    return InputSpec((field,), "JSON Schema of the request", wire="text", problems=tuple(odd))


def _without_envelope(spec: InputSpec) -> InputSpec:
    """n8n's stock schema lists the envelope's own keys as fields; then it says nothing about the input."""
    ids = {field.id for field in spec.fields}
    if not ids & set(_DATA_KEYS) or not ids <= _ENVELOPE or len(ids) < 2:
        return spec
    data = next(field for field in spec.fields if field.id in _DATA_KEYS)
    return _envelope(data, []) if data.kind == "object" else spec


def _is_field(body: Mapping[str, Any]) -> bool:
    """Whether the body is one field: a type word and something else that only fields have."""
    return isinstance(body.get("type"), str) and any(
        isinstance(body.get(key), kind)
        for key, kind in (("id", str), ("name", str), ("validations", list), ("data", Mapping))
    )


def _is_keyed(body: Mapping[str, Any]) -> bool:
    return any(_is_entry(value) for value in body.values()) and all(
        _is_entry(value) or key in _META_KEYS or str(key).startswith(("_", "$"))
        for key, value in body.items()
    )


def _is_entry(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in ALIASES or value.strip().lower() in KINDS
    return isinstance(value, Mapping) and any(
        key in value for key in ("type", "$ref", "anyOf", "enum", "description", "required", "validations")
    )


def _keyed(body: Mapping[str, Any]) -> InputSpec:
    """A dict keyed by field; where none says that it is required all are, as in MIP-003."""
    flags = [value.get("required") for value in body.values() if isinstance(value, Mapping)]
    flagged = any(flag is not None and not is_false(flag) for flag in flags)
    fields: list[InputField] = []
    problems: list[str] = []
    for key, entry in body.items():
        field_id = usable_id(key)
        if not _is_entry(entry) or field_id is None:
            continue
        plain = {"type": entry} if isinstance(entry, str) else entry
        if any(word in plain for word in ("$ref", "anyOf", "items", "properties")):
            field, odd = read_property(plain, field_id, body)
        else:
            field, odd = read_field(plain, field_id)
        required = field.required if "required" in plain or "optional" in plain else not flagged
        fields.append(replace(field, required=required))
        problems += odd
    return InputSpec(tuple(fields), "keyed by field", loose=True, problems=tuple(problems))


def _only_once(spec: InputSpec) -> InputSpec:
    """The same with every id once: equal twins are one, different ones cannot be told apart."""
    seen: dict[str, InputField] = {}
    problems = list(spec.problems)
    for field in spec.fields:
        first = seen.setdefault(field.id, field)
        if first is field or (first.kind == "note" and field.kind == "note"):
            continue
        if replace(first, group="") != replace(field, group=""):
            return spec.refused(f"two different fields have the id {plain_text(field.id, 60)!r}")
        problems.append(f"{field.id}: listed twice")
    return replace(spec, fields=tuple(seen.values()), problems=tuple(problems))


def _impossible(spec: InputSpec) -> str:
    """Why no input can satisfy the schema; "" when one can."""
    for field in spec.required:
        if len(field.values) > MAX_VALUES:
            return f"{field.id}: more than {MAX_VALUES:,} choices"
        if {"url", "email"} <= {field.type, *field.formats}:
            return f"{field.id}: has to be a URL and an e-mail address at once, which nothing is"
        low, high = field.minimum, field.maximum
        if isinstance(low, Decimal) and isinstance(high, Decimal) and low > high:
            return f"{field.id}: its smallest is {low} and its largest {high}, so nothing fits"
        if field.kind == "choice" and field.values and isinstance(low, Decimal) and low > len(field.choices):
            return f"{field.id}: wants {low} of {counted(len(field.choices), 'choice')}"
    return ""


def _below(level: list[Any]) -> tuple[list[Any], int]:
    """The values that lie in these, and how many characters these are themselves."""
    below: list[Any] = []
    characters = 0
    for value in level:
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, Mapping):
            characters += sum(len(key) for key in value if isinstance(key, str))
            below += value.values()
        elif isinstance(value, list):
            below += value
    return below, characters


def _too_large(body: object) -> str:
    """Why the schema is not read at all; counts without recursion and stops at the first limit."""
    nodes = characters = 0
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH + 1):
        below, written = _below(level)
        nodes, characters = nodes + len(below), characters + written
        if nodes > MAX_NODES:
            return f"the schema holds more than {MAX_NODES:,} values"
        if characters > MAX_CHARACTERS:
            return f"the schema is longer than {MAX_CHARACTERS:,} characters"
        if not below:
            return ""
        level = below
    return f"the schema is nested deeper than {MAX_DEPTH} levels"
