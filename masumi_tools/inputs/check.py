"""Input against a service's schema: a clean dict, or every field that does not fit with a sentence."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from masumi_tools.errors import InputError
from masumi_tools.inputs.fields import InputField, InputSpec, loose_key
from masumi_tools.inputs.lenient import NotJson, read_json
from masumi_tools.inputs.values import Unfit, fit, is_blank, kind_word
from masumi_tools.proof.hashing import JsonValue
from masumi_tools.text import plain_text

MAX_KEYS: Final = 1_000
_MOST_COMPARED: Final = 50  # likeness of words is slow, and strangers send the keys

# A question's "this was the last answer"; then its text may be blank (protocol S5).
_ENDS: Final = frozenset({"finish", "finished", "done", "end", "complete"})


def check(spec: InputSpec, data: object) -> dict[str, Any]:
    """The input with every value checked, in the schema's order; InputError with `field_errors` otherwise.

    Optional fields that are null or "" are left out, a required one that is missing has its default where
    the schema has one, a hidden field with a fixed value is filled in, 3.0
    becomes 3, positions of choices become the choices. Keys that the schema does not declare are kept, as
    some services read more than they say, unless the schema is closed or the key looks like a misspelt
    field. Strict: for what a language model sends see `tools.arguments`.
    """
    usable(spec)
    if not isinstance(data, Mapping):
        sentence = f"an object with the fields is needed, {kind_word(data)} was given"
        raise InputError(f"The input does not fit: {sentence}.", field_errors={"": [sentence]})
    errors: dict[str, list[str]] = {}
    clean: dict[str, Any] = {}
    ends = _ends(spec, data)
    for field in spec.fields:
        if field.kind == "note":
            continue
        try:
            found = _one(field, data, ends)
        except Unfit as error:
            errors[field.id] = [str(error)]
        else:
            if found is not _LEFT_OUT:
                clean[field.id] = found
    _others(spec, data, clean, errors)
    if errors:
        raise input_error(errors)
    return clean


def usable(spec: InputSpec) -> None:
    """Nothing, when input can be formed for the spec; InputError with its refusal otherwise."""
    if spec.refusal:
        sentence = f"The service's input schema cannot be used: {spec.refusal}."
        raise InputError(sentence, field_errors={"": [spec.refusal]})


def input_error(errors: Mapping[str, list[str]]) -> InputError:
    """The error of fields that do not fit; its text names the first ten."""
    words = [f"{plain_text(name, 60)}: {texts[0]}" for name, texts in list(errors.items())[:10]]
    more = len(errors) - len(words)
    text = "; ".join(words) + (f"; and {more} more" if more > 0 else "")
    return InputError(f"The input does not fit: {text}.", field_errors=errors)


_LEFT_OUT: Final = object()


def _one(field: InputField, data: Mapping[str, Any], ends: bool) -> object:
    """The clean value of one field, or _LEFT_OUT."""
    value = data.get(field.id)
    if value is None:
        if field.nullable and field.required and field.id in data:
            return None
        if not field.required:
            return _LEFT_OUT
        if field.fixed is not None:
            return field.fixed
        if field.needed:
            raise Unfit("is required")
        return fit(field, field.default)
    if is_blank(value) and not (field.kind == "choice" and field.choices):
        if not field.required and value == "":
            if "nonempty" in field.formats:
                raise Unfit("is blank: leave it out")
            return _LEFT_OUT
        if field.required and ends and field.kind == "text":
            return value
        if field.needed:
            raise Unfit("is required, blank text counts as missing")
        if field.required:
            return fit(field, field.default)
    elif value == "" and not field.required:
        return _LEFT_OUT
    return fit(field, _brought_in(field, value) if field.ours else value)


def _brought_in(field: InputField, value: object) -> object:
    """What the served form of our own field brings in, as the work expects it.

    JSON text for objects and lists, one entry a line for a list, a number as text (the official kit takes
    it), and a list of one for one choice or one value for a list, since a choice may come as either.
    """
    if field.kind == "choice":
        return _as_chosen(field, value)
    if not isinstance(value, str) or field.kind not in ("object", "list", "number"):
        return value
    try:
        found: JsonValue = read_json(value).value
    except NotJson:
        found = value
    if field.kind == "list" and not isinstance(found, list):
        return [line.strip() for line in value.splitlines() if line.strip()]
    return found


def _as_chosen(field: InputField, value: object) -> object:
    """A list for a choice of many, the one value for a choice of one."""
    if field.many and isinstance(value, str):
        return [value]
    if field.single and isinstance(value, list) and len(value) == 1:
        chosen = fit(replace(field, type="option"), value)
        return chosen[0] if isinstance(chosen, list) else chosen
    return value


def _ends(spec: InputSpec, data: Mapping[str, Any]) -> bool:
    return any(
        field.kind == "boolean" and field.id.lower() in _ENDS and data.get(field.id) is True
        for field in spec.fields
    )


def _others(
    spec: InputSpec, data: Mapping[Any, Any], clean: dict[str, Any], errors: dict[str, list[str]]
) -> None:
    """Keys that the schema does not declare: kept, or named when they cannot be meant."""
    declared = {field.id for field in spec.fields}
    missing = [field.id for field in spec.asked if field.id not in data]
    groups = {field.group for field in spec.fields if field.group}
    others = [key for key in data if key not in declared]
    if len(others) > MAX_KEYS:
        errors[""] = [f"has {len(others)} fields that the schema does not declare"]
        return
    for number, key in enumerate(others):
        value = data[key]
        if not isinstance(key, str):
            errors[plain_text(key, 60)] = ["keys must be text"]
        elif (meant := near(key, missing) if number < _MOST_COMPARED else None) is not None:
            errors[key] = [f"unknown field, did you mean {meant}?"]
        elif spec.closed:
            errors[key] = ["unknown field"]
        elif isinstance(value, Mapping) and (key in groups or set(value) & declared):
            errors[key] = ["values stand side by side, not nested in groups"]
        else:
            kind = "object" if isinstance(value, Mapping | list) else "any"
            try:
                clean[key] = None if value is None else fit(InputField(key, kind), value)
            except Unfit as error:
                errors[key] = [str(error)]


def near(key: str, missing: list[str]) -> str | None:
    """The field, of those not given, that an unknown key was probably meant to be; None for no likeness."""
    folded = loose_key(key)
    for field_id in missing:
        other = loose_key(field_id)
        if folded == other or (min(len(folded), len(other)) >= 4 and (folded in other or other in folded)):
            return field_id
    return next(iter(difflib.get_close_matches(key[:100], missing, 1, 0.8)), None)
