"""On-chain metadata of agents: how the sandbox writes it and how the node reads it (protocol N13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..bigints import big_int
from ..chain.crypto import is_address
from ..chain.rows import V1, V2, PaymentSource

Json = dict[str, Any]
PricingType = Literal["Fixed", "Free", "Dynamic"]


@dataclass(slots=True, frozen=True)
class Pricing:
    """A price as the chain has it; ``amounts`` are (amount text, unit) with units as written there."""

    kind: str
    amounts: tuple[tuple[str, str], ...] = ()
    decimals: tuple[Any, ...] = ()


@dataclass(slots=True, frozen=True)
class Source:
    """One entry of ``supported_payment_sources``; its place in the list is the index that is signed."""

    chain: str
    network: str
    source_type: str | None
    address: str | None
    pricing: Pricing | None
    raw: Json


@dataclass(slots=True, frozen=True)
class Metadata:
    """Metadata that the node accepts."""

    name: str
    version: int
    pricing: Pricing | None
    sources: tuple[Source, ...]
    raw: Json


def joined(value: Any) -> str | None:
    """A text that may be cut into a list of chunks; None when it is no text."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(chunk, str) for chunk in value):
        return "".join(value)
    return None


def describe(
    source: PaymentSource,
    *,
    name: str,
    description: str,
    url: str,
    author: str,
    tags: Sequence[str],
    capability: tuple[str, str] | None,
    example_outputs: Sequence[Mapping[str, str]],
    pricing_type: PricingType,
    amounts: Mapping[str, int] | None,
) -> Json:
    """The metadata of a new agent of ``source``; ValueError unless exactly Fixed pricing has amounts."""
    if (pricing_type == "Fixed") != bool(amounts):
        raise ValueError("Fixed pricing needs amounts, Free and Dynamic take none")
    first = source.source_type == V1
    metadata: Json = {
        "name": name,
        "description": description,
        "api_base_url": url,
        "author": {"name": author},
        "tags": list(tags),
        "image": "ipfs://sandbox",
        "metadata_version": 1 if first else 2,
    }
    if capability:
        metadata["capability"] = {"name": capability[0], "version": capability[1]}
    if example_outputs:
        metadata["example_output"] = [dict(example) for example in example_outputs]
    prices = list((amounts or {}).items())
    pricing: Json = {"pricingType": pricing_type}
    if first:
        if prices:
            pricing["fixedPricing"] = [{"amount": str(n), "unit": unit or "lovelace"} for unit, n in prices]
        metadata["agentPricing"] = pricing
    else:
        if prices:
            pricing["fixed"] = [{"asset": unit, "amount": str(n)} for unit, n in prices]
        metadata["supported_payment_sources"] = [
            {
                "chain": "Cardano",
                "network": source.network,
                "settlement": {"paymentSourceType": V2, "address": source.contract_address},
                "pricing": pricing,
            }
        ]
    return metadata


def read(metadata: Json) -> Metadata | None:
    """The metadata as the node's schema reads it, None when it refuses it."""
    author, tags = metadata.get("author"), metadata.get("tags")
    version = _version(metadata.get("metadata_version"))
    name = joined(metadata.get("name"))
    needed = (name, joined(metadata.get("api_base_url")), joined(metadata.get("image")))
    if None in needed or name is None or not isinstance(author, dict) or joined(author.get("name")) is None:
        return None
    if not isinstance(tags, list) or not tags or any(joined(tag) is None for tag in tags):
        return None
    if version is None:
        return None
    pricing = None
    if metadata.get("agentPricing") is not None:
        pricing = _pricing(metadata["agentPricing"], "fixedPricing", "unit")
        if pricing is None or not all(unit and _is_positive(amount) for amount, unit in pricing.amounts):
            return None
    sources = metadata.get("supported_payment_sources") or []
    if not isinstance(sources, list) or not all(isinstance(entry, dict) for entry in sources):
        return None
    return Metadata(name, version, pricing, tuple(_source(entry) for entry in sources), metadata)


