"""Prices and listings in every nesting of protocol S8, and what makes one unusable."""

from __future__ import annotations

from typing import Any

import pytest

from masumi_tools.errors import WireError
from masumi_tools.models import (
    Listing,
    PricingType,
    read_agent_metadata,
    read_payment_information,
    read_registry_entries,
)
from masumi_tools.money import Amount

V1_PREPROD = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77"
AGENT = V1_PREPROD + "0102"
KEY = "12" * 28
TOKEN = "16a55b2a349361ff88c03788f93e1e966e5d689605d044fef722ddde0014df10745553444d"
ONE_ADA = [{"amount": "1000000", "unit": "lovelace"}]
FIXED = {"pricingType": "Fixed", "FixedPricing": {"Amounts": ONE_ADA}}


def entry(**changes: Any) -> dict[str, Any]:
    body = {
        "agentIdentifier": AGENT,
        "name": "Translator",
        "description": "Translates.",
        "status": "Online",
        "apiBaseUrl": "https://seller.example/api/",
        "paymentType": "Web3CardanoV1",
        "tags": ["text", "translation"],
        "Capability": {"name": "TextGen", "version": "1.0"},
        "AgentPricing": FIXED,
        "sellerWallet": {"address": "addr_test1x", "vkey": KEY},
        "metadataVersion": 1,
        "ExampleOutput": [{"name": "sample", "url": "https://seller.example/x.txt"}],
        "authorName": "Alice",
        **changes,
    }
    return {name: value for name, value in body.items() if value is not ...}


def listing(**changes: Any) -> Listing:
    return read_payment_information({"status": "success", "data": entry(**changes)})


def test_the_registrys_answer_in_full() -> None:
    read = listing()
    assert read.payable and read.problems == ()
    assert (read.agent_identifier, read.seller_vkey, read.status) == (AGENT, KEY, "Online")
    assert (read.name, read.api_base_url) == ("Translator", "https://seller.example/api/")
    assert (read.network, read.source_type, read.source_index) == ("Preprod", "Web3CardanoV1", None)
    assert (read.tags, read.capability, read.author) == (("text", "translation"), "TextGen 1.0", "Alice")
    assert read.example_outputs == (("sample", "https://seller.example/x.txt"),)
    assert read.price.pricing is PricingType.FIXED and read.price.amounts == (Amount(1_000_000),)
    assert read.at("https://other.example").api_base_url == "https://other.example"


@pytest.mark.parametrize(
    "pricing",
    [
        {"pricingType": "Fixed", "FixedPricing": {"Amounts": ONE_ADA}},
        {"pricingType": "Fixed", "Pricing": ONE_ADA},
        {"pricingType": "fixed", "Pricing": [{"amount": 1000000, "unit": ""}]},
        {"pricingType": "Fixed", "Pricing": [{"amount": 1000000.0, "unit": None}]},
        [{"pricingType": "Fixed", "fixedPricing": ONE_ADA}],
        [{"pricingType": "Fixed", "fixedPricing": {"amount": "1000000", "unit": ["love", "lace"]}}],
        {"pricingType": "Fixed", "fixed": [{"asset": "Lovelace", "amount": "1000000"}]},
        ONE_ADA,
        {"pricingType": "Fixed", "Pricing": [{"amount": "400000", "unit": ""}, {"amount": "600000", "unit": "lovelace"}]},
    ],
)  # fmt: skip
def test_every_nesting_of_the_same_price(pricing: Any) -> None:
    read = listing(AgentPricing=pricing)
    assert read.payable and read.price.amounts == (Amount(1_000_000),)


