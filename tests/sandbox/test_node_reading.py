"""Lists, feeds, registrations and the seed's dialect of the simulated node."""

from __future__ import annotations

from typing import Any

import pytest

from masumi_tools.sandbox.chain.objects import Json
from masumi_tools.sandbox.timetext import MINUTE, iso

from .market import SOON, Market


@pytest.fixture
def market() -> Market:
    return Market()


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
        assert not cursor or page[0]["id"] == cursor
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
    late = market.offer(agent, payByTime=iso(market.world.now_ms() + 50_000))
    market.data("POST", "/purchase", market.order(agent, late))  # never sent, so invalid after 6 minutes
    market.world.advance(10 * MINUTE)
    since = iso(market.world.now_ms())
    market.world.advance(61 * MINUTE)
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


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("echo", True),
        ("ECH", True),
        ("funds lock", True),
        ("FundsLocked", True),
        ("fundslocked ", False),
        ("funds  locked", False),
        ("87654", True),
        ("87654.", True),
        ("87654.2", True),
        ("87654.25", True),
        ("87654.250001", False),
        ("87654.3", False),
        ("087654", True),
        ("87655", False),
        ("+87654", False),
        (" 87654", False),
        (".25", False),
    ],
)
def test_search_finds_name_state_and_how_an_amount_begins(market: Market, word: str, found: bool) -> None:
    market.locked(market.agent(1, {"": 87_654_250_000}))
    rows = market.data("GET", "/purchase", network="Preprod", searchQuery=word)["Purchases"]
    assert len(rows) == found


@pytest.mark.parametrize("feed", ["", "/next-action", "/onchain-state-or-result"])
@pytest.mark.parametrize(("side", "key"), [("purchase", "Purchases"), ("payment", "Payments")])
def test_a_feed_gives_the_first_kind_of_source_unless_another_is_asked_for(
    market: Market, side: str, key: str, feed: str
) -> None:
    agents = [market.agent(1), market.agent(2)]
    texts = [market.locked(agent) for agent in agents]
    path = f"/{side}/diff{feed}"
    for asked, told in (({}, texts[:1]), ({"filterPaymentSourceType": "Web3CardanoV2"}, texts[1:])):
        rows = market.data("GET", path, network="Preprod", **asked)[key]
        assert [row["blockchainIdentifier"] for row in rows] == told
    wrong = {"network": "Preprod", "filterPaymentSourceType": "web3cardanov2"}
    assert market.call("GET", path, **wrong).status == 400


def test_a_feed_of_one_contract_gives_its_rows(market: Market) -> None:
    agents = [market.agent(1), market.agent(2)]
    texts = [market.locked(agent) for agent in agents]
    contract = agents[1].source.contract_address
    rows = market.data("GET", "/purchase/diff", network="Preprod", filterSmartContractAddress=contract)
    assert [row["blockchainIdentifier"] for row in rows["Purchases"]] == texts[1:]


def test_balance_of_an_address(market: Market) -> None:
    address = market.world.wallets[0].address
    found = market.data("GET", "/balance", network="Preprod", address=address)["Balance"]
    assert {"unit": "lovelace", "quantity": 100_000_000_000} in found


# Registry


def test_scoped_key_reads_metadata_of_agents_of_its_wallets_only(market: Market) -> None:
    one, two = market.agent(1), market.agent(2)
    assert one.wallet is not None
    key = market.world.add_key(wallet_scoped=True, wallet_ids=(one.wallet.id,))
    path = "/registry/agent-identifier"
    for agent, status in ((one, 200), (two, 404)):
        query = {"network": "Preprod", "agentIdentifier": agent.agent_identifier}
        assert market.call("GET", path, token=key.token, **query).status == status
        assert market.call("GET", path, **query).status == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"metadata_version": "1"}, 200),
        ({"metadata_version": True}, 422),
        ({"metadata_version": 3}, 422),
        ({"agentPricing": {"pricingType": "Fixed", "fixedPricing": [{"unit": "", "amount": "5"}]}}, 422),
        ({"agentPricing": {"pricingType": "Fixed", "fixedPricing": [{"unit": "x", "amount": "0"}]}}, 422),
        ({"agentPricing": {"pricingType": "Fixed", "fixedPricing": [{"unit": "x", "amount": "1.5"}]}}, 422),
    ],
)
def test_which_metadata_the_node_takes(market: Market, change: Json, status: int) -> None:
    agent = market.agent(1)
    assert agent.metadata is not None
    agent.metadata |= change
    query = {"network": "Preprod", "agentIdentifier": agent.agent_identifier}
    assert market.call("GET", "/registry/agent-identifier", **query).status == status


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


def test_sources_of_another_network_or_with_no_address_are_not_shown(market: Market) -> None:
    agent = market.agent(2)
    assert agent.metadata is not None
    own = agent.metadata["supported_payment_sources"][0]
    evm = {"scheme": "Exact", "payTo": "0x" + "ab" * 20}
    price = {"pricingType": "Fixed", "fixed": [{"asset": "0xaa", "amount": "1", "decimals": "6"}]}
    agent.metadata["supported_payment_sources"] = [
        {"chain": "EVM", "network": "eip155:8453", "settlement": evm, "pricing": price},
        own | {"network": "Mainnet"},
        own | {"settlement": {"paymentSourceType": "Web3CardanoV2", "address": "addr_test1xx"}},
        own | {"pricing": {"pricingType": "Free"}},
        own,
    ]
    query = {"network": "Preprod", "agentIdentifier": agent.agent_identifier}
    shown = market.data("GET", "/registry/agent-identifier", **query)["Metadata"]["supportedPaymentSources"]
    assert [(entry["chain"], entry["pricing"]["pricingType"]) for entry in shown] == [
        ("EVM", "Fixed"),
        ("Cardano", "Free"),
        ("Cardano", "Fixed"),
    ]
    assert shown[0]["pricing"]["fixed"] == [{"asset": "0xaa", "amount": "1", "decimals": 6}]
    assert market.offer(agent, supportedPaymentSourceIndex=4)["RequestedFunds"]


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
