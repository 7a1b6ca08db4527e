"""A keyword that the sandbox does not take raises, and the error says which was meant."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

P = ParamSpec("P")


def meant(init: Callable[P, None]) -> Callable[P, None]:
    """The `__init__`, with "did you mean" in its TypeError."""
    known = [name for name in inspect.signature(init).parameters if name != "self"]

    @wraps(init)
    def checked(*args: P.args, **given: P.kwargs) -> None:
        for name in given:
            if name not in known:
                near: list[Any] = difflib.get_close_matches(name, known, 1, 0.6)
                more = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
                raise TypeError(f"Sandbox() got an unexpected keyword argument {name!r}; {more}")
        init(*args, **given)

    return checked
