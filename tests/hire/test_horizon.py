"""How long money may be bound: a seller that asks for more is refused before paying, in words with both numbers."""

from __future__ import annotations

from dataclasses import replace

from masumi_tools.hire.acceptance import HORIZON_MS, times_problem
from masumi_tools.hire.budget import Budget
from masumi_tools.journal.store import Journal
from masumi_tools.models import JobTimes
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.hire.clocked import ClockedBuyer, purchases

HOUR_MS = 3_600_000
NOW = 1_800_000_000_000


def test_the_last_of_the_times_counts() -> None:
    def times(dispute_ms: int) -> JobTimes:
        return JobTimes(NOW + HOUR_MS // 2, NOW + HOUR_MS, NOW + 2 * HOUR_MS, NOW + dispute_ms)

    assert times_problem(times(HORIZON_MS), NOW, HORIZON_MS) is None
    problem = times_problem(times(3650 * 24 * HOUR_MS), NOW, HORIZON_MS)
    assert problem is not None and "for 3,650 days, and at most 14 are allowed" in problem


def test_what_would_bind_the_money_for_too_long_is_not_paid(sqlite_url: str) -> None:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        settings = replace(Settings.from_sandbox(sandbox), most_bound_days=0.01)
        buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url), settings=settings)
        buyer._flows.ways = replace(buyer._flows.ways, horizon_ms=buyer._ways.horizon_ms)

        made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=60)

        assert (made.outcome, made.money, purchases(sandbox)) == ("refused", "none", [])
        assert "the money could be bound for" in made.reason and "most_bound_days" in made.reason
        assert [line.used for line in buyer.budget_lines()] == [0]
        buyer.journal.close()