def shown(metadata: Metadata, network: str) -> Json:
    """``Metadata`` of ``GET /registry/agent-identifier``. Sources of another network are dropped (22.1)."""
    raw = metadata.raw
    data: Json = {"name": metadata.name}
    if raw.get("description") is not None:
        data["description"] = joined(raw["description"])
    data["apiBaseUrl"] = joined(raw["api_base_url"])
    data["ExampleOutputs"] = [
        {"name": joined(e.get("name")), "mimeType": joined(e.get("mime_type")), "url": joined(e.get("url"))}
        for e in raw.get("example_output") or []
    ]
    data["Tags"] = [joined(tag) for tag in raw["tags"]]
    if raw.get("capability"):
        data["Capability"] = {key: joined(raw["capability"].get(key)) for key in ("name", "version")}
    data["Author"] = _renamed(
        raw["author"],
        {
            "name": "name",
            "contact_email": "contactEmail",
            "contact_other": "contactOther",
            "organization": "organization",
        },
    )
    if raw.get("legal"):
        names = {"privacy_policy": "privacyPolicy", "terms": "terms", "other": "other"}
        data["Legal"] = _renamed(raw["legal"], names)
    data["AgentPricing"] = _v1_pricing(priced(metadata)) if metadata.version == 1 else None
    data["image"] = joined(raw["image"])
    data["metadataVersion"] = metadata.version
    kept = [_shown_source(source) for source in metadata.sources if _fits(source, network)]
    data["supportedPaymentSources"] = kept if "supported_payment_sources" in raw else None
    data["verifications"] = raw.get("verifications")
    return data


def priced(metadata: Metadata) -> Pricing | None:
    """The price of the whole entry: its first Cardano source's where that has one, else the one at the top."""
    first = next((source for source in metadata.sources if source.chain == "Cardano"), None)
    if first is None or first.raw.get("pricing") is None:
        return metadata.pricing
    return first.pricing


def _version(raw: Any) -> int | None:
    """``metadata_version``, which may also be a text with a number."""
    text = str(raw).strip()
    return int(text) if text in ("1", "2") else None


def _is_positive(amount: str) -> bool:
    try:
        return big_int(amount) > 0
    except ValueError:
        return False


def _pricing(raw: Any, list_name: str, unit_name: str) -> Pricing | None:
    if not isinstance(raw, dict):
        return None
    kind = joined(raw.get("pricingType"))
    if kind in ("Free", "Dynamic"):
        return Pricing(kind)
    entries = raw.get(list_name)
    if kind != "Fixed" or not isinstance(entries, list) or not 1 <= len(entries) <= 25:
        return None
    amounts = []
    for entry in entries:
        amount = joined(str(entry["amount"])) if isinstance(entry, dict) and "amount" in entry else None
        unit = joined(entry.get(unit_name)) if isinstance(entry, dict) else None
        if amount is None or unit is None:
            return None
        amounts.append((amount, unit))
    return Pricing(kind, tuple(amounts), tuple(entry.get("decimals") for entry in entries))


def _source(raw: Json) -> Source:
    settlement = raw.get("settlement")
    settlement = settlement if isinstance(settlement, dict) else {}
    return Source(
        chain=str(joined(raw.get("chain"))),
        network=str(joined(raw.get("network"))),
        source_type=joined(settlement.get("paymentSourceType")),
        address=joined(settlement.get("address")),
        pricing=_pricing(raw.get("pricing"), "fixed", "asset"),
        raw=raw,
    )


def _fits(source: Source, network: str) -> bool:
    if source.chain != "Cardano":
        return True
    return source.network == network and source.address is not None and is_address(source.address, network)


def _shown_source(source: Source) -> Json:
    settlement = source.raw.get("settlement") or {}
    entry: Json = {"chain": source.chain, "network": source.network}
    if source.chain == "Cardano":
        entry |= {"paymentSourceType": source.source_type, "address": source.address}
    else:
        for name in ("scheme", "payTo", "address", "resource", "extra"):
            if name in settlement:
                entry[name] = settlement[name] if name == "extra" else joined(settlement[name])
    entry["pricing"] = _v2_pricing(source.pricing)
    return entry


def _v1_pricing(pricing: Pricing | None) -> Json | None:
    if pricing is None:
        return None
    data: Json = {"pricingType": pricing.kind}
    if pricing.amounts:
        data["Pricing"] = [{"amount": amount, "unit": unit} for amount, unit in pricing.amounts]
    return data


def _v2_pricing(pricing: Pricing | None) -> Json | None:
    if pricing is None:
        return None
    data: Json = {"pricingType": pricing.kind}
    if pricing.amounts:
        data["fixed"] = [
            {"asset": unit, "amount": amount} | ({} if decimals is None else {"decimals": int(decimals)})
            for (amount, unit), decimals in zip(pricing.amounts, pricing.decimals, strict=True)
        ]
    return data


def _renamed(raw: Json, names: Mapping[str, str]) -> Json:
    return {new: joined(raw[old]) for old, new in names.items() if raw.get(old) is not None}
