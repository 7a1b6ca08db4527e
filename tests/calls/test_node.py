"""Requests to the node and the registry, against their published descriptions and the recorded exchanges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.calls import node, registry, selling
from masumi_tools.calls.call import Call
from masumi_tools.errors import IdentifierError
from masumi_tools.models import JobTimes, Terms, read_payment
from masumi_tools.money import Amount
from tests.calls.openapi import check
from tests.shared import shared_json

NODE = "http://node.example:3001/api/v1"
REGISTRY = "https://registry.example/api/v1"
AGENT = "ab" * 28 + "0102"
KEY = "12" * 28
HASH = "34" * 32
NONCE = "a1b2c3d4e5f60718293a"
TIMES = JobTimes(1785388352001, 1785431552000, 1785453152000, 1785474752000)


def calls() -> list[Call]:
    registration = selling.registration_body(
        network="Preprod",
        selling_wallet_vkey=KEY,
        name="Translator",
        description="Translates.",
        api_base_url="https://seller.example/api",
        tags=["text"],
        capability=("TextGen", "1.0"),
        author="Alice",
        organization="Example",
        pricing=selling.fixed_pricing([Amount(1_000_000), Amount(5, "ff" * 30)]),
        example_outputs=[{"name": "x", "url": "https://seller.example/x.txt", "mimeType": "text/plain"}],
        legal={"terms": "https://seller.example/terms"},
    )
    return [
        node.resolve(NODE, "56" * 450, "Preprod"),
        node.resolve(NODE, "56" * 450, "Preprod", history=True),
        node.request_refund(NODE, "56" * 450, "Preprod"),
        node.list_purchases(NODE, "Preprod", source_type="Web3CardanoV2", cursor="c"),
        node.diff(NODE, "Preprod", source_type="Web3CardanoV1", last_update="2026-11-25T01:31:26.054Z", cursor="c"),
        node.agent(NODE, AGENT, "Preprod"),
        node.key_status(NODE),
        node.health(NODE),
        selling.payment(
            NODE, network="Preprod", agent_identifier=AGENT, input_hash=HASH, identifier_from_purchaser=NONCE, times=TIMES
        ),
        selling.payment(
            NODE, network="Preprod", agent_identifier=AGENT, input_hash=HASH, identifier_from_purchaser=NONCE, times=TIMES,
            requested_funds=[Amount(5)], source_type="Web3CardanoV2", source_index=0, seller_return_address="addr_test1q",
        ),
        selling.resolve_payment(NODE, "56" * 450, "Preprod"),
        selling.submit_result(NODE, "56" * 450, "Preprod", "AB" * 32),
        selling.authorize_refund(NODE, "56" * 450, "Preprod"),
        selling.payment_diff(NODE, "Preprod", source_type="Web3CardanoV1", last_update_ms=1, cursor="c"),
        selling.register(NODE, registration),
        selling.update(NODE, AGENT, registration),
        selling.deregister(NODE, AGENT, "Preprod"),
        selling.registrations(NODE, "Preprod", agent_identifier=AGENT, cursor="c"),
        node.payment_sources(NODE),
        registry.payment_information(REGISTRY, AGENT),
        registry.search(REGISTRY, "Preprod", "x" * 300, status=["Online", "Offline"], tags=["t" * 200], capability="c"),
        registry.entries(REGISTRY, "Mainnet", limit=500, cursor="c"),
        registry.key_status(REGISTRY),
        registry.health(REGISTRY),
    ]  # fmt: skip


@pytest.mark.parametrize("call", calls(), ids=lambda call: call.name)
def test_the_request_is_as_the_published_description_says(call: Call) -> None:
    check(call, NODE if call.to == "node" else REGISTRY)


@pytest.mark.parametrize("call", calls(), ids=lambda call: call.name)
def test_the_name_says_method_and_path_below_the_api(call: Call) -> None:
    api = NODE if call.to == "node" else REGISTRY
    assert call.url.split("?")[0] == api + call.name.split(" ")[1]


def test_the_seeds_way_to_the_state_of_a_purchase() -> None:
    call = node.find_purchase(NODE, "5678", "Preprod")
    assert call.name == "GET /purchase"
    assert call.url == f"{NODE}/purchase?network=Preprod&limit=100&blockchainIdentifier=5678"


def test_the_seeds_way_to_ask_for_the_money_back() -> None:
    call = node.patch_refund(NODE, "56" * 450, "Preprod")
    assert (call.name, call.url, call.method) == ("PATCH /purchase", f"{NODE}/purchase", "PATCH")
    assert json.loads(call.body or b"") == {"blockchainIdentifier": "56" * 450, "network": "Preprod"}


def test_times_for_the_node_end_in_z_and_keep_their_milliseconds() -> None:
    assert selling.iso(1785388352001) == "2026-07-30T05:12:32.001Z"
    assert selling.iso(0) == "1970-01-01T00:00:00.000Z"


def test_a_result_hash_is_sent_in_lower_case() -> None:
    call = selling.submit_result(NODE, "56" * 450, "Preprod", "AB" * 32)
    assert json.loads(call.body or b"")["submitResultHash"] == "ab" * 32


def test_ada_is_lovelace_in_the_registrys_metadata() -> None:
    assert selling.fixed_pricing([Amount(5)])["Pricing"] == [{"unit": "lovelace", "amount": "5"}]


def offered(exchange: Any) -> Terms:
    """The terms that a seller would hand on from its node's answer."""
    payment = read_payment(exchange["payment_response"])
    assert payment.wallet_vkey is not None and payment.agent_identifier is not None
    return Terms(
        payment.blockchain_identifier,
        payment.agent_identifier,
        payment.wallet_vkey,
        payment.input_hash,
        exchange["payment_request"]["identifierFromPurchaser"],
        payment.times,
        None,
        None,
        exchange["payment_request"].get("supportedPaymentSourceIndex"),
        payment.seller_return_address or "addr_test1unsigned",
    )


