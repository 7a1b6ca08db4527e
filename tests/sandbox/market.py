"""A buyer and a seller of one world, driven by pure function calls on a clock that stands still."""

from __future__ import annotations

from typing import Any

from masumi_tools.sandbox import node
from masumi_tools.sandbox.chain.escrow import World
from masumi_tools.sandbox.chain.rows import Agent
from masumi_tools.sandbox.clock import Clock
from masumi_tools.sandbox.timetext import HOUR, MINUTE, iso
from masumi_tools.sandbox.wire import Response, request

START_MS = 1_795_573_000_000
NONCE = "0123456789abcdef0123"
INPUT_HASH = "ab" * 32
RESULT_HASH = "cd" * 32
TERMS = (
    "blockchainIdentifier",
    "inputHash",
    "agentIdentifier",
    "payByTime",
    "submitResultTime",
    "unlockTime",
    "externalDisputeUnlockTime",
)
SOON = 400
"""Milliseconds after which everything that was queued is done on a quick chain."""


class Market:
    """One world with shortcuts; every shortcut asserts the status that it expects."""

    def __init__(self, **options: Any) -> None:
        clock = Clock("manual", now_ms=START_MS)
        self.world = World(**({"clock": clock, "seed": 7} | options))

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **query: str
    ) -> Response:
        told = self.world.token if token is None else token
        url = node.BASE + path
        return node.answer(self.world, request(method, url, json_body=body, token=told, query=query))

    def data(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **query: str
    ) -> Any:
        response = self.call(method, path, body, token=token, **query)
        assert response.status == 200, response.body
        return response.json()["data"]

    def refused(
        self, method: str, path: str, body: Any = None, *, token: str | None = None
    ) -> tuple[int, str]:
        response = self.call(method, path, body, token=token)
        assert response.status >= 400, response.body
        return response.status, response.json()["error"]["message"]

    def agent(self, version: Any = 1, price: dict[str, int] | None = None, kind: Any = "Fixed") -> Agent:
        amounts = ({"": 3_000_000} if price is None else price) if kind == "Fixed" else None
        return self.world.register_agent("echo", "http://127.0.0.1:9/", amounts, kind, version)

    def offer(self, agent: Agent, **changes: Any) -> dict[str, Any]:
        """``POST /payment``; times are 20 and 60 minutes ahead unless ``changes`` say otherwise."""
        now = self.world.now_ms()
        body = {
            "network": "Preprod",
            "agentIdentifier": agent.agent_identifier,
            "inputHash": INPUT_HASH,
            "identifierFromPurchaser": NONCE,
            "payByTime": iso(now + 20 * MINUTE),
            "submitResultTime": iso(now + HOUR),
        }
        if agent.source.source_type == "Web3CardanoV2":
            body["supportedPaymentSourceIndex"] = 0
        found: dict[str, Any] = self.data("POST", "/payment", body | changes, token=self.world.seller_token)
        return found

    def order(self, agent: Agent, offer: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """The body of ``POST /purchase`` for an offer."""
        body = {name: offer[name] for name in TERMS} | {
            "network": "Preprod",
            "sellerVkey": agent.seller_vkey,
            "identifierFromPurchaser": NONCE,
        }
        if agent.source.source_type == "Web3CardanoV2":
            body["supportedPaymentSourceIndex"] = 0
        return body | changes

    def locked(self, agent: Agent, **changes: Any) -> str:
        """An identifier whose escrow is locked."""
        offer = self.offer(agent, **changes)
        self.data("POST", "/purchase", self.order(agent, offer))
        self.world.advance(SOON)
        identifier: str = offer["blockchainIdentifier"]
        assert self.purchase(identifier)["onChainState"] == "FundsLocked"
        return identifier

    def purchase(self, identifier: str) -> dict[str, Any]:
        return self._resolve("purchase", identifier)

    def payment(self, identifier: str) -> dict[str, Any]:
        return self._resolve("payment", identifier)

    def act(self, path: str, identifier: str, **more: Any) -> dict[str, Any]:
        """One of the actions of section 6, by the side whose action it is."""
        token = self.world.seller_token if path.startswith("/payment") else self.world.token
        body = {"network": "Preprod", "blockchainIdentifier": identifier, **more}
        found: dict[str, Any] = self.data("POST", path, body, token=token)
        return found

    def submit(self, identifier: str, result_hash: str = RESULT_HASH) -> dict[str, Any]:
        return self.act("/payment/submit-result", identifier, submitResultHash=result_hash)

    def balance(self, kind: str, source_type: str, unit: str = "") -> int:
        wallets = [w for w in self.world.wallets if w.kind == kind and w.source.source_type == source_type]
        return sum(self.world.chain.balance(wallet.address)[unit] for wallet in wallets)

    def _resolve(self, what: str, identifier: str) -> dict[str, Any]:
        body = {"network": "Preprod", "blockchainIdentifier": identifier, "includeHistory": "true"}
        found: dict[str, Any] = self.data("POST", f"/{what}/resolve-blockchain-identifier", body)
        return found
