"""Registering, updating and deregistering an agent at the node: a price belongs to V1's entry or to V2's source."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..chain.crypto import is_address
from ..chain.network import SOURCE_TYPES
from ..chain.objects import Json
from ..chain.rows import V1, V2, PaymentSource, Registration, Wallet
from ..registry import minting
from ..wire import Refusal
from . import schema as s
from .context import NETWORK, Context, NodeCrash
from .registry import registration_json
from .terms import folded

LEAST_FUNDING = 5_000_000
_MOST = 2**63 - 1
_DIGITS = re.compile("[0-9]+")
_EVM = re.compile("0x[a-fA-F0-9]{40}")
_NO_TOKENS = {"0x" + "0" * 40, "0x" + "e" * 40}
"""Addresses that stand for a chain's own coin and so are no token's contract."""


def _amount(value: Any, path: str, issues: list[str]) -> Any:
    found = s.text(
        most=19, pattern="[0-9]+", complaint=r"Invalid string: must match pattern /^\d+$/"
    )(value, path, issues)  # fmt: skip
    if isinstance(found, str) and not (_DIGITS.fullmatch(found) and 1 <= int(found) <= _MOST):
        issues.append(f"{path}: Atomic amount must be between 1 and {_MOST}")
    return found


def _url(most: int, *, optional: bool = False) -> s.Reader:
    def read(value: Any, path: str, issues: list[str]) -> Any:
        if value is s.MISSING and optional:
            return None
        if isinstance(value, str) and not is_url(value):
            issues.append(f"{path}: Invalid URL")
        return s.text(most=most)(value, path, issues)

    return read


def is_url(text: str) -> bool:
    """Whether JavaScript's ``new URL(text)`` takes it: any scheme, and a host where the scheme needs one."""
    text = text.strip()
    scheme, colon, rest = text.partition(":")
    if not colon or not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+.-]*", scheme):
        return False
    if scheme.lower() not in ("http", "https", "ws", "wss", "ftp"):
        return True
    try:
        parts = urlsplit("http://" + rest.lstrip("/\\"))
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    return bool(host) and not re.search(r"[\s<>^|%]", host) and (port is None or port < 65536)


def _kind_of_price(kind: str, more: Mapping[str, s.Reader] | None = None) -> s.Reader:
    return s.record({"pricingType": s.choice((kind,))} | dict(more or {}))


_DECIMALS = s.whole(0, 255)
_V1_PRICE = s.union(
    _kind_of_price(
        "Fixed",
        {"Pricing": s.items(s.record({"unit": s.text(most=250), "amount": _amount}), least=1, most=5)},
    ),
    _kind_of_price("Free"),
    _kind_of_price("Dynamic"),
)
_ASSET = {"asset": s.text(most=250)}
_SOURCE_PRICE = s.union(
    _kind_of_price(
        "Fixed",
        {"fixed": s.items(s.record(_ASSET | {"amount": _amount, "decimals": _DECIMALS}), least=1, most=5)},
    ),
    _kind_of_price(
        "Dynamic",
        {"dynamic": s.items(s.record(_ASSET | {"decimals": _DECIMALS}), least=1, most=1, optional=True)},
    ),
    _kind_of_price("Free"),
)


def _evm_address(*, optional: bool = False) -> s.Reader:
    return s.text(optional=optional, pattern=_EVM.pattern, complaint="Expected an EVM address")


def _anything(value: Any, path: str, issues: list[str]) -> Any:
    if value is s.MISSING:
        return None
    if not isinstance(value, dict):
        issues.append(f"{path}: Invalid input: expected record, received {s.kind_of(value)}")
    return value


_CARDANO_SOURCE = s.record(
    {
        "chain": s.choice(("Cardano",)),
        "network": NETWORK,
        "paymentSourceType": s.choice(SOURCE_TYPES),
        "address": s.text(most=250),
        "pricing": _SOURCE_PRICE,
    }
)
_EVM_SOURCE = s.record(
    {
        "chain": s.choice(("EVM",)),
        "network": s.text(
            pattern="eip155:[0-9]+", complaint="x402 EVM network must be a CAIP-2 eip155 chain id"
        ),
        "paymentSourceType": s.nullable(s.choice(SOURCE_TYPES)),
        "address": _evm_address(optional=True),
        "scheme": s.choice(("Exact",)),
        "payTo": _evm_address(),
        "resource": _url(500, optional=True),
        "extra": _anything,
        "pricing": _SOURCE_PRICE,
    }
)


