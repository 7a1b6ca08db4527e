"""The sandbox's registry service: what it lists, how it pages and filters, and the words of its refusals."""

from __future__ import annotations

from typing import Any

import pytest

from masumi_tools.sandbox import node
from masumi_tools.sandbox.chain.escrow import TUSDM, World
from masumi_tools.sandbox.clock import Clock
from masumi_tools.sandbox.registry import routes
from masumi_tools.sandbox.registry.routes import RegistryKey
from masumi_tools.sandbox.wire import request
from tests.sandbox.openapi import misfits
from tests.shared import shared_json

START_MS = 1_790_000_000_000
OTHER_POLICY = "e" * 56


@pytest.fixture
def world() -> World:
    """Five agents, registered a second apart: two Fixed, one Dynamic, one Free, one V2."""
    made = World(clock=Clock("manual", now_ms=START_MS), seed=1)
    made.register_agent(
        "Translator",
        "https://translator.example/mip",
        {"": 1_000_000, TUSDM: 2_500_000},
        description="Translates  Under_score text",
        tags=("text", "translation"),
        capability=("TextGen", "1.0"),
        author="Alice",
    )
    ask(made)
    for name, url, pricing, capability in (
        ("Painter", "https://painter.example", "Dynamic", ("ImageGen", "2.1")),
        ("Percent 50% Agent", "http://127.0.0.1:9/", "Fixed", ("TextGen", "2.0")),
        ("Weather", "https://weather.example", "Free", None),
        ("Newcomer", "https://v2.example", "Fixed", None),
    ):
        made.advance(1000)
        amounts = {"": 1_000_000} if pricing == "Fixed" else None
        version = 2 if name == "Newcomer" else 1
        made.register_agent(name, url, amounts, pricing, version, capability=capability, tags=("image",))  # type: ignore[arg-type]
        ask(made)
    return made


