"""Entries of every kind that a registry of today lists, beside the sandbox's own services (protocol N18)."""

from __future__ import annotations

import hashlib
from typing import Any

from ..chain.escrow import World
from ..chain.rows import V2
from ..timetext import iso
from .listings import Entry

CLAIM: dict[str, Any] = {
    "method": "KERI-ACDC",
    "issuer": {"aid": "E" + "a" * 43, "oobi": "https://witness.masumi.network/oobi/a"},
    "schema": {"said": "E" + "b" * 43, "oobi": "https://witness.masumi.network/oobi/b"},
    "credential": {"said": "E" + "c" * 43, "oobi": "https://witness.masumi.network/oobi/c"},
    "holder": {"aid": "E" + "d" * 43, "oobi": "https://witness.masumi.network/oobi/d"},
}
_EVM = {
    "chain": "EVM",
    "network": "eip155:84532",
    "sourceIndex": 0,
    "paymentSourceType": None,
    "address": "0x" + "1" * 40,
    "scheme": "Exact",
    "payTo": "0x" + "1" * 40,
    "resource": "https://paid.masumi.network/report",
    "pricing": {
        "pricingType": "Fixed",
        "fixed": [{"asset": "0x" + "2" * 40, "amount": "10000", "decimals": 6}],
    },
}


def every_kind(world: World, like: Entry, newest: Entry) -> list[Entry]:
    """One entry of each kind: made from the entry ``like``; ``newest`` is what supersedes an old one."""
    source = world.source_of(V2)
    fixed = {"pricingType": "Fixed", "fixed": [{"asset": "", "amount": "1000000"}]}
    cardano = {
        "chain": "Cardano",
        "network": world.network,
        "paymentSourceType": V2,
        "address": source.contract_address,
        "pricing": fixed,
    }
    both = [
        _EVM,
        cardano | {"sourceIndex": 1},
        cardano | {"sourceIndex": 2, "pricing": {"pricingType": "Dynamic"}},
    ]
    priced_in_sources = {"AgentPricing": None, "metadataVersion": 2, "paymentType": V2}
    made: list[tuple[str, dict[str, Any]]] = [
        ("Open API", {"type": "OpenApi", "openApiUrl": "https://api.masumi.network/openapi.json"}),
        (
            "Paid by x402",
            {"type": "X402", "apiBaseUrl": None, "SupportedPaymentSources": [_EVM]} | priced_in_sources,
        ),
        (
            "A2A",
            {
                "type": "A2A",
                "apiBaseUrl": None,
                "AgentPricing": None,
                "agent_card_url": "https://a2a.masumi.network/.well-known/agent-card.json",
                "a2a_protocol_versions": ["0.3.0"],
            },
        ),
        ("Only EVM", {"SupportedPaymentSources": [_EVM]} | priced_in_sources),
        ("Two sources", {"SupportedPaymentSources": both} | priced_in_sources),
        ("Old version", {"supersededByAgentIdentifier": newest["agentIdentifier"]}),
        ("Never checked", {"uptimeCount": 0, "uptimeCheckCount": 0, "lastUptimeCheck": None}),
        ("Shaky", {"uptimeCount": 40, "uptimeCheckCount": 100}),
        ("With a claim", {"Verifications": [CLAIM]}),
        ("Inside", {"apiBaseUrl": "https://10.0.0.7/api"}),
    ]
    return [_entry(world, like, name, place, changes) for place, (name, changes) in enumerate(made)]


def _entry(world: World, like: Entry, name: str, place: int, changes: dict[str, Any]) -> Entry:
    asset = hashlib.sha256(name.encode()).hexdigest()
    policy = (
        world.source_of(V2).policy_id if changes.get("metadataVersion") == 2 else like["agentIdentifier"][:56]
    )
    fresh = {
        "id": f"cm{world.now_ms():x}k{place:03x}",
        "name": name,
        "description": f"{name}: an entry to look at",
        "createdAt": iso(world.now_ms() - 86_400_000 * (place + 1)),
        "agentIdentifier": policy + asset,
        "type": "Standard",
    }
    return like | fresh | changes
