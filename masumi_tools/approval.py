"""Asking the person or function behind a budget: anything but a clear yes is a no."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from masumi_tools.budget import Asked, Budget


def decide(budget: Budget, asked: Asked) -> str | None:
    """None for yes, else why not. An async callback runs in a loop of its own, so one may run here already."""
    try:
        answer = budget.approve(asked) if budget.approve else False
        if inspect.isawaitable(answer):
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(asyncio.run, cast(Coroutine[Any, Any, bool], _awaited(answer))).result()
    except Exception as error:
        return not_approved(error)
    return None if answer is True else not_approved()


def not_approved(error: Exception | None = None) -> str:
    """The refusal in words."""
    if error is None:
        return "the price was not approved"
    return f"the price was not approved: asking for approval failed with {type(error).__name__}"


async def _awaited(answer: Any) -> Any:
    return await answer
