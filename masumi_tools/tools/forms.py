"""The arguments of the toolkit's tools: small models that read what a model really sends.

`hire` and `answer` carry the input of a service whose fields are not known yet. So these take it in any
shape: under its own name, as JSON text, or flattened beside the other arguments; `read_arguments` reads it
when the fields are known. What could be two things is refused with the argument's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model, model_validator

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputField, InputSpec, args_model
from masumi_tools.inputs.fields import loose_key
from masumi_tools.inputs.lenient import NotJson, read_json
from masumi_tools.inputs.model import plainly
from masumi_tools.tools.arguments import read_arguments

_MOST_LAYERS: Final = 4
# Other words under which models send an argument.
_ALIASES: Final[Mapping[str, frozenset[str]]] = {
    "agent": frozenset({"agent", "agentidentifier", "agentid", "target", "service", "serviceurl", "url"}),
    "hire_id": frozenset({"hireid", "hire", "id"}),
    "max_price": frozenset({"maxprice", "maximumprice"}),
    "input_data": frozenset({"inputdata", "input", "inputs"}),
    "answer": frozenset({"answer", "answers", "inputdata", "input"}),
}
# What stands beside the arguments when a model writes out the whole call.
_BESIDE: Final = frozenset({"name", "tool", "toolname", "function", "action", "type", "callid"})

AGENT: Final = InputField(
    "agent",
    description="The agent identifier (a long hexadecimal text), as masumi_find gives it, or a service's URL",
)
HIRE_ID: Final = InputField("hire_id", description="The hire_id from an earlier tool result")


def form(name: str, *fields: InputField) -> type[BaseModel]:
    """The argument model of a tool whose arguments are these fields, in every shape."""
    spec = InputSpec(fields, closed=True)
    return args_model(spec, name, reader=lambda payload: read_arguments(spec, payload))[0]


def optional(field_id: str, description: str, type_: str = "text", **more: Any) -> InputField:
    """A field that may be left out."""
    return InputField(field_id, type_, description=description, required=False, nullable=True, **more)


class _Carrier(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


def carrier(
    name: str, own: Mapping[str, str], optional: Mapping[str, str], rest: str, words: str
) -> type[BaseModel]:
    """The argument model of a tool that carries a service's input under `rest`.

    `own` are its required text arguments and `optional` those that may be left out, each with its description.
    `rest` is shown as JSON text, which every provider takes: strict modes close an open object, and empty it.
    """

    class Reading(_Carrier):
        @model_validator(mode="before")
        @classmethod
        def _read(cls, payload: Any) -> Any:
            try:
                return carried(payload, (*own, *optional), tuple(own), rest)
            except InputError as error:
                raise ValueError(error.message) from None

    shape = {"type": "string", "description": f"{words} Given as JSON text of an object."}
    fields: dict[str, Any] = {
        **{key: (str, Field(description=text)) for key, text in own.items()},
        rest: (Annotated[Any, WithJsonSchema(shape)], Field(description=words)),
        **{
            key: plainly(str, {"type": "string", "description": text}, text, needed=False)
            for key, text in optional.items()
        },
    }
    return create_model(name, __base__=Reading, **fields)


def carried(payload: Any, own: tuple[str, ...], needed: tuple[str, ...], rest: str) -> dict[str, Any]:
    """The arguments `own` and the service's input under `rest`, from whatever a model sent; InputError otherwise."""
    given = _with(payload, needed, 0)
    if given is None:
        raise _refused({needed[0]: "is required"}, own, rest)
    found: dict[str, Any] = {}
    for name in own:
        exact = given.get(name)
        keys = [key for key in given if key == name or loose_key(key) in _ALIASES[name]]
        if exact is not None:  # under its own name; another word for it may be a field of the service
            keys = [key for key in keys if given[key] in (None, exact)]
        values = [given[key] for key in keys if given[key] is not None]
        if name not in needed:  # strict modes make a model send something
            values = [value for value in values if not isinstance(value, str) or value.strip()]
        if any(value != values[0] for value in values):
            words = f"is given twice with different values, as {' and '.join(keys[:3])}"
            raise _refused({name: words}, own, rest)
        if values and not (isinstance(values[0], str) and values[0].strip()):
            raise _refused({name: "text is expected"}, own, rest)
        if values:
            found[name] = values[0].strip()
        elif name in needed:
            raise _refused({name: "is required"}, own, rest)
        for key in keys:
            del given[key]
    alone = [key for key in given if loose_key(key) in _ALIASES[rest]]
    found[rest] = given[alone[0]] if len(alone) == len(given) == 1 else given
    return found


def _with(payload: Any, needed: tuple[str, ...], layer: int) -> dict[str, Any] | None:
    """The object that holds the needed arguments: the payload itself, or one wrapped in it."""
    if isinstance(payload, str):
        try:
            payload = read_json(payload).value
        except NotJson:
            return None
    if not isinstance(payload, Mapping) or layer > _MOST_LAYERS:
        return None
    given = {str(key): value for key, value in payload.items()}
    aliases = _ALIASES[needed[0]]
    if any(loose_key(key) in aliases and isinstance(value, str) for key, value in given.items()):
        return given
    inner = {
        key: found for key, value in given.items() if (found := _with(value, needed, layer + 1)) is not None
    }
    if len(inner) != 1:
        return None
    (wrapper, found), *_ = inner.items()
    beside = {key: value for key, value in given.items() if key != wrapper and loose_key(key) not in _BESIDE}
    return None if set(beside) & set(found) else {**found, **beside}


def _refused(errors: Mapping[str, str], own: tuple[str, ...], rest: str) -> InputError:
    words = "; ".join(f"{name}: {text}" for name, text in errors.items())
    return InputError(
        f"Invalid call; nothing was sent: {words}. Arguments: {', '.join((*own, rest))}.",
        field_errors={name: [text] for name, text in errors.items()},
    )
