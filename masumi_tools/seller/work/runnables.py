"""LangChain Runnables as work: chains, models, tools. Graphs, which can ask and go on, are in graphs.py."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputField, InputSpec, fields_from_model, read_input_schema
from masumi_tools.seller.work.base import Work
from masumi_tools.seller.work.graphs import is_graph, run_graph, thread_of
from masumi_tools.seller.work.human import WorkContext
from masumi_tools.seller.work.kinds import kind_of
from masumi_tools.seller.work.loop import work_loop
from masumi_tools.seller.work.results import result_text
from masumi_tools.seller.work.written import filled_by_itself

_TEXT_FIELD = {"input_data": [{"id": "text", "type": "textarea", "name": "Text"}]}
# How the values are handed over: as a dict, as one text, as messages with what else the state takes, or as a
# dict where the seller names fields and as one text where not.
Shape = Literal["fields", "text", "messages", "either"]


class RunnableWork(Work):
    """A LangChain Runnable: a prompt chain, a graph or an agent."""

    def __init__(self, runnable: Any) -> None:
        last = getattr(runnable, "last", runnable)
        if kind_of(type(last)) == "prompt":
            raise InputError(
                f"a {type(last).__name__} alone does no work: what it gives is its own text; "
                "pipe it into a model (prompt | model)",
                phase="sell",
            )
        self._runnable = runnable
        self._shape, self._spec = _input_of(runnable)

    def derived(self) -> InputSpec:
        return self._spec

    def bind(self, spec: InputSpec) -> None:
        if self._shape == "either":
            self._shape = "text" if spec == self._spec else "fields"

    def missing(self, values: Mapping[str, Any]) -> dict[str, list[str]]:
        if self._shape != "fields":
            return {}
        return {f.id: ["is missing"] for f in self._spec.required if f.id not in values}

    def run(self, values: Mapping[str, Any], context: WorkContext) -> str:
        return _run(self._runnable, _given(self._shape, values), context)


def run_runnable(runnable: Any, values: Mapping[str, Any], context: WorkContext) -> str:
    """Run a Runnable that was made for one job with a buyer's values; the text of its result."""
    shape, _ = _input_of(runnable)
    return _run(runnable, _given(shape, values), context)


def _run(runnable: Any, given: Any, context: WorkContext) -> str:
    if is_graph(runnable):
        return result_text(run_graph(runnable, given, context))
    return result_text(work_loop.run(runnable.ainvoke(given, thread_of(context))))


def _given(shape: Shape, values: Mapping[str, Any]) -> Any:
    if shape in ("text", "either"):
        return values.get("text", next(iter(values.values()), ""))
    if shape == "messages":
        more = {name: value for name, value in values.items() if name not in ("text", "messages")}
        text = values.get("text", values.get("messages", next(iter(values.values()), "")))
        return {**more, "messages": [{"role": "user", "content": str(text)}]}
    return dict(values)


# The input -------------------------------------------------------------------------------------------


def _input_of(runnable: Any) -> tuple[Shape, InputSpec]:
    """Which form of input a Runnable takes, and its fields."""
    builder = getattr(runnable, "builder", None)
    if builder is not None and hasattr(builder, "input_schema"):
        return _input_of_state(runnable, builder)
    try:
        model = runnable.get_input_schema()
        fields = getattr(model, "model_fields", {})
        root = fields["root"].annotation if list(fields) == ["root"] else None
        if typing.is_typeddict(root):
            return _shaped(_keys_of(root))
        if root in (dict, Mapping) or typing.get_origin(root) is dict or _takes_any_object(runnable, model):
            why = "the Runnable takes a dict and does not say which keys; give fields="
            return "fields", InputSpec().refused(why)
        if root is not None:
            return "text", read_input_schema(_TEXT_FIELD)
        if not fields:
            return "either", read_input_schema(_TEXT_FIELD)
        if "root" in fields:  # beside keys of its own, a part that takes the whole of what it is given
            return _shaped(
                {name: (f.annotation, _default(f)) for name, f in fields.items() if name != "root"}
            )
        return _shaped({name: (field.annotation, _default(field)) for name, field in fields.items()}, model)
    except Exception as error:  # pydantic refuses some types
        why = f"the Runnable does not tell its input ({str(error).splitlines()[0]}); give fields="
        return "fields", InputSpec().refused(why)


