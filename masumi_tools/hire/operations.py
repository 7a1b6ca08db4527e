"""What a flow may ask its driver to do, as values; Buyer does them plainly, AsyncBuyer awaits them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from masumi_tools.calls.call import Call, Reply
from masumi_tools.hire.budget import Asked, Budget
from masumi_tools.hire.purchase import Purchase
from masumi_tools.hire.receipt import Receipt
from masumi_tools.hire.request import Judge


@dataclass(frozen=True, slots=True)
class Do:
    """Run this function, which may block on the journal."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Make this call; the answer is a Reply. A read of `watched` may be answered from the shared feed."""

    call: Call
    watched: Purchase | None = None


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Approve:
    """Ask the person or function behind the budget; the answer is None (yes) or why not."""

    budget: Budget
    asked: Asked


@dataclass(frozen=True, slots=True)
class Decide:
    """Ask the caller's function about a result that does not match; the answer is (policy, note)."""

    judge: Judge
    receipt: Receipt


Operation = Do | Fetch | Sleep | Approve | Decide
T = TypeVar("T")
Flow = Generator[Operation, Any, T]

MOST_READS = 3
LONGEST_WAIT_S = 20.0


def read(call: Call, pause_s: float) -> Flow[Reply]:
    """The answer to a request that only reads, asked again while the trouble looks passing; at most three times."""
    reply: Reply = yield Fetch(call)
    for _attempt in range(MOST_READS - 1):
        if not _passing(reply):
            break
        yield Sleep(min(reply.retry_after_s or pause_s, LONGEST_WAIT_S))
        reply = yield Fetch(call)
    return reply


def _passing(reply: Reply) -> bool:
    if reply.status is None:
        return reply.fault != "refused-address"
    return reply.status >= 500 or reply.status in (408, 425, 429) or (reply.status < 300 and not reply.ok)
