"""Routes, tokens, schemas and errors of the simulated node, beyond what the recorded exchanges ask."""

from __future__ import annotations

from typing import Any

import pytest

from masumi_tools.sandbox import identifier, node
from masumi_tools.sandbox.node.routes import LEFT_OUT, table
from masumi_tools.sandbox.objects import Json
from masumi_tools.sandbox.timetext import MINUTE, iso
from masumi_tools.sandbox.wire import Request, Response
from tests.shared import shared_json

from .market import INPUT_HASH, NONCE, SOON, Market


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


# Purchases


@pytest.mark.parametrize("amount", ["1", "0x1", " 1 ", "01", "0b1", "+1"])
def test_dynamic_amount_is_signed_as_text_and_answered_as_number(market: Market, amount: str) -> None:
    agent = market.agent(1, kind="Dynamic")
    funds = [{"amount": amount, "unit": "LOVELACE"}]
    offer = market.offer(agent, RequestedFunds=funds)
    assert offer["RequestedFunds"] == [{"amount": "1", "unit": ""}]
    answered = market.call("POST", "/purchase", market.order(agent, offer, Amounts=offer["RequestedFunds"]))
    if amount == "1":
        assert answered.status == 200
    else:
        assert message(answered) == "Invalid blockchain identifier, signature invalid"
        assert market.call("POST", "/purchase", market.order(agent, offer, Amounts=funds)).status == 200


@pytest.mark.parametrize("amount", ["1.5", "-", "1e3", "1_0", "0x", "9" * 19 + "0"])
def test_amount_that_is_no_64_bit_number_ends_as_a_500(market: Market, amount: str) -> None:
    agent = market.agent(1, kind="Dynamic")
    now = market.world.now_ms()
    body = {
        "network": "Preprod",
        "agentIdentifier": agent.agent_identifier,
        "inputHash": INPUT_HASH,
        "identifierFromPurchaser": NONCE,
        "payByTime": iso(now + 20 * MINUTE),
        "submitResultTime": iso(now + 60 * MINUTE),
        "RequestedFunds": [{"amount": amount, "unit": ""}],
    }
    assert market.refused("POST", "/payment", body) == (500, "Internal Server Error")
    market.world.production = False
    assert market.refused("POST", "/payment", body)[1] != "Internal Server Error"


@pytest.mark.parametrize(
    "field", ["unlockTime", "externalDisputeUnlockTime", "payByTime", "submitResultTime"]
)
def test_only_two_times_are_signed_as_text(market: Market, field: str) -> None:
    agent = market.agent(1)
    offer = market.offer(agent)
    body = market.order(agent, offer, **{field: " 0" + offer[field]})
    expected = 200 if field in ("unlockTime", "externalDisputeUnlockTime") else 400
    assert market.call("POST", "/purchase", body).status == expected


@pytest.mark.parametrize("suffix", [" ", "\n", "zz", "ffff", "7"])
def test_each_spelling_of_an_identifier_is_another_purchase(market: Market, suffix: str) -> None:
    agent = market.agent(1)
    offer = market.offer(agent)
    text = offer["blockchainIdentifier"]
    assert market.call("POST", "/purchase", market.order(agent, offer)).status == 200
    spelled = market.order(agent, offer, blockchainIdentifier=text + suffix)
    assert market.call("POST", "/purchase", spelled).status == 200
    assert market.data("GET", "/purchase/count", network="Preprod") == {"total": 2}


@pytest.mark.parametrize(("prefix", "suffix", "status"), [("", "00", 500), (" ", "", 400)])
def test_spellings_that_do_not_decode(market: Market, prefix: str, suffix: str, status: int) -> None:
    agent = market.agent(1)
    offer = market.offer(agent)
    spelled = prefix + offer["blockchainIdentifier"] + suffix
    assert (
        market.refused("POST", "/purchase", market.order(agent, offer, blockchainIdentifier=spelled))[0]
        == status
    )


