"""What is sold: a function, a LangChain Runnable, a crew or its factory, behind one small protocol."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from masumi_tools.errors import InputError
from masumi_tools.inputs import (
    InputSpec,
    fields_from_model,
    fields_from_placeholders,
    fields_from_signature,
    read_input_schema,
)
from masumi_tools.seller.work.human import WorkContext

MAX_RESULT_BYTES = 2_000_000  # buyers read 4 MB at most, and JSON may double a text
_TEXT_FIELD = {"input_data": [{"id": "text", "type": "textarea", "name": "Text"}]}


class WorkFailed(Exception):
    """The work came to no result that can be sold; the text is for the buyer."""


class Work(Protocol):
    """One kind of work. `run` is called in a thread of its own with checked values."""

    def derived(self) -> InputSpec:
        """The input fields that follow from the work itself."""

    def bind(self, spec: InputSpec) -> None:
        """Told which fields are served; they may be the seller's own."""

    def missing(self, values: Mapping[str, Any]) -> dict[str, list[str]]:
        """What the work needs and `values` lack, by name: a reason to refuse the job before it is paid."""

    def run(self, values: Mapping[str, Any], context: WorkContext) -> str:
        """Do the work; the text of its result. WorkFailed where there is none to sell."""


def work_of(work: object) -> Work:
    """What the seller gave, as Work. InputError where it is nothing that can be sold."""
    if _is_crew(work):
        from masumi_tools.seller.work.crew import CrewWork

        return CrewWork(template=work)
    if isinstance(work, type) and callable(getattr(work, "crew", None)):  # a class under @CrewBase
        return _crew_factory(lambda: work().crew())
    if not isinstance(work, type) and callable(getattr(work, "crew", None)) and not _is_runnable(work):
        return _crew_factory(work.crew)  # type: ignore[attr-defined]
    if _is_runnable(work):
        return RunnableWork(work)
    if callable(work):
        return _callable_work(work)
    raise InputError(
        f"a {type(work).__name__} cannot be sold: give a Crew, a function that makes one, "
        "a LangChain Runnable, or a function",
        phase="sell",
    )