def _source_rules(source: Json, path: str, issues: list[str]) -> None:
    """What a payment source must keep besides its shape."""
    price, evm = source["pricing"], source["chain"] == "EVM"
    kind, fixed, dynamic = price["pricingType"], price.get("fixed"), price.get("dynamic")
    if not evm:
        for place, entry in enumerate(fixed or []):
            if entry["decimals"] is not None:
                where = f"{path}.pricing.fixed[{place}].decimals"
                issues.append(f"{where}: Cardano fixed pricing does not use decimals")
        if kind == "Dynamic" and dynamic is not None:
            issues.append(
                f"{path}.pricing.dynamic: Cardano dynamic pricing does not support an asset allowlist"
            )
        return
    if source["address"] is not None and source["address"].lower() != source["payTo"].lower():
        issues.append(f"{path}.address: x402 address alias must match payTo")
    if kind == "Fixed":
        if len(fixed) != 1:
            issues.append(f"{path}.pricing.fixed: Fixed x402 pricing requires exactly one asset")
            return
        where, entry = f"{path}.pricing.fixed[0]", fixed[0]
        wrong = "Fixed x402 pricing requires an ERC-20 token contract address"
        missing = "Fixed x402 pricing requires token decimals"
    elif kind == "Dynamic" and dynamic:
        where, entry = f"{path}.pricing.dynamic[0]", dynamic[0]
        wrong = "Dynamic x402 accepted asset must be an ERC-20 token contract address"
        missing = "Dynamic x402 accepted asset requires token decimals"
    else:
        return
    if not _EVM.fullmatch(entry["asset"]) or entry["asset"].lower() in _NO_TOKENS:
        issues.append(f"{where}.asset: {wrong}")
    if entry["decimals"] is None:
        issues.append(f"{where}.decimals: {missing}")


_SOURCES = s.items(
    s.refined(s.union(_CARDANO_SOURCE, _EVM_SOURCE), _source_rules), least=1, most=25, optional=True
)
_KERI = s.text(1, 128)
_CLAIM = s.record(
    {
        "method": s.text(1, 40),
        "schemaVersion": s.text(most=16, optional=True),
        "issuer": s.record({"aid": _KERI, "oobi": _url(500)}),
        "schema": s.record({"said": _KERI, "oobi": _url(500)}),
        "credential": s.record({"said": _KERI, "oobi": _url(500), "registry": s.text(1, 128, optional=True)}),
        "holder": s.record({"aid": _KERI, "oobi": _url(500)}),
        "baseUrl": _url(500, optional=True),
    }
)


def _address(name: str) -> s.Reader:
    return s.text(
        58,
        120,
        optional=True,
        pattern="(addr1|addr_test1)[0-9a-z]+",
        complaint=f"{name} must be a bech32 Cardano address",
    )


_TEXT = s.text(most=250)
_OPTIONAL = s.text(most=250, optional=True)
_ABOUT: dict[str, s.Reader] = {
    "recipientWalletAddress": _address("recipientWalletAddress"),
    "sendFundingLovelace": s.text(
        most=17, optional=True, pattern="[0-9]+", complaint=r"Invalid string: must match pattern /^\d+$/"
    ),
    "supportedPaymentSources": _SOURCES,
    "verifications": s.items(_CLAIM, most=10, optional=True),
    "ExampleOutputs": s.items(
        s.record({"name": s.text(most=60), "url": s.text(most=250), "mimeType": s.text(most=60)}), most=25
    ),
    "Tags": s.items(s.text(most=63), least=1, most=15),
    "name": _TEXT,
    "apiBaseUrl": _url(250),
    "description": _TEXT,
    "Capability": s.record({"name": _TEXT, "version": _TEXT}),
    "AgentPricing": s.optional(_V1_PRICE),
    "Legal": s.record({"privacyPolicy": _OPTIONAL, "terms": _OPTIONAL, "other": _OPTIONAL}, optional=True),
    "Author": s.record(
        {"name": _TEXT, "contactEmail": _OPTIONAL, "contactOther": _OPTIONAL, "organization": _OPTIONAL}
    ),
}
_VKEY = s.text(
    56,
    56,
    pattern="[0-9a-fA-F]{56}",
    complaint="sellingWalletVkey must be a 56-char hex blake2b-224 payment-key hash",
)
_AGENT = s.text(
    57,
    250,
    pattern="[0-9a-fA-F]+",
    complaint="agentIdentifier must be a hex string (policyId + assetName)",
)
_CONTRACT = _address("smartContractAddress")

