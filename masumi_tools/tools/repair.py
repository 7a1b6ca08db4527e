"""One value as a language model sends it, made what the field wants where it can mean only one thing.

Done: numbers and booleans as text, whole numbers for text, one value for a list and a list of one for a
value, lists and objects as JSON text, a choice by its label or in other letter case. Never: a number with
a unit or with separators, an object where a value belongs, a word for nothing as the text of a field that is
needed. For one that is not needed such a word ("None", "null") leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from masumi_tools.inputs.fields import FREE_TEXT, InputField, Scalar, as_word, label_of, loose_key
from masumi_tools.inputs.lenient import NotJson, read_json
from masumi_tools.inputs.values import Unfit

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,400}")
_NULL_WORDS: Final = frozenset({"null", "NULL", "Null", "None", "undefined", "nil"})
_TYPE_WORDS: Final = ("str", "string", "<string>")  # echoed from the schema instead of a value
_NOTHING: Final = _NULL_WORDS | {"none", "NONE", "n/a", "N/A", "NaN", "nan", ""}


def repair(field: InputField, value: Any) -> Any:
    """The value as the field wants it, None where none was meant; Unfit when it could mean two things.

    What fits already is not touched, and what cannot be repaired goes on as it is: `check` refuses it.
    """
    if value is None:
        return None
    if isinstance(value, str) and value.strip() in _NOTHING and value not in field.choices:
        return _nothing(field, value)
    return _REPAIRS[field.kind](field, value)


def _nothing(field: InputField, value: str) -> Any:
    word = value.strip()
    free = field.type in FREE_TEXT or field.kind == "any" or (field.kind == "choice" and not field.choices)
    if not free:
        if field.needed:
            raise Unfit(f"is required, {word or 'blank text'} was given")
        return None
    if word in _NULL_WORDS:
        if (
            not field.needed
        ):  # left out, the service does without it; sent as a text it would be taken at its word
            return None
        raise Unfit(f"{word} may be a text or mean nothing: write a text, or leave the field out")
    return value


def _text(field: InputField, value: Any) -> Any:
    if field.type in FREE_TEXT and value in _TYPE_WORDS:
        raise Unfit(f"{value} is the name of a type: write the text itself")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        if value.is_integer():
            raise Unfit(f"{value} could be {value:.0f} or {value} as text: give it in quotes")
        return repr(value)
    return value


def _number(field: InputField, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    raise Unfit("is not a number: digits only, without unit and separators")


def _boolean(field: InputField, value: Any) -> Any:
    if field.values and not isinstance(value, bool):
        return _choice(field, value)
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    return value


def _choice(field: InputField, value: Any) -> Any:
    if isinstance(value, str) and value not in field.choices:
        value = _listed(field, value)
    if isinstance(value, list):
        chosen = [_one(field, item) for item in value]
        if all(isinstance(item, str) for item in chosen):
            chosen = list(dict.fromkeys(chosen))
        return chosen[0] if len(chosen) == 1 and field.type in ("radio", "enum") else chosen
    one = _one(field, value)
    return [one] if field.many and isinstance(one, str | int | float) else one


def _listed(field: InputField, text: str) -> Any:
    """A list that came as JSON text, or as choices with commas between them."""
    if text.lstrip().startswith("["):
        return _json(text)
    parts = [part.strip() for part in text.split(",")]
    if field.many and len(parts) > 1 and all(part in field.choices for part in parts):
        return parts
    return text


def _one(field: InputField, value: Any) -> Any:
    """The choice that is meant: itself, as another type, by letter case or label when only one fits."""
    if not field.choices or not isinstance(value, str | int | float) or value in field.choices:
        if isinstance(value, int) and not isinstance(value, bool) and value not in field.choices:
            return str(value) if not field.choices else value
        return value
    word = as_word(value).strip()
    exact = [known for known in field.choices if as_word(known) == word]
    if exact:
        return exact[0]
    if not isinstance(value, str):
        raise Unfit("a number was given where one of the choices is expected: give the choice as text")
    # A choice that holds characters which cannot be seen was shown without them.
    folded: list[Scalar] = [
        known
        for known in field.choices
        if word.casefold() in (as_word(known).casefold(), label_of(known).casefold())
    ]
    labelled: list[Scalar] = [
        known
        for known, label in zip(field.values, field.labels, strict=False)
        if known != "" and label.casefold() == word.casefold()
    ]
    meant = folded or labelled
    return meant[0] if len(meant) == 1 else value


def _moment(field: InputField, value: Any) -> Any:
    if isinstance(value, str) and field.type in ("datetime", "datetime-local"):
        return re.sub(r"^([0-9]{4}-[0-9]{2}-[0-9]{2}) +([0-9]{2}:)", r"\1T\2", value.strip())
    return value.strip() if isinstance(value, str) else value


def _file(field: InputField, value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _json(value)
    return [value] if field.many and isinstance(value, str) else value


def _object(field: InputField, value: Any) -> Any:
    if isinstance(value, str):
        value = _json(value)
    if not isinstance(value, Mapping):
        return value
    by_key = {loose_key(part.id): part for part in field.parts}
    repaired: dict[Any, Any] = {}
    for key, item in value.items():
        part = next((part for part in field.parts if part.id == key), None) or by_key.get(loose_key(str(key)))
        name = key if part is None else part.id
        try:
            clean = item if part is None else repair(part, item)
        except Unfit as error:
            raise Unfit(f"its field {name} {error}") from None
        if field.parts and part is None and item is not None:
            raise Unfit(f"its field {str(key)[:40]} is unknown")
        if name in repaired and repaired[name] != clean:
            raise Unfit(f"its field {name} is given twice with different values")
        repaired[name] = clean
    return {key: item for key, item in repaired.items() if item is not None}


def _list(field: InputField, value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _json(value)
    if field.item is None:
        return value
    if not isinstance(value, list):
        value = [value] if isinstance(value, str | int | float) else value
    return [repair(field.item, item) for item in value] if isinstance(value, list) else value


def _json(text: str) -> Any:
    try:
        return read_json(text).value
    except NotJson as error:
        raise Unfit(error.sentence if error.fault != "no JSON" else "is not JSON") from None


def _same(field: InputField, value: Any) -> Any:
    return value


_REPAIRS: Final[dict[str, Callable[[InputField, Any], Any]]] = {
    "text": _text,
    "number": _number,
    "boolean": _boolean,
    "choice": _choice,
    "moment": _moment,
    "file": _file,
    "object": _object,
    "list": _list,
    "note": _same,
    "any": _same,
}