def _callable_work(work: Callable[..., Any]) -> Work:
    """A function with parameters is the work; one without may make a crew: it is called once to find out."""
    parameters = [
        p
        for p in inspect.signature(work).parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if any(p.default is p.empty for p in parameters) or inspect.iscoroutinefunction(work):
        return FunctionWork(work)
    said = inspect.signature(work).return_annotation
    if said is inspect.Signature.empty and not parameters:
        made = work()
        if _is_crew(made):
            return _crew_factory(work, made)
    elif "Crew" in (said if isinstance(said, str) else getattr(said, "__name__", "")):
        return _crew_factory(work)
    return FunctionWork(work)


def _crew_factory(factory: Callable[[], Any], first: Any = None) -> Work:
    from masumi_tools.seller.work.crew import CrewWork

    return CrewWork(factory=factory, first=first)


def _is_crew(work: object) -> bool:
    return _descends_from(work, "crewai", "Crew")


def _is_runnable(work: object) -> bool:
    return _descends_from(work, "langchain_core", "Runnable")


def _descends_from(work: object, package: str, name: str) -> bool:
    """Told by the names of its classes, so that nothing is imported that the seller does not use."""
    return any(c.__name__ == name and c.__module__.split(".")[0] == package for c in type(work).__mro__)


class FunctionWork:
    """A plain function, sync or async: its parameters are the fields and get values of their own types."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._spec = fields_from_signature(function)
        parameters = inspect.signature(function).parameters.values()
        self._rest = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self._arguments = _arguments_model(function)

    def derived(self) -> InputSpec:
        return self._spec

    def bind(self, spec: InputSpec) -> None:
        model, names, whole = self._arguments
        fields = model.model_fields.items()
        needed = {(f.alias or name) if whole else names[name] for name, f in fields if f.is_required()}
        if lacking := sorted(name for name in needed if spec.field(name) is None):
            raise InputError(f"no input field brings the parameters {', '.join(lacking)}", phase="sell")

    def missing(self, values: Mapping[str, Any]) -> dict[str, list[str]]:
        from pydantic import ValidationError

        try:
            self._given(values)
        except ValidationError as error:
            wrong: dict[str, list[str]] = {}
            for one in error.errors(include_url=False, include_input=False, include_context=False):
                wrong.setdefault(str(one["loc"][0]) if one["loc"] else "", []).append(str(one["msg"]))
            return wrong
        return {}

    def run(self, values: Mapping[str, Any], context: WorkContext) -> str:
        result = self._function(**self._given(values))
        if inspect.isawaitable(result):
            result = asyncio.run(_await(result))
        return result_text(result)

    def _given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        model, names, whole = self._arguments
        if whole is not None:
            return {whole: model.model_validate(values)}
        read = model.model_validate({name: value for name, value in values.items() if name in names.values()})
        given = {names[field]: getattr(read, field) for field in read.model_fields_set}
        if self._rest:
            given |= {name: value for name, value in values.items() if name not in names.values()}
        return given


def _arguments_model(function: Callable[..., Any]) -> tuple[type[Any], dict[str, str], str | None]:
    """The parameters as a pydantic model: the model, its fields' names in the function, or the one parameter
    that is such a model itself.
    """
    from pydantic import BaseModel, ConfigDict, Field, create_model

    hints = typing.get_type_hints(function, include_extras=True)
    named = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    if len(named) == 1 and inspect.isclass(only := hints.get(named[0].name)) and issubclass(only, BaseModel):
        return only, {}, named[0].name
    names: dict[str, str] = {}
    fields: dict[str, Any] = {}
    for number, p in enumerate(named):
        default = ... if p.default is p.empty else p.default
        names[f"parameter_{number}"] = p.name
        fields[f"parameter_{number}"] = (hints.get(p.name, Any), Field(default, alias=p.name))
    config = ConfigDict(arbitrary_types_allowed=True)
    return create_model(getattr(function, "__name__", "work"), __config__=config, **fields), names, None


async def _await(result: Any) -> Any:
    return await result


class RunnableWork:
    """A LangChain Runnable: a prompt chain, a graph or an agent."""

    def __init__(self, runnable: Any) -> None:
        self._runnable = runnable
        self._shape, self._spec = _runnable_input(runnable)

    def derived(self) -> InputSpec:
        return self._spec

    def bind(self, spec: InputSpec) -> None:
        return None

    def missing(self, values: Mapping[str, Any]) -> dict[str, list[str]]:
        if self._shape != "fields":
            return {}
        return {f.id: ["is missing"] for f in self._spec.required if f.id not in values}

    def run(self, values: Mapping[str, Any], context: WorkContext) -> str:
        given: Any = dict(values)
        if self._shape == "text":
            given = values.get("text", next(iter(values.values()), ""))
        elif self._shape == "messages":
            given = {"messages": [{"role": "user", "content": str(values.get("text", ""))}]}
        return result_text(self._runnable.invoke(given))


def _runnable_input(runnable: Any) -> tuple[str, InputSpec]:
    """Which form of input a Runnable takes: its fields, one text, or messages."""
    try:
        model = runnable.get_input_schema()
    except Exception as error:  # pydantic refuses some state types of graphs
        why = f"the Runnable does not tell its input ({str(error).splitlines()[0]}); give fields="
        return "fields", InputSpec().refused(why)
    fields = getattr(model, "model_fields", {})
    root = fields["root"].annotation if list(fields) == ["root"] else None
    names = set(getattr(root, "__required_keys__", ())) | set(getattr(root, "__optional_keys__", ()))
    if "messages" in (names or fields):
        return "messages", read_input_schema(_TEXT_FIELD)
    if names:
        return "fields", fields_from_model(_typed_dict_model(root))
    if root is not None or not fields:
        return "text", read_input_schema(_TEXT_FIELD)
    return "fields", fields_from_model(model)


def _typed_dict_model(root: Any) -> type[Any]:
    from pydantic import TypeAdapter, create_model

    needed = TypeAdapter(root).json_schema().get("required", ())
    hints = typing.get_type_hints(root)
    wanted: dict[str, Any] = {name: (hint, ... if name in needed else None) for name, hint in hints.items()}
    made: type[Any] = create_model(root.__name__, **wanted)
    return made


def result_text(result: Any) -> str:
    """The text of a result, exactly as it is sold and hashed. WorkFailed where it is none.

    A crew's `raw`, a message's text, a graph's last message, a string as it is; a pydantic model, list,
    dict or number as JSON.
    """
    text = _text(result)
    if not text.strip():
        raise WorkFailed("the work ended without a result")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise WorkFailed("the result contains characters that cannot be sent") from error
    if size > MAX_RESULT_BYTES:
        raise WorkFailed(f"the result has {size} bytes; {MAX_RESULT_BYTES} are possible")
    return text


def _text(result: Any) -> str:
    if result is None:
        raise WorkFailed("the work ended without a result")
    if isinstance(result, str):
        return str(result)
    if isinstance(result, Mapping) and isinstance(result.get("messages"), list) and result["messages"]:
        return _text(result["messages"][-1])
    raw = getattr(result, "raw", None)
    if isinstance(raw, str):
        return raw
    if hasattr(result, "content") and hasattr(result, "type"):
        return _message_text(result)
    if hasattr(result, "model_dump_json"):
        return str(result.model_dump_json())
    if isinstance(result, (Mapping, list, tuple, bool, int, float)):
        try:
            return json.dumps(result, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise WorkFailed(f"the result cannot be written as JSON: {error}") from error
    raise WorkFailed(f"the work ended with a {type(result).__name__}, which is no text")


def _message_text(message: Any) -> str:
    content = message.content
    if isinstance(content, str):
        return content
    parts = [part if isinstance(part, str) else part.get("text", "") for part in content or () if part]
    return "".join(part for part in parts if isinstance(part, str))


_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_\-]*)}")


def placeholders(texts: list[str]) -> list[str]:
    """The names in braces that a crew fills in, in the order of their first use; JSON's braces are none."""
    return list(dict.fromkeys(name for text in texts for name in _PLACEHOLDER.findall(text)))


def fill(text: str, values: Mapping[str, Any]) -> str:
    """Text with its placeholders filled in one pass, so that braces inside of a value stay as they are."""
    return _PLACEHOLDER.sub(lambda m: str(values[m[1]]) if m[1] in values else m[0], text)


def spec_of_placeholders(names: list[str]) -> InputSpec:
    """One required text field for each placeholder."""
    return fields_from_placeholders(names)
