"""What a seller gave, as work: a Crew, a Flow, a Runnable, a function, or what makes one of them."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from masumi_tools.errors import InputError, StateError
from masumi_tools.seller.work.base import Work
from masumi_tools.seller.work.functions import FunctionWork, hints_of, name_of, signature_of
from masumi_tools.seller.work.human import WorkContext
from masumi_tools.seller.work.kinds import RUNS, kind_of, root
from masumi_tools.seller.work.results import result_text, unsaleable

_INSTEAD = (
    "give a Crew, a Flow, a LangChain Runnable, a function or method, or a function that makes one of them"
)
_FRAMEWORKS = ("crewai", "langchain", "langchain_core", "langgraph")
_RUNS = ("run", "invoke", "execute", "process", "answer", "generate", "main")
_AS_FUNCTION = "give a function that uses it, such as def work(topic: str) -> str"


def work_of(work: object) -> Work:
    """What the seller gave, as Work. InputError says why it cannot be sold, and what to write instead."""
    if isinstance(work, type):
        return _class_work(work)
    match kind_of(type(work)):
        case "crew" | "flow" | "builder" | "runnable" | "model" | "prompt" | "tool":
            return _runs_work(work)
        case "doer" | "output" | "message":
            raise _unsold(f"a {type(work).__name__} cannot be sold", _AS_FUNCTION)
    crew = getattr(work, "crew", None)
    if crew is not None and not inspect.isroutine(work):
        if callable(crew) and kind_of(type(crew)) == "":
            return _function_work(crew)
        if kind_of(type(crew)) == "crew":
            return _runs_work(crew)
    if callable(work):
        return _function_work(work)
    raise _unsold(f"a {type(work).__name__} cannot be sold", _instead(type(work)))


def _instead(cls: type[Any]) -> str:
    """What to give instead of an object of this class: the method that looks like its work, where it has one."""
    run = next((name for name in _RUNS if callable(getattr(cls, name, None))), None)
    return f"give the method that does the work, such as {cls.__name__}().{run}" if run else _INSTEAD


def describes(work: object) -> str:
    """The first line of the seller's own docstring; never a framework's, nor one that Python made."""
    while isinstance(work, functools.partial):
        work = work.func
    if inspect.isroutine(work):
        doc = work.__doc__ if str(work.__module__).partition(".")[0] not in _FRAMEWORKS else ""
    else:
        cls = work if isinstance(work, type) else type(work)
        if kind_of(cls) and root(cls) in _FRAMEWORKS:
            return ""
        doc = cls.__dict__.get("__doc__") or ""
        if doc.startswith(f"{cls.__name__}("):  # what @dataclass writes
            return ""
        if cls.__module__ == "builtins":
            return ""
    return inspect.cleandoc(doc or "").split("\n")[0][:250]


def deliver(made: Any, values: Mapping[str, Any], context: WorkContext) -> str:
    """The text of what a function returned: what can be run is run with the buyer's values, data is read."""
    match kind_of(type(made)):
        case "crew":
            from masumi_tools.seller.work.crew import run_crew

            return run_crew(made, values, context)
        case "flow":
            from masumi_tools.seller.work.flows import run_flow

            return run_flow(made, values)
        case "builder":
            from masumi_tools.seller.work.runnables import run_runnable

            return run_runnable(made.compile(), values, context)
        case "runnable":
            from masumi_tools.seller.work.runnables import run_runnable

            return run_runnable(made, values, context)
    return result_text(made)


def _class_work(cls: type[Any]) -> Work:
    """A class is sold by what its instances are, where they can be made without arguments."""
    if kind_of(cls) == "flow":
        from masumi_tools.seller.work.flows import FlowWork

        return FlowWork(cls)
    made = _called(cls, f"the class {cls.__name__}")
    crew = getattr(made, "crew", None)
    if kind_of(type(crew)) == "crew":
        return _factory_work(lambda: cls().crew, crew)
    if callable(crew) and not signature_of(crew).parameters:
        return _factory_work(lambda: cls().crew(), _called(crew, f"{cls.__name__}.crew"))
    if crew is not None or kind_of(cls) or (callable(made) and not isinstance(made, type)):
        return work_of(made)
    raise _unsold(f"the class {cls.__name__} cannot be sold: its objects are not work", _instead(cls))


def _function_work(function: Callable[..., Any]) -> Work:
    """A function with parameters is the work; one without may make a Crew, a Flow or a graph."""
    signature = signature_of(function)
    parameters = [p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if any(p.default is p.empty for p in parameters) or inspect.iscoroutinefunction(function):
        return FunctionWork(function, deliver)
    said = hints_of(function).get("return", inspect.Signature.empty)
    said = typing.get_origin(said) or said
    if isinstance(said, type) and kind_of(said) in RUNS:
        return _factory_work(function, _called(function, name_of(function)))
    if said in (inspect.Signature.empty, Any) and not signature.parameters and not _generates(function):
        try:
            made = _called(function, name_of(function))
        except StateError:  # it asks people, so it is the work itself
            return FunctionWork(function, deliver)
        if kind_of(type(made)) in RUNS:
            return _factory_work(function, made)
        if made is None:
            raise _unsold(
                f"{name_of(function)} was called to see what it makes, and returned nothing",
                "return the result",
            )
        if why := unsaleable(type(made)):
            raise _unsold(f"{name_of(function)} cannot be sold", why)
    return FunctionWork(function, deliver)


def _generates(function: Callable[..., Any]) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def _lacking(make: Callable[..., Any]) -> list[str]:
    """The arguments without which it cannot be called."""
    try:
        return [p.name for p in inspect.signature(make).parameters.values() if _is_needed(p)]
    except (TypeError, ValueError):
        return []


def _called(make: Callable[[], Any], name: str) -> Any:
    """What is made without arguments; InputError where that fails, with what went wrong."""
    if lacking := _lacking(make):
        raise _unsold(
            f"{name} cannot be sold: it needs {', '.join(lacking)} to be made",
            "give a function that makes it, such as lambda: Research(llm).crew()",
        )
    try:
        return make()
    except (StateError, InputError):
        raise
    except Exception as error:
        raise InputError(
            f"{name} was called to see what it makes, and failed with {type(error).__name__}: {error}; "
            "say what it returns by an annotation (-> str), or mend it",
            phase="sell",
        ) from error


def _is_needed(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _factory_work(factory: Callable[[], Any], first: Any) -> Work:
    match kind_of(type(first)):
        case "crew":
            from masumi_tools.seller.work.crew import CrewWork

            return CrewWork(factory=factory, first=first)
        case "flow":
            from masumi_tools.seller.work.flows import FlowWork

            return FlowWork(factory)
        case "":
            raise _unsold(f"a {type(first).__name__} was made, which is not a Crew", _INSTEAD)
    return _runs_work(first)


def _runs_work(work: Any) -> Work:
    """An object of a framework that can be run."""
    match kind_of(type(work)):
        case "crew":
            from masumi_tools.seller.work.crew import CrewWork

            return CrewWork(template=work)
        case "flow":
            from masumi_tools.seller.work.flows import FlowWork, fresh_like

            return FlowWork(fresh_like(work))
    from masumi_tools.seller.work.runnables import RunnableWork

    return RunnableWork(work.compile() if kind_of(type(work)) == "builder" else work)


def _unsold(why: str, instead: str) -> InputError:
    return InputError(f"{why}: {instead}" if ": " not in why else f"{why}; {instead}", phase="sell")
