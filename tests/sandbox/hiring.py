"""A plain buyer for tests of the sandbox: the wire and nothing of the client."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx

from masumi_tools.sandbox import Sandbox, Service

NONCE = "a1b2c3d4e5f60718293a"


class PlainBuyer:
    """Hires by hand, one request at a time."""

    def __init__(self, sandbox: Sandbox, client: httpx.Client) -> None:
        self.sandbox = sandbox
        self.client = client

    def node(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return self.client.post(
            self.sandbox.node_url + path,
            json={"network": "Preprod", **body},
            headers={"token": self.sandbox.token},
        )

    def start(self, service: Service, text: str = "hello", **more: Any) -> dict[str, Any]:
        answered = self.client.post(
            service.url + "/start_job",
            json={"identifier_from_purchaser": NONCE, "input_data": {"text": text, **more}},
        )
        assert answered.status_code == 200, answered.text
        started: dict[str, Any] = answered.json()
        return started

    def purchase_body(self, started: dict[str, Any], **more: Any) -> dict[str, Any]:
        times = ("payByTime", "submitResultTime", "unlockTime", "externalDisputeUnlockTime")
        body = {
            "blockchainIdentifier": started["blockchainIdentifier"],
            "inputHash": started["input_hash"],
            "sellerVkey": started["sellerVKey"],
            "agentIdentifier": started["agentIdentifier"],
            "identifierFromPurchaser": started["identifierFromPurchaser"],
            **{name: str(started[name]) for name in times},
        }
        if "supportedPaymentSourceIndex" in started:
            body["supportedPaymentSourceIndex"] = started["supportedPaymentSourceIndex"]
        return {**body, **more}

    def pay(self, started: dict[str, Any], **more: Any) -> httpx.Response:
        return self.node("/purchase", self.purchase_body(started, **more))

    def purchase(self, started: dict[str, Any]) -> dict[str, Any]:
        answered = self.node(
            "/purchase/resolve-blockchain-identifier",
            {"blockchainIdentifier": started["blockchainIdentifier"]},
        )
        assert answered.status_code == 200, answered.text
        data: dict[str, Any] = answered.json()["data"]
        return data

    def status(self, service: Service, started: dict[str, Any]) -> dict[str, Any]:
        answered = self.client.get(service.url + "/status", params={"job_id": started["job_id"]})
        assert answered.status_code == 200, answered.text
        shown: dict[str, Any] = answered.json()
        return shown


def result_hash(text: str) -> str:
    """MIP-004 over the JSON-escaped text, written out."""
    return hashlib.sha256((NONCE + ";" + json.dumps(text, ensure_ascii=False)[1:-1]).encode()).hexdigest()
