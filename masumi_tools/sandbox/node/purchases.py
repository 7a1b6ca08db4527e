"""``POST /purchase``: the buyer orders the lock of an escrow (protocol N4)."""

from __future__ import annotations

from typing import Any

from ..chain import identifier
from ..chain.crypto import has_payment_key, key_hash_of, reads, verify
from ..chain.objects import purchase_json, raw_purchase_json
from ..chain.rows import V1, V2, Action, Agent, Funds, PaymentSource, Purchase
from ..chain.sums import as_sums
from ..registry import agents
from ..registry.agents import Pricing
from ..wire import Refusal
from . import schema as s
from .context import NETWORK, SOURCE_TYPE, Context, NodeCrash, is_hex
from .terms import (
    AMOUNTS,
    asked_funds,
    check_addresses,
    check_storable,
    check_times,
    fixed_funds,
    is_configured,
    number,
    positive_funds,
    select_source,
    signed_funds,
    summed,
    terms,
)

SCHEMA = s.Schema(
    {
        "blockchainIdentifier": s.text(most=8000),
        "network": NETWORK,
        "paymentSourceType": SOURCE_TYPE,
        "smartContractAddress": s.text(most=250, optional=True),
        "supportedPaymentSourceIndex": s.whole(0, 24),
        "inputHash": s.text(most=250),
        "sellerVkey": s.text(most=250),
        "agentIdentifier": s.text(57, 250),
        "Amounts": AMOUNTS,
        "unlockTime": s.text(),
        "externalDisputeUnlockTime": s.text(),
        "submitResultTime": s.text(),
        "payByTime": s.text(),
        "metadata": s.text(optional=True),
        "buyerReturnAddress": s.text(most=250, optional=True),
        "sellerReturnAddress": s.text(most=250, optional=True),
        "identifierFromPurchaser": s.text(14, 26),
    },
    refine=lambda data: check_addresses(data, "buyerReturnAddress", "sellerReturnAddress"),
)

Times = tuple[int, int, int, int]


def create(ctx: Context) -> dict[str, Any]:
    """The new purchase, queued; 409 with the stored row for a text that was bought before."""
    data, world = ctx.data, ctx.world
    network = ctx.need_network()
    stored = world.purchase(network, data["blockchainIdentifier"])
    if stored is not None:
        extra = {"id": stored.id, "object": raw_purchase_json(stored)}
        raise Refusal(409, "Purchase exists", extra=extra)

    parts = _decoded(data["blockchainIdentifier"])
    source_type = V1 if parts.contract is None else V2
    if data["paymentSourceType"] not in (None, source_type):
        raise Refusal(400, "Payment source type does not match the blockchain identifier")
    _check_shape(data, parts)
    if not is_hex(data["inputHash"]):
        raise Refusal(400, "Input hash is not a valid hex string")
    source = _source(ctx, network, parts)
    if not _can_pay(ctx, source):
        raise Refusal(404, "No valid purchasing wallets found")
    times = (
        number(data["payByTime"]),
        number(data["submitResultTime"]),
        number(data["unlockTime"]),
        number(data["externalDisputeUnlockTime"]),
    )
    check_times(*times, world.now_ms())

    agent, seller_address = _agent(ctx)
    if agent.metadata is None:
        raise Refusal(404, "Agent identifier not found")
    metadata = agents.read(agent.metadata)
    if metadata is None:
        raise Refusal(404, "Agent identifier metadata invalid or unsupported")
    pricing = _pricing(data, metadata, source)
    funds = _funds(pricing, data["Amounts"])
    _check_content(ctx, parts)
    seller_return = _seller_return(ctx, source, seller_address)
    _check_signature(data, parts, seller_address, times, pricing, seller_return)
    if source_type == V2:
        _check_keys(data["buyerReturnAddress"], seller_return, seller_address)
    check_storable(funds, times)
    _charge(ctx, funds)
    row = _row(ctx, source, metadata.name, pricing.kind, funds, times, seller_return)
    world.add_purchase(row)
    world.jobs.ordered(row)
    return purchase_json(row)


