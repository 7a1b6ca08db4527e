"""Functions as work, sync or async: their parameters are the input fields, what they return is the result."""

from __future__ import annotations

import functools
import inspect
import io
import itertools
import time
import typing
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputSpec, fields_from_signature
from masumi_tools.seller.work.base import WorkFailed
from masumi_tools.seller.work.human import WorkContext
from masumi_tools.seller.work.kinds import root
from masumi_tools.seller.work.loop import work_loop
from masumi_tools.seller.work.results import MAX_RESULT_BYTES, unsaleable

_PROGRESS_EVERY_S = 0.5
_VARIABLE = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
_MOST_YIELDS = MAX_RESULT_BYTES // 2  # as JSON each takes two bytes at least
_ANYTHING = ", so that no input fields follow: use functools.wraps in its decorator, or give fields="
Deliver = Callable[[Any, Mapping[str, Any], WorkContext], str]


class FunctionWork:
    """A function, method, partial or callable object: its parameters get values of their own types.

    `deliver` makes the text of what it returned; what can be run (a Crew, a graph) is run there.
    """

    def __init__(self, function: Callable[..., Any], deliver: Deliver) -> None:
        self._function = function
        self._deliver = deliver
        self._name = name_of(function)
        self._refuse(function)
        asked = _asked(function)
        self._spec = fields_from_signature(_named(function, asked))
        parameters = signature_of(function).parameters
        kinds = {p.kind for p in parameters.values()}
        self._rest = inspect.Parameter.VAR_KEYWORD in kinds
        self._named = frozenset(p.name for p in parameters.values() if p.kind not in _VARIABLE)
        if kinds and kinds <= _VARIABLE:
            self._spec = self._spec.refused(f"{self._name} takes anything{_ANYTHING}")
        self._by_position = _by_position(function)
        self._arguments = _arguments_model(function, asked)

    def _refuse(self, function: Callable[..., Any]) -> None:
        hints = hints_of(function)
        if why := unsaleable(hints.get("return", inspect.Parameter.empty)):
            raise InputError(f"{self._name} cannot be sold: {why}", phase="sell")
        parameters = signature_of(function).parameters
        if owner := _lacks_its_object(function, parameters):
            raise InputError(
                f"{self._name} cannot be sold: it is a method without its object; give {owner}().{self._name}",
                phase="sell",
            )
        for name, parameter in parameters.items():
            if parameter.default is parameter.empty and (why := _unfillable(hints.get(name))):
                raise InputError(f"{self._name} cannot be sold: its parameter {name} {why}", phase="sell")

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
        return self._deliver(settled(self._called(self._given(values)), context), values, context)

    def _called(self, given: dict[str, Any]) -> Any:
        placed = list(itertools.takewhile(given.__contains__, self._by_position))
        values = [given.pop(name) for name in placed]
        return self._function(*values, **given)

    def _given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        model, names, whole = self._arguments
        if whole is not None:
            return {whole: model.model_validate(values)}
        read = model.model_validate({name: value for name, value in values.items() if name in names.values()})
        given = {names[field]: getattr(read, field) for field in read.model_fields_set}
        if self._rest:
            given |= {name: value for name, value in values.items() if name not in self._named}
        return given


def settled(made: Any, context: WorkContext) -> Any:
    """What work comes to: awaitables are awaited in the lasting loop, generators run to their end."""
    if inspect.isawaitable(made):
        return settled(work_loop.run(_await(made)), context)
    if isinstance(made, AsyncIterator):
        return work_loop.run(_drained(made, _Yields(context)))
    if isinstance(made, Generator):
        yields = _Yields(context)
        while True:
            try:
                yields.take(next(made))
            except StopIteration as end:
                return end.value if end.value is not None else yields.whole()
    if isinstance(made, Iterator) and not isinstance(
        made, io.IOBase
    ):  # what stands in a file was not given out
        entries = list(itertools.islice(made, _MOST_YIELDS + 1))
        return entries if len(entries) <= _MOST_YIELDS else _endless()
    return made


def _endless() -> Any:
    raise WorkFailed("the work yields more than can be delivered")


async def _await(made: Any) -> Any:
    return await made


async def _drained(made: AsyncIterator[Any], yields: _Yields) -> Any:
    async for one in made:
        yields.take(one)
    return yields.whole()


class _Yields:
    """What a generator yields: progress while it works, and its result where it returns nothing."""

    def __init__(self, context: WorkContext) -> None:
        self._context = context
        self._all: list[Any] = []
        self._told = float("-inf")

    def take(self, one: Any) -> None:
        self._all.append(one)
        if len(self._all) > _MOST_YIELDS:
            _endless()
        now = time.monotonic()
        if isinstance(one, str) and one.strip() and now - self._told >= _PROGRESS_EVERY_S:
            self._told = now
            self._context.progress(one)

    def whole(self) -> Any:
        """Text that came in pieces, in one; other values as a list; None where nothing came."""
        if all(isinstance(one, str) for one in self._all):
            return "".join(self._all) or None
        return self._all


# Signatures ------------------------------------------------------------------------------------------


