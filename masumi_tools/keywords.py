"""Keywords that are not known raise, and the error says which was meant: no limit that is given does nothing."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Awaitable, Callable, Collection
from functools import wraps
from typing import Any, Final, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_OF_THE_BUDGET: Final = frozenset(
    {
        "total",
        "per_hire",
        "per_day",
        "per_month",
        "per_service",
        "per_new_service",
        "allow",
        "deny",
        "approve_above",
        "approve",
        "approval_within",
        "time_zone",
    }
)


class _LeftOut:
    """What stands in a signature for an option that may be left out: "name=..." in `help`."""

    def __repr__(self) -> str:
        return "..."


_LEFT_OUT: Final = _LeftOut()


def keywords(*options: type) -> Callable[[F], F]:
    """The function, which names what was meant when it gets a keyword that it does not take.

    `options` are the TypedDicts behind its `**options`; its signature shows their names.
    """

    def decorated(function: F) -> F:
        signature = inspect.signature(function)
        shown = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        names = {p.name for p in shown}
        for name in dict.fromkeys(key for one in options for key in one.__annotations__):
            if name not in names:
                shown.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_LEFT_OUT))
        known = frozenset(p.name for p in shown)

        def check(given: Collection[str]) -> None:
            for name in given:
                if name not in known:
                    raise unknown(function.__qualname__, name, known)

        @wraps(function)
        def plain(*args: Any, **given: Any) -> Any:
            check(given)
            return function(*args, **given)

        @wraps(function)
        async def awaiting(*args: Any, **given: Any) -> Any:
            check(given)
            return await cast("Callable[..., Awaitable[Any]]", function)(*args, **given)

        made: Any = awaiting if inspect.iscoroutinefunction(function) else plain
        made.__signature__ = signature.replace(parameters=shown)
        return cast(F, made)

    return decorated


def named(cls: type[T]) -> type[T]:
    """The class, which names what was meant when it is made with a keyword that it does not take."""
    made: Any = keywords()(cls.__init__)
    type.__setattr__(cls, "__init__", made)
    return cls


def unknown(callee: str, name: str, known: Collection[str]) -> TypeError:
    """The error for a keyword that `callee` does not take."""
    words = f"{callee.removesuffix('.__init__')}() got an unexpected keyword argument {name!r}"
    near = difflib.get_close_matches(name, sorted(known), 1, 0.7)
    if near:
        return TypeError(f"{words}; did you mean {near[0]!r}?")
    budget = difflib.get_close_matches(name, sorted(_OF_THE_BUDGET), 1, 0.8)
    if budget and "budget" in known:
        return TypeError(f"{words}; it is a limit of the budget: budget=Budget(..., {budget[0]}=...)")
    return TypeError(f"{words}; it takes {', '.join(sorted({*known} - {'self', 'cls'}))}")
