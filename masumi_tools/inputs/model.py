"""A pydantic model of a service's input, for tools of language models.

Its JSON schema is one that every provider takes, in strict mode too: closed objects, no free-form dict, no
rules but types and choices (the rest stands in the descriptions, and `check` sees to it), names of
letters, digits and underscores. Each value has one plain type: no alternatives, no null, no reference and
no default, for some providers and frameworks stumble over each of them. What may be left out is merely not
required; null is read all the same. Field ids that are no such names get one, and the map leads back.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, Union

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    create_model,
    model_validator,
)

from masumi_tools.errors import InputError
from masumi_tools.inputs.check import usable
from masumi_tools.inputs.describe import describe_field
from masumi_tools.inputs.fields import InputField, InputSpec
from masumi_tools.text import plain_text

OPEN_ARG: Final = "input_data"  # the one argument of a service that does not say which fields it takes

_MOST_LITERALS: Final = 100  # providers cap the size of enums
_MOST_LITERAL: Final = (
    200  # longer choices, and those with characters that cannot be seen, are told in words alone
)
_MOST_NESTING: Final = 3
_TAKEN: Final = frozenset(dir(BaseModel)) | {"args", "kwargs", "config", "run_manager", "runtime", "self"}

_Single = str | bool | int | float


def arg_names(fields: tuple[InputField, ...]) -> dict[str, str]:
    """A name for every field that Python and all providers take, mapped to the field's id, in order."""
    names: dict[str, str] = {}
    plain = {field.id for field in fields if _is_plain(field.id)}
    for number, field in enumerate(fields, 1):
        name = field.id
        if not _is_plain(name):
            name = _plain_name(field, number)
            while name in names or name in plain:
                name = f"{name}_{number}"
        names[name] = field.id
    return names


def args_model(
    spec: InputSpec,
    name: str,
    reader: Callable[[Any], Mapping[str, Any]] | None = None,
    *,
    quoting: bool = False,
) -> tuple[type[BaseModel], dict[str, str]]:
    """A model class of the arguments, and the map from argument name to field id.

    Optional fields may be left out or null. Objects without declared fields are text that holds JSON. With a
    `reader` (such as `tools.arguments.read_arguments` bound to the spec) whatever a model sends goes
    through it first; its InputError becomes pydantic's ValidationError with the same text. With `quoting`
    the words of the fields are short and marked as another side's. InputError when the spec has a refusal.
    """
    usable(spec)
    if spec.open_ended:
        names: dict[str, str] = {}
        text = Field(description="JSON text of an object with the fields that the service wants.")
        fields: dict[str, Any] = {OPEN_ARG: (str, text)}
    else:
        names = arg_names(spec.asked)
        by_id = {field.id: field for field in spec.asked}
        fields = {
            arg: _argument(by_id[field_id], f"{name}_{arg}", quoting) for arg, field_id in names.items()
        }
    base = _Arguments if reader is None else _reading(spec, names, reader)
    return create_model(name, __base__=base, **fields), names


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=(), hide_input_in_errors=True)


def _reading(
    spec: InputSpec, names: dict[str, str], reader: Callable[[Any], Mapping[str, Any]]
) -> type[_Arguments]:
    """The base class that passes everything through `reader` before pydantic looks at it."""

    by_id = {field.id: field for field in spec.asked}

    class Reading(_Arguments):
        @model_validator(mode="before")
        @classmethod
        def _read(cls, payload: Any) -> Any:
            try:
                clean = reader(payload)
            except InputError as error:
                raise ValueError(str(error)) from None
            if spec.open_ended:
                return {OPEN_ARG: json.dumps(dict(clean), ensure_ascii=False)}
            given = {arg: by_id[field_id] for arg, field_id in names.items() if field_id in clean}
            return {arg: _as_argument(field, clean[field.id]) for arg, field in given.items()}

    return Reading


def _as_argument(field: InputField, value: Any) -> Any:
    """A clean value in the type that the argument has."""
    if value is not None and _is_json_text(field, 0):
        return json.dumps(value, ensure_ascii=False)
    if field.kind in ("choice", "file"):
        if field.many and not isinstance(value, list):
            return [value]
        if field.single and isinstance(value, list) and len(value) == 1:
            return value[0]
    return value


def _argument(field: InputField, name: str, quoting: bool) -> tuple[Any, Any]:
    kind = _type(field, name, 0, quoting)
    words = describe_field(field, quoting=quoting) + (
        " Given as JSON text." if _is_json_text(field, 0) else ""
    )
    shown = {**_shown(field, 0, quoting), "description": words}
    return plainly(kind, shown, words, needed=field.needed, nullable=field.nullable)