REGISTER = s.Schema({"network": NETWORK, "sellingWalletVkey": _VKEY} | _ABOUT)
UPDATE = s.Schema(
    {"network": NETWORK} | _ABOUT | {"agentIdentifier": _AGENT, "smartContractAddress": _CONTRACT}
)
DEREGISTER = s.Schema({"agentIdentifier": _AGENT, "network": NETWORK, "smartContractAddress": _CONTRACT})

_UPDATABLE = ("RegistrationConfirmed", "UpdateConfirmed", "UpdateFailed")
_BURNABLE = (*_UPDATABLE, "DeregistrationFailed")


def register(ctx: Context) -> Json:
    """A registration that is minted by a job; ``agentIdentifier`` is null until then. Each call makes another."""
    world, network, data = ctx.world, ctx.need_network(), ctx.data
    wallet = _selling_wallet(ctx, data["sellingWalletVkey"], network)
    recipient = _recipient(ctx, wallet.source)
    _check_price_place(data, wallet.source.source_type)
    if data["supportedPaymentSources"] is not None:
        _check_sources(ctx, data["supportedPaymentSources"])
    now = world.now_ms()
    body = _kept(data)
    row = Registration(
        world.new_id(), now, now, "RegistrationRequested", body, wallet, requested_by=ctx.key.id,
        recipient=None if recipient is wallet else recipient,
    )  # fmt: skip
    world.registrations.append(row)
    minting.register(world, row, _metadata(row))
    return registration_json(row)


def update(ctx: Context) -> Json:
    """V2 only: the NFT is burnt and minted anew, so the agent gets another identifier."""
    data = ctx.data
    if data["AgentPricing"] is not None:
        where = "put pricing inside each supportedPaymentSources[].pricing field"
        raise Refusal(400, f"V2 updates must not set AgentPricing; {where}")
    source = _source(ctx, ctx.need_network(), V2)
    if source is None:
        raise Refusal(404, "Network and Address combination not supported")
    if source.source_type != V2:
        message = "Update agent identifier is only supported for Web3CardanoV2 payment sources"
        raise Refusal(400, message)
    if source.policy_id != data["agentIdentifier"][:56]:
        raise Refusal(409, "agentIdentifier policy does not match this payment source")
    row = _row(ctx, source)
    if row is None:
        raise Refusal(404, "Registration not found")
    _need_wallet_and_creator(ctx, row, "update")
    if row.state not in _UPDATABLE:
        raise Refusal(400, f"Agent registration cannot be updated in its current state: {row.state}")
    if len(data["agentIdentifier"]) != 120:
        raise NodeCrash("V2 registry asset name must be 64 hex chars")
    recipient = _recipient(ctx, source)
    if data["supportedPaymentSources"] is not None:
        _check_sources(ctx, data["supportedPaymentSources"])
    kept = ("supportedPaymentSources", "verifications")
    new = _kept({name: value for name, value in data.items() if name in _ABOUT})
    row.body = new | {name: row.body[name] for name in kept if new[name] is None}
    if data["recipientWalletAddress"] is not None:
        row.recipient = recipient
    minting.reregister(ctx.world, row, _metadata(row))
    return registration_json(row)


def deregister(ctx: Context) -> Json:
    """The registration, whose NFT a job will burn. What the chain does not know is a 500."""
    network, wanted = ctx.need_network(), ctx.data["agentIdentifier"]
    source = _source(ctx, network, None)
    if source is None and ctx.data["smartContractAddress"] is None:  # the node's own first contract
        of_network = (one for one in ctx.world.sources if one.network == network)
        source = next((one for one in of_network if one.source_type == V1), None)
    if source is None:
        raise Refusal(404, "Network and Address combination not supported")
    agent = ctx.world.agents.get(source.policy_id + wanted[56:])
    if agent is None:
        raise NodeCrash("The requested component has not been found.")
    if agent.burnt or agent.holder_address is None:
        raise Refusal(404, "Asset not found")
    if agent.wallet is None or agent.wallet.source is not source:
        raise Refusal(409, "Registered asset is not currently held by a managed wallet")
    row = _row(ctx, source)
    if row is None:
        raise Refusal(404, "Registration not found")
    _need_wallet_and_creator(ctx, row, "deregister")
    if row.state not in _BURNABLE:
        raise Refusal(409, f"Agent registration cannot be deregistered in its current state: {row.state}")
    minting.deregister(ctx.world, row)
    return registration_json(row)