def test_forged_identifier_is_refused(market: Market) -> None:
    """A seller's signature by another wallet's key, even one that the node knows."""
    honest, other = market.agent(1), market.agent(2)
    mine, theirs = market.offer(honest), market.offer(other)
    good, bad = (
        identifier.decode(mine["blockchainIdentifier"]),
        identifier.decode(theirs["blockchainIdentifier"]),
    )
    assert good is not None and bad is not None
    cases = {
        "key does not match": identifier.Parts(good.seller_id, good.purchaser_id, good.signature, bad.key),
        "signature invalid": identifier.Parts(good.seller_id, good.purchaser_id, bad.signature, good.key),
        "key not found": identifier.Parts(good.seller_id, good.purchaser_id, good.signature, "00"),
    }
    for reason, parts in cases.items():
        body = market.order(honest, mine, blockchainIdentifier=identifier.encode(parts))
        assert market.refused("POST", "/purchase", body) == (400, f"Invalid blockchain identifier, {reason}")


def test_v2_purchase_needs_the_return_address_that_was_signed(market: Market) -> None:
    agent = market.agent(2)
    address = market.world.wallets[-1].address
    offer = market.offer(agent, sellerReturnAddress=address)
    refused = market.refused("POST", "/purchase", market.order(agent, offer))
    assert refused[1].endswith("signature invalid")
    script = "addr_test1wz7j4kmg2cs7yf92uat3ed4a3u97kr7axxr4avaz0lhwdsqukgwfm"
    body = market.order(agent, offer, sellerReturnAddress=address)
    assert (
        "payment key credential"
        in market.refused("POST", "/purchase", body | {"buyerReturnAddress": script})[1]
    )
    assert market.call("POST", "/purchase", body).status == 200


def test_return_addresses_get_the_money(market: Market) -> None:
    agent = market.agent(1)
    ours = market.world.wallets[-1].address
    offer = market.offer(agent)
    market.data("POST", "/purchase", market.order(agent, offer, buyerReturnAddress=ours))
    before = market.world.chain.balance(ours)[""]
    market.world.advance(71 * MINUTE)
    assert market.world.chain.balance(ours)[""] == before + 3_000_000


# Keys


def test_scoped_key_pays_from_its_own_wallets_only(market: Market) -> None:
    world = market.world
    source = world.source_of("Web3CardanoV1")
    own = world.add_wallet(source, "Purchasing", [(50_000_000, "")])
    key = world.add_key(pay=True, wallet_scoped=True, wallet_ids=(own.id,))
    agent, other = market.agent(1), market.agent(2)
    offer = market.offer(agent)
    assert market.call("POST", "/purchase", market.order(agent, offer), token=key.token).status == 200
    resolve = {"network": "Preprod", "blockchainIdentifier": offer["blockchainIdentifier"]}
    path = "/purchase/resolve-blockchain-identifier"
    assert market.call("POST", path, resolve, token=key.token).status == 404
    world.advance(SOON)
    row = market.data("POST", path, resolve, token=key.token)
    assert row["SmartContractWallet"]["id"] == own.id
    refused = market.refused("POST", "/purchase", market.order(other, market.offer(other)), token=key.token)
    assert refused == (404, "No valid purchasing wallets found")
    now = world.now_ms()
    body = {
        "network": "Preprod",
        "agentIdentifier": agent.agent_identifier,
        "inputHash": INPUT_HASH,
        "identifierFromPurchaser": NONCE,
        "payByTime": iso(now + 20 * MINUTE),
        "submitResultTime": iso(now + 60 * MINUTE),
    }
    assert market.refused("POST", "/payment", body, token=key.token) == (404, "Not found")


def test_credit_spelled_lovelace_never_pays(market: Market) -> None:
    admin = market.world.admin_token
    body = {"UsageCredits": [{"unit": "lovelace", "amount": "9000000"}], "permission": "ReadAndPay"}
    made = market.data("POST", "/api-key", body, token=admin)
    assert made["usageLimited"] is True
    agent = market.agent(1)
    order = market.order(agent, market.offer(agent))
    assert market.refused("POST", "/purchase", order, token=made["token"]) == (400, "Insufficient funds")
    assert market.call("POST", "/purchase", order).status == 200


def test_admin_lists_and_changes_keys(market: Market) -> None:
    admin = market.world.admin_token
    keys = market.data("GET", "/api-key", token=admin, take="2")["ApiKeys"]
    assert [key["permission"] for key in keys] == ["Admin", "ReadAndPay"]
    again = market.data("GET", "/api-key", token=admin, cursorId=keys[1]["id"])["ApiKeys"]
    assert again[0] == keys[1]
    change = {
        "id": keys[1]["id"],
        "usageLimited": True,
        "UsageCreditsToAddOrRemove": [{"unit": "", "amount": "5"}],
    }
    changed = market.data("PATCH", "/api-key", change, token=admin)
    assert changed["RemainingUsageCredits"] == [{"unit": "", "amount": "5"}]
    assert market.refused("PATCH", "/api-key", {"id": "nope"}, token=admin)[0] == 404


