"""Asking the caller's own functions: about a price (anything but a clear yes is a no) and about a result."""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from masumi_tools.hire.budget import Asked, Budget
from masumi_tools.hire.receipt import Receipt
from masumi_tools.hire.request import Judge, Policy


def decide(budget: Budget, asked: Asked) -> str | None:
    """None for yes, else why not. An async callback runs in a loop of its own, so one may run here already."""
    try:
        answer = _settled(budget.approve(asked)) if budget.approve else False
    except Exception as error:
        return not_approved(error)
    return None if answer is True else not_approved()


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
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _awaited(answer)).result()


async def _awaited(answer: Any) -> Any:
    return await answer