def _check_price_place(data: Json, source_type: str) -> None:
    priced, sources = data["AgentPricing"] is not None, data["supportedPaymentSources"] is not None
    if source_type == V2:
        if priced:
            where = "put pricing inside each supportedPaymentSources[].pricing field"
            raise Refusal(400, f"V2 registrations must not set AgentPricing; {where}")
        if not sources:
            raise Refusal(400, "V2 registrations require supportedPaymentSources with source-local pricing")
    elif sources:
        where = "use the top-level AgentPricing field"
        raise Refusal(400, f"V1 registrations must not set supportedPaymentSources; {where}")
    elif not priced:
        raise Refusal(400, "V1 registrations require the top-level AgentPricing field")


def _check_sources(ctx: Context, sources: list[Json]) -> None:
    """The rules of a V2 entry's payment sources, in the node's order."""
    network, seen = ctx.data["network"], set()
    for place, source in enumerate(sources):
        if (key := _canonical(source)) in seen:
            raise Refusal(400, f"supportedPaymentSources[{place}] duplicates an earlier payment option")
        seen.add(key)
        if source["chain"] == "EVM":
            if not ctx.key.can_admin and source["network"] not in ctx.key.chains:
                message = "Not authorized to advertise x402 payment sources on this network"
                raise Refusal(400, message)
            continue
        if source["network"] != network:
            raise Refusal(400, "Supported payment source network must match the registry network")
        if source["paymentSourceType"] != V2:
            only = "V2 registry entries may only advertise V2 payment sources."
            raise Refusal(400, f"{only} Legacy V1 sources cannot be listed on a V2 mint.")
        prefix, name = "addr1" if network == "Mainnet" else "addr_test1", "Supported Cardano payment source"
        if not source["address"].startswith(prefix):
            raise Refusal(400, f"{name} address does not match the registry network")
        if not is_address(source["address"], network):
            raise Refusal(400, f"{name} address is not a valid Cardano address")
    chains = dict.fromkeys(source["network"] for source in sources if source["chain"] == "EVM")
    if chains:  # the sandbox plays no EVM chain
        raise Refusal(400, f"x402 network is not available for settlement: {', '.join(chains)}")


def _canonical(source: Json) -> str:
    """A payment option as the node compares two: units and addresses in one case, prices in one order."""
    price = source["pricing"]
    fixed = [
        (folded(e["asset"].lower()), str(int(e["amount"])), e["decimals"]) for e in price.get("fixed") or []
    ]
    accepted = [(e["asset"].lower(), e["decimals"]) for e in price.get("dynamic") or []]
    named = ("scheme", "resource") if source["chain"] == "EVM" else ("paymentSourceType", "address")
    rest = [source.get(name) or "" for name in named]
    to = (source.get("payTo") or "").lower()
    listed = [source["chain"], source["network"], *rest, to, price["pricingType"]]
    return json.dumps([*listed, sorted(fixed, key=str), accepted])


def _selling_wallet(ctx: Context, vkey: str, network: str) -> Wallet:
    for wallet in ctx.world.wallets:
        if wallet.vkey == vkey and wallet.kind == "Selling" and wallet.source.network == network:
            _need_wallet(ctx, wallet)
            return wallet
    raise Refusal(404, "Network and Address combination not supported")


def _recipient(ctx: Context, source: PaymentSource) -> Wallet | None:
    wanted = ctx.data["recipientWalletAddress"]
    if wanted is None:
        return None
    for wallet in ctx.world.wallets:
        if wallet.address == wanted and wallet.source is source:
            _need_wallet(ctx, wallet)
            return wallet
    raise Refusal(404, "Recipient wallet not found on the same payment source")


def _need_wallet(ctx: Context, wallet: Wallet) -> None:
    if ctx.key.wallet_scoped and not ctx.key.can_admin and wallet.id not in ctx.key.wallet_ids:
        raise Refusal(404, "Not found")


def _need_wallet_and_creator(ctx: Context, row: Registration, verb: str) -> None:
    _need_wallet(ctx, row.agent.wallet if row.agent and row.agent.wallet else row.wallet)
    if not ctx.key.can_admin and row.requested_by != ctx.key.id:
        raise Refusal(403, f"You are not authorized to {verb} this agent")