def call(world: World, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
    asked = request(method, "/api/v1" + path, json_body=body, token=world.token, query=query)
    answered = routes.answer(world, asked)
    return answered.status, answered.json()


def ask(world: World, path: str = "/registry-entry", **body: Any) -> list[dict[str, Any]]:
    status, answered = call(world, "POST", path, {"network": "Preprod", **body})
    assert status == 200, answered
    entries: list[dict[str, Any]] = answered["data"]["entries"]
    return entries


def names(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["name"] for entry in entries]


def refusal(world: World, path: str, body: Any) -> tuple[int, str]:
    status, answered = call(world, "POST", path, body)
    return status, answered["error"]["message"]


def test_agents_of_the_chain_are_listed_newest_first_and_v2_ones_are_not(world: World) -> None:
    assert names(ask(world)) == ["Weather", "Percent 50% Agent", "Painter", "Translator"]


def test_an_entry_has_the_registrys_fields_and_the_registrys_units(world: World) -> None:
    entry = ask(world)[-1]
    assert set(entry) == {
        *("id", "name", "createdAt", "updatedAt", "description", "status", "statusUpdatedAt"),
        *("lastUptimeCheck", "uptimeCount", "uptimeCheckCount", "apiBaseUrl", "authorName"),
        *("authorOrganization", "authorContactEmail", "authorContactOther", "image", "privacyPolicy"),
        *("termsAndCondition", "otherLegal", "tags", "agentIdentifier", "paymentType", "RegistrySource"),
        *("Capability", "AgentPricing", "ExampleOutput", "metadataVersion"),
    }
    assert entry["AgentPricing"] == {
        "pricingType": "Fixed",
        "FixedPricing": {
            "Amounts": [{"amount": "1000000", "unit": "lovelace"}, {"amount": "2500000", "unit": TUSDM}]
        },
    }
    assert entry["createdAt"] == "2026-09-21T14:13:20.000Z"
    assert [e["paymentType"] for e in ask(world)] == [
        "None",
        "Web3CardanoV1",
        "Web3CardanoV1",
        "Web3CardanoV1",
    ]


def test_the_cursor_row_comes_again_and_an_unknown_cursor_gives_nothing(world: World) -> None:
    first = ask(world, limit=2)
    second = ask(world, limit=2, cursorId=first[-1]["id"])
    assert names(second) == ["Percent 50% Agent", "Painter"]
    assert ask(world, cursorId="nope") == []


def test_a_cursor_whose_row_no_longer_fits_still_marks_its_place(world: World) -> None:
    painter = ask(world, filter={"assetIdentifier": ask(world)[2]["agentIdentifier"]})[0]
    assert names(ask(world, cursorId=painter["id"], filter={"tags": ["text"]})) == ["Translator"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"tags": ["translation", "unknown"]}, ["Translator"]),
        ({"capability": {"name": "TextGen"}}, ["Percent 50% Agent", "Translator"]),
        ({"capability": {"name": "TextGen", "version": "1.0"}}, ["Translator"]),
        ({"paymentTypes": ["None"]}, ["Weather"]),
        ({"paymentTypes": []}, ["Weather", "Percent 50% Agent", "Painter", "Translator"]),
        ({"policyId": OTHER_POLICY}, []),
        ({"status": ["Offline"]}, []),
        ({"status": []}, ["Weather", "Percent 50% Agent", "Painter", "Translator"]),
        ({"tags": []}, []),
    ],
)
def test_filters(world: World, filters: dict[str, Any], found: list[str]) -> None:
    assert names(ask(world, filter=filters)) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("TRANSLATOR", ["Translator"]),
        ("  alice ", ["Translator"]),
        ("50%", ["Percent 50% Agent"]),
        ("t%r", []),
        ("under_score", ["Translator"]),
        ("translates   under", ["Translator"]),
        ("painter.example", ["Painter"]),
        ("imagegen 2.1", ["Painter"]),
        ("zzzz", []),
    ],
)
def test_search_looks_into_all_texts_and_takes_no_wild_cards(
    world: World, query: str, found: list[str]
) -> None:
    assert names(ask(world, "/registry-entry-search", query=query)) == found


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/registry-entry", {}, "network: Required"),
        (
            "/registry-entry",
            {"network": "preprod"},
            "network: Invalid enum value. Expected 'Preprod' | 'Mainnet', received 'preprod'",
        ),
        (
            "/registry-entry",
            {"network": 5, "limit": 0},
            "network: Invalid enum value. Expected 'Preprod' | 'Mainnet', received '5'; "
            "limit: Number must be greater than or equal to 1",
        ),
        ("/registry-entry", {"limit": 51}, "limit: Number must be less than or equal to 50"),
        (
            "/registry-entry",
            {"limit": 0.5},
            "limit: Expected integer, received float; limit: Number must be greater than or equal to 1",
        ),
        ("/registry-entry", {"limit": "1_0"}, "limit: Expected number, received nan"),
        ("/registry-entry", {"limit": "x"}, "limit: Expected number, received nan"),
        ("/registry-entry", {"limit": None}, "limit: Number must be greater than or equal to 1"),
        ("/registry-entry", {"cursorId": ""}, "cursorId: String must contain at least 1 character(s)"),
        ("/registry-entry", {"cursorId": 1}, "cursorId: Expected string, received number"),
        ("/registry-entry", {"filter": []}, "filter: Expected object, received array"),
        ("/registry-entry", {"filter": {"tags": "x"}}, "filter/tags: Expected array, received string"),
        (
            "/registry-entry",
            {"filter": {"tags": ["x", ""]}},
            "filter/tags/1: String must contain at least 1 character(s)",
        ),
        ("/registry-entry", {"filter": {"capability": {}}}, "filter/capability/name: Required"),
        (
            "/registry-entry",
            {"filter": {"paymentTypes": ["Web3CardanoV2"]}},
            "filter/paymentTypes/0: Invalid enum value. "
            "Expected 'Web3CardanoV1' | 'None', received 'Web3CardanoV2'",
        ),
        (
            "/registry-entry",
            {"filter": {"status": ["Online"] * 6}},
            "filter/status: Array must contain at most 5 element(s)",
        ),
        ("/registry-entry", {"minHealthCheckDate": 3}, "minHealthCheckDate: Invalid input"),
        ("/registry-entry-search", {}, "query: Required"),
        ("/registry-entry-search", {"query": "  "}, "query: String must contain at least 1 character(s)"),
        (
            "/registry-entry-search",
            {"query": "a" * 121},
            "query: String must contain at most 120 character(s)",
        ),
        ("/registry-diff", {}, "statusUpdatedAfter: Invalid input"),
        (
            "/registry-diff",
            {"statusUpdatedAfter": "2026-01-01T00:00:00+00:00"},
            "statusUpdatedAfter: Invalid date",
        ),
        ("/registry-diff", {"statusUpdatedAfter": "2026-13-01"}, "statusUpdatedAfter: Invalid date"),
    ],
)
def test_complaints_read_as_the_registrys(world: World, path: str, body: dict[str, Any], text: str) -> None:
    whole = body if "network" in body or text.startswith("network") else {"network": "Preprod", **body}
    assert refusal(world, path, whole) == (400, text)


