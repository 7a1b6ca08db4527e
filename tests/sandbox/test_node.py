"""Routes, tokens, schemas and errors of the simulated node, beyond what the recorded exchanges ask."""

from __future__ import annotations

import pytest

from masumi_tools.sandbox import node
from masumi_tools.sandbox.chain.objects import Json
from masumi_tools.sandbox.node.routes import LEFT_OUT, table
from masumi_tools.sandbox.timetext import MINUTE, iso
from masumi_tools.sandbox.wire import Request, Response
from tests.shared import shared_json

from .market import INPUT_HASH, NONCE, Market


@pytest.fixture
def market() -> Market:
    return Market()


def message(response: Response) -> str:
    return str(response.json()["error"]["message"])


# Routes


def test_node_has_exactly_the_routes_of_its_published_document() -> None:
    document = shared_json("protocol/payment-openapi.json")
    told = {
        (path, verb.upper())
        for path, verbs in document["paths"].items()
        for verb in verbs
        if verb != "parameters"
    }
    ours = {
        (path, verb)
        for path, verbs in table("today").items()
        if not path.startswith("/registry-inbox")
        for verb in verbs
    }
    assert ours == told


def test_left_out_routes_check_the_key_and_then_say_so(market: Market) -> None:
    for path, verbs in LEFT_OUT.items():
        for verb, scope in verbs.items():
            assert market.call(verb, path, {}, token="").status == 401
            answered = market.call(verb, path, {}, token=market.world.admin_token)
            assert (answered.status, "leaves this route out" in message(answered)) == (501, True)
            if scope == "admin":
                assert market.call(verb, path, {}).status == 401


@pytest.mark.parametrize(
    ("verb", "path", "allow"),
    [
        ("PUT", "/purchase", "GET, POST, HEAD, OPTIONS"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("PUT", "/api-key", "GET, POST, PATCH, DELETE, HEAD, OPTIONS"),
        ("DELETE", "/payment/submit-result", "POST, OPTIONS"),
    ],
)
def test_wrong_verb_is_405_and_names_the_right_ones(market: Market, verb: str, path: str, allow: str) -> None:
    answered = market.call(verb, path, token="")
    assert (answered.status, answered.headers["allow"]) == (405, allow)
    assert message(answered) == f"{verb} is not allowed"


def test_head_is_a_get_without_a_body(market: Market) -> None:
    answered = market.call("HEAD", "/api-key-status")
    assert (answered.status, answered.body) == (200, b"")
    assert market.call("OPTIONS", "/purchase", token="").headers["allow"].startswith("GET, POST")


def test_path_outside_the_api_is_unknown(market: Market) -> None:
    answered = node.answer(market.world, Request("GET", "/health"))
    assert (answered.status, message(answered)) == (404, "Can not GET /health")


# Bodies


def post(market: Market, body: bytes, kind: str | None = "application/json", token: str = "") -> Response:
    headers = {"token": token or market.world.token} | ({"content-type": kind} if kind else {})
    return node.answer(market.world, Request("POST", "/api/v1/payment", {}, headers, body))


@pytest.mark.parametrize(
    "body",
    [b"{bad", b"null", b"5", b'"x"', b"[1,", b'{"a":NaN}', b"\xff\xfe", b"{'a': 1}", b"[" * 100_000],
)
def test_broken_json_is_400_before_the_token_is_looked_at(market: Market, body: bytes) -> None:
    assert post(market, body, token="unknown").status == 400


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/json"),
        (b"[1]", "application/json"),
        (b'{"network":"Preprod"}', "text/plain"),
        (b"{}", None),
    ],
)
def test_body_that_is_no_json_object_reads_as_an_empty_one(
    market: Market, body: bytes, kind: str | None
) -> None:
    answered = post(market, body, kind)
    assert answered.status == 400
    assert message(answered).startswith(
        "inputHash: Invalid input: expected string, received undefined; network:"
    )


def test_body_over_100_kb_is_413_before_the_token_is_looked_at(market: Market) -> None:
    assert post(market, b" " * 102_400).status == 400
    answered = post(market, b" " * 102_401, token="unknown")
    assert (answered.status, message(answered)) == (413, "request entity too large")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"network": None}, 'network: Invalid option: expected one of "Preprod"|"Mainnet"'),
        ({"RequestedFunds": None}, "RequestedFunds: Invalid input: expected array, received null"),
        ({"RequestedFunds": [5]}, "RequestedFunds[0]: Invalid input: expected object, received number"),
        (
            {"RequestedFunds": [{"amount": "1" * 26, "unit": ""}, {"unit": "u" * 151}]},
            "RequestedFunds[0].amount: Too big: expected string to have <=25 characters; "
            "RequestedFunds[1].amount: Invalid input: expected string, received undefined; "
            "RequestedFunds[1].unit: Too big: expected string to have <=150 characters",
        ),
        (
            {"supportedPaymentSourceIndex": True},
            "supportedPaymentSourceIndex: Invalid input: expected number, received boolean",
        ),
        (
            {"supportedPaymentSourceIndex": 1.5},
            "supportedPaymentSourceIndex: Invalid input: expected int, received number",
        ),
        ({"metadata": {}}, "metadata: Invalid input: expected string, received object"),
        ({"payByTime": []}, "payByTime: Invalid input"),
        ({"unlockTime": "2026-02-30"}, "unlockTime: Invalid input"),
        (
            {"paymentSourceType": "V1"},
            'paymentSourceType: Invalid option: expected one of "Web3CardanoV1"|"Web3CardanoV2"',
        ),
    ],
)
def test_schema_complaints_are_the_nodes_own(market: Market, change: Json, text: str) -> None:
    agent = market.agent(1)
    now = market.world.now_ms()
    body = {
        "network": "Preprod",
        "agentIdentifier": agent.agent_identifier,
        "inputHash": INPUT_HASH,
        "identifierFromPurchaser": NONCE,
        "payByTime": iso(now + 20 * MINUTE),
        "submitResultTime": iso(now + 60 * MINUTE),
    }
    assert market.refused("POST", "/payment", body | change) == (400, text)


@pytest.mark.parametrize(
    ("limit", "status"),
    [("1", 200), (" 7 ", 200), ("0x10", 200), ("1e1", 200), ("100.9", 400), ("Infinity", 400), ("1_0", 400)],
)
def test_limit_is_read_as_javascript_reads_numbers(market: Market, limit: str, status: int) -> None:
    assert market.call("GET", "/purchase", network="Preprod", limit=limit).status == status


def test_length_is_counted_in_utf_16_units(market: Market) -> None:
    body = {"network": "Preprod", "identifierFromPurchaser": "\U0001f600" * 7}
    assert "identifierFromPurchaser" not in market.refused("POST", "/payment", body)[1]