def _source(ctx: Context, network: str, kind: str | None) -> PaymentSource | None:
    """The contract that is named, of any kind, else the one of the agent's policy."""
    contract, policy = ctx.data["smartContractAddress"], ctx.data["agentIdentifier"][:56]
    for source in ctx.world.sources:
        if source.network != network:
            continue
        if contract is not None and source.contract_address == contract:
            return source
        if contract is None and source.policy_id == policy and kind in (None, source.source_type):
            return source
    return None


def _row(ctx: Context, source: PaymentSource) -> Registration | None:
    wanted = source.policy_id + ctx.data["agentIdentifier"][56:]
    for row in ctx.world.registrations:
        if row.agent is not None and row.agent.agent_identifier == wanted and row.wallet.source is source:
            return row
    return None


def _kept(data: Json) -> Json:
    """The body as it is stored: ADA in one spelling, EVM addresses in one case, no funding below the least."""
    kept = dict(data)
    price = data["AgentPricing"]
    if price and price.get("Pricing"):
        rows = [{"unit": folded(e["unit"]), "amount": str(int(e["amount"]))} for e in price["Pricing"]]
        kept["AgentPricing"] = price | {"Pricing": rows}
    if data["supportedPaymentSources"] is not None:
        kept["supportedPaymentSources"] = [_kept_source(entry) for entry in data["supportedPaymentSources"]]
    if data["sendFundingLovelace"] is not None:
        kept["sendFundingLovelace"] = str(max(int(data["sendFundingLovelace"]), LEAST_FUNDING))
    if not data["verifications"]:
        kept["verifications"] = None
    return kept


def _kept_source(source: Json) -> Json:
    evm, price = source["chain"] == "EVM", dict(source["pricing"])
    fold = str.lower if evm else folded
    if "fixed" in price:
        price["fixed"] = [
            {"asset": fold(e["asset"]), "amount": str(int(e["amount"]))}
            | ({} if e["decimals"] is None else {"decimals": e["decimals"]})
            for e in price["fixed"]
        ]
    if price.get("dynamic") is None:
        price.pop("dynamic", None)
    else:
        price["dynamic"] = [e | {"asset": e["asset"].lower()} for e in price["dynamic"]]
    if not evm:
        return source | {"pricing": price}
    kept = {name: value for name, value in source.items() if value is not None}
    to = source["payTo"].lower()
    kept |= {"paymentSourceType": None, "address": (source["address"] or to).lower(), "payTo": to}
    return kept | {"pricing": price}


def _metadata(row: Registration) -> Json:
    """The body as on-chain metadata."""
    body, source = row.body, row.wallet.source
    metadata: Json = {
        "name": body["name"],
        "description": body["description"],
        "api_base_url": body["apiBaseUrl"],
        "capability": body["Capability"],
        "author": _snake(body["Author"]),
        "tags": body["Tags"],
        "image": "ipfs://sandbox",
        "metadata_version": 1 if source.source_type == V1 else 2,
        "example_output": [
            {"name": e["name"], "mime_type": e["mimeType"], "url": e["url"]} for e in body["ExampleOutputs"]
        ],
    }
    if body["Legal"]:
        metadata["legal"] = _snake(body["Legal"])
    if body["verifications"]:
        metadata["verifications"] = body["verifications"]
    if source.source_type == V1:
        pricing = dict(body["AgentPricing"])
        if "Pricing" in pricing:
            prices = pricing.pop("Pricing")
            pricing["fixedPricing"] = [{**price, "unit": price["unit"] or "lovelace"} for price in prices]
        metadata["agentPricing"] = pricing
    else:
        metadata["supported_payment_sources"] = [_settled(e) for e in body["supportedPaymentSources"]]
    return metadata


def _settled(entry: Json) -> Json:
    named = (
        ("scheme", "payTo", "resource", "extra")
        if entry["chain"] == "EVM"
        else ("paymentSourceType", "address")
    )
    return {
        "chain": entry["chain"],
        "network": entry["network"],
        "settlement": {name: entry[name] for name in named if entry.get(name) is not None},
        "pricing": entry["pricing"],
    }


def _snake(values: Json) -> Json:
    names = {
        "contactEmail": "contact_email",
        "contactOther": "contact_other",
        "privacyPolicy": "privacy_policy",
    }
    return {names.get(name, name): value for name, value in values.items() if value is not None}
