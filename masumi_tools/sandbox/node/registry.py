"""Registry routes of the node: metadata from the chain, and agents registered here (protocol N13)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..chain.network import SOURCE_TYPES
from ..chain.objects import Json, source_json
from ..chain.rows import V1, V2, PaymentSource, Registration, Wallet
from ..registry import agents, minting
from ..timetext import iso
from ..wire import Refusal
from . import schema as s
from .context import NETWORK, SOURCE_TYPE, Context, is_hex

HEX_ONLY = "[0-9a-fA-F]+"
_FIXED = s.items(s.record({"unit": s.text(most=250), "amount": s.text(most=19)}), least=1, most=5)
_V2_FIXED = s.items(s.record({"asset": s.text(most=250), "amount": s.text(most=19)}), least=1, most=5)
STATUS = {
    "Registered": ("RegistrationConfirmed", "UpdateConfirmed"),
    "Deregistered": ("DeregistrationConfirmed",),
    "Pending": (
        "RegistrationRequested",
        "RegistrationInitiated",
        "DeregistrationRequested",
        "DeregistrationInitiated",
        "UpdateRequested",
        "UpdateInitiated",
    ),
    "Failed": ("RegistrationFailed", "DeregistrationFailed", "UpdateFailed"),
}


def _pricing(list_name: str, fixed: s.Reader) -> s.Reader:
    kind = s.choice(("Fixed", "Free", "Dynamic"))

    def read(value: Any, path: str, issues: list[str]) -> Any:
        if value is s.MISSING and list_name == "Pricing":
            return None
        found = s.record({"pricingType": kind})(value, path, issues)
        if found and found["pricingType"] == "Fixed":
            found[list_name] = fixed(value.get(list_name, s.MISSING), f"{path}.{list_name}", issues)
        return found

    return s.one_of(read)


_SOURCE = s.record(
    {
        "chain": s.choice(("Cardano",)),
        "network": NETWORK,
        "paymentSourceType": s.choice(SOURCE_TYPES),
        "address": s.text(most=250),
        "pricing": _pricing("fixed", _V2_FIXED),
    }
)
_ADDRESS = s.text(
    58,
    120,
    optional=True,
    pattern="(addr1|addr_test1)[0-9a-z]+",
    complaint="Invalid string: must match pattern /^(addr1|addr_test1)[0-9a-z]+$/",
)
_TEXT = s.text(most=250)
_OPTIONAL = s.text(most=250, optional=True)
_ABOUT: dict[str, s.Reader] = {
    "recipientWalletAddress": _ADDRESS,
    "sendFundingLovelace": s.text(
        most=17, optional=True, pattern="[0-9]+", complaint=r"Invalid string: must match pattern /^\d+$/"
    ),
    "supportedPaymentSources": s.items(s.one_of(_SOURCE), least=1, most=25, optional=True),
    "ExampleOutputs": s.items(
        s.record({"name": s.text(most=60), "url": s.text(most=250), "mimeType": s.text(most=60)}), most=25
    ),
    "Tags": s.items(s.text(most=63), least=1, most=15),
    "name": _TEXT,
    "apiBaseUrl": s.text(most=250, pattern=r"[a-zA-Z][a-zA-Z0-9+.-]*://.+", complaint="Invalid URL"),
    "description": _TEXT,
    "Capability": s.record({"name": _TEXT, "version": _TEXT}),
    "AgentPricing": _pricing("Pricing", _FIXED),
    "Legal": s.record({"privacyPolicy": _OPTIONAL, "terms": _OPTIONAL, "other": _OPTIONAL}, optional=True),
    "Author": s.record(
        {"name": _TEXT, "contactEmail": _OPTIONAL, "contactOther": _OPTIONAL, "organization": _OPTIONAL}
    ),
}
_VKEY = s.text(56, 56, pattern="[0-9a-fA-F]{56}", complaint="Invalid hex string")
_AGENT = s.text(57, 250, pattern=HEX_ONLY, complaint="Invalid hex string")

REGISTER = s.Schema({"network": NETWORK, "sellingWalletVkey": _VKEY} | _ABOUT)
UPDATE = s.Schema(
    {"network": NETWORK} | _ABOUT | {"agentIdentifier": _AGENT, "smartContractAddress": _ADDRESS}
)
DEREGISTER = s.Schema({"agentIdentifier": _AGENT, "network": NETWORK, "smartContractAddress": _ADDRESS})
BY_IDENTIFIER = s.Schema({"agentIdentifier": s.text(57, 250), "network": NETWORK})
LISTED = s.Schema(
    {
        "limit": s.query_number(1, 100, 10),
        "cursorId": s.text(optional=True),
        "network": NETWORK,
        "filterSmartContractAddress": s.nullable(s.text()),
        "filterPaymentSourceType": SOURCE_TYPE,
        "filterStatus": s.choice(tuple(STATUS), optional=True),
        "searchQuery": s.text(optional=True),
        "filterAgentIdentifier": s.text(57, 250, optional=True),
        "filterSupportedPaymentSourceAddress": s.text(optional=True),
        "filterSupportedPaymentSourceNetworks": s.text(optional=True),
    }
)
DIFF = s.Schema(
    {
        "limit": s.query_number(1, 100, 10),
        "cursorId": s.text(optional=True),
        "lastUpdate": s.iso_time(default_ms=0),
        "network": NETWORK,
        "filterSmartContractAddress": s.nullable(s.text()),
        "filterPaymentSourceType": SOURCE_TYPE,
    }
)
COUNT = s.Schema(
    {
        "network": NETWORK,
        "filterSmartContractAddress": s.nullable(s.text()),
        "filterPaymentSourceType": SOURCE_TYPE,
    }
)
SOURCES = s.Schema({"take": s.query_number(1, 100, 10), "cursorId": s.text(most=250, optional=True)})
BALANCE = s.Schema({"address": s.text(most=150), "network": NETWORK})


def agent_metadata(ctx: Context) -> Json:
    """Metadata of any agent of a policy that the node serves, held by anybody or nobody."""
    network, wanted = ctx.need_network(), ctx.data["agentIdentifier"]
    if not is_hex(wanted):
        raise Refusal(400, "Agent identifier is not a valid hex string")
    if ctx.source_by_policy(network, wanted[:56]) is None:
        raise Refusal(404, "Network and policyId combination not supported")
    agent = ctx.world.agents.get(wanted)
    if ctx.key.wallet_scoped and not ctx.key.can_admin:
        minted_by = agent.wallet if agent else None  # only agents of the key's own wallets are told
        if minted_by is None or minted_by.id not in ctx.key.wallet_ids:
            raise Refusal(404, "Agent not found")
    if agent is None or agent.burnt:
        raise Refusal(404, "Agent identifier not found")
    if agent.metadata is None:
        raise Refusal(404, "Agent registry metadata not found")
    metadata = agents.read(agent.metadata)
    if metadata is None:
        raise Refusal(422, "Agent metadata is invalid or malformed")
    return {
        "policyId": wanted[:56],
        "assetName": wanted[56:],
        "agentIdentifier": wanted,
        "Metadata": agents.shown(metadata, network),
    }


def payment_sources(ctx: Context) -> Json:
    """The contracts that the node serves, newest first, without any wallet."""
    sources = list(reversed(ctx.world.sources))
    if not ctx.key.can_admin:
        sources = [source for source in sources if source.network in ctx.key.networks]
    cursor = ctx.data["cursorId"] or None
    if cursor is not None:
        sources = sources[next((i for i, x in enumerate(sources) if x.id == cursor), len(sources)) :]
    return {"PaymentSources": [source_json(source) for source in sources[: ctx.data["take"]]]}


def balance(ctx: Context) -> Json:
    """What the chain holds at an address; quantities are JSON numbers here."""
    ctx.need_network()
    held: dict[str, int] = dict(ctx.world.chain.balances.get(ctx.data["address"], {}))
    shown = [{"unit": unit or "lovelace", "quantity": n} for unit, n in held.items() if n]
    return {"Balance": shown}


def register(ctx: Context) -> Json:
    """A registration that is minted by a job; ``agentIdentifier`` is null until then."""
    world, network, data = ctx.world, ctx.need_network(), ctx.data
    wallet = _selling_wallet(ctx, data["sellingWalletVkey"], network)
    now = world.now_ms()
    row = Registration(world.new_id(), now, now, "RegistrationRequested", data, wallet)
    metadata = _metadata(row)
    world.registrations.append(row)
    minting.register(world, row, metadata)
    return _json(row)


def deregister(ctx: Context) -> Json:
    """The registration, whose NFT a job will burn."""
    row = _own(ctx)
    minting.deregister(ctx.world, row)
    return _json(row)


def update(ctx: Context) -> Json:
    """V2 only: the NFT is burnt and minted anew, so the agent gets another identifier."""
    row = _own(ctx)
    if row.wallet.source.source_type != V2:
        raise Refusal(400, "Only V2 registrations can be updated")
    row.body = {name: value for name, value in ctx.data.items() if name != "agentIdentifier"}
    minting.reregister(ctx.world, row, _metadata(row))
    return _json(row)


def listed(ctx: Context) -> Json:
    """Agents registered through this node, newest first; V1 only unless asked otherwise."""
    data = ctx.data
    cursor, status, query = data["cursorId"] or None, data["filterStatus"], data["searchQuery"]
    found = []
    for row in _chosen(ctx, reversed(ctx.world.registrations), data["filterAgentIdentifier"]):
        if status and row.state not in STATUS[status]:
            continue
        if query and query.lower() not in f"{row.body['name']} {row.body['description']} {row.state}".lower():
            continue
        found.append(row)
    if cursor is not None:
        found = found[next((i for i, row in enumerate(found) if row.id == cursor), len(found)) :]
    return {"Assets": [_json(row) for row in found[: data["limit"]]]}


def diff(ctx: Context) -> Json:
    """Registrations whose state changed since ``lastUpdate``, oldest change first."""
    since, cursor = ctx.data["lastUpdate"], ctx.data["cursorId"] or None
    found = [
        row
        for row in _chosen(ctx, ctx.world.registrations, None)
        if row.updated_ms > since or (row.updated_ms == since and (cursor is None or row.id >= cursor))
    ]
    found.sort(key=lambda row: (row.updated_ms, row.id))
    return {"Assets": [_json(row) for row in found[: ctx.data["limit"]]]}


def count(ctx: Context) -> Json:
    return {"total": sum(1 for _ in _chosen(ctx, ctx.world.registrations, None))}


def _chosen(ctx: Context, rows: Iterable[Registration], identifier: str | None) -> Iterable[Registration]:
    data = ctx.data
    network, contract = ctx.need_network(), data["filterSmartContractAddress"] or None
    address = data.get("filterSupportedPaymentSourceAddress")
    networks = (data.get("filterSupportedPaymentSourceNetworks") or "").replace(" ", "").split(",")
    advertised = bool(address or any(networks))
    kind = data["filterPaymentSourceType"] or (None if contract or identifier or advertised else V1)
    for row in rows:
        source = row.wallet.source
        if source.network != network or contract not in (None, source.contract_address):
            continue
        if kind not in (None, source.source_type):
            continue
        told = row.body["supportedPaymentSources"] or []
        if advertised and not any(e["address"] == address or e["network"] in networks for e in told):
            continue
        if identifier is not None and (row.agent is None or row.agent.agent_identifier != identifier):
            continue
        if not ctx.key.wallet_scoped or ctx.key.can_admin or row.wallet.id in ctx.key.wallet_ids:
            yield row


def _selling_wallet(ctx: Context, vkey: str, network: str) -> Wallet:
    for wallet in ctx.world.wallets:
        if wallet.vkey == vkey and wallet.kind == "Selling" and wallet.source.network == network:
            return wallet
    raise Refusal(404, "Network and selling wallet combination not supported")


def _own(ctx: Context) -> Registration:
    network, wanted = ctx.need_network(), ctx.data["agentIdentifier"]
    contract = ctx.data["smartContractAddress"]
    for row in ctx.world.registrations:
        source = row.wallet.source
        served = source.network == network and contract in (None, source.contract_address)
        minted = row.agent is not None and row.agent.agent_identifier == wanted
        if served and minted and row.state in STATUS["Registered"]:
            return row
    raise Refusal(404, "Registration not found")


def _metadata(row: Registration) -> Json:
    """The body as on-chain metadata; 400 when price and contract do not go together."""
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
    if source.source_type == V1:
        if body["AgentPricing"] is None:
            raise Refusal(400, "AgentPricing is required for Web3CardanoV1 registrations")
        pricing = dict(body["AgentPricing"])
        if "Pricing" in pricing:
            prices = pricing.pop("Pricing")
            pricing["fixedPricing"] = [{**price, "unit": price["unit"] or "lovelace"} for price in prices]
        metadata["agentPricing"] = pricing
    else:
        if not body["supportedPaymentSources"]:
            raise Refusal(400, "supportedPaymentSources is required for Web3CardanoV2 registrations")
        metadata["supported_payment_sources"] = [_settled(e, source) for e in body["supportedPaymentSources"]]
    return metadata


def _settled(entry: Json, source: PaymentSource) -> Json:
    return {
        "chain": entry["chain"],
        "network": entry["network"],
        "settlement": {"paymentSourceType": entry["paymentSourceType"], "address": entry["address"]},
        "pricing": entry["pricing"],
    }


def _snake(values: Json) -> Json:
    names = {
        "contactEmail": "contact_email",
        "contactOther": "contact_other",
        "privacyPolicy": "privacy_policy",
    }
    return {names.get(name, name): value for name, value in values.items() if value is not None}


def _json(row: Registration) -> Json:
    body, agent = row.body, row.agent
    legal = body["Legal"] or {}
    return {
        "error": None,
        "id": row.id,
        "name": body["name"],
        "description": body["description"],
        "apiBaseUrl": body["apiBaseUrl"],
        "Capability": body["Capability"],
        "Author": body["Author"],
        "Legal": {name: legal.get(name) for name in ("privacyPolicy", "terms", "other")},
        "state": row.state,
        "Tags": body["Tags"],
        "createdAt": iso(row.created_ms),
        "updatedAt": iso(row.updated_ms),
        "lastCheckedAt": None,
        "ExampleOutputs": body["ExampleOutputs"],
        "agentIdentifier": agent.agent_identifier if agent else None,
        "AgentPricing": body["AgentPricing"],
        "sendFundingLovelace": None,
        "supportedPaymentSources": body["supportedPaymentSources"],
        "verifications": None,
        "SmartContractWallet": {"walletVkey": row.wallet.vkey, "walletAddress": row.wallet.address},
        "RecipientWallet": None,
        "CurrentTransaction": None,
    }