def name_of(function: Any) -> str:
    """How the work is called in messages."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _named(function: Callable[..., Any], signature: inspect.Signature) -> Callable[..., Any]:
    """A function of this signature and the other's name, which a partial or a callable object has not."""

    def call(*arguments: Any, **more: Any) -> Any:
        return function(*arguments, **more)

    call.__name__ = call.__qualname__ = name_of(function)
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature with its annotations read where they can be; InputError where there is none."""
    try:
        signature = inspect.signature(function, eval_str=True)
    except (NameError, TypeError, ValueError, AttributeError, SyntaxError) as error:
        raise InputError(
            f"the signature of {name_of(function)} cannot be read ({error}): give a function with named "
            "parameters, such as def work(topic: str) -> str",
            phase="sell",
        ) from None
    hints = _whole_hints(function)
    parameters = [
        p.replace(annotation=hints.get(p.name, p.annotation)) for p in signature.parameters.values()
    ]
    said = hints.get("return", signature.return_annotation)
    return signature.replace(parameters=parameters, return_annotation=None if said is type(None) else said)


def _whole_hints(function: Any) -> dict[str, Any]:
    """The annotations with names inside of them read too, such as list["Order"]; empty where they cannot be."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return {}


def _asked(function: Callable[..., Any]) -> inspect.Signature:
    """The signature without what a buyer cannot give and need not: a client, a callback, a file with a default."""
    signature = signature_of(function)
    parameters = list(signature.parameters.values())
    kept = [p for p in parameters if p.default is p.empty or not _unfillable(p.annotation)]
    return signature.replace(parameters=kept)


def _by_position(function: Callable[..., Any]) -> list[str]:
    """The parameters that are handed over by their place: all that can be where a decorator takes *args, which
    need not take names (`def inner(*args)`, functools.singledispatch)."""
    try:
        outer = inspect.signature(function, follow_wrapped=False).parameters.values()
    except ValueError:  # functools.cache
        return []
    if not any(p.kind is p.VAR_POSITIONAL for p in outer):
        return []
    return [p.name for p in signature_of(function).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]


def _lacks_its_object(function: Any, parameters: typing.Mapping[str, Any]) -> str:
    """The class of a method that was taken from the class instead of an object; "" for all else."""
    owner = getattr(function, "__qualname__", "").rpartition(".")[0]
    plain = inspect.isfunction(function) and next(iter(parameters), "") == "self"
    return owner.rpartition(".")[2] if plain and not owner.endswith("<locals>") else ""


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations by parameter, and "return", whatever kind of callable it is."""
    signature = signature_of(function)
    hints = {p.name: p.annotation for p in signature.parameters.values() if p.annotation is not p.empty}
    if signature.return_annotation is not signature.empty:
        hints["return"] = signature.return_annotation
    return hints


def _unfillable(hint: Any) -> str | None:
    """Why no buyer can fill a parameter of this type, with what to write instead."""
    for one in (hint, *typing.get_args(hint)):
        if one is type or typing.get_origin(one) is type:
            return "is a class, which a buyer cannot send: take a name (which: Literal[...])"
        if not isinstance(one, type):
            continue
        if one.__name__ == "UploadFile" and root(one) in ("fastapi", "starlette"):
            return "is an upload, which jobs do not have: take a link (url: str) or the text itself"
        if issubclass(one, typing.IO) or root(one) in ("io", "_io"):
            return "is an open file, which a buyer cannot send: take a link (url: str) or the text itself"
        if issubclass(one, PurePath):
            return "is a path: a buyer's text must not name files on this machine; take a str or a link"
    if hint in (None, inspect.Parameter.empty) or _has_a_form(hint):
        return None
    what = getattr(hint, "__name__", hint)
    return f"is a {what}, which a buyer cannot send: give it a default, or make it inside"


def _has_a_form(hint: Any) -> bool:
    """Whether JSON can bring a value of this type; True as well where something else is wrong with the type."""
    from pydantic import ConfigDict, create_model
    from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError

    try:
        config = ConfigDict(arbitrary_types_allowed=True)
        create_model("One", __config__=config, one=(hint, ...)).model_json_schema()
    except PydanticInvalidForJsonSchema:
        return False
    except (PydanticUserError, NameError, TypeError):
        return True
    return True


def _arguments_model(
    function: Callable[..., Any], asked: inspect.Signature
) -> tuple[type[Any], dict[str, str], str | None]:
    """The parameters as a pydantic model: the model, its fields' names in the function, or the one parameter
    that is such a model itself.
    """
    from pydantic import BaseModel, ConfigDict, Field, create_model

    hints = hints_of(function)
    parameters = asked.parameters.values()
    taken = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if len(taken) == 1 and inspect.isclass(only := hints.get(taken[0].name)) and issubclass(only, BaseModel):
        return only, {}, taken[0].name
    names: dict[str, str] = {}
    fields: dict[str, Any] = {}
    for number, p in enumerate(taken):
        default = ... if p.default is p.empty else p.default
        names[f"parameter_{number}"] = p.name
        fields[f"parameter_{number}"] = (hints.get(p.name, Any), Field(default, alias=p.name))
    config = ConfigDict(arbitrary_types_allowed=True)
    return create_model(name_of(function), __config__=config, **fields), names, None