def test_rate_limit_opens_again_after_a_minute_and_spares_admins(market: Market) -> None:
    body = {"webhookId": "nope"}
    for _ in range(10):
        assert market.refused("POST", "/webhooks/test", body)[0] == 404
    market.world.advance(20_500)
    limited = market.call("POST", "/webhooks/test", body)
    assert (limited.status, limited.headers["retry-after"]) == (429, "40")
    market.world.advance(40_000)
    assert market.refused("POST", "/webhooks/test", body)[0] == 404
    for _ in range(12):
        assert market.refused("POST", "/webhooks/test", body, token=market.world.admin_token)[0] == 404


# Reading


def test_diff_feed_goes_on_from_its_last_row(market: Market) -> None:
    agent = market.agent(1)
    for _ in range(5):
        market.offer(agent)
        market.world.advance(10)
    since, cursor, seen = "1970-01-01", "", []
    for _ in range(10):
        page = market.data(
            "GET", "/payment/diff", network="Preprod", limit="2", lastUpdate=since, cursorId=cursor
        )["Payments"]
        fresh = [row["id"] for row in page if row["id"] != cursor]
        if not fresh:
            break
        seen += fresh
        cursor = page[-1]["id"]
        since = page[-1]["nextActionOrOnChainStateOrResultLastChangedAt"]
    assert seen == [row.id for row in market.world.payments]


def test_diff_feed_shows_what_the_jobs_changed_since(market: Market) -> None:
    agent = market.agent(1)
    identifier = market.locked(agent)
    market.offer(agent)
    since = iso(market.world.now_ms() + 1)
    market.world.advance(71 * MINUTE)
    rows = market.data("GET", "/purchase/diff/onchain-state-or-result", network="Preprod", lastUpdate=since)
    assert [row["blockchainIdentifier"] for row in rows["Purchases"]] == [identifier]
    assert rows["Purchases"][0]["onChainState"] == "RefundWithdrawn"


def test_cursor_whose_row_no_longer_fits_gives_an_empty_page(market: Market) -> None:
    agent = market.agent(1)
    first = market.locked(agent)
    market.locked(agent)
    cursor = market.purchase(first)["id"]
    query = {"network": "Preprod", "filterOnChainState": "FundsLocked", "cursorId": cursor}
    assert len(market.data("GET", "/purchase", **query)["Purchases"]) == 1
    market.act("/purchase/request-refund", first)
    market.world.advance(SOON)
    assert market.data("GET", "/purchase", **query) == {"Purchases": []}


@pytest.mark.parametrize("word", ["echo", "ECHO", "funds locked", "3", "3.0"])
def test_search_finds_name_state_and_amount(market: Market, word: str) -> None:
    market.locked(market.agent(1))
    assert len(market.data("GET", "/purchase", network="Preprod", searchQuery=word)["Purchases"]) == 1
    assert market.data("GET", "/purchase", network="Preprod", searchQuery=word + "~") == {"Purchases": []}


def test_balance_of_an_address(market: Market) -> None:
    address = market.world.wallets[0].address
    found = market.data("GET", "/balance", network="Preprod", address=address)["Balance"]
    assert {"unit": "lovelace", "quantity": 100_000_000_000} in found


# Registry


def registration(market: Market, version: int) -> Json:
    source = market.world.source_of(f"Web3CardanoV{version}")
    wallet = next(w for w in market.world.wallets if w.source is source and w.kind == "Selling")
    pricing: Any = {"pricingType": "Fixed", "Pricing": [{"unit": "", "amount": "5000000"}]}
    body = {
        "network": "Preprod",
        "sellingWalletVkey": wallet.vkey,
        "name": "New",
        "description": "new",
        "apiBaseUrl": "https://new.example.com",
        "Tags": ["text"],
        "Capability": {"name": "c", "version": "1"},
        "Author": {"name": "me", "contactEmail": "me@example.com"},
        "ExampleOutputs": [],
    }
    if version == 1:
        return body | {"AgentPricing": pricing}
    offer = {"pricingType": "Fixed", "fixed": [{"asset": "", "amount": "5000000"}]}
    cardano = {"chain": "Cardano", "network": "Preprod", "paymentSourceType": source.source_type}
    return body | {
        "supportedPaymentSources": [cardano | {"address": source.contract_address, "pricing": offer}]
    }


