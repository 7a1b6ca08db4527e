"""Whatever a stranger answers, a reader gives a value, and nothing but WireError where that is its contract."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from masumi_tools.errors import WireError
from masumi_tools.models import (
    read_ack,
    read_agent_metadata,
    read_availability,
    read_demo,
    read_error,
    read_error_code,
    read_key_status,
    read_payment,
    read_payment_information,
    read_purchase,
    read_purchases,
    read_registration,
    read_registry_entries,
    read_started,
    read_status,
    read_time,
)

NAMES = [
    "id",
    "job_id",
    "jobId",
    "status",
    "status_id",
    "result",
    "output",
    "error",
    "errors",
    "detail",
    "message",
    "code",
    "success",
    "data",
    "body",
    "object",
    "loc",
    "msg",
    "field_errors",
    "raw",
    "tasks_output",
    "Markdown",
    "input_schema",
    "input_data",
    "input_groups",
    "progress",
    "percentage",
    "available",
    "blockchainIdentifier",
    "agentIdentifier",
    "sellerVKey",
    "input_hash",
    "identifierFromPurchaser",
    "payByTime",
    "submitResultTime",
    "unlockTime",
    "externalDisputeUnlockTime",
    "amounts",
    "amount",
    "unit",
    "asset",
    "paymentSourceType",
    "supportedPaymentSourceIndex",
    "AgentPricing",
    "pricingType",
    "FixedPricing",
    "Amounts",
    "Pricing",
    "fixed",
    "supportedPaymentSources",
    "settlement",
    "chain",
    "network",
    "metadataVersion",
    "apiBaseUrl",
    "Metadata",
    "Capability",
    "tags",
    "ExampleOutput",
    "entries",
    "Assets",
    "items",
    "sellerWallet",
    "vkey",
    "name",
    "NextAction",
    "requestedAction",
    "CurrentTransaction",
    "TransactionHistory",
    "PaidFunds",
    "Purchases",
    "SmartContractWallet",
    "payment_info",
    "continuationToken",
    "accepts",
]
WORDS = st.sampled_from(
    ["", "success", "failed", "running", "completed", "error", "Fixed", "Free", "lovelace", "ab" * 40, "12" * 28, "1.5",
     "1785388352000", "2026-07-30T05:12:32Z", "{}", "[{}]", "<title>x</title>", "https://[x", "\ud800", "²", "٣"]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=20)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=8)
    ),
    max_leaves=40,
)
STATUS = st.sampled_from([200, 201, 307, 400, 402, 404, 408, 422, 429, 500, 502, 503])


@settings(max_examples=150, deadline=None)
@given(JSON, STATUS)
def test_readers_of_services_never_raise(body: Any, status: int) -> None:
    for read in (read_started, read_status, read_availability, read_ack, read_demo):
        repr(read(body, status))  # type: ignore[operator]
    read_error(body)
    read_error_code(body)
    read_time(body)


@settings(max_examples=150, deadline=None)
@given(JSON, STATUS)
def test_readers_of_registry_and_node_raise_nothing_but_wire_error(body: Any, status: int) -> None:
    for read in (read_payment_information, read_registry_entries, read_agent_metadata):
        with suppress(WireError):
            read(body, http_status=status)  # type: ignore[operator]
    for plain in (read_purchase, read_payment, read_purchases, read_key_status, read_registration):
        with suppress(WireError):
            plain(body)  # type: ignore[operator]


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), LEAVES, max_size=20))
def test_an_offer_with_problems_is_never_payable(changes: dict[str, Any]) -> None:
    from tests.models.test_started import OFFER

    read = read_started({**OFFER, **changes})
    assert not (read.payable and read.problems)
    assert read.terms is None or not read.problems
