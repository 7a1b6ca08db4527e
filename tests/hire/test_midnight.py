"""A hire counts to the day on which its money was reserved, however long before it was asked for."""

from __future__ import annotations

import datetime as dt

from masumi_tools.hire.budget import Budget
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.clock import Clock
from tests.hire.clocked import ClockedBuyer, purchases

SECOND_MS = 1000
MIDNIGHT_MS = int(dt.datetime(2027, 1, 15, tzinfo=dt.UTC).timestamp() * 1000)


def test_a_hire_begun_before_midnight_and_reserved_after_it_counts_to_the_new_day(sqlite_url: str) -> None:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        sandbox.world.clock = Clock("manual", now_ms=MIDNIGHT_MS - 20 * SECOND_MS)
        # The registry is slow to recover: the price is known only after midnight.
        sandbox.arm({"on": "GET /payment-information", "service": "registry", "do": "rate-limit", "times": 2})
        sandbox.faults._armed[0].retry_after_s = 15
        budget = Budget("20 ADA", per_day="1 ADA", time_zone=dt.UTC)
        buyer = ClockedBuyer(sandbox, budget, Journal(sqlite_url))
        target = sandbox.service("echo").agent_identifier

        first = buyer.hire(target, {"text": "one"})
        second = buyer.hire(target, {"text": "two"})

        assert first.created_ms < MIDNIGHT_MS < sandbox.now_ms()
        assert (first.outcome, second.outcome) == ("completed", "refused")
        assert "today" in second.reason and len(purchases(sandbox)) == 1
        buyer.journal.close()
