"""What the journal stores of the wire comes back from JSON as it was."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from masumi_tools.models import (
    JobStatus,
    Listing,
    NodePurchase,
    Terms,
    read_payment_information,
    read_purchase,
    read_started,
    read_status,
)
from tests.models.test_listing import entry
from tests.models.test_node import purchase
from tests.models.test_started import offer

ASKED = {"status": "awaiting_input", "id": "s", "input_schema": {"input_data": [{"id": "a", "type": "text"}]}}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Listing, read_payment_information(entry())),
        (Listing, read_payment_information(entry(AgentPricing={"pricingType": "Fixed", "Pricing": ["x"]}))),
        (Terms, read_started(offer(amounts=[{"amount": "5", "unit": ""}])).terms),
        (NodePurchase, read_purchase(purchase(onChainState="FundsLocked"))),
        (NodePurchase, read_purchase(purchase(onChainState="Levitating"))),
        (JobStatus, read_status(ASKED)),
        (JobStatus, read_status({"status": "completed", "result": {"deep": [1, None]}})),
    ],
)
def test_stored_and_loaded_it_is_the_same(kind: Any, value: Any) -> None:
    adapter = TypeAdapter(kind)
    assert adapter.validate_json(adapter.dump_json(value)) == value
