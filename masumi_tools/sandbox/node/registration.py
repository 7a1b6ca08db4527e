"""Registering, updating and deregistering an agent at the node: a price belongs to V1's entry or to V2's source."""

from __future__ import annotations

import json

from ..chain.crypto import is_address
from ..chain.objects import Json
from ..chain.rows import V1, V2, PaymentSource, Registration, Wallet
from ..registry import minting
from ..wire import Refusal
from .context import Context, NodeCrash
from .registering import ABOUT, DEREGISTER, REGISTER, UPDATE
from .registry import registration_json
from .terms import folded

__all__ = ["DEREGISTER", "REGISTER", "UPDATE", "deregister", "register", "update"]

LEAST_FUNDING = 5_000_000
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
    new = _kept({name: value for name, value in data.items() if name in ABOUT})
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
