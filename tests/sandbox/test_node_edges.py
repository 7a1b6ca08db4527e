"""Finer rules of the simulated node and registry: what is looked at together, in which order, and how texts are read."""

from __future__ import annotations

from typing import Any

import pytest

from masumi_tools.sandbox import node
from masumi_tools.sandbox.chain import identifier
from masumi_tools.sandbox.chain.changes import set_action, set_state, set_transaction
from masumi_tools.sandbox.chain.network import CONTRACTS
from masumi_tools.sandbox.chain.rows import V1, Transaction
from masumi_tools.sandbox.registry import routes
from masumi_tools.sandbox.timetext import iso
from masumi_tools.sandbox.wire import request

from .market import NONCE, Market
from .test_node_reading import registration

JSON = "application/json"


@pytest.fixture
def market() -> Market:
    return Market()


# ---- what is looked at together ----


def _payment(market: Market, **changes: Any) -> dict[str, Any]:
    agent = market.agent()
    body = {"network": "Preprod", "agentIdentifier": agent.agent_identifier, "inputHash": "ab"}
    return body | {"identifierFromPurchaser": NONCE, "sellerReturnAddress": "nowhere"} | changes


ADDRESS = "sellerReturnAddress: sellerReturnAddress is not a valid Cardano address for the configured network"


def test_a_value_out_of_bounds_does_not_end_the_look_at_the_whole(market: Market) -> None:
    _, text = market.refused("POST", "/payment", _payment(market, identifierFromPurchaser="ab"))
    short = "identifierFromPurchaser: Too small: expected string to have >=14 characters"
    assert text == f"{short}; {ADDRESS}"


@pytest.mark.parametrize("changes", [{"inputHash": 5}, {"network": "preprod"}, {"payByTime": "soon"}])
def test_a_value_of_the_wrong_kind_ends_it(market: Market, changes: dict[str, Any]) -> None:
    _, text = market.refused("POST", "/payment", _payment(market, **changes))
    assert ADDRESS not in text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"identifierFromPurchaser": ["ab"]},
            "identifierFromPurchaser: Invalid input: expected string, received array; "
            "identifierFromPurchaser: Too small: expected array to have >=14 items",
        ),
        (
            {"RequestedFunds": "lots and lots"},
            "RequestedFunds: Invalid input: expected array, received string; "
            "RequestedFunds: Too big: expected string to have <=7 characters",
        ),
        (
            {"supportedPaymentSourceIndex": float("1e999")},
            "supportedPaymentSourceIndex: Invalid input: expected number, received number",
        ),
    ],
)
def test_lengths_are_looked_at_also_where_the_kind_is_wrong(
    market: Market, changes: dict[str, Any], text: str
) -> None:
    market.world.production = True
    url, token = node.BASE + "/payment", market.world.token
    body = request("POST", url, json_body=_payment(market, **changes), token=token)
    body.body = body.body.replace(b"Infinity", b"1e999")
    answer = node.answer(market.world, body)
    assert (answer.status, answer.json()["error"]["message"]) == (400, text)


def test_amounts_are_read_one_after_the_other(market: Market) -> None:
    agent = market.agent(kind="Dynamic")
    bad, no_number = {"amount": "-1", "unit": ""}, {"amount": "1.5", "unit": ""}
    body = _payment(market, agentIdentifier=agent.agent_identifier, sellerReturnAddress=None)
    del body["sellerReturnAddress"]
    now = market.world.now_ms()
    body |= {"payByTime": iso(now + 1_200_000), "submitResultTime": iso(now + 3_600_000)}
    for funds, status in (([bad, no_number], 400), ([no_number, bad], 500)):
        assert market.refused("POST", "/payment", body | {"RequestedFunds": funds})[0] == status


# ---- identifiers ----


