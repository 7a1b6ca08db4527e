"""Registry entries: made from what the chain says of an agent, and shown in the registry's two shapes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from .escrow import World
from .rows import Agent

Entry = dict[str, Any]


def entry_of(world: World, agent: Agent, source_id: str, place: int = 0) -> Entry:
    """A fresh entry from an agent's on-chain metadata (also for V2, which only its own service shows).

    ``source_id`` is the id of the registry's source; ``place`` tells entries of one moment apart.
    """
    metadata = agent.metadata or {}
    now, capability, author = iso(world.now_ms()), metadata.get("capability"), metadata.get("author") or {}
    pricing = _pricing(metadata)
    legal = metadata.get("legal") or {}
    examples = metadata.get("example_output") or []
    return {
        # Newer entries have higher ids, so that the list (id descending) begins with the newest.
        "id": f"cm{world.now_ms():x}{place:04x}{world.rng.getrandbits(32):08x}",
        "name": agent.name,
        "createdAt": now,
        "description": metadata.get("description"),
        "status": "Online",
        "statusUpdatedAt": now,
        "lastUptimeCheck": now,
        "uptimeCount": 1,
        "uptimeCheckCount": 1,
        "apiBaseUrl": agent.url,
        "authorName": author.get("name"),
        "authorOrganization": author.get("organization"),
        "authorContactEmail": author.get("contact_email"),
        "authorContactOther": author.get("contact_other"),
        "image": metadata.get("image"),
        "privacyPolicy": legal.get("privacy_policy"),
        "termsAndCondition": legal.get("terms"),
        "otherLegal": legal.get("other"),
        "tags": list(metadata.get("tags") or []),
        "agentIdentifier": agent.agent_identifier,
        "paymentType": "None" if pricing["pricingType"] == "Free" else agent.source.source_type,
        "RegistrySource": {"id": source_id, "policyId": agent.source.policy_id, "url": None},
        "Capability": {"name": capability["name"], "version": capability["version"]} if capability else None,
        "AgentPricing": pricing,
        "ExampleOutput": [
            {"name": e.get("name"), "mimeType": e.get("mime_type", e.get("mimeType")), "url": e.get("url")}
            for e in examples
        ],
        "metadataVersion": metadata.get("metadata_version"),
        "updatedAt": now,
    }


def _pricing(metadata: dict[str, Any]) -> dict[str, Any]:
    if metadata.get("metadata_version") == 2:
        source = metadata["supported_payment_sources"][0]["pricing"]
        kind = source["pricingType"]
        listed = [{"amount": p["amount"], "unit": p["asset"] or "lovelace"} for p in source.get("fixed", ())]
    else:
        source = metadata.get("agentPricing") or {"pricingType": "Free"}
        kind, listed = source["pricingType"], [dict(amount) for amount in source.get("fixedPricing", ())]
    return (
        {"pricingType": kind, "FixedPricing": {"Amounts": listed}}
        if kind == "Fixed"
        else {"pricingType": kind}
    )


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


def iso(ms: int) -> str:
    """Unix milliseconds as the text of a date-time with ``Z`` and three decimals."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