def _decoded(text: str) -> identifier.Parts:
    try:
        parts = identifier.decode(text)
    except ValueError as error:
        raise NodeCrash(str(error)) from None
    if parts is None:
        raise Refusal(400, "Invalid blockchain identifier, format invalid")
    return parts


def _check_shape(data: dict[str, Any], parts: identifier.Parts) -> None:
    if parts.contract is None:
        if data["supportedPaymentSourceIndex"] is not None:
            message = "V1 Cardano purchases must not set supportedPaymentSourceIndex; pricing comes from AgentPricing"
            raise Refusal(400, message)
    elif (data["smartContractAddress"] or parts.contract) != parts.contract:
        raise Refusal(400, "Invalid blockchain identifier, smartContractAddress mismatch")


def _source(ctx: Context, network: str, parts: identifier.Parts) -> PaymentSource:
    if parts.contract is None:
        found = ctx.source_by_policy(network, ctx.data["agentIdentifier"][:56])
        if found is None or found.source_type != V1:
            raise Refusal(404, "No payment source found for agent identifiers policy id")
        return found
    for source in ctx.world.sources:
        served = source.network == network and source.contract_address == parts.contract
        if served and source.source_type == V2 and source.policy_id == ctx.data["agentIdentifier"][:56]:
            return source
    raise Refusal(404, "No configured V2 payment source found for smartContractAddress")


def _can_pay(ctx: Context, source: PaymentSource) -> bool:
    """Whether anybody could pay; whether this key may use the wallet only the batch asks."""
    return any(wallet.source is source and wallet.kind == "Purchasing" for wallet in ctx.world.wallets)


def _agent(ctx: Context) -> tuple[Agent, str]:
    """The agent on chain and the address that holds it; the seller's key must be the holder's."""
    agent = ctx.world.agents.get(ctx.data["agentIdentifier"])
    if agent is None or agent.burnt:
        raise NodeCrash("The requested component has not been found.")
    if agent.holder_address is None:
        raise Refusal(404, "Agent identifier not found")
    if agent.seller_vkey != ctx.data["sellerVkey"]:
        raise Refusal(400, "Invalid seller vkey")
    return agent, agent.holder_address


def _pricing(data: dict[str, Any], metadata: agents.Metadata, source: PaymentSource) -> Pricing:
    if source.source_type == V1:
        pricing = metadata.pricing
    else:
        index: int | None = data["supportedPaymentSourceIndex"]
        if index is None:
            # Identifiers from before priced sources carry no index.
            chosen = next((entry for entry in metadata.sources if entry.chain == "Cardano"), None)
        else:
            chosen = select_source(metadata, index, source.network)
            if not is_configured(chosen, source):
                message = "Selected Cardano payment source settlement does not match the signed smartContractAddress"
                raise Refusal(400, message)
        pricing = chosen.pricing if chosen else metadata.pricing
    if pricing is None:
        raise Refusal(400, "Agent metadata does not advertise any pricing")
    if pricing.kind == "Free":
        raise Refusal(400, "Agent identifier pricing type not supported")
    return pricing


def _funds(pricing: Pricing, amounts: list[dict[str, str]] | None) -> Funds:
    if pricing.kind == "Fixed":
        price = summed(fixed_funds(pricing))
        if amounts is not None and sorted(summed(asked_funds(amounts))) != sorted(price):
            raise Refusal(400, "Provided Amounts do not match the fixed pricing of the agent")
        return price
    if not amounts:
        raise Refusal(400, "For dynamic pricing, Amounts must be provided")
    return summed(positive_funds(amounts, "Amounts must be positive"))


def _check_content(ctx: Context, parts: identifier.Parts) -> None:
    data, wrong = ctx.data, "Invalid blockchain identifier, "
    if parts.purchaser_id != data["identifierFromPurchaser"]:
        raise Refusal(400, wrong + "purchaser id mismatch")
    if parts.agent_identifier != data["agentIdentifier"]:
        raise Refusal(400, wrong + "agent identifier mismatch")
    found = key_hash_of(parts.key)
    if found is None:
        raise NodeCrash("The key of the blockchain identifier does not read")
    if ctx.world.aliases.get(found, found) != data["sellerVkey"]:
        raise Refusal(400, wrong + "key does not match")