def test_a_v1_identifier_with_the_v1_contract_behind_it_is_no_v2_purchase(market: Market) -> None:
    agent = market.agent()
    offer = market.offer(agent)
    parts = identifier.decode(offer["blockchainIdentifier"])
    assert parts is not None
    longer = identifier.encode(
        identifier.Parts(parts.seller_id, parts.purchaser_id, parts.signature, parts.key, CONTRACTS[V1])
    )
    order = market.order(agent, offer, blockchainIdentifier=longer)
    missing = "No configured V2 payment source found for smartContractAddress"
    assert market.refused("POST", "/purchase", order) == (404, missing)


def test_an_odd_nonce_inside_an_identifier_makes_its_format_invalid(market: Market) -> None:
    agent = market.agent()
    offer = market.offer(agent)
    parts = identifier.decode(offer["blockchainIdentifier"])
    assert parts is not None
    text = ".".join([parts.seller_id, parts.purchaser_id + "a", parts.signature, parts.key])
    order = market.order(agent, offer, blockchainIdentifier=identifier.lz.compress(text).hex())
    assert market.refused("POST", "/purchase", order)[1] == "Invalid blockchain identifier, format invalid"


# ---- lists ----


@pytest.mark.parametrize(
    ("query", "hits"),
    [("%", 1), ("e_ho", 1), ("e%o", 1), (r"\%", 0), ("e__ho", 0), ("echo", 1), ("(", 0), (" ", 0)],
)
def test_a_search_is_a_pattern(market: Market, query: str, hits: int) -> None:
    market.offer(market.agent())
    found = market.data("GET", "/payment", network="Preprod", searchQuery=query)["Payments"]
    assert len(found) == hits


def test_an_empty_contract_is_a_contract_that_nothing_has(market: Market) -> None:
    market.offer(market.agent())
    for path in ("/payment", "/payment/diff"):
        assert market.data("GET", path, network="Preprod", filterSmartContractAddress="")["Payments"] == []
    query = {"network": "Preprod", "filterSmartContractAddress": ""}
    assert market.data("GET", "/payment/count", **query) == {"total": 0}


def test_registrations_are_found_by_the_sources_that_they_advertise(market: Market) -> None:
    for version in (1, 2):
        market.data("POST", "/registry", registration(market, version))
    contract = market.world.source_of("Web3CardanoV2").contract_address
    for query, hits in (
        ({}, 1),
        ({"filterSupportedPaymentSourceAddress": contract}, 1),
        ({"filterSupportedPaymentSourceNetworks": "eip155:1, Preprod"}, 1),
        ({"filterSupportedPaymentSourceNetworks": "eip155:1"}, 0),
    ):
        assert len(market.data("GET", "/registry", network="Preprod", **query)["Assets"]) == hits


# ---- recovery ----


def test_recovery_gives_up_on_pending_transactions_when_there_is_none_to_go_back_to(market: Market) -> None:
    text = market.offer(market.agent())["blockchainIdentifier"]
    row = market.world.payment("Preprod", text)
    assert row is not None
    now = market.world.now_ms()
    set_transaction(market.world, row, Transaction(market.world.new_id(), now, now, "Pending"))
    set_transaction(market.world, row, Transaction(market.world.new_id(), now, now, "Confirmed", "ab" * 32))
    set_state(market.world, row, "FundsLocked", "")
    set_action(market.world, row, "WaitingForManualAction", error=("Unknown", "x"))
    market.act("/payment/error-state-recovery", text, updatedAt=iso(row.updated_ms))
    read = market.payment(text)
    assert read["CurrentTransaction"] is None
    assert [tx["status"] for tx in read["TransactionHistory"]] == ["FailedViaManualReset"]


# ---- keys ----


