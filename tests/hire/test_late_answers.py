"""An answer that is read long after it was given, because the machine slept, says nothing of the time since."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.operations import Fetch, Operation
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, purchases

HOUR_MS = 3_600_000


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


class Sleepy(ClockedBuyer):
    """Its machine sleeps once for `sleep_ms`, when the answer to `asleep_at` has come and is not read yet."""

    asleep_at, sleep_ms = "", 0

    def _perform(self, operation: Operation) -> Any:
        answer = super()._perform(operation)
        if isinstance(operation, Fetch) and operation.call.name.endswith(self.asleep_at) and self.sleep_ms:
            sleep_ms, self.sleep_ms = self.sleep_ms, 0
            self.sandbox.advance(sleep_ms)
        return answer


def test_a_payment_that_was_just_taken_is_not_written_off(sandbox: Sandbox, sqlite_url: str) -> None:
    buyer = Sleepy(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    buyer.asleep_at, buyer.sleep_ms = "POST /purchase", 2 * HOUR_MS

    made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=3 * 3600)
    buyer.journal.close()

    assert (made.outcome, made.result) == ("completed", "HELLO"), made.reason
    assert len(purchases(sandbox)) == 1


def test_a_result_that_came_meanwhile_is_taken_and_not_disputed(sandbox: Sandbox, sqlite_url: str) -> None:
    buyer = Sleepy(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    agent, data = sandbox.service("slow").agent_identifier, {"text": "hello", "seconds": 300}
    begun = buyer.hire(agent, data, patience_s=1)
    assert begun.outcome == "open" and begun.times is not None
    buyer.asleep_at = "/resolve-blockchain-identifier"
    buyer.sleep_ms = begun.times.submit_result_time + 60_000 - sandbox.now_ms()

    made = buyer.resume(begun.hire_id, patience_s=3 * 3600)  # this clock counts the sleep, too
    buyer.journal.close()

    assert (made.outcome, made.result) == ("completed", "HELLO"), made.reason
    assert [row["onChainState"] for row in purchases(sandbox)] == ["ResultSubmitted"]
