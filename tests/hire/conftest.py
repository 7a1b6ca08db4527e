"""A sandbox whose clock stands until it is moved, and a buyer on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def buyer(sandbox: Sandbox, sqlite_url: str) -> Iterator[ClockedBuyer]:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    yield buyer
    buyer.journal.close()