def test_the_two_halves_of_a_keys_limits_change_alone(market: Market) -> None:
    admin = market.world.admin_token
    body = {"UsageCredits": [], "NetworkLimit": ["Preprod"], "ChainIdLimit": ["eip155:8453"]}
    key = market.data("POST", "/api-key", body, token=admin)
    assert key["ChainIdLimit"] == ["cardano:preprod", "eip155:8453"]

    def change(**fields: Any) -> tuple[list[str], list[str]]:
        told = market.data("PATCH", "/api-key", {"id": key["id"]} | fields, token=admin)
        return told["NetworkLimit"], told["ChainIdLimit"]

    assert change(NetworkLimit=["Mainnet"]) == (["Mainnet"], ["cardano:mainnet", "eip155:8453"])
    assert change(ChainIdLimit=["eip155:1"]) == (["Mainnet"], ["cardano:mainnet", "eip155:1"])
    assert change() == (["Mainnet"], ["cardano:mainnet", "eip155:1"])


def test_credits_are_looked_at_before_the_rules_of_admins_and_nothing_is_changed_halfway(
    market: Market,
) -> None:
    admin = market.world.admin_token
    boss = market.data("GET", "/api-key-status", token=admin)
    less = {"id": boss["id"], "UsageCreditsToAddOrRemove": [{"unit": "", "amount": "-1"}]}
    assert market.refused("PATCH", "/api-key", less, token=admin) == (400, "Invalid amount")
    more = {"id": boss["id"], "UsageCreditsToAddOrRemove": [{"unit": "", "amount": "5"}]}
    limits = (400, "Admin API keys cannot have usage limits")
    assert market.refused("PATCH", "/api-key", more, token=admin) == limits
    assert market.data("GET", "/api-key-status", token=admin) == boss


# ---- headers and bodies ----


def test_spaces_around_a_token_are_no_part_of_it(market: Market) -> None:
    market.data("GET", "/api-key-status", token=f" {market.world.token}\t")
    missing = "Unauthorized, no authentication token provided"
    assert market.refused("GET", "/api-key-status", token="  ") == (401, missing)


@pytest.mark.parametrize("service", [node, routes])
@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (JSON + "; charset=utf-8", b"{}", 400),
        (JSON + ';charset="UTF-16"', b"{}", 400),
        (JSON + "; charset=latin1", b"{}", 415),
        ("text/plain", b'{"network": "Preprod"}', 400),
        ("text/plain", b"x" * 200_000, 400),
        (JSON, b"x" * 200_000, 413),
        (JSON, b"  ", 400),
        (JSON, b"5", 400),
    ],
)
def test_bodies_of_all_kinds(market: Market, service: Any, kind: str, body: bytes, status: int) -> None:
    path = "/registry-entry" if service is routes else "/purchase/resolve-blockchain-identifier"
    headers = {"content-type": kind}
    token = market.world.token
    asked = request("POST", service.BASE + path, body=body, token=token, headers=headers)
    answer = service.answer(market.world, asked)
    assert answer.status == status
    if status == 415:
        assert answer.json()["error"]["message"] == 'unsupported charset "LATIN1"'


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ("0x10", None),
        (" 3 ", None),
        (
            "Infinity",
            "limit: Expected integer, received float; limit: Number must be less than or equal to 50",
        ),
        (10**400, "limit: Expected integer, received float; limit: Number must be less than or equal to 50"),
        ("0x", "limit: Expected number, received nan"),
    ],
)
def test_the_registry_reads_limits_as_javascript_does(market: Market, limit: Any, text: str | None) -> None:
    body = {"network": "Preprod", "limit": limit}
    asked = request("POST", routes.BASE + "/registry-entry", json_body=body, token=market.world.token)
    answer = routes.answer(market.world, asked)
    assert answer.json().get("error", {}).get("message") == text


@pytest.mark.parametrize("host", ["10.0.0.1", "192.168.1.1", "169.254.169.254", "[::1]", "a.localhost"])
def test_a_service_inside_a_network_is_invalid_when_it_is_looked_at(market: Market, host: str) -> None:
    market.world.register_agent("inner", f"https://{host}/api", {"": 1})
    body = {"network": "Preprod", "minHealthCheckDate": "2030-01-01"}
    asked = request("POST", routes.BASE + "/registry-entry", json_body=body, token=market.world.token)
    assert [e["status"] for e in routes.answer(market.world, asked).json()["data"]["entries"]] == ["Invalid"]