def _seller_return(ctx: Context, source: PaymentSource, seller_address: str) -> str | None:
    """The seller's return address: as told, else the collection address when the seller's wallet is here too."""
    told: str | None = ctx.data["sellerReturnAddress"]
    if told is not None:
        return told
    for wallet in ctx.world.wallets:
        same = wallet.vkey == ctx.data["sellerVkey"] and wallet.address == seller_address
        if same and wallet.source is source and wallet.kind == "Selling":
            return wallet.collection_address
    return None


def _check_signature(
    data: dict[str, Any],
    parts: identifier.Parts,
    seller_address: str,
    times: Times,
    pricing: Pricing,
    seller_return: str | None,
) -> None:
    """Only pay-by and submit-result are signed as the text that was sent, the other two as numbers (22.3)."""
    v2 = None
    if parts.contract is not None:
        v2 = (seller_return, parts.contract, data["supportedPaymentSourceIndex"])
    content = terms(
        input_hash=data["inputHash"],
        agent_identifier=data["agentIdentifier"],
        purchaser_id=data["identifierFromPurchaser"],
        seller_id=parts.seller_id,
        requested=signed_funds(data["Amounts"]) if pricing.kind == "Dynamic" else None,
        times=(data["payByTime"], data["submitResultTime"], str(times[2]), str(times[3])),
        seller_address=seller_address,
        v2=v2,
    )
    if not reads(parts.signature):
        raise NodeCrash("The signature of the blockchain identifier does not read")
    if not verify(parts.signature, parts.key, identifier.terms_digest(content), seller_address):
        raise Refusal(400, "Invalid blockchain identifier, signature invalid")


def _check_keys(buyer_return: str | None, seller_return: str | None, seller_address: str) -> None:
    named = {
        "buyerReturnAddress": buyer_return,
        "sellerReturnAddress": seller_return,
        "seller address": seller_address,
    }
    for name, address in named.items():
        if address is not None and not has_payment_key(address):
            message = f"{name} must be a Cardano base or enterprise address with a payment key credential"
            raise Refusal(400, message)


def _charge(ctx: Context, funds: Funds) -> None:
    """Take the price from a usage-limited key. The real node takes all that is left, and so does this (fact 9)."""
    if not ctx.key.usage_limited or ctx.key.can_admin:
        return
    left = as_sums(ctx.key.credits)
    if any(left[unit] < amount for unit, amount in as_sums(funds).items()):
        raise Refusal(400, "Insufficient funds")
    ctx.key.credits = []


def _row(
    ctx: Context,
    source: PaymentSource,
    agent_name: str,
    pricing_type: str,
    funds: Funds,
    times: Times,
    seller_return: str | None,
) -> Purchase:
    world, data, now = ctx.world, ctx.data, ctx.world.now_ms()
    vkey: str = data["sellerVkey"]
    return Purchase(
        id=world.new_id(),
        created_ms=now,
        updated_ms=now,
        action_changed_ms=now,
        state_changed_ms=now,
        changed_ms=now,
        source=source,
        identifier=data["blockchainIdentifier"],
        agent_identifier=data["agentIdentifier"],
        agent_name=agent_name,
        pricing_type=pricing_type,
        pay_by_ms=times[0],
        submit_result_ms=times[1],
        unlock_ms=times[2],
        dispute_ms=times[3],
        input_hash=data["inputHash"],
        result_hash=None,
        funds=funds,
        requested_by=ctx.key.id,
        action=Action(world.new_id(), now, now, "FundsLockingRequested"),
        wallet=None,
        other_wallet=(world.base_id(source, vkey), vkey),
        metadata=data["metadata"],
        buyer_return=data["buyerReturnAddress"],
        seller_return=seller_return,
        scoped=ctx.key.wallet_scoped and not ctx.key.can_admin,
    )
