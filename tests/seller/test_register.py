"""Registering a service at the sandbox's node, with the checks of the registry before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from masumi_tools.errors import InputError, SettingsError
from masumi_tools.seller import sell
from masumi_tools.seller.register import Registrar, RegistrationTrouble
from masumi_tools.seller.service import Service
from masumi_tools.settings import Settings
from tests.seller.support import Market, free_port, served


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
        url=f"http://127.0.0.1:{port}", settings=settings, engine="journal",
    )  # fmt: skip
    with served(service, port):
        yield service


def test_a_service_is_registered_sold_and_deregistered(market: Market, selling: Service):
    said: list[str] = []
    with Registrar(selling.offer, selling.settings, say=said.append, asks_every_s=0.1) as registrar:
        assert registrar.problems() == []
        registered = registrar.register()

    assert registered.done and registered.agent_identifier
    assert said[-1] == "RegistrationConfirmed"
    shop = selling.open_shop()
    assert shop.agent_identifier == registered.agent_identifier  # found without a setting
    shop.table.close()
    with Registrar(selling.offer, selling.settings, asks_every_s=0.1) as registrar:
        gone = registrar.deregister()
        assert gone.done and gone.state == "DeregistrationConfirmed"
        with pytest.raises(SettingsError, match="MASUMI_AGENT_IDENTIFIER"):
            registrar.deregister()


@pytest.mark.parametrize("selling", [2], indirect=True)
def test_a_registration_for_the_second_kind_is_updated(market: Market, selling: Service):
    with Registrar(selling.offer, selling.settings, asks_every_s=0.1) as registrar:
        first = registrar.register("Web3CardanoV2")
        second = registrar.update()

    assert first.agent_identifier and second.agent_identifier
    assert second.done and first.agent_identifier != second.agent_identifier


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
