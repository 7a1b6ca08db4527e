"""Registry entries: made from what the chain says of an agent, and shown in the registry's two shapes."""

from __future__ import annotations

from typing import Any

from ..chain.escrow import World
from ..chain.rows import V2, Agent
from ..timetext import iso
from . import agents

Entry = dict[str, Any]


def indexed(agent: Agent, *, v2: bool = False) -> bool:
    """Whether the registry takes this agent in: metadata that reads and names a price (protocol N17)."""
    read = agents.read(agent.metadata or {})
    if read is None or (read.version == 2) != (agent.source.source_type == V2):
        return False
    return read.pricing is not None if read.version == 1 else v2


def entry_of(world: World, agent: Agent, source_id: str, place: int = 0) -> Entry:
    """A fresh entry from an agent's on-chain metadata.

    V2 agents, which only their own service shows, keep their prices in ``SupportedPaymentSources``, as the
    registry lists them since it indexes them.
    ``source_id`` is the id of the registry's source; ``place`` tells entries of one moment apart.
    ValueError when the metadata does not read.
    """
    read = agents.read(agent.metadata or {})
    if read is None:
        raise ValueError("the agent has no metadata that reads")
    about, now = agents.shown(read, world.network), iso(world.now_ms())
    author, legal = about["Author"], about.get("Legal") or {}
    free = any(
        pricing.kind == "Free" for pricing in (read.pricing, *(s.pricing for s in read.sources)) if pricing
    )
    entry = {
        # Newer entries have higher ids, so that the list (id descending) begins with the newest.
        "id": f"cm{world.now_ms():x}{place:04x}{world.rng.getrandbits(32):08x}",
        "name": about["name"],
        "createdAt": now,
        "description": about.get("description"),
        "status": "Online",
        "statusUpdatedAt": now,
        "lastUptimeCheck": now,
        "uptimeCount": 1,
        "uptimeCheckCount": 1,
        "apiBaseUrl": about["apiBaseUrl"],
        "authorName": author.get("name"),
        "authorOrganization": author.get("organization"),
        "authorContactEmail": author.get("contactEmail"),
        "authorContactOther": author.get("contactOther"),
        "image": about["image"],
        "privacyPolicy": legal.get("privacyPolicy"),
        "termsAndCondition": legal.get("terms"),
        "otherLegal": legal.get("other"),
        "tags": about["Tags"],
        "agentIdentifier": agent.agent_identifier,
        "paymentType": "None" if free else agent.source.source_type,
        "RegistrySource": {"id": source_id, "policyId": agent.source.policy_id, "url": None},
        "Capability": about.get("Capability"),
        "AgentPricing": _pricing(read.pricing),
        "ExampleOutput": about["ExampleOutputs"],
        "metadataVersion": read.version,
        "updatedAt": now,
    }
    if read.version == 2:
        entry["SupportedPaymentSources"] = [
            {"sourceIndex": index, **source} for index, source in enumerate(about["supportedPaymentSources"])
        ]
    return entry


def fixed_pricing(amounts: list[tuple[str, str]]) -> dict[str, Any]:
    """The registry's form of a Fixed price; amounts are (base units, unit)."""
    listed = [{"amount": amount, "unit": unit or "lovelace"} for amount, unit in amounts]
    return {"pricingType": "Fixed", "FixedPricing": {"Amounts": listed}}


def _pricing(pricing: agents.Pricing | None) -> dict[str, Any] | None:
    if pricing is None:
        return None
    return fixed_pricing(list(pricing.amounts)) if pricing.kind == "Fixed" else {"pricingType": pricing.kind}


def payment_information(entry: Entry, agent: Agent) -> dict[str, Any]:
    """An entry as ``GET /payment-information`` shows it, with the wallet that holds the agent on chain."""
    shown = {name: value for name, value in entry.items() if name != "statusUpdatedAt"}
    shown["RegistrySource"] = {k: v for k, v in entry["RegistrySource"].items() if k != "id"}
    shown["sellerWallet"] = {"address": agent.holder_address, "vkey": agent.seller_vkey}
    return shown


def searchable(text: str) -> str:
    """Text as it is compared in a search: one case, single spaces."""
    return " ".join(text.split()).lower()


def search_text(entry: Entry) -> str:
    """What ``/registry-entry-search`` looks into."""
    able = entry["Capability"] or {}
    parts = [
        *(entry[k] for k in ("name", "description", "authorName", "authorOrganization", "apiBaseUrl")),
        entry["agentIdentifier"],
        able.get("name"),
        able.get("version"),
        *entry["tags"],
    ]
    return " ".join(searchable(part) for part in parts if part)