@pytest.mark.parametrize(
    ("amounts", "why"),
    [
        ([{"amount": "5000000", "unit": "USDM"}], "USDM"),
        ([{"amount": "5000000", "unit": "ada"}], "ada"),
        ([{"amount": "5000000", "unit": "ADA"}], "ADA"),
        ([{"amount": "5000000"}], "unit is missing"),
        ([{"amount": "-1", "unit": ""}], "-1"),
        ([{"amount": "0.5", "unit": ""}], "0.5"),
        ([{"amount": "1e3", "unit": ""}], "1e3"),
        ([{"amount": "NaN", "unit": ""}], "NaN"),
        ([{"amount": float("nan"), "unit": ""}], "nan"),
        ([{"amount": True, "unit": ""}], "true"),
        ([{"amount": "9" * 26, "unit": ""}], "999"),
        (["5 ADA"], "5 ADA"),
        ([], "not a free one"),
        (None, "not a free one"),
    ],
)
def test_a_price_that_the_chain_could_not_pay_is_a_problem_with_the_value(amounts: Any, why: str) -> None:
    read = listing(AgentPricing={"pricingType": "Fixed", "Pricing": amounts})
    assert not read.payable and read.price.amounts == () and not read.price.is_free
    assert read.problems[0].startswith("AgentPricing:") and why in read.problems[0]


def test_amounts_of_the_same_unit_are_summed_and_units_stay_apart() -> None:
    rows = [{"amount": "1", "unit": TOKEN}, {"amount": "2", "unit": ""}, {"amount": "3", "unit": TOKEN}]
    read = listing(AgentPricing={"pricingType": "Fixed", "Pricing": rows})
    assert read.price.amounts == (Amount(2), Amount(4, TOKEN))
    assert read.price.listed == (("1", TOKEN), ("2", ""), ("3", TOKEN))


