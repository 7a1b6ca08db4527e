"""Every answer of the simulated node is as the node's published OpenAPI document says."""

from __future__ import annotations

from typing import Any

import pytest

from masumi_tools.sandbox.node.routes import LEFT_OUT, table
from masumi_tools.sandbox.timetext import HOUR, MINUTE
from tests.shared import shared_json

from .market import SOON, Market
from .openapi import misfits
from .test_node_reading import registration


@pytest.fixture(scope="module")
def document() -> Any:
    return shared_json("protocol/payment-openapi.json")


class Checked(Market):
    """Holds each 200 answer against the document and remembers what was asked."""

    def __init__(self, document: Any) -> None:
        super().__init__()
        self.document = document
        self.asked: set[tuple[str, str]] = set()

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        response = super().call(method, path, body, **more)
        if response.status == 200 and not path.startswith("/registry-inbox"):
            assert misfits(self.document, method, path, response.json()) == [], (method, path)
            self.asked.add((method, path))
        return response


def test_answers_of_every_route_and_state_fit_the_document(document: Any) -> None:
    market = Checked(document)
    admin = market.world.admin_token
    v1, v2 = market.agent(1), market.agent(2)
    for agent in (v1, v2):
        refunded, paid, disputed = (market.locked(agent, metadata="x") for _ in range(3))
        for identifier in (paid, disputed):
            market.submit(identifier)
        market.world.advance(SOON)
        market.act("/purchase/request-refund", disputed)
        market.world.advance(SOON)
        market.act("/payment/authorize-refund", disputed)
        market.world.advance(8 * HOUR)
        states = {market.purchase(i)["onChainState"] for i in (refunded, paid, disputed)}
        assert states == {"RefundWithdrawn", "Withdrawn"}
        market.payment(paid)
    asked = market.locked(v1)
    market.act("/purchase/request-refund", asked)
    market.world.advance(SOON)
    market.act("/purchase/cancel-refund-request", asked)

    _recoveries(market)
    for what, agents in (("purchase", (v1, v2)), ("payment", (v1, v2))):
        for agent in agents:
            kind = {"network": "Preprod", "filterPaymentSourceType": agent.source.source_type}
            market.data("GET", f"/{what}", **kind, includeHistory="true")
            market.data("GET", f"/{what}/count", **kind)
            for feed in ("", "/next-action", "/onchain-state-or-result"):
                market.data("GET", f"/{what}/diff{feed}", **kind, includeHistory="true")
    for agent in (v1, v2, market.agent(1, kind="Free"), market.agent(1, kind="Dynamic")):
        query = {"network": "Preprod", "agentIdentifier": agent.agent_identifier}
        market.data("GET", "/registry/agent-identifier", **query)
    _registrations(market)

    market.data("GET", "/health")
    market.data("GET", "/api-key-status")
    made = market.data("POST", "/api-key", {"UsageCredits": [{"unit": "", "amount": "5"}]}, token=admin)
    market.data("PATCH", "/api-key", {"id": made["id"]}, token=admin)
    market.data("DELETE", "/api-key", {"id": made["id"]}, token=admin)
    market.data("GET", "/api-key", token=admin)
    market.data("GET", "/payment-source")
    market.data("GET", "/balance", network="Preprod", address=market.world.wallets[0].address)
    market.data("GET", "/webhooks")

    here = {(verb, path) for path, verbs in table("today").items() if path not in LEFT_OUT for verb in verbs}
    never = {(verb, "/webhooks") for verb in ("POST", "PATCH", "DELETE")}
    assert market.asked == here - never - {("POST", "/webhooks/test"), ("DELETE", "/registry")}


def _recoveries(market: Market) -> None:
    agent = market.agent(1)
    offer = market.offer(agent)
    market.world.chain.lose = 1
    market.data("POST", "/purchase", market.order(agent, offer))
    market.world.advance(30 * MINUTE)
    identifier = offer["blockchainIdentifier"]
    for what, resolve in (("purchase", market.purchase), ("payment", market.payment)):
        row = resolve(identifier)
        assert row["onChainState"] == "FundsOrDatumInvalid"
        market.act(f"/{what}/error-state-recovery", identifier, updatedAt=row["updatedAt"])


def _registrations(market: Market) -> None:
    for version in (1, 2):
        market.data("POST", "/registry", registration(market, version))
    market.world.advance(SOON)
    query = {"network": "Preprod", "filterPaymentSourceType": "Web3CardanoV2"}
    minted = market.data("GET", "/registry", **query)["Assets"][0]["agentIdentifier"]
    body = registration(market, 2)
    del body["sellingWalletVkey"]
    market.data("POST", "/registry/update", body | {"agentIdentifier": minted})
    market.world.advance(SOON)
    minted = market.data("GET", "/registry/diff", **query)["Assets"][0]["agentIdentifier"]
    market.data("POST", "/registry/deregister", {"network": "Preprod", "agentIdentifier": minted})
    market.data("GET", "/registry/count", **query)
