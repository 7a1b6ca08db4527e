"""What is told while a hire goes on, in one form for every framework's events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from masumi_tools.hire.flows import LISTENER, Progress
from masumi_tools.text import plain_text

Listener = Callable[[Progress], None]

EVENT: Final = "masumi_progress"

STEPS: Final = {
    "asked": "looking up the service",
    "listed": "the price is known",
    "awaiting_approval": "waiting for a person to approve the price",
    "reserved": "the price is reserved in the budget",
    "started": "the job is started, the offer is checked",
    "paying": "ordering the payment into escrow",
    "paid": "waiting until the money is locked",
    "locked": "the money is locked, the service is working",
    "running": "the free service is working",
    "needs_input": "the service asks for input",
    "delivered": "the result is here, checking it against the chain",
    "refund_requested": "a refund was requested",
    "disputed": "the refund is disputed",
    "settled": "done, the service was paid",
    "refunded": "the money was refunded",
    "refused": "refused, nothing was paid",
    "lapsed": "the money was never locked, nothing was spent",
    "failed": "failed, the money was not refunded",
}


def news(progress: Progress) -> dict[str, Any]:
    """One step of a hire as plain data.

    `step` says the state in our words; `service_text` holds the service's own (data, one line, at most
    500 characters); `ms_left` is the time that the service has left to deliver, None before there is an offer.
    """
    return {
        "hire_id": progress.hire_id,
        "state": progress.state.value,
        "step": STEPS[progress.state.value],
        "service_text": plain_text(progress.text, 500),
        "at_ms": progress.at_ms,
        "ms_left": progress.ms_left,
    }


@contextmanager
def listening(*listeners: Listener | None) -> Iterator[None]:
    """Inside, whatever this thread or task drives is told to all of the listeners."""
    chosen = [listener for listener in (LISTENER.get(), *listeners) if listener is not None]

    def tell(progress: Progress) -> None:
        for listener in chosen:
            with suppress(Exception):  # one listener's fault must not silence the others
                listener(progress)

    token = LISTENER.set(tell if chosen else None)
    try:
        yield
    finally:
        LISTENER.reset(token)