def test_free_dynamic_and_zero() -> None:
    free = listing(AgentPricing={"pricingType": "Free"}, paymentType="None")
    assert free.price.is_free and not free.payable and free.problems == ()
    dynamic = listing(AgentPricing={"pricingType": "Dynamic"})
    assert dynamic.payable and dynamic.price.amounts == () and not dynamic.price.is_free
    zero = listing(AgentPricing={"pricingType": "Fixed", "Pricing": [{"amount": "0", "unit": "lovelace"}]})
    assert zero.price.is_free and not zero.payable and zero.problems == ()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"AgentPricing": ...}, "AgentPricing"),
        ({"AgentPricing": {"pricingType": "Auction"}}, "AgentPricing"),
        ({"AgentPricing": [FIXED, FIXED]}, "AgentPricing"),
        ({"agentIdentifier": "policy_id_asset_name"}, "agentIdentifier"),
        ({"agentIdentifier": None}, "agentIdentifier"),
        ({"sellerWallet": {"vkey": "sellerVKey"}}, "sellerVkey"),
        ({"apiBaseUrl": "https://..."}, "apiBaseUrl"),
        ({"apiBaseUrl": "ftp://seller.example"}, "apiBaseUrl"),
        ({"apiBaseUrl": "https://seller.example/?token=1"}, "apiBaseUrl"),
        ({"apiBaseUrl": "https://[seller"}, "apiBaseUrl"),
        ({"metadataVersion": "2.0.0"}, "metadataVersion"),
        ({"metadataVersion": 2}, "AgentPricing"),
        ({"status": "Deregistered"}, "status"),
        ({"state": "RegistrationRequested"}, "state"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(changes: dict[str, Any], field: str) -> None:
    read = listing(**changes)
    assert not read.payable
    assert [problem.split(":")[0] for problem in read.problems] == [field]


@pytest.mark.parametrize("status", ["Offline", "Invalid"])
def test_the_registrys_last_look_is_a_note_and_no_problem(status: str) -> None:
    read = listing(status=status)
    assert read.payable and status.lower() in read.notes[0]


SOURCE = {
    "chain": "Cardano",
    "network": "Preprod",
    "paymentSourceType": "Web3CardanoV2",
    "address": "addr_test1w",
    "pricing": {"pricingType": "Fixed", "fixed": [{"asset": TOKEN, "amount": "7"}]},
}


def test_the_second_version_has_its_price_in_the_payment_source_of_the_network() -> None:
    evm = {"chain": "EVM", "network": "eip155:1", "pricing": {"pricingType": "Free"}}
    mainnet = {**SOURCE, "network": "Mainnet", "pricing": {"pricingType": "Free"}}
    meta = {"metadataVersion": 2, "AgentPricing": None, "supportedPaymentSources": [evm, mainnet, SOURCE]}
    body = {"data": {"agentIdentifier": AGENT, "Metadata": {"name": "V2", **meta}}}
    read = read_agent_metadata(body, "Preprod")
    assert read.payable and read.price.amounts == (Amount(7, TOKEN),)
    assert (read.source_type, read.network, read.source_index) == ("Web3CardanoV2", "Preprod", None)


def test_the_registry_says_the_index_of_a_payment_source_itself() -> None:
    sources = [{**SOURCE, "sourceIndex": 3}]
    read = listing(AgentPricing=None, SupportedPaymentSources=sources, paymentType="Web3CardanoV2")
    assert read.source_index == 3 and read.payable


def test_a_seller_that_takes_no_payment_on_this_network_is_a_problem() -> None:
    body = {"agentIdentifier": AGENT, "supportedPaymentSources": [SOURCE]}
    read = read_agent_metadata(body, "Mainnet")
    assert read.problems == (
        "supportedPaymentSources: none for Cardano on Mainnet; there are Cardano Preprod",
    )


def test_metadata_as_it_stands_on_chain_in_chunks() -> None:
    meta = {
        "name": ["Demo ", "agent"],
        "api_base_url": ["https://demo.", "example"],
        "metadata_version": "2",
        "supported_payment_sources": [
            {
                "chain": ["Cardano"],
                "network": ["Preprod"],
                "settlement": {"paymentSourceType": ["Web3CardanoV2"], "address": ["addr_test1w"]},
                "pricing": {
                    "pricingType": "Fixed",
                    "fixed": [{"asset": [TOKEN[:60], TOKEN[60:]], "amount": "7"}],
                },
            }
        ],
    }
    for body in (meta, {"721": {"policy": {"asset": meta}}}, {"policy": {"asset": meta}, "version": "1"}):
        read = read_agent_metadata(body)
        assert (read.name, read.api_base_url) == ("Demo agent", "https://demo.example")
        assert read.price.amounts == (Amount(7, TOKEN),) and read.source_index == 0 and read.payable


@pytest.mark.parametrize(
    "body",
    [
        {"status": "success", "data": {"entries": [entry(), entry(name="Other")]}},
        {"data": {"Assets": [{"agentIdentifier": AGENT, "Metadata": entry()}, entry(name="Other")]}},
        {"items": [entry(), entry(name="Other")], "offset": "x"},
        [entry(), entry(name="Other")],
    ],
)
def test_lists_keep_their_order(body: Any) -> None:
    assert [read.name for read in read_registry_entries(body)] == ["Translator", "Other"]


def test_an_entry_of_a_list_needs_an_identifier() -> None:
    read = read_registry_entries({"items": [entry(agentIdentifier=...)]})[0]
    assert read.problems == ("agentIdentifier: missing",)


def test_an_empty_list_is_empty_and_an_error_says_its_sentence() -> None:
    assert read_registry_entries({"status": "success", "data": {"entries": []}}) == []
    for status, body, said in (
        (401, {"status": "error", "error": {"message": "Invalid token"}}, "Invalid token"),
        (200, {"status": "error", "error": {"message": "Network not found"}}, "Network not found"),
        (521, "<html><title>Web server is down</title></html>", "Web server is down"),
        (200, {"data": {}}, "No agent"),
        (200, None, "No agent"),
    ):
        for read in (read_registry_entries, read_payment_information, read_agent_metadata):
            with pytest.raises(WireError, match=said):
                read(body, http_status=status)
