"""Registry routes of the node: metadata from the chain, and agents registered here (protocol N13)."""

from __future__ import annotations

from collections.abc import Iterable

from ..chain.objects import Json, source_json
from ..chain.rows import V1, Registration, Wallet
from ..registry import agents
from ..timetext import iso
from ..wire import Refusal
from . import schema as s
from .context import NETWORK, SOURCE_TYPE, Context, is_hex

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
    if metadata.version == 1 and agents.priced(metadata) is None:
        raise Refusal(422, "Agent metadata does not advertise any pricing")
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
    return {"Assets": [registration_json(row) for row in found[: data["limit"]]]}


def diff(ctx: Context) -> Json:
    """Registrations whose state changed since ``lastUpdate``, oldest change first."""
    since, cursor = ctx.data["lastUpdate"], ctx.data["cursorId"] or None
    found = [
        row
        for row in _chosen(ctx, ctx.world.registrations, None)
        if row.updated_ms > since or (row.updated_ms == since and (cursor is None or row.id >= cursor))
    ]
    found.sort(key=lambda row: (row.updated_ms, row.id))
    return {"Assets": [registration_json(row) for row in found[: ctx.data["limit"]]]}


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


def registration_json(row: Registration) -> Json:
    """A registration as every route of the node shows it."""
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
        "sendFundingLovelace": body["sendFundingLovelace"],
        "supportedPaymentSources": body["supportedPaymentSources"],
        "verifications": body["verifications"],
        "SmartContractWallet": _wallet_json(row.wallet),
        "RecipientWallet": _wallet_json(row.recipient) if row.recipient else None,
        "CurrentTransaction": None,
    }


def _wallet_json(wallet: Wallet) -> Json:
    return {"walletVkey": wallet.vkey, "walletAddress": wallet.address}