def test_a_purchase_says_what_the_real_node_took_and_the_price_besides() -> None:
    for exchange in shared_json("protocol/node-exchanges.json"):
        terms = offered(exchange)
        price = read_payment(exchange["payment_response"]).requested_funds
        body = node.purchase_body(
            terms, network="Preprod", nonce=terms.identifier_from_purchaser, amounts=price
        )
        call = node.purchase(NODE, body)
        check(call, NODE)
        sent, took = json.loads(body), exchange["purchase_request"]
        assert {name: sent[name] for name in took} == took
        assert sent["Amounts"] == [{"amount": str(a.quantity), "unit": a.unit} for a in price]
        assert sent["paymentSourceType"] == f"Web3Cardano{exchange['kind']}"
        assert ("supportedPaymentSourceIndex" in sent) == (exchange["kind"] == "V2")
        assert ("sellerReturnAddress" in sent) == (exchange["kind"] == "V2")
        assert body == node.purchase_body(
            terms, network="Preprod", nonce=terms.identifier_from_purchaser, amounts=price
        )


RECORDED = json.loads((Path(__file__).parents[1] / "wire" / "identifiers.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("took", RECORDED["purchases"], ids=lambda took: took["what"])
def test_a_purchase_says_what_a_real_node_took(took: Any) -> None:
    """The same on the recorded bodies that the repository has itself."""
    values = [int(took[name]) for name in TIMES.as_wire()]
    terms = Terms(
        took["blockchainIdentifier"], took["agentIdentifier"], took["sellerVkey"], took["inputHash"],
        took["identifierFromPurchaser"], JobTimes(*values), None, None, 0, took.get("sellerReturnAddress"),
    )  # fmt: skip
    price = [Amount(1_500_000)]
    sent = json.loads(
        node.purchase_body(terms, network="Preprod", nonce=terms.identifier_from_purchaser, amounts=price)
    )
    for name in took.keys() - {"what", "sellerAddress"}:
        assert sent[name] == took[name]
    assert sent["Amounts"] == [{"amount": "1500000", "unit": ""}]
    assert ("supportedPaymentSourceIndex" in sent) == took["what"].startswith("V2")


def test_no_purchase_is_built_for_an_identifier_that_does_not_decode() -> None:
    terms = Terms("zz" * 40, AGENT, KEY, HASH, NONCE, TIMES)
    with pytest.raises(IdentifierError):
        node.purchase_body(terms, network="Preprod", nonce=NONCE, amounts=[Amount(1)])
