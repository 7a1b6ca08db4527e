"""Every endpoint times every fault ends right: one purchase at most, the money accounted for, nothing left open.

docs/faults.md is made from this run: `python -m tests.hire.test_faults`.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.faults import DEEDS
from tests.hire.clocked import ClockedBuyer, purchases, sent

DOCS = Path(__file__).parents[2] / "docs" / "faults.md"
DAY = 24 * 3_600_000

ENDPOINTS: dict[str, tuple[str, str]] = {
    "GET /payment-information": ("echo", "today"),
    "GET /api-key-status": ("echo", "today"),
    "GET /availability": ("echo", "today"),
    "GET /input_schema": ("echo", "today"),
    "POST /start_job": ("echo", "today"),
    "POST /purchase": ("echo", "today"),
    "POST /purchase/resolve-blockchain-identifier": ("echo", "today"),
    "GET /status": ("echo", "today"),
    "POST /purchase/request-refund": ("failing", "today"),
    "POST /provide_input": ("human", "today"),
    "GET /purchase": ("echo", "seed"),
    "PATCH /purchase": ("failing", "seed"),
}
TIMES = (1, 4)
# In these a definite no, or silence long enough, before anything was paid may end the hire.
MAY_REFUSE = {"GET /payment-information", "GET /api-key-status", "GET /input_schema", "POST /start_job"}


@dataclass(frozen=True)
class End:
    """What a hire under a fault came to: at once, and when everything had been swept."""

    first: str
    last: str
    receipt: Receipt
    purchases: int
    starts: int
    used: int
    in_escrow_or_spent: int


def play(endpoint: str, deed: str, times: int, folder: Path, latency_ms: int = 0) -> End:
    service, dialect = ENDPOINTS[endpoint]
    options: Any = {"dialect": dialect, "latency_ms": latency_ms}
    with Sandbox(manual_clock=True, listen=False, seed=3, **options) as sandbox:
        sandbox.arm({"on": endpoint, "do": deed, "times": times})
        journal = Journal(f"sqlite:///{folder / 'journal.sqlite3'}")
        buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
        receipt = buyer.hire(sandbox.service(service).agent_identifier, {"text": "hello"}, patience_s=120)
        first = receipt.outcome
        if receipt.outcome == "needs_input":
            receipt = buyer.answer(receipt.hire_id, {"approve": True}, patience_s=120)
        for _round in range(4):
            buyer.sweep()
            sandbox.advance(DAY)
        buyer.sweep()
        receipt = buyer.receipt(receipt.hire_id)
        rows = purchases(sandbox)
        lines = buyer.budget_lines()
        journal.close()
        kept = sum(
            int(fund["amount"])
            for row in rows
            if row["onChainState"] == "Withdrawn"
            for fund in row["PaidFunds"]
        )
        starts = sent(sandbox).count("POST /start_job")
        return End(first, receipt.outcome, receipt, len(rows), starts, lines[0].used, kept)


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("deed", sorted(DEEDS))
@pytest.mark.parametrize("endpoint", sorted(ENDPOINTS))
def test_a_fault_ends_right(endpoint: str, deed: str, times: int, tmp_path: Path) -> None:
    ends_right(endpoint, deed, times, tmp_path)


@pytest.mark.parametrize("deed", sorted(DEEDS))
@pytest.mark.parametrize("endpoint", sorted(ENDPOINTS))
def test_it_ends_right_over_a_slow_line_too(endpoint: str, deed: str, tmp_path: Path) -> None:
    """150 ms for each answer, on the clock that is moved by hand: what is read is older than what is known."""
    ends_right(endpoint, deed, 1, tmp_path, latency_ms=150)


def ends_right(endpoint: str, deed: str, times: int, folder: Path, latency_ms: int = 0) -> None:
    end = play(endpoint, deed, times, folder, latency_ms)

    assert end.purchases <= 1
    assert end.starts <= 3
    assert end.used == end.in_escrow_or_spent, "the budget's use is what the chain says is gone"
    wanted = {"failing": {"refunded"}}.get(ENDPOINTS[endpoint][0], {"completed"})
    allowed = wanted | ({"refused"} if endpoint in MAY_REFUSE else set())
    assert end.last in allowed, end.receipt.reason
    assert (end.purchases == 1) == (end.last != "refused")
    if times == 1 and endpoint != "POST /start_job":
        assert end.last in wanted, end.receipt.reason


def table() -> str:
    lines = [
        "| endpoint | fault | times | after the call | at the end | start_job | purchases |",
        "|---|---|---|---|---|---|---|",
    ]
    for endpoint in sorted(ENDPOINTS):
        for deed in sorted(DEEDS):
            for times in TIMES:
                with tempfile.TemporaryDirectory() as folder:
                    end = play(endpoint, deed, times, Path(folder))
                lines.append(
                    f"| `{endpoint}` | {deed} | {times} | {end.first} | {end.last} | {end.starts} | {end.purchases} |"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    DOCS.write_text(
        "# Faults and what becomes of a hire\n\n"
        "Made by `python -m tests.hire.test_faults`: each row is one hire in the sandbox, in which the named endpoint\n"
        'does what the fault says, so many times. "At the end" is after the clock went on for four days with sweeps.\n'
        "`refused` means that nothing was paid.\n\n" + table() + "\n"
    )
