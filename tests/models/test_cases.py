"""Known problems of the field that reading alone settles, each named after its case.

E7 and the like are the numbered cases of the field notes; the others are the ids of bug reports.
"""

from __future__ import annotations

import pytest

from masumi_tools.models import (
    OnChainState,
    read_payment_information,
    read_purchase,
    read_started,
    read_status,
)
from masumi_tools.money import Amount
from tests.models.test_listing import AGENT, entry
from tests.models.test_node import purchase
from tests.models.test_started import HASH, KEY, OFFER, TIMES, offer


def test_e4_funds_or_datum_invalid_is_read_with_both_amounts() -> None:
    read = read_purchase({"data": purchase(onChainState="FundsOrDatumInvalid")})
    assert read.on_chain_state is OnChainState.FUNDS_OR_DATUM_INVALID
    assert read.paid_funds == (Amount(1_000_000), Amount(2_500_000, "ff" * 30))


def test_e7_a_paid_agent_whose_payment_was_not_prepared_is_not_free() -> None:
    body = {"job_id": "j", "status": "running", "agentIdentifier": AGENT, "blockchainIdentifier": None}
    read = read_started(body)
    assert read.started is True and not read.payable
    assert "no terms were prepared" in read.problems[0]


@pytest.mark.parametrize("unit", ["ada", "ADA", "USDM", "tUSDM", "USDCx", "lovelaces"])
def test_e10_a_price_in_a_word_is_refused_and_never_guessed(unit: str) -> None:
    pricing = {"pricingType": "Fixed", "Pricing": [{"amount": "1000000", "unit": unit}]}
    read = read_payment_information({"data": entry(AgentPricing=pricing)})
    assert not read.payable and unit in read.problems[0] and "policy id" in read.problems[0]


def test_unit_word_kills_batch() -> None:
    pricing = {"pricingType": "Fixed", "Pricing": [{"amount": "4990000", "unit": "USDM"}]}
    read = read_payment_information({"data": entry(AgentPricing=pricing)})
    assert not read.payable and read.price.amounts == ()


@pytest.mark.parametrize("amount", ["NaN", "-1", "1e3", "0.1", float("nan"), float("inf"), -1])
def test_nan_and_negative_money(amount: object) -> None:
    pricing = {"pricingType": "Fixed", "Pricing": [{"amount": amount, "unit": "lovelace"}]}
    read = read_payment_information({"data": entry(AgentPricing=pricing)})
    assert not read.payable and read.price.amounts == ()


def test_e23_both_names_of_the_input_hash_and_of_the_job_are_read() -> None:
    assert read_started(offer(input_hash=..., inputHash=HASH)).payable
    assert read_started(offer(inputHash=HASH, job_id="job-1")).payable


def test_e24_a_failed_job_without_any_reason_is_failed() -> None:
    read = read_status({"id": "x", "status": "failed", "input_schema": None, "result": None})
    assert read.state.final and read.error is None and read.result is None


def test_e29_times_in_seconds_become_ms_and_the_signature_decides() -> None:
    read = read_started(offer(**{name: ms // 1000 for name, ms in TIMES.items()}))
    assert read.terms is not None and read.terms.times == read_started(OFFER).terms.times  # type: ignore[union-attr]
    assert all("in seconds" in note for note in read.notes)


def test_e22_an_identifier_of_the_wrong_length_is_named() -> None:
    for wrong in ("ab" * 6, "ab" * 14, "example_purchaser_123", KEY):
        assert (
            read_started(offer(identifierFromPurchaser=wrong))
            .problems[0]
            .startswith("identifierFromPurchaser")
        )
