"""A buyer to whom requests take time on the sandbox's clock: a slow node, a service that drips, a gateway that hangs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from masumi_tools.calls.call import Call, Reply
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.operations import Fetch, Operation
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer

LOST = Reply(None, fault="lost", detail="no answer in time")


class PatientBuyer(ClockedBuyer):
    """`latency_s` is what the node takes for an answer; a call named in `never` takes all the time it is given.

    `lost` is how that ends. `instead` has answers that come in place of the real ones. `asked` has the calls, `ordering_s` the time
    that POST /purchase took, which is the one request that may outlive the caller's patience.
    """

    def __init__(self, sandbox: Sandbox, journal: Journal, latency_s: float = 0, **options: Any) -> None:
        super().__init__(sandbox, Budget("50 ADA"), journal, **options)
        self.latency_s = latency_s
        self.never: set[str] = set()
        self.lost = LOST
        self.instead: dict[str, Reply] = {}
        self.asked: list[str] = []
        self.ordering_s = 0.0

    def _perform(self, operation: Operation) -> Any:
        if not isinstance(operation, Fetch):
            return super()._perform(operation)
        call = operation.call
        self.asked.append(call.name)
        most = call.timeout_s if operation.within_s is None else min(call.timeout_s, operation.within_s)
        took, reply = self._answered(call, operation, most)
        if call.name == "POST /purchase":
            self.ordering_s += took
        self.sandbox.advance(int(took * 1000))
        return reply

    def _answered(self, call: Call, operation: Fetch, most: float) -> tuple[float, Any]:
        wait = most if call.name in self.never else self.latency_s if call.to == "node" else 0.0
        if call.name in self.never:
            return most, self.lost
        reply = self.instead.get(call.name) or super()._perform(operation)
        if isinstance(reply, Reply) and reply.fault == "lost" and "broke" not in reply.detail:
            wait = max(wait, most)  # no answer ever came
        return (most, LOST) if wait > most else (wait, reply)


def timed(buyer: PatientBuyer, call: Callable[[], Any]) -> tuple[Any, float]:
    """What the call returned, and the seconds that it took without those of POST /purchase."""
    began, ordering = buyer.sandbox.now_ms(), buyer.ordering_s
    made = call()
    return made, (buyer.sandbox.now_ms() - began) / 1000 - (buyer.ordering_s - ordering)
