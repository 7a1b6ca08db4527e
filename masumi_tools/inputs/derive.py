"""Our own services: input fields from a model, a function or a crew's placeholders, and how to serve them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from masumi_tools.errors import InputError
from masumi_tools.inputs.describe import rule_words, sentences
from masumi_tools.inputs.fields import InputField, InputSpec, as_word
from masumi_tools.inputs.jsonschema import read_properties
from masumi_tools.text import plain_text

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_PATH_LIKE: Final = re.compile(r"(?:^|_)(?:path|file|filename|dir|directory|folder)(?:_|$)", re.IGNORECASE)

# What the strictest known reader takes beside `optional` (protocol I3); one foreign rule and it refuses
# the whole schema. Telephone patterns have two spellings, so they are told in words only.
_LENGTHS: Final = ("min", "max")
_SERVED_RULES: Final[dict[str, tuple[str, ...]]] = {
    "text": (*_LENGTHS, "nonempty", "url", "email"),
    "textarea": (*_LENGTHS, "nonempty"),
    "url": _LENGTHS,
    "email": (),
    "password": _LENGTHS,
    "tel": _LENGTHS,
    "search": ("nonempty",),
    "number": (*_LENGTHS, "integer"),
    "range": _LENGTHS,
    "option": _LENGTHS,
    "date": _LENGTHS,
    "datetime-local": _LENGTHS,
    "time": _LENGTHS,
    "month": _LENGTHS,
    "week": _LENGTHS,
    "file": (*_LENGTHS, "accept"),
}


def fields_from_model(model: type[BaseModel]) -> InputSpec:
    """The fields of a pydantic model, by alias, as `check` and `served` take them.

    Nested objects and lists are served as text that holds JSON, since MIP-003 has no such fields; `check`
    reads both. InputError when the model has no JSON schema (a field of an arbitrary type).
    """
    try:
        schema = model.model_json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError) as error:
        raise InputError(f"{model.__name__} cannot be an input: {str(error).splitlines()[0]}") from None
    fields, _ = read_properties(schema, schema)
    closed = model.model_config.get("extra") == "forbid"
    return InputSpec(tuple(_own(field) for field in fields), closed=closed)


def fields_from_signature(fn: Callable[..., Any]) -> InputSpec:
    """The fields of a function's parameters: those without default are required, no annotation means text.

    A single parameter that is a pydantic model gives the model's fields. `**kwargs` takes further keys.
    InputError names a parameter that cannot come from a form: positional-only, or of an arbitrary type.
    """
    try:
        parameters = list(inspect.signature(fn, eval_str=True).parameters.values())
    except (NameError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"The signature of {_name(fn)} cannot be read: {error}") from None
    only = parameters[0].annotation if len(parameters) == 1 else None
    if inspect.isclass(only) and issubclass(only, BaseModel):
        return fields_from_model(only)
    wanted: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise InputError(
                f"{_name(fn)} cannot be called with input: {parameter.name} is positional-only; give a function "
                f"around it, such as lambda {parameter.name}: {_name(fn)}({parameter.name})"
            )
        hint = str if parameter.annotation is parameter.empty else parameter.annotation
        default = parameter.default
        if isinstance(default, FieldInfo):
            hint, default = Annotated[hint, default], parameter.empty
        default = PydanticUndefined if default is parameter.empty else default
        # as an alias any name will do, also those that pydantic keeps for itself
        wanted[f"parameter_{len(wanted)}"] = (hint, Field(default, alias=parameter.name))
    takes_more = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    spec = fields_from_model(_model(_name(fn), wanted))
    return replace(spec, closed=not takes_more)


def fields_from_placeholders(names: Iterable[str]) -> InputSpec:
    """One required text field for every placeholder of a crew, in the given order, each once.

    Only names that a crew can fill count: its own list also holds braces of JSON examples. A set is put in
    alphabetical order, so that the schema is the same every time. `problems` names fields that look like
    a path: what a buyer gives there would be opened on the seller's machine.
    """
    listed = sorted(names) if isinstance(names, set | frozenset) else list(names)
    kept = [name for name in dict.fromkeys(listed) if isinstance(name, str) and _IDENTIFIER.fullmatch(name)]
    fields = tuple(InputField(name, "textarea", name=_title(name)) for name in kept)
    problems = tuple(
        f"{name}: looks like a path; a buyer's path would be read on this machine"
        for name in kept
        if _PATH_LIKE.search(name)
    )
    return InputSpec(fields, problems=problems)


def served(spec: InputSpec) -> dict[str, Any]:
    """The JSON of GET /input_schema in the form that the strictest known reader takes (protocol I3).

    One flat list; every field with a name, rules as text, only rules that its type may have, choices as
    text and `data` where it is needed. What cannot be said so stands in the description; `check` still
    holds to it.
    """
    return {"input_data": [_served_field(field) for field in spec.fields]}


def _served_field(field: InputField) -> dict[str, Any]:
    kind, minimum, maximum = field.type, field.minimum, field.maximum
    if field.kind in ("object", "list", "any"):
        kind, minimum, maximum = "textarea", None, None
    elif kind == "enum" or (field.kind == "choice" and not field.choices):
        kind, minimum, maximum = ("option", Decimal(1), Decimal(1)) if field.choices else ("text", None, None)
    elif kind == "multiselect":
        kind, minimum = "option", minimum if minimum is not None else Decimal(1)
    elif kind == "datetime":
        kind, minimum, maximum = "text", None, None
    elif kind == "checkbox":
        kind = "boolean"
    served_field: dict[str, Any] = {"id": field.id, "type": kind, "name": field.name or _title(field.id)}
    data = _served_data(field, kind)
    if data:
        served_field["data"] = data
    rules = _SERVED_RULES.get(kind, ())
    listed = [("min", minimum), ("max", maximum)]
    wanted = [
        (word, _rule_text(value)) for word, value in listed if word in rules and _can_serve(kind, value)
    ]
    wanted += [("format", word) for word in field.formats if word in rules]
    if "accept" in rules and field.accept:
        wanted.append(("accept", ",".join(field.accept)))
    if not field.required:
        wanted.append(("optional", "true"))
    if wanted:
        served_field["validations"] = [{"validation": word, "value": value} for word, value in wanted]
    return served_field


def _served_data(field: InputField, kind: str) -> dict[str, Any]:
    data: dict[str, Any] = {}
    said = [field.description] if field.description else []
    if _says_more(field, kind):
        said += rule_words(field)
    if field.kind == "list":
        said.append("One entry a line, or a JSON list")
    elif field.kind == "object":
        said.append("As JSON text")
    if said:
        data["description"] = plain_text(said[0] if len(said) == 1 else sentences(said))
    if field.placeholder:
        data["placeholder"] = field.placeholder
    if kind in ("option", "radio"):
        data["values"] = list(dict.fromkeys(as_word(value) for value in field.choices))
    if kind == "file":
        data["outputFormat"] = "url"
    if kind == "hidden" and field.fixed is not None:
        data["value"] = str(field.fixed)
    return data


def _says_more(field: InputField, kind: str) -> bool:
    """Whether a rule of the field has no form in MIP-003, so that words must tell it."""
    unsaid = field.above is not None or field.below is not None or field.step is not None
    negative = isinstance(field.minimum, Decimal) and field.minimum < 0
    reshaped = kind != field.type and field.kind in ("object", "list", "any", "moment")
    return unsaid or negative or reshaped


def _can_serve(kind: str, value: Decimal | str | None) -> bool:
    return value is not None and (kind != "option" or value != 0)


def _rule_text(value: Decimal | str | None) -> str:
    return value if isinstance(value, str) else format(value or Decimal(0), "f")


def _own(field: InputField) -> InputField:
    """A field of our service: never null, and read from the form in which it is served."""
    name = "" if re.fullmatch(r"Parameter \d+", field.name) else field.name
    return replace(field, name=name, nullable=False, ours=True)


def _model(name: str, wanted: dict[str, Any]) -> type[BaseModel]:
    try:
        return create_model(name, __config__=ConfigDict(arbitrary_types_allowed=True), **wanted)
    except (PydanticUserError, PydanticSchemaGenerationError, NameError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"The parameters of {name} cannot be an input: {reason}") from None


def _name(fn: Callable[..., Any]) -> str:
    return re.sub(r"\W", "_", getattr(fn, "__name__", type(fn).__name__)) or "function"


def _title(name: str) -> str:
    words = re.sub(r"[_-]+", " ", name).strip() or name
    return words[:1].upper() + words[1:]
