"""Asking the caller's own functions: about a price (anything but a clear yes is a no) and about a result.

A plain function may ask a person and block for minutes, so an event loop calls it in a thread of its own; an
async one is awaited there, or has a loop of its own where the caller has none.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread

from masumi_tools.hire.budget import Asked, Budget
from masumi_tools.hire.operations import NotHere
from masumi_tools.hire.receipt import Receipt
from masumi_tools.hire.request import Judge, Policy

log = logging.getLogger("masumi_tools")

# People who are asked at once; more have to wait for one of them.
MOST_ASKED = 64


def decide(budget: Budget, asked: Asked) -> str | None:
    """None for yes, else why not. An async callback runs in a loop of its own, so one may run here already.

    A pause of LangGraph is no answer: it goes on to the graph that runs here, or is NotHere where none does.
    """
    try:
        answer = _settled(budget.approve(asked)) if budget.approve else False
    except Exception as error:
        return _unanswered(error)
    return None if answer is True else not_approved()


async def adecide(budget: Budget, asked: Asked) -> str | None:
    """As `decide`, for an event loop, which goes on meanwhile."""
    try:
        answer = await _called(budget.approve, asked) if budget.approve else False
    except Exception as error:
        return _unanswered(error)
    return None if answer is True else not_approved()


def pauses(error: Exception) -> bool:
    """Whether this is LangGraph pausing its run, as `interrupt()` does: whoever runs the graph must get it."""
    return any(
        (kind.__module__, kind.__name__) == ("langgraph.errors", "GraphBubbleUp")
        for kind in type(error).__mro__
    )


def _unanswered(error: Exception) -> str:
    """The refusal after an error; a pause is passed on, and one that no graph could take is NotHere."""
    if pauses(error):
        raise error
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is not None and str(frame.tb_frame.f_globals.get("__name__")).startswith("langgraph."):
        raise NotHere("approve asks by LangGraph's interrupt(), and no graph runs here") from error
    return not_approved(error)


def not_approved(error: Exception | None = None) -> str:
    """The refusal in words."""
    if error is None:
        return "the price was not approved"
    return f"the price was not approved: asking for approval failed with {type(error).__name__}"


def judge(judge: Judge, receipt: Receipt) -> tuple[Policy, str]:
    """What is to become of a result that does not match, and "" or why the function's answer does not count."""
    try:
        answer = _settled(judge(receipt))
    except Exception as error:
        return not_judged(error)
    return judged(answer)


async def ajudge(judge: Judge, receipt: Receipt) -> tuple[Policy, str]:
    """As `judge`, for an event loop, which goes on meanwhile."""
    try:
        return judged(await _called(judge, receipt))
    except Exception as error:
        return not_judged(error)


def tell(function: Callable[[Receipt], object], receipt: Receipt) -> bool:
    """Whether the caller's function took the end of a hire; one that fails is told again later."""
    try:
        _settled(function(receipt))
    except Exception as error:
        return _not_told(receipt, error)
    return True


async def atell(function: Callable[[Receipt], object], receipt: Receipt) -> bool:
    """As `tell`, for an event loop, which goes on meanwhile."""
    try:
        await _called(function, receipt)
    except Exception as error:
        return _not_told(receipt, error)
    return True


def _not_told(receipt: Receipt, error: Exception) -> bool:
    log.warning(
        "hire %s: on_change failed with %s; it is called again", receipt.hire_id, type(error).__name__
    )
    return False


def judged(answer: object) -> tuple[Policy, str]:
    """The answer of an on_mismatch function; whatever is no answer keeps the result."""
    if answer == "keep" or answer == "refund":
        return answer, ""
    return "keep", "on_mismatch answered neither keep nor refund, so the result is kept"


def not_judged(error: Exception) -> tuple[Policy, str]:
    """What an on_mismatch function that fails comes to."""
    return "keep", f"on_mismatch failed with {type(error).__name__}, so the result is kept"


def _settled(answer: Any) -> Any:
    if not inspect.isawaitable(answer):
        return answer
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(context.run, asyncio.run, _awaited(answer)).result()


async def _called(function: Callable[[Any], Any], argument: Any) -> Any:
    """The function's answer. Plain ones run in a thread; one whose caller was cancelled is left to itself."""
    call = getattr(function, "__call__", None)  # noqa: B004 - an object may have an async __call__
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call):
        return await function(argument)
    limiter = _limiters.get(loop := asyncio.get_running_loop())
    if limiter is None:
        limiter = _limiters[loop] = anyio.CapacityLimiter(MOST_ASKED)
    answer = await anyio.to_thread.run_sync(function, argument, abandon_on_cancel=True, limiter=limiter)
    return await answer if inspect.isawaitable(answer) else answer


_limiters: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, anyio.CapacityLimiter] = (
    weakref.WeakKeyDictionary()
)


async def _awaited(answer: Any) -> Any:
    return await answer
