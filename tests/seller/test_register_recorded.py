"""What is sent to register is what the running node took, by its recorded answers (protocol N13)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.calls import selling
from masumi_tools.money import Amount

RECORDED = Path(__file__).parents[1] / "sandbox" / "recorded" / "node-november.json"
ALWAYS_SENT = {"AgentPricing": "Web3CardanoV1", "supportedPaymentSources": "Web3CardanoV2"}


def answers(status: int) -> list[tuple[dict[str, Any], Any]]:
    """Bodies of POST /registry that the node answered with this status, and its answers."""
    corpus = json.loads(RECORDED.read_text(encoding="utf-8"))
    steps = [step for story in corpus["stories"] for step in story["steps"]]
    return [
        (step["request"]["body"], step["response"]["body"])
        for step in steps
        if step["request"]["method"] == "POST"
        and step["request"]["path"] == "/api/v1/registry"
        and step["response"]["status"] == status
        and isinstance(step["request"]["body"], dict)
    ]


def ours(kind: str) -> dict[str, Any]:
    price = selling.fixed_pricing([Amount(1_000_000)])
    source = {
        "chain": "Cardano", "network": "Preprod", "paymentSourceType": kind, "address": "addr_test1w",
        "pricing": {"pricingType": "Fixed", "fixed": [{"asset": "lovelace", "amount": "1000000"}]},
    }  # fmt: skip
    first = kind == "Web3CardanoV1"
    return selling.registration_body(
        network="Preprod",
        selling_wallet_vkey="ab" * 28,
        name="New",
        description="Echoes text",
        api_base_url="https://seller.masumi.network",
        tags=["text"],
        capability=("echo", "1.0"),
        author="Ada",
        pricing=price if first else None,
        payment_sources=() if first else [source],
    )


@pytest.mark.parametrize("kind", ["Web3CardanoV1", "Web3CardanoV2"])
def test_our_body_has_the_fields_of_one_that_the_node_took(kind: str) -> None:
    taken = [set(body) for body, _ in answers(200)]
    assert set(ours(kind)) in taken, (sorted(ours(kind)), taken)


def test_the_other_kinds_price_is_what_the_node_refuses() -> None:
    said = {answer["error"]["message"] for _, answer in answers(400)}
    assert any("V2 registrations require supportedPaymentSources" in text for text in said)
    for name, kind in ALWAYS_SENT.items():
        for other in ALWAYS_SENT.values():
            assert (name in ours(other)) == (other == kind)


def test_an_update_leaves_out_what_only_a_registration_may_have() -> None:
    body = json.loads(
        selling.update("https://node.example/api/v1", "cd" * 60, ours("Web3CardanoV2")).body or b""
    )
    assert body["agentIdentifier"] == "cd" * 60 and body["supportedPaymentSources"]
    assert {"AgentPricing", "sellingWalletVkey"}.isdisjoint(body)