def test_a_limit_in_text_is_a_limit(world: World) -> None:
    assert len(ask(world, limit="1")) == 1


def test_a_network_without_a_source_is_a_500(world: World) -> None:
    assert refusal(world, "/registry-entry", {"network": "Mainnet"}) == (500, "Internal Server Error")


def test_diff_runs_forward_by_change_of_status_and_keeps_ties_apart(world: World) -> None:
    rows = ask(world, "/registry-diff", statusUpdatedAfter="1970-01-01")
    assert names(rows) == ["Translator", "Painter", "Percent 50% Agent", "Weather"]
    state = routes.state_of(world)
    state.entries[2]["statusUpdatedAt"] = state.entries[1]["statusUpdatedAt"]
    tie = state.entries[1]["statusUpdatedAt"]
    assert names(ask(world, "/registry-diff", statusUpdatedAfter=tie, limit=1)) == ["Painter"]
    second = state.entries[2]["id"]
    again = ask(world, "/registry-diff", statusUpdatedAfter=tie, cursorId=second)
    assert names(again) == ["Percent 50% Agent", "Weather"]
    assert ask(world, "/registry-diff", statusUpdatedAfter="2030-01-01") == []


def test_payment_information_names_the_wallet_that_holds_the_agent(world: World) -> None:
    agent = next(agent for agent in world.agents.values() if agent.name == "Translator")
    status, answered = call(world, "GET", "/payment-information", agentIdentifier=agent.agent_identifier)
    assert status == 200
    assert answered["data"]["sellerWallet"] == {"address": agent.holder_address, "vkey": agent.seller_vkey}
    assert "statusUpdatedAt" not in answered["data"]
    assert set(answered["data"]["RegistrySource"]) == {"policyId", "url"}


def test_payment_information_says_no_in_five_ways(world: World) -> None:
    def outcome(**query: str) -> tuple[int, str]:
        status, answered = call(world, "GET", "/payment-information", **query)
        return status, answered["error"]["message"]

    by_name = {agent.name: agent for agent in world.agents.values()}
    assert outcome() == (400, "agentIdentifier: Required")
    assert outcome(agentIdentifier="a" * 56) == (
        400,
        "agentIdentifier: String must contain at least 57 character(s)",
    )
    unknown = (404, "Payment information not found")
    assert outcome(agentIdentifier=by_name["Translator"].agent_identifier[:-2] + "zz") == unknown
    assert outcome(agentIdentifier=by_name["Newcomer"].agent_identifier) == unknown
    by_name["Painter"].holder_address = None
    assert outcome(agentIdentifier=by_name["Painter"].agent_identifier) == unknown
    gone = world.agents.pop(by_name["Weather"].agent_identifier)
    assert outcome(agentIdentifier=gone.agent_identifier) == (500, "Internal Server Error")


