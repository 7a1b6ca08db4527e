"""Hires that ended long ago leave the journal for a file; budgets, calls and open hires are as before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools.errors import InputError, JournalError
from masumi_tools.hire.archive import STAYS_MS, archive, receipt_in
from masumi_tools.hire.budget import Budget
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, purchases


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=4) as sandbox:
        yield sandbox


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    journal = Journal(database_url)
    yield journal
    journal.close()


def test_ended_hires_go_to_the_file_and_what_they_cost_stays_counted(
    sandbox: Sandbox, journal: Journal, tmp_path: Path
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    echo, silent = (sandbox.service(name).agent_identifier for name in ("echo", "silent"))
    done = buyer.hire(echo, {"text": "hello"}, call_id="call-1")
    sandbox.advance(2 * STAYS_MS)
    done = buyer.resume(done.hire_id)
    assert done.verified and not done.open
    sandbox.advance(3 * STAYS_MS)
    waiting = buyer.hire(silent, {"text": "hello"}, patience_s=5)
    before = buyer.budget_lines()
    file = tmp_path / "old.jsonl"

    moved = archive(journal, sandbox.now_ms() - 2 * STAYS_MS, file, sandbox.now_ms())

    assert moved == 1 and [row.hire_id for row in journal.rows()] == [waiting.hire_id]
    assert buyer.budget_lines() == before and journal.wrong_totals() == 0
    kept = receipt_in(file, done.hire_id)
    assert kept.result == "HELLO" and {check.verdict for check in kept.verify()} == {"verified"}
    assert json.loads(file.read_text())["hire_id"] == done.hire_id
    with pytest.raises(InputError, match="there is no hire"):
        receipt_in(file, waiting.hire_id)


def test_a_tool_call_whose_hire_was_archived_buys_nothing_anew(
    sandbox: Sandbox, journal: Journal, tmp_path: Path
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    echo = sandbox.service("echo").agent_identifier
    made = buyer.hire(echo, {"text": "hello"}, call_id="call-1")
    sandbox.advance(2 * STAYS_MS)
    buyer.resume(made.hire_id)
    sandbox.advance(3 * STAYS_MS)
    archive(journal, sandbox.now_ms() - 2 * STAYS_MS, tmp_path / "old.jsonl", sandbox.now_ms())

    with pytest.raises(JournalError, match="was archived; nothing was sent"):
        buyer.hire(echo, {"text": "hello"}, call_id="call-1")
    assert len(purchases(sandbox)) == 1

    assert buyer.hire(echo, {"text": "hello"}, call_id="call-2").outcome == "completed"
    assert len(purchases(sandbox)) == 2


def test_hires_of_the_last_day_stay(sandbox: Sandbox, journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of the last day stay"):
        archive(journal, sandbox.now_ms(), tmp_path / "old.jsonl", sandbox.now_ms())
    assert not (tmp_path / "old.jsonl").exists()


def test_a_hire_that_changed_since_it_was_read_stays(sandbox: Sandbox, journal: Journal) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    made = buyer.hire(sandbox.service("free").agent_identifier, {"text": "hello"})
    row = journal.get(made.hire_id)
    assert row is not None and not row.is_open
    journal.save(row)

    assert journal.archive([row]) == 0 and journal.get(made.hire_id) is not None