@pytest.mark.parametrize("version", [1, 2])
def test_registered_agent_is_minted_and_can_be_hired_and_deregistered(market: Market, version: int) -> None:
    row = market.data("POST", "/registry", registration(market, version))
    assert (row["state"], row["agentIdentifier"]) == ("RegistrationRequested", None)
    market.world.advance(SOON)
    kind = f"Web3CardanoV{version}"
    listed = market.data("GET", "/registry", network="Preprod", filterPaymentSourceType=kind)["Assets"]
    assert (listed[0]["state"], listed[0]["id"]) == ("RegistrationConfirmed", row["id"])
    identifier = listed[0]["agentIdentifier"]
    told = market.data("GET", "/registry/agent-identifier", network="Preprod", agentIdentifier=identifier)
    assert told["Metadata"]["Author"] == {"name": "me", "contactEmail": "me@example.com"}
    assert market.locked(market.world.agents[identifier])
    assert market.data("GET", "/registry/count", network="Preprod", filterPaymentSourceType=kind) == {
        "total": 1
    }

    market.data("POST", "/registry/deregister", {"network": "Preprod", "agentIdentifier": identifier})
    market.world.advance(SOON)
    gone = market.call("GET", "/registry/agent-identifier", network="Preprod", agentIdentifier=identifier)
    assert gone.status == 404


def test_update_of_a_v2_registration_changes_its_identifier(market: Market) -> None:
    body = registration(market, 2)
    market.data("POST", "/registry", body)
    market.world.advance(SOON)
    query = {"network": "Preprod", "filterPaymentSourceType": "Web3CardanoV2"}
    old = market.data("GET", "/registry", **query)["Assets"][0]["agentIdentifier"]
    change = {key: value for key, value in body.items() if key != "sellingWalletVkey"} | {"name": "Newer"}
    market.data("POST", "/registry/update", change | {"agentIdentifier": old})
    market.world.advance(SOON)
    shown = market.data("GET", "/registry/diff", **query)["Assets"][0]
    assert (shown["state"], shown["name"]) == ("UpdateConfirmed", "Newer")
    assert shown["agentIdentifier"] not in (old, None)


# The seed's dialect


def test_seed_dialect_reads_by_identifier_and_refunds_by_patch() -> None:
    market = Market(dialect="seed")
    agents = [market.agent(1), market.agent(2)]
    offers = [market.offer(agent) for agent in agents]
    for agent, offer in zip(agents, offers, strict=True):
        market.data("POST", "/purchase", market.order(agent, offer))
    market.world.advance(SOON)
    for offer in offers:
        text = offer["blockchainIdentifier"]
        rows = market.data("GET", "/purchase", network="Preprod", blockchainIdentifier=text)["Purchases"]
        assert [row["blockchainIdentifier"] for row in rows] == [text]
        body = {"network": "Preprod", "blockchainIdentifier": text}
        asked = market.data("PATCH", "/purchase", body)
        assert asked["NextAction"]["requestedAction"] == "SetRefundRequestedRequested"
        for path in ("/purchase/resolve-blockchain-identifier", "/purchase/request-refund"):
            assert market.call("POST", path, body).status == 404
    assert market.call("PUT", "/purchase").headers["allow"] == "GET, POST, PATCH, HEAD, OPTIONS"


def test_today_refuses_the_seeds_patch(market: Market) -> None:
    assert market.call("PATCH", "/purchase", {}).status == 405
    assert market.call("GET", "/purchase", network="Preprod", blockchainIdentifier="x").status == 200


def test_worlds_do_not_share_anything() -> None:
    one, other = Market(seed=1), Market(seed=2)
    agent = one.agent(1)
    body = one.order(agent, one.offer(agent))
    assert other.refused("POST", "/purchase", body)[0] == 500  # that chain does not know the agent
    assert one.call("POST", "/purchase", body, token=other.world.token).status == 401