def plainly(
    kind: Any, shown: dict[str, Any], words: str, *, needed: bool, nullable: bool = False
) -> tuple[Any, Any]:
    """A field of a model whose schema is `shown` and nothing else; one that may be left out has no default in it."""
    wanted = kind if needed and not nullable else kind | None
    more: dict[str, Any] = {} if needed else {"default_factory": _left_out}  # a default would be shown
    return Annotated[wanted, WithJsonSchema(shown)], Field(description=words, **more)


def _left_out() -> None:
    return None


def _shown(field: InputField, depth: int, quoting: bool) -> dict[str, Any]:
    """The schema of one field's values: one plain type, whole and without references."""
    if _is_json_text(field, depth) or (field.kind == "file" and not field.many):
        return {"type": "string"}
    if field.kind == "choice":
        texts = [value for value in dict.fromkeys(field.choices) if isinstance(value, str)]
        listed = 0 < len(field.choices) <= _MOST_LITERALS and len(texts) == len(set(field.choices))
        listed = listed and (not quoting or all(text == plain_text(text, _MOST_LITERAL) for text in texts))
        one = {"type": "string", "enum": texts} if listed else {"type": "string"}
        return one if field.single or not field.choices else {"type": "array", "items": one}
    if field.kind == "number":
        return {"type": "integer" if field.integer else "number"}
    if field.kind == "file":
        return {"type": "array", "items": {"type": "string"}}
    if field.kind == "list" and field.item is not None:
        return {"type": "array", "items": _shown(field.item, depth + 1, quoting)}
    if field.kind == "object":
        parts = {
            part.id: {
                **_shown(part, depth + 1, quoting),
                "description": describe_field(part, quoting=quoting),
            }
            for part in field.parts
        }
        needed = [part.id for part in field.parts if part.needed]
        return {"type": "object", "properties": parts, "required": needed, "additionalProperties": False}
    return {"type": "boolean" if field.kind == "boolean" else "string"}


def _type(field: InputField, name: str, depth: int, quoting: bool) -> Any:
    """The Python type of one field's values."""
    if _is_json_text(field, depth):
        return str
    if field.kind == "choice":
        return _choices(field)
    if field.kind == "number":
        return int if field.integer else int | float
    if field.kind == "boolean":
        return bool
    if field.kind == "any":
        return _Single
    if field.kind == "file":
        return list[str] if field.many else str
    if field.kind == "list" and field.item is not None:
        return list[_type(field.item, f"{name}_item", depth + 1, quoting)]  # type: ignore[misc]
    if field.kind == "object":
        return _nested(field, name, depth, quoting)
    return str


def _choices(field: InputField) -> Any:
    one = _choice(field)
    if field.single or not field.choices:
        return one
    return list[one] if field.many else Union[one, list[one]]  # type: ignore[valid-type]  # noqa: UP007


def _choice(field: InputField) -> Any:
    if not all(isinstance(value, str) for value in field.choices):
        return _Single
    if not 0 < len(field.choices) <= _MOST_LITERALS:
        return str
    return Literal[tuple(dict.fromkeys(field.choices))]


def _nested(field: InputField, name: str, depth: int, quoting: bool) -> type[BaseModel]:
    parts: dict[str, Any] = {}
    for part in field.parts:
        kind = _type(part, f"{name}_{part.id}", depth + 1, quoting)
        default = ... if part.needed else None
        wanted = kind if part.needed and not part.nullable else kind | None
        parts[part.id] = (wanted, Field(default, description=describe_field(part, quoting=quoting)))
    return create_model(name, __base__=_Arguments, **parts)


def _is_json_text(field: InputField, depth: int) -> bool:
    """Whether the argument is text that holds JSON: its shape is open, or too deep for providers."""
    if field.kind == "list":
        return field.item is None or depth >= _MOST_NESTING or _is_json_text(field.item, depth + 1)
    if field.kind != "object":
        return False
    return (
        not field.parts
        or depth >= _MOST_NESTING
        or not all(_is_plain(part.id) for part in field.parts)
        or any(_is_json_text(part, depth + 1) for part in field.parts)
    )


def _is_plain(name: str) -> bool:
    """Whether Python, pydantic, the frameworks and all providers take the name as it is."""
    return (
        re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,59}", name) is not None
        and not keyword.iskeyword(name)
        and name not in _TAKEN
        and not name.startswith("model_")
    )


def _plain_name(field: InputField, number: int) -> str:
    """The id in letters, digits and underscores; its label where the id has none; else field_3."""
    for words in (field.id.rsplit(":", 1)[-1], field.id, field.name):
        name = re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_")[:50]
        if name and name[0].isdigit():
            name = f"field_{name}"
        if name:
            return name if _is_plain(name) else f"{name}_"
    return f"field_{number}"
