"""What a flow may ask its driver to do, as values; Buyer does them plainly, AsyncBuyer awaits them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from masumi_tools.budget import Asked, Budget
from masumi_tools.calls.call import Call
from masumi_tools.purchase import Purchase


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


Operation = Do | Fetch | Sleep | Approve
T = TypeVar("T")
Flow = Generator[Operation, Any, T]