def test_capabilities_are_those_of_online_entries_by_name_and_newest_version(world: World) -> None:
    _, answered = call(world, "GET", "/capability")
    found = [(row["name"], row["version"]) for row in answered["data"]["capabilities"]]
    assert found == [("ImageGen", "2.1"), ("TextGen", "2.0"), ("TextGen", "1.0")]
    _, paged = call(
        world, "GET", "/capability", limit="1", cursorId=answered["data"]["capabilities"][1]["id"]
    )
    assert [row["version"] for row in paged["data"]["capabilities"]] == ["2.0"]
    status, too_many = call(world, "GET", "/capability", limit="101")
    assert (status, too_many["error"]["message"]) == (400, "limit: Number must be less than or equal to 100")
    assert call(world, "GET", "/capability", limit="2.5")[0] == 500


def test_a_health_check_on_demand_shows_the_fresh_status(world: World) -> None:
    state = routes.state_of(world)
    state.reachable = lambda url: "weather" in url
    world.advance(5000)
    fresh = {entry["name"]: entry for entry in ask(world, minHealthCheckDate="2030-01-01")}
    assert {name: entry["status"] for name, entry in fresh.items()} == {
        "Translator": "Offline",
        "Painter": "Offline",
        "Percent 50% Agent": "Invalid",
        "Weather": "Online",
    }
    assert fresh["Weather"]["uptimeCount"] == fresh["Weather"]["uptimeCheckCount"] == 2
    assert fresh["Painter"]["statusUpdatedAt"] == "2026-09-21T14:13:29.000Z"
    assert names(ask(world)) == ["Weather"]


def test_a_health_check_looks_at_twice_as_many_entries_as_it_returns(world: World) -> None:
    assert names(ask(world, minHealthCheckDate="2030-01-01", limit=1)) == ["Weather"]
    checks = {entry["name"]: entry["uptimeCheckCount"] for entry in routes.state_of(world).entries}
    assert checks == {"Weather": 2, "Percent 50% Agent": 2, "Painter": 1, "Translator": 1}


def test_a_burnt_agent_is_deregistered(world: World) -> None:
    next(agent for agent in world.agents.values() if agent.name == "Painter").burnt = True
    assert "Painter" not in names(ask(world))
    assert names(ask(world, filter={"status": ["Deregistered"]})) == ["Painter"]


def test_keys(world: World) -> None:
    state = routes.state_of(world)
    state.keys["old"] = RegistryKey("k", status="Revoked")
    entry = "/api/v1/registry-entry"
    for token, text in ((None, "No token provided"), ("x", "Invalid token"), ("old", "API key is revoked")):
        answered = routes.answer(world, request("POST", entry, json_body={}, token=token))
        assert (answered.status, answered.json()["error"]["message"]) == (401, text)
    assert call(world, "GET", "/api-key-status")[1]["data"] | {"id": ""} == {
        "id": "",
        "permission": "User",
        "usageLimited": False,
        "maxUsageCredits": None,
        "accumulatedUsageCredits": 0,
        "status": "Active",
    }
    assert call(world, "GET", "/registry-source") == (
        401,
        {"status": "error", "error": {"message": "Unauthorized, admin access required"}},
    )
    admin = request("GET", "/api/v1/registry-source", token=world.admin_token)
    assert routes.answer(world, admin).status == 501


def test_health_needs_no_key_and_wrong_verbs_are_unknown_paths(world: World) -> None:
    assert routes.answer(world, request("GET", "/api/v1/health")).json() == {
        "status": "success",
        "data": {"type": "masumi-registry", "version": "0.1.2"},
    }
    for method, path in (("GET", "/registry-entry"), ("POST", "/payment-information"), ("GET", "/nope")):
        status, answered = call(world, method, path, {} if method == "POST" else None)
        assert (status, answered["error"]["message"]) == (404, f"Can not {method} /api/v1{path}")