def _takes_any_object(runnable: Any, model: Any) -> bool:
    """What a function whose parameter is a dict says of its input, and all that `RunnablePassthrough.assign` can."""
    if type(getattr(runnable, "first", runnable)).__name__ == "RunnableAssign":
        return set(model.model_fields) <= {"root"}
    schema = model.model_json_schema()
    return schema.get("type") == "object" and bool(schema.get("additionalProperties"))


def _input_of_state(graph: Any, builder: Any) -> tuple[Shape, InputSpec]:
    """The fields of a graph's state, without those that it fills itself."""
    keys = _keys_of(builder.input_schema)
    if builder.input_schema is builder.state_schema and builder.output_schema is not builder.state_schema:
        outputs = set(_keys_of(builder.output_schema))
        keys = {name: (hint, None) if name in outputs else (hint, d) for name, (hint, d) in keys.items()}
    gathered = {name for name, one in graph.channels.items() if type(one).__name__ != "LastValue"}
    gathered |= filled_by_itself(builder)
    keys = {name: (hint, None) if name in gathered else (hint, d) for name, (hint, d) in keys.items()}
    return _shaped(keys)


def _keys_of(schema: Any) -> dict[str, tuple[Any, Any]]:
    """Key by key, the type and the default (`...` where a value is needed) of a state of any kind."""
    if hasattr(schema, "model_fields"):
        return {name: (field.annotation, _default(field)) for name, field in schema.model_fields.items()}
    hints = typing.get_type_hints(schema)
    if dataclasses.is_dataclass(schema):
        missing = dataclasses.MISSING
        optional = {
            f.name
            for f in dataclasses.fields(schema)
            if f.default is not missing or f.default_factory is not missing
        }
        return {name: (hint, None if name in optional else ...) for name, hint in hints.items()}
    return {name: (hint, ... if name in _needed(schema) else None) for name, hint in hints.items()}


def _needed(schema: Any) -> set[str]:
    """The keys that a typed dict must have; where annotations are texts, its own list misses the marks."""
    marks = {
        name: typing.get_origin(hint)
        for name, hint in typing.get_type_hints(schema, include_extras=True).items()
    }
    own = getattr(schema, "__required_keys__", frozenset(marks))
    return {
        name
        for name, mark in marks.items()
        if mark is typing.Required or (name in own and mark is not typing.NotRequired)
    }


def _default(field: Any) -> Any:
    return ... if field.is_required() else field.get_default(call_default_factory=True)


def _shaped(keys: dict[str, tuple[Any, Any]], model: Any = None) -> tuple[Shape, InputSpec]:
    if "messages" in keys:
        text = read_input_schema(_TEXT_FIELD)
        needed = {name: key for name, key in keys.items() if name != "messages" and key[1] is ...}
        return "messages", InputSpec((*text.fields, *_fields(needed)))
    if model is not None:
        return "fields", fields_from_model(model)
    try:
        return "fields", InputSpec(tuple(_fields(keys)))
    except InputError as error:
        return "fields", InputSpec().refused(f"{error.message}; give fields=")


def _fields(keys: dict[str, tuple[Any, Any]]) -> Iterable[InputField]:
    """Each key as a field; one that no form can carry is left out where it need not be given."""
    from pydantic import Field, create_model

    for name, (hint, default) in keys.items():
        try:
            one: Any = create_model("Input", one=(hint, Field(default, alias=name)))
            yield from fields_from_model(one).fields
        except Exception as error:  # pydantic refuses some types, each in its own way
            if default is ...:
                why = str(error).splitlines()[0]
                raise InputError(f"no form can carry {name!r} ({why})", phase="sell") from error
