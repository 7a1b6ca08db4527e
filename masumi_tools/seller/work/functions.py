"""Functions as work, sync or async: their parameters are the input fields, what they return is the result."""

from __future__ import annotations

import functools
import inspect
import time
import typing
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputSpec, fields_from_signature
from masumi_tools.seller.work.human import WorkContext
from masumi_tools.seller.work.kinds import root
from masumi_tools.seller.work.loop import work_loop
from masumi_tools.seller.work.results import unsaleable

_PROGRESS_EVERY_S = 0.5
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
        self._spec = fields_from_signature(named(function))
        parameters = inspect.signature(function).parameters.values()
        self._rest = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self._arguments = _arguments_model(function)

    def _refuse(self, function: Callable[..., Any]) -> None:
        hints = hints_of(function)
        if why := unsaleable(hints.get("return", inspect.Parameter.empty)):
            raise InputError(f"{self._name} cannot be sold: {why}", phase="sell")
        for name in signature_of(function).parameters:
            if why := _unfillable(hints.get(name)):
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
        return self._deliver(settled(self._function(**self._given(values)), context), values, context)

    def _given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        model, names, whole = self._arguments
        if whole is not None:
            return {whole: model.model_validate(values)}
        read = model.model_validate({name: value for name, value in values.items() if name in names.values()})
        given = {names[field]: getattr(read, field) for field in read.model_fields_set}
        if self._rest:
            given |= {name: value for name, value in values.items() if name not in names.values()}
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
    if isinstance(made, Iterator):
        return list(made)
    return made


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


def named(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same signature on a function that has a name, as a partial or a callable object has none."""
    if hasattr(function, "__name__"):
        return function

    def call(*arguments: Any, **more: Any) -> Any:
        return function(*arguments, **more)

    call.__name__ = call.__qualname__ = name_of(function)
    call.__signature__ = signature_of(function)  # type: ignore[attr-defined]
    return call


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature with its annotations read where they can be; InputError where there is none."""
    try:
        return inspect.signature(function, eval_str=True)
    except (NameError, TypeError, ValueError, AttributeError, SyntaxError) as error:
        raise InputError(
            f"the signature of {name_of(function)} cannot be read ({error}): give a function with named "
            "parameters, such as def work(topic: str) -> str",
            phase="sell",
        ) from None


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
        if not isinstance(one, type):
            continue
        if one.__name__ == "UploadFile" and root(one) in ("fastapi", "starlette"):
            return "is an upload, which jobs do not have: take a link (url: str) or the text itself"
        if issubclass(one, typing.IO) or root(one) in ("io", "_io"):
            return "is an open file, which a buyer cannot send: take a link (url: str) or the text itself"
        if issubclass(one, PurePath):
            return "is a path: a buyer's text must not name files on this machine; take a str or a link"
    return None


def _arguments_model(function: Callable[..., Any]) -> tuple[type[Any], dict[str, str], str | None]:
    """The parameters as a pydantic model: the model, its fields' names in the function, or the one parameter
    that is such a model itself.
    """
    from pydantic import BaseModel, ConfigDict, Field, create_model

    hints = hints_of(function)
    parameters = signature_of(function).parameters.values()
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