@pytest.mark.parametrize("body", [b"{bad", b'"text"', b"5", b'{"network": NaN}', b"[" * 100_000])
def test_broken_json_is_refused_before_the_key_is_read(world: World, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answered = routes.answer(world, request("POST", "/api/v1/registry-entry", body=body, headers=headers))
    assert answered.status == 400
    assert "JSON" in answered.json()["error"]["message"]


def test_answers_are_as_the_published_document_says(world: World) -> None:
    document = shared_json("protocol/registry-openapi.json")
    agent = ask(world)[0]["agentIdentifier"]
    network = {"network": "Preprod"}
    for method, path, body, query in (
        ("POST", "/registry-entry", network, {}),
        ("POST", "/registry-entry-search", {**network, "query": "t"}, {}),
        ("POST", "/registry-diff", {**network, "statusUpdatedAfter": "1970-01-01"}, {}),
        ("GET", "/payment-information", None, {"agentIdentifier": agent}),
        ("GET", "/capability", None, {}),
        ("GET", "/api-key-status", None, {}),
        ("GET", "/health", None, {}),
    ):
        status, answered = call(world, method, path, body, **query)
        assert (status, misfits(document, method, path, answered)) == (200, []), path


def test_an_agent_registered_through_the_node_appears_and_goes_when_it_is_burnt(world: World) -> None:
    wallet = next(w for w in world.wallets if w.kind == "Selling" and w.source.source_type == "Web3CardanoV1")
    body = {
        "network": "Preprod",
        "sellingWalletVkey": wallet.vkey,
        "name": "Made by the node",
        "description": "d" * 200,
        "apiBaseUrl": "https://made.example/" + "x" * 100,
        "Tags": ["made"],
        "Capability": {"name": "Making", "version": "1"},
        "Author": {"name": "Bob", "contactEmail": "bob@example.com"},
        "ExampleOutputs": [{"name": "one", "url": "https://made.example/1", "mimeType": "text/plain"}],
        "AgentPricing": {"pricingType": "Fixed", "Pricing": [{"unit": "", "amount": "7"}]},
        "Legal": {"terms": "https://made.example/terms"},
    }

    def tell(path: str, told: dict[str, Any]) -> dict[str, Any]:
        answered = node.answer(world, request("POST", "/api/v1" + path, json_body=told, token=world.token))
        assert answered.status == 200, answered.body
        made: dict[str, Any] = answered.json()["data"]
        return made

    tell("/registry", body)
    assert "Made by the node" not in names(ask(world))
    world.advance(5000)
    entry = ask(world)[0]
    assert (entry["name"], entry["apiBaseUrl"]) == (body["name"], body["apiBaseUrl"])
    assert (entry["authorContactEmail"], entry["termsAndCondition"]) == (
        "bob@example.com",
        "https://made.example/terms",
    )
    assert entry["ExampleOutput"] == body["ExampleOutputs"]
    assert entry["AgentPricing"]["FixedPricing"]["Amounts"][0]["amount"] == "7"
    tell("/registry/deregister", {"network": "Preprod", "agentIdentifier": entry["agentIdentifier"]})
    world.advance(5000)
    assert "Made by the node" not in names(ask(world))


def test_a_list_or_another_content_type_is_an_empty_input_and_a_big_one_is_too_large(world: World) -> None:
    def told(body: bytes, kind: str) -> tuple[int, str]:
        asked = request(
            "POST", "/api/v1/registry-entry", body=body, headers={"content-type": kind}, token=world.token
        )
        answered = routes.answer(world, asked)
        return answered.status, answered.json()["error"]["message"]

    assert told(b"[1]", "application/json") == (400, "network: Required")
    assert told(b'{"network": "Preprod"}', "text/plain") == (400, "network: Required")
    assert told(b" " * 200_000 + b"{}", "application/json") == (413, "request entity too large")
