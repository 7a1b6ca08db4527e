"""How the input goes into the body of start_job, and which other form is worth one more try.

Services disagree (protocol S3, I1, I5): an object, a list of key and value, one text, the fields without
envelope, texts only, choices as positions, notes that must be filled. The first form is what MIP-003 says
or the dialect shows. The hash follows what was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from masumi_tools.inputs.fields import InputSpec, as_word
from masumi_tools.proof.hashing import JsonValue

Form: TypeAlias = Literal["object", "text", "kv-list", "notes", "defaults", "indexes", "strings", "flat"]

NOTE_TEXT: Final = "-"  # the official kit wants any text that is not blank for a note (protocol I2)


@dataclass(frozen=True, slots=True)
class Layout:
    """One form of the start_job body; `hashed` is the input in it, over which the input hash goes."""

    form: Form
    body: dict[str, Any]
    hashed: JsonValue


def layouts(spec: InputSpec, data: dict[str, Any], identifier: str | None = None) -> list[Layout]:
    """The forms in which checked input can be sent, the one to send first in front.

    The others are only for `alternative` to choose one from, after a definite 4xx. Without an identifier
    (free agents) the body has none.
    """
    forms: list[Form] = [spec.wire]
    if spec.wire == "object":
        forms = ["notes" if spec.fill_notes and _notes(spec) else "object"]
    forms += [form for form in _others(spec, data) if form not in forms]
    made = [Layout(form, *_body(form, spec, data, identifier)) for form in forms]
    return [layout for number, layout in enumerate(made) if all(layout.body != o.body for o in made[:number])]


def alternative(
    forms: Sequence[str], refusal: str, data: Sequence[str] = (), defaults: Sequence[str] = ()
) -> int | None:
    """Which of the forms to try once after the first was refused; None when another form cannot help.

    `forms` are the names from `layouts`, `refusal` is the text of the 400 or 422, `data` the ids of the
    fields that were sent, `defaults` of those whose defaults another form would send. Only a refusal that is about the form is a reason: a service that is refused
    something else might take a wrong form, and be paid for it.
    """
    said = refusal[:20_000].lower()
    if "kv-list" in forms[1:] and _wants_pairs(said):
        return list(forms).index("kv-list")
    if "defaults" in forms[1:] and _misses(said, defaults):
        return list(forms).index("defaults")
    for number, form in enumerate(forms):
        if number > 0 and _SIGNS[form](said, [name.lower() for name in data]):
            return number
    return None


def _others(spec: InputSpec, data: dict[str, Any]) -> list[Form]:
    forms: list[Form] = []
    if _notes(spec) and spec.wire == "object":
        forms += ["notes", "object"]
    if spec.wire == "object" and _defaults(spec, data):
        forms.append("defaults")
    if any(field.values and field.type in ("option", "radio", "multiselect") for field in spec.fields):
        forms.append("indexes")
    if spec.wire == "object" and any(not isinstance(value, str) for value in data.values()):
        forms.append("strings")
    if spec.loose:
        forms.append("flat")
    if spec.wire == "object":
        forms.append("kv-list")
    if spec.wire == "kv-list":
        forms.append("object")
    return forms


def _body(
    form: Form, spec: InputSpec, data: dict[str, Any], identifier: str | None
) -> tuple[dict[str, Any], JsonValue]:
    head = {} if identifier is None else {"identifier_from_purchaser": identifier}
    sent: JsonValue = dict(data)
    if form == "text":
        sent = next(iter(data.values()), "")
    elif form == "kv-list":
        sent = _key_values(spec, data)
    elif form == "defaults":
        sent = {**_defaults(spec, data), **data}
    elif form == "notes":
        sent = {**_notes(spec), **data}
    elif form == "indexes":
        sent = {key: _positions(spec, key, value) for key, value in data.items()}
    elif form == "strings":
        sent = {key: _as_text(value) for key, value in data.items()}
    if form == "flat":
        return {**head, **data}, sent
    return {**head, "input_data": sent}, sent


def _notes(spec: InputSpec) -> dict[str, str]:
    return {field.id: NOTE_TEXT for field in spec.fields if field.kind == "note" and field.required}


def _defaults(spec: InputSpec, data: dict[str, Any]) -> dict[str, Any]:
    """The defaults of fields that may be left out and were: for services that want them all the same."""
    return {
        field.id: field.default
        for field in spec.asked
        if not field.required and field.id not in data and field.default is not None and field.default != ""
    }


def _key_values(spec: InputSpec, data: dict[str, Any]) -> JsonValue:
    """A list of key and value; several choices repeat the key."""
    pairs: list[JsonValue] = []
    for key, value in data.items():
        field = spec.field(key)
        several = isinstance(value, list) and field is not None and field.kind == "choice"
        pairs += [{"key": key, "value": item} for item in (value if several else [value])]
    return pairs


def _positions(spec: InputSpec, key: str, value: Any) -> JsonValue:
    field = spec.field(key)
    if field is None or field.kind != "choice" or field.type == "enum" or not field.values:
        return value  # type: ignore[no-any-return]
    chosen = value if isinstance(value, list) else [value]
    return [field.values.index(item) for item in chosen]


def _as_text(value: Any) -> str:
    if isinstance(value, str | bool | int | float):
        return as_word(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _says(*patterns: str) -> Callable[[str, list[str]], bool]:
    found = re.compile("|".join(patterns))
    return lambda said, names: found.search(said) is not None


def _wants_fields_outside(said: str, names: list[str]) -> bool:
    """FastAPI names the place of what it misses: the field directly in the body."""
    places = [re.sub(r"\s", "", place) for place in re.findall(r'"loc"\s*:\s*\[([^\]]*)\]', said)]
    return any(place in (f'"body","{name}"', f"'body','{name}'") for place in places for name in names)


def _misses(said: str, names: Sequence[str]) -> bool:
    """Whether the refusal says of one of these fields that it is missing."""
    if re.search("missing|required|must be (?:given|provided|present)|not (?:given|provided)", said) is None:
        return False
    return any(re.search(rf"(?<![\w-]){re.escape(name.lower())}(?![\w-])", said) for name in names)


def _wants_pairs(said: str) -> bool:
    """The whole input should be a list, by the place that FastAPI names or by a sentence about input_data."""
    listed = (
        re.search("list_type|valid list|(?:be|expected) an? (?:list|array)|array of|list of", said)
        is not None
    )
    places = [re.sub(r"\s", "", place) for place in re.findall(r'"loc"\s*:\s*\[([^\]]*)\]', said)]
    if places:
        return listed and '"body","input_data"' in places
    about = (
        re.search(r"input_?data\W{0,3}(?:\w+ ){0,3}(?:must|should|has to|expected|is not|needs)", said)
        is not None
    )
    return (listed and about) or re.search(r"\bkey\b.{0,40}\bvalue\b", said) is not None


_SIGNS: Final[dict[str, Callable[[str, list[str]], bool]]] = {
    "object": _says(
        r"valid dict", "dict_type", r"must be an? (?:object|dict)", r"expected (?:an? )?(?:object|dict)"
    ),
    "text": lambda said, names: False,
    "notes": _says(r"\binfo(?:_\d+)?\b"),
    "defaults": lambda said, names: False,  # `alternative` looks at what is missed
    "indexes": _says(
        r"\bindex", r"\bindices\b", r"(?:list|array) of (?:int|number)", "must be (?:an? )?(?:array|list)"
    ),
    "strings": _says(
        "string_type", "valid string", r"must be (?:an? )?str", r"\bstr type expected", "expected string"
    ),
    "flat": _wants_fields_outside,
    "kv-list": lambda said, names: _wants_pairs(said),
}
