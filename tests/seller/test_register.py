"""Registering a service at the sandbox's node, with the checks of the registry before it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from masumi_tools.calls.call import Call, Reply
from masumi_tools.errors import InputError, SettingsError
from masumi_tools.money import Amount
from masumi_tools.net.http import Http
from masumi_tools.seller import sell
from masumi_tools.seller.register import Registrar, RegistrationTrouble
from masumi_tools.seller.service import Service
from masumi_tools.seller.trial import remembered
from masumi_tools.settings import Settings
from tests.ports import free_port
from tests.seller.support import Market, served


def work(text: str) -> str:
    return text


@pytest.fixture(params=[1])
def selling(market: Market, request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service that answers, on a node that has a selling wallet of this kind."""
    port = free_port()
    other = market.sandbox.register_service("other", "http://127.0.0.1:9", "1 ADA", None, request.param)
    vkey = other.seller_vkey
    settings = Settings.from_sandbox(
        market.sandbox, seller_vkey=vkey, database_url=f"sqlite:///{market.folder}/register.sqlite"
    )
    service = sell(
        work, name="New", description="Echoes text", price="1 ADA", tags=["text"], author="Ada",
        url=f"http://127.0.0.1:{port}", settings=settings,
    )  # fmt: skip
    with served(service, port):
        yield service


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What was asked of the node to mint, change and burn: name and body of each request that was sent."""
    seen: list[tuple[str, Any]] = []
    send = Http.send

    def noted(self: Http, call: Call) -> Reply:
        if call.name.startswith("POST /registry"):
            seen.append((call.name, json.loads(call.body or b"")))
        return send(self, call)

    monkeypatch.setattr(Http, "send", noted)
    return seen


def test_a_service_is_registered_sold_and_deregistered(market: Market, selling: Service):
    said: list[str] = []
    with Registrar(selling.offer, selling.settings, say=said.append, asks_every_s=0.1) as registrar:
        assert registrar.problems() == []
        registered = registrar.register()

    assert registered.done and registered.agent_identifier
    assert said[-1] == "RegistrationConfirmed"
    shop = selling.open_shop()
    assert shop.agent.identifier == registered.agent_identifier  # found without a setting
    shop.table.close()
    with Registrar(selling.offer, selling.settings, asks_every_s=0.1) as registrar:
        gone = registrar.deregister()
        assert gone.done and gone.state == "DeregistrationConfirmed"
        with pytest.raises(SettingsError, match="MASUMI_AGENT_IDENTIFIER"):
            registrar.deregister()


@pytest.mark.parametrize("selling", [2], indirect=True)
def test_a_registration_for_the_second_kind_is_updated(market: Market, selling: Service, posted: list[Any]):
    with Registrar(selling.offer, selling.settings, asks_every_s=0.1) as registrar:
        first = registrar.register("Web3CardanoV2")
    offer = replace(selling.offer, description="Echoes text, twice", price=(Amount.parse("2 ADA"),))
    with Registrar(offer, selling.settings, asks_every_s=0.1) as registrar:
        second = registrar.update()
        again = registrar.update()

    assert first.agent_identifier and second.agent_identifier
    assert second.done and first.agent_identifier[:-6] == second.agent_identifier[:-6]
    assert first.agent_identifier != second.agent_identifier == again.agent_identifier
    assert [body for path, body in posted if path == "POST /registry/update"] == [
        {
            "network": "Preprod",
            "name": "New",
            "description": "Echoes text, twice",
            "apiBaseUrl": selling.offer.url,
            "Tags": ["text"],
            "Capability": {"name": "New", "version": "1.0.0"},
            "Author": {"name": "Ada"},
            "ExampleOutputs": [],
            "supportedPaymentSources": [
                {
                    "chain": "Cardano",
                    "network": "Preprod",
                    "paymentSourceType": "Web3CardanoV2",
                    "address": market.sandbox.world.source_of("Web3CardanoV2").contract_address,
                    "pricing": {
                        "pricingType": "Fixed",
                        "fixed": [{"asset": "lovelace", "amount": "2000000"}],
                    },
                }
            ],
            "agentIdentifier": first.agent_identifier,
        }
    ]


def test_a_registration_for_the_first_kind_is_not_updated(
    market: Market, selling: Service, posted: list[Any]
):
    with Registrar(selling.offer, selling.settings, asks_every_s=0.1) as registrar:
        registrar.register()
        with pytest.raises(RegistrationTrouble, match="Web3CardanoV2 only"):
            registrar.update()
    assert [path for path, _ in posted] == ["POST /registry"]


@pytest.mark.parametrize("selling, kind", [(1, "Web3CardanoV1"), (2, "Web3CardanoV2")], indirect=["selling"])
def test_the_price_stands_where_this_kind_has_it(
    market: Market, selling: Service, posted: list[Any], kind: str
):
    with Registrar(selling.offer, selling.settings, asks_every_s=0.1) as registrar:
        registrar.register(kind)
    [(_, body)] = posted
    assert ("AgentPricing" in body, "supportedPaymentSources" in body) == (kind[-1] == "1", kind[-1] == "2")


def test_two_calls_register_once(
    market: Market, selling: Service, posted: list[Any], monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as chain:
        chain.setattr(market.sandbox.world, "tick", lambda: None)  # it stands still meanwhile
        for _ in range(2):
            with Registrar(selling.offer, selling.settings, asks_every_s=0.05, wait_s=0) as registrar:
                time.sleep(0.5)
                assert not registrar.register().done
    with Registrar(selling.offer, selling.settings, asks_every_s=0.05, wait_s=30) as registrar:
        done = registrar.register()
        assert done.done
    with Registrar(selling.offer, selling.settings, asks_every_s=0.05) as registrar:
        assert registrar.register() == done
    assert len(posted) == 1


def test_a_shop_that_lost_its_database_finds_its_registration(
    market: Market, selling: Service, posted: list[Any]
):
    with Registrar(selling.offer, selling.settings, asks_every_s=0.05) as registrar:
        done = registrar.register()
    empty = replace(selling.settings, database_url=f"sqlite:///{market.folder}/empty.sqlite")
    with Registrar(selling.offer, empty, asks_every_s=0.05) as registrar:
        assert registrar.register() == done
    assert len(posted) == 1


@pytest.mark.parametrize("deed", ["drop-reply", "error-500-after-commit", "garbage", "conflict-500"])
def test_an_answer_that_is_lost_registers_nothing_twice(
    market: Market, selling: Service, posted: list[Any], deed: str
):
    market.sandbox.arm({"on": "POST /registry", "do": deed, "service": "node"})
    with Registrar(selling.offer, selling.settings, asks_every_s=0.05) as registrar:
        assert registrar.register().done
    assert len(posted) == 1


def test_a_request_that_the_node_could_not_do_is_said_at_once_and_asked_again(
    market: Market, selling: Service, posted: list[Any]
):
    market.sandbox.arm({"on": "POST /registry", "do": "error-500", "service": "node"})
    with Registrar(selling.offer, selling.settings, asks_every_s=0.05) as registrar:
        with pytest.raises(RegistrationTrouble, match="safe to ask again"):
            registrar.register()
        assert registrar.register().done
    assert len(posted) == 2 and len(market.sandbox.world.registrations) == 1


def test_a_process_that_dies_before_its_answer_registers_nothing_twice(
    market: Market, selling: Service, posted: list[Any], monkeypatch: pytest.MonkeyPatch
):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, Registrar(selling.offer, selling.settings) as registrar:
        send = registrar._http.send

        def last(call: Call) -> Reply:
            reply = send(call)
            if call.name == "POST /registry":
                killed()
            return reply

        patched.setattr(registrar._http, "send", last)
        with pytest.raises(KeyboardInterrupt):
            registrar.register()
    with Registrar(selling.offer, selling.settings, asks_every_s=0.05) as registrar:
        assert registrar.register().done
    assert len(posted) == 1


def test_two_processes_at_once_register_once(market: Market, selling: Service, posted: list[Any]):
    gate = threading.Barrier(4)

    def one(_: int) -> str:
        with Registrar(selling.offer, selling.settings, asks_every_s=0.05) as registrar:
            gate.wait(20)
            try:
                return registrar.register().agent_identifier or ""
            except RegistrationTrouble as trouble:
                assert "another process" in str(trouble)
                return ""

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(one, range(4))) - {""}
    assert len(found) == 1 and len(posted) == 1


def test_what_the_node_refuses_can_be_mended_and_asked_again(market: Market, selling: Service):
    wrong = replace(selling.settings, seller_vkey="ab" * 28)
    with Registrar(selling.offer, wrong) as registrar, pytest.raises(RegistrationTrouble, match="supported"):
        registrar.register()
    with Registrar(selling.offer, selling.settings, asks_every_s=0.05) as registrar:
        assert registrar.register().done


def test_deregistering_twice_burns_once(market: Market, selling: Service, posted: list[Any]):
    with Registrar(selling.offer, selling.settings, asks_every_s=0.05) as registrar:
        registrar.register()
    with Registrar(selling.offer, selling.settings, asks_every_s=0.05, wait_s=0) as registrar:
        assert not registrar.deregister().done
    with Registrar(selling.offer, selling.settings, asks_every_s=0.05) as registrar:
        assert registrar.deregister().done
    assert [path for path, _ in posted] == ["POST /registry", "POST /registry/deregister"]


def test_in_a_sandbox_the_registered_identifier_is_served(market: Market, selling: Service):
    with Registrar(selling.offer, selling.settings, asks_every_s=0.05) as registrar:
        done = registrar.register()
    offer, settings = selling.offer, selling.settings
    assert remembered(offer, settings, offer.url).agent_identifier == done.agent_identifier
    assert not remembered(offer, settings, "http://127.0.0.1:9").agent_identifier


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"url": ""}, "url"),
        ({"url": "http://127.0.0.1:1"}, "url"),
        ({"url": "http://127.0.0.1:1/?a=1"}, "no ?"),
        ({"url": "ftp://x"}, "https"),
        ({"tags": []}, "tags"),
        ({"tags": ["x" * 64]}, "tags"),
        ({"author": ""}, "author"),
        ({"description": "x" * 251}, "description"),
    ],
)
def test_what_the_registry_would_mark_as_invalid_is_said_before(market: Market, more, problem):
    values = {"name": "New", "price": "1 ADA", "tags": ["a"], "author": "Ada", "description": "d", **more}
    settings = Settings.from_sandbox(market.sandbox, seller_vkey="ab" * 28)
    service = sell(work, settings=settings, **values)
    with Registrar(service.offer, service.settings) as registrar, pytest.raises(InputError) as error:
        registrar.register()

    assert problem in str(error.value)
    assert not [seen for seen in market.sandbox.requests if seen.path.endswith("/registry")]


def test_outside_of_the_sandbox_the_address_must_be_public(market: Market):
    for url in ("http://localhost:8080", "http://10.0.0.1", "http://192.168.1.5:80", "http://box"):
        service = sell(work, name="New", price="1 ADA", url=url)
        settings = Settings(database_url=f"sqlite:///{market.folder}/x.sqlite")
        with Registrar(service.offer, settings) as registrar:
            assert "public" in registrar.problems()[0]


def test_a_key_of_no_selling_wallet_is_the_nodes_word(market: Market, selling: Service):
    wrong = Settings.from_sandbox(
        market.sandbox, seller_vkey="ab" * 28, database_url=f"sqlite:///{market.folder}/y.sqlite"
    )
    with Registrar(selling.offer, wrong, asks_every_s=0.1) as registrar, pytest.raises(RegistrationTrouble):
        registrar.register()


def test_the_sellers_key_is_needed(market: Market, selling: Service):
    none = Settings.from_sandbox(market.sandbox, database_url=f"sqlite:///{market.folder}/z.sqlite")
    with Registrar(selling.offer, none) as registrar, pytest.raises(SettingsError, match="SELLER_VKEY"):
        registrar.register()
