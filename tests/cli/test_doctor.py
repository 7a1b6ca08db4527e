"""What `doctor` finds wrong around a node: told in words, before anything is paid."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from masumi_tools.settings import Settings
from tests.http.peer import Peer, Seen, answer

pytest.importorskip("typer")
from masumi_tools.cli.doctor import Finding, examine

KEY: dict[str, Any] = {
    "id": "k", "status": "Active", "permission": "ReadAndPay", "canRead": True, "canPay": True, "canAdmin": False,
    "networkLimit": ["Preprod"], "NetworkLimit": ["Preprod"], "usageLimited": False, "RemainingUsageCredits": [],
}  # fmt: skip


class Node:
    """A node as these tests want it: what it answers by path, everything else is 404."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "/health": {"status": "success", "data": {"type": "masumi-payment"}},
            "/api-key-status": {"status": "success", "data": KEY},
            "/payment-source": {"status": "success", "data": {"PaymentSources": [{"network": "Preprod"}]}},
        }

    def __call__(self, seen: Seen, connection: socket.socket) -> bool:
        path = seen.target.partition("?")[0].partition("/api/v1")[2]
        body = self.answers.get(path)
        connection.sendall(answer(404 if body is None else 200, body or {"status": "error"}))
        return True


@pytest.fixture
def node() -> Iterator[tuple[Node, str]]:
    handler = Node()
    with Peer(handler) as peer:
        yield handler, peer.url


def found(url: str, sqlite_url: str, registry: str | None = None) -> dict[str, Finding]:
    settings = Settings(node_url=url, node_token="key", registry_url=registry, database_url=sqlite_url)  # type: ignore[arg-type]
    return {finding.name: finding for finding in examine(settings)}


def test_a_node_that_is_well_is_told_so(node: tuple[Node, str], sqlite_url: str) -> None:
    findings = found(node[1], sqlite_url)
    assert {name for name, one in findings.items() if one.ok is False} == set()
    assert findings["source"].ok is True and "proxy" not in findings


def test_a_registry_in_place_of_the_node(node: tuple[Node, str], sqlite_url: str) -> None:
    node[0].answers["/registry-entry"] = {"status": "success", "data": {"entries": []}}
    finding = found(node[1], sqlite_url)["node"]
    assert finding.ok is False and "is a registry, no payment node" in finding.words


@pytest.mark.parametrize(("network", "ok"), [("Preprod", True), ("Mainnet", False)])
def test_a_node_without_a_payment_source_of_the_network(
    node: tuple[Node, str], sqlite_url: str, network: str, ok: bool
) -> None:
    node[0].answers["/payment-source"]["data"]["PaymentSources"] = [{"network": network}]
    finding = found(node[1], sqlite_url)["source"]
    assert finding.ok is ok
    assert ok or "no payment source on Preprod, so it cannot pay" in finding.words


def test_credits_that_can_never_pay(node: tuple[Node, str], sqlite_url: str) -> None:
    credits = [{"unit": "lovelace", "amount": "5000000"}]
    node[0].answers["/api-key-status"]["data"] = {
        **KEY,
        "usageLimited": True,
        "RemainingUsageCredits": credits,
    }
    finding = found(node[1], sqlite_url)["credits"]
    assert finding.ok is False and "`lovelace`" in finding.words and "can never pay" in finding.words


def test_a_registry_that_lists_nothing_of_the_network(node: tuple[Node, str], sqlite_url: str) -> None:
    registry = Node()
    registry.answers["/registry-entry"] = {"status": "success", "data": {"entries": []}}
    with Peer(registry) as peer:
        finding = found(node[1], sqlite_url, peer.url)["registry"]
    assert finding.ok is None and "lists no service on Preprod" in finding.words


def test_proxies_of_the_environment_are_named(
    node: tuple[Node, str], sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:geheim@proxy.example:3128")
    finding = found(node[1], sqlite_url)["proxy"]
    assert finding.ok is None and "HTTPS_PROXY is set and is not used" in finding.words
    assert "geheim" not in finding.words
