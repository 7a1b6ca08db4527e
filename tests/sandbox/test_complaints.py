"""Every rule of every field that the API descriptions name is kept, and broken rules are told in the right words."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from masumi_tools.sandbox import node
from masumi_tools.sandbox.chain.escrow import World
from masumi_tools.sandbox.node.routes import LEFT_OUT, table
from masumi_tools.sandbox.registry import routes as registry
from masumi_tools.sandbox.wire import Response, request
from tests.shared import SHARED, shared_json

from .complaints import MISSING, Case, Json, NodeWords, RegistryWords, cases, good
from .market import Market

OWN: Json = {
    "components": {"schemas": {}},
    "paths": {
        "/payment/count/": {
            "get": {
                "parameters": [
                    {
                        "name": "network",
                        "required": True,
                        "schema": {"type": "string", "enum": ["Preprod", "Mainnet"]},
                    },
                    {"name": "filterNeedsManualAction", "schema": {"type": "string"}},
                    {"name": "filterSmartContractAddress", "schema": {"type": "string", "nullable": True}},
                    {
                        "name": "filterPaymentSourceType",
                        "schema": {"type": "string", "enum": ["Web3CardanoV1", "Web3CardanoV2"]},
                    },
                ]
            }
        },
        "/payment/resolve-blockchain-identifier": {
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {
                                "properties": {
                                    "blockchainIdentifier": {
                                        "type": "string",
                                        "minLength": 1,
                                        "maxLength": 8000,
                                    },
                                    "network": {"type": "string", "enum": ["Preprod", "Mainnet"]},
                                    "filterSmartContractAddress": {"type": "string", "nullable": True},
                                    "includeHistory": {"type": "string", "default": "false"},
                                },
                                "required": ["blockchainIdentifier", "network"],
                            }
                        }
                    }
                }
            }
        },
    },
}
"""Two routes in our own words, for those who have no description."""

NOT_PLAYED = {("DELETE", "/registry")}


def _plain(value: Any, schemas: Json) -> Any:
    """The description with its references resolved."""
    if isinstance(value, list):
        return [_plain(item, schemas) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _plain(schemas[value["$ref"].rsplit("/", 1)[1]], schemas)
    return {name: _plain(item, schemas) for name, item in value.items()}


def _routes(document: Json) -> Iterator[tuple[str, str, Json, list[str]]]:
    """Verb, path, fields and required fields of each route that takes any."""
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            whole = _plain(operation, document["components"]["schemas"])
            told = {p["name"]: p for p in whole.get("parameters", []) if p.get("in", "query") == "query"}
            fields = {name: p["schema"] for name, p in told.items()}
            required = [name for name, p in told.items() if p.get("required")]
            if "requestBody" in whole:
                schema = whole["requestBody"]["content"]["application/json"]["schema"]
                fields, required = schema.get("properties", {}), schema.get("required", [])
            yield verb.upper(), path.rstrip("/"), fields, required


def _check(
    answer: Any, base: str, token: str, route: tuple[str, str, Json, list[str]], words: NodeWords
) -> int:
    world, ask = answer
    verb, path, fields, required = route
    in_query = verb == "GET"
    whole = {name: good(fields[name]) for name in required}
    checked, wrong = 0, []
    for case in cases(fields, required, words, in_query=in_query):
        response = ask(world, _asked(verb, base + path, whole, case, token))
        told = response.json().get("error", {}).get("message", "").split("; ")
        checked += 1
        if response.status != 400 or case.text not in told:
            wrong.append((case, response.status, told))
    assert wrong == [], (verb, path)
    return checked


def _asked(verb: str, url: str, whole: Json, case: Case, token: str) -> Any:
    given = whole | {case.field: case.value}
    if case.value is MISSING:
        del given[case.field]
    if verb == "GET":
        query = {name: str(value) for name, value in given.items()}
        return request(verb, url, token=token, query=query)
    return request(verb, url, token=token, json_body=given)


def _node_routes(document: Json) -> Iterator[tuple[str, str, Json, list[str]]]:
    for route in _routes(document):
        verb, path = route[:2]
        assert verb in table("today")[path], f"{verb} {path} is in the description and not here"
        if path not in LEFT_OUT and (verb, path) not in NOT_PLAYED:
            yield route


def _ask_node(world: World, asked: Any) -> Response:
    world.rates.clear()
    return node.answer(world, asked)


def test_the_node_complains_of_every_broken_rule(world: World) -> None:
    document = shared_json("protocol/payment-openapi.json")
    checked = 0
    for verb, path, fields, required in _node_routes(document):
        if path.startswith("/purchase/diff"):  # these read dates more freely than the others
            fields = {name: schema for name, schema in fields.items() if name != "lastUpdate"}
        ours = list(table("today")[path][verb].schema.fields)
        assert ours == list(fields) or "/diff" in path, (verb, path)
        route = verb, path, fields, required
        checked += _check((world, _ask_node), node.BASE, world.admin_token, route, NodeWords())
    assert checked > 1000


def test_the_registry_complains_of_every_broken_rule(world: World) -> None:
    document = shared_json("protocol/registry-openapi.json")
    checked = 0
    for route in _routes(document):
        verb, path = route[0], route[1].lstrip("/")
        played = (verb, path) in registry.ROUTES
        assert played or path == "health" or verb in registry.OPERATOR_ROUTES[path], route[:2]
        if played:
            checked += _check(
                (world, registry.answer), registry.BASE, world.admin_token, route, RegistryWords()
            )
    assert checked > 60


@pytest.mark.parametrize("route", list(_routes(OWN)), ids=lambda route: route[1])
def test_rules_of_two_routes(world: World, route: Any) -> None:
    assert _check((world, _ask_node), node.BASE, world.admin_token, route, NodeWords()) > 6


ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 10**30, 1e300, "", " ", "0", "-1", "1e3", "0x10", "Infinity", "lovelace"),
    *("a" * 60, "ab" * 30, "\ud800", "\x00", "2026-01-01", "9" * 400, "addr_test1", "Fixed", "Preprod"),
    *([], [1], {}, [{"amount": "1", "unit": ""}], [{"amount": "x", "unit": "y"}], {"pricingType": "Fixed"}),
]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_asked_is_answered(seed: int) -> None:
    market, chance = Market(), random.Random(seed)
    agents = [market.agent(1), market.agent(2), market.agent(1, kind="Dynamic")]
    odd = [
        *ODD,
        *(agent.agent_identifier for agent in agents),
        *(market.locked(agent) for agent in agents[:2]),
    ]
    routes = list(_routes(OWN if SHARED is None else shared_json("protocol/payment-openapi.json")))
    for _ in range(600):
        verb, path, fields, required = chance.choice(routes)
        given = {name: good(fields[name]) for name in required if "anyOf" not in fields[name]}
        given |= {name: chance.choice(odd) for name in fields if chance.random() < 0.3}
        token = chance.choice([market.world.admin_token, market.world.token, market.world.seller_token])
        query = {name: str(value) for name, value in given.items()} if verb == "GET" else {}
        body = json.dumps(given).encode() if verb != "GET" else None
        asked = request(verb, node.BASE + path, token=token, query=query, body=body)
        assert node.answer(market.world, asked).json()["status"] in ("success", "error")
        market.world.advance(chance.choice([1, 1000, 3_600_000]))


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=3)
