"""A call that was given up in its midst, and is swept up while another one runs, leaves that one alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.operations import Fetch
from masumi_tools.hire.request import order_of
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


def begun(sandbox: Sandbox, url: str) -> Any:
    """A flow that holds the lease of its hire, in a journal that is gone."""
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(url))
    order = order_of(sandbox.service("echo").agent_identifier, {"text": "a"}, budget="default")
    flow = buyer._flows.hire(order, 60, "who begins it")
    operation = next(flow)
    while not (isinstance(operation, Fetch) and buyer._flows.driven):
        operation = flow.send(buyer._perform(operation))
    buyer.journal.close()
    return flow


def test_what_a_call_that_is_swept_up_hears_of_its_database_is_not_said_of_anothers(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    flows = [begun(sandbox, "sqlite://")]

    class Sweeping(ClockedBuyer):
        def _perform(self, operation: Any) -> Any:
            if flows and isinstance(operation, Fetch):
                flows.clear()
                gc.collect()
            return super()._perform(operation)

    buyer = Sweeping(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=0)
    buyer.journal.close()

    assert not flows and made.open and made.state == "paid"
