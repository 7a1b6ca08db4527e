"""``POST /payment``: the seller makes a payment request (protocol N3)."""

from __future__ import annotations

import hashlib
from typing import Any

from ..chain import identifier
from ..chain.crypto import has_payment_key
from ..chain.objects import payment_json
from ..chain.rows import V1, Action, Agent, Funds, Payment, PaymentSource, Wallet
from ..registry import agents
from ..registry.agents import Pricing
from ..timetext import HOUR
from ..wire import Refusal
from . import schema as s
from .context import NETWORK, SOURCE_TYPE, Context, NodeCrash, is_hex
from .terms import (
    AMOUNTS,
    check_addresses,
    check_storable,
    check_times,
    fixed_funds,
    is_configured,
    positive_funds,
    select_source,
    signed_funds,
    terms,
)

LONG_AGO_MS = 12 * HOUR
"""The default of two times: noon of the first day of 1970, so that leaving them out is refused."""

SCHEMA = s.Schema(
    {
        "inputHash": s.text(most=250),
        "network": NETWORK,
        "agentIdentifier": s.text(57, 250),
        "paymentSourceType": SOURCE_TYPE,
        "supportedPaymentSourceIndex": s.whole(0, 24),
        "RequestedFunds": AMOUNTS,
        "payByTime": s.iso_time(default_ms=LONG_AGO_MS),
        "submitResultTime": s.iso_time(default_ms=LONG_AGO_MS),
        "unlockTime": s.iso_time(optional=True),
        "externalDisputeUnlockTime": s.iso_time(optional=True),
        "metadata": s.text(optional=True),
        "sellerReturnAddress": s.text(most=250, optional=True),
        "identifierFromPurchaser": s.text(14, 26),
    },
    refine=lambda data: check_addresses(data, "sellerReturnAddress"),
)


def create(ctx: Context) -> dict[str, Any]:
    """The new payment, signed by the selling wallet that holds the agent."""
    data, world = ctx.data, ctx.world
    network = ctx.need_network()
    agent_identifier: str = data["agentIdentifier"]
    source = ctx.source_by_policy(network, agent_identifier[:56])
    if source is None:
        raise Refusal(404, "Network and policyId combination not supported")
    if data["paymentSourceType"] not in (None, source.source_type):
        raise Refusal(400, "paymentSourceType does not match the agent registry source")
    if not is_hex(data["identifierFromPurchaser"]):
        raise Refusal(400, "Purchaser identifier is not a valid hex string")
    if not is_hex(data["inputHash"]):
        raise Refusal(400, "Input hash is not a valid hex string")
    submit = data["submitResultTime"]
    unlock = submit + 6 * HOUR if data["unlockTime"] is None else data["unlockTime"]
    dispute = data["externalDisputeUnlockTime"]
    dispute = submit + 12 * HOUR if dispute is None else dispute
    times = (data["payByTime"], submit, unlock, dispute)
    check_times(*times, world.now_ms())

    agent = world.agents.get(agent_identifier)
    if agent is None or agent.burnt:
        raise NodeCrash("Error fetching asset in wallet")
    if agent.holder_address is None:
        raise Refusal(404, "Agent identifier not found")
    metadata = _metadata(agent)
    pricing = _pricing(ctx, source, metadata)
    funds = _funds(pricing, data["RequestedFunds"])
    wallet = _selling_wallet(ctx, source, agent)
    seller_return = data["sellerReturnAddress"]
    seller_return = wallet.collection_address if seller_return is None else seller_return
    if source.source_type != V1:
        _need_key_address(seller_return)
    signed = signed_funds(data["RequestedFunds"]) if pricing.kind == "Dynamic" else None
    check_storable(funds, times)
    text = _sign(ctx, source, wallet, times, signed, seller_return)
    row = _row(ctx, source, wallet, text, metadata.name, pricing.kind, funds, times, seller_return)
    world.add_payment(row)
    world.jobs.offered(row)
    return payment_json(row)


def _metadata(agent: Agent) -> agents.Metadata:
    if agent.metadata is None:
        raise Refusal(404, "Agent registry metadata not found")
    metadata = agents.read(agent.metadata)
    if metadata is None:
        raise Refusal(404, "Agent registry metadata not valid")
    return metadata


def _pricing(ctx: Context, source: PaymentSource, metadata: agents.Metadata) -> Pricing:
    index: int | None = ctx.data["supportedPaymentSourceIndex"]
    if source.source_type == V1:
        if index is not None:
            message = "V1 Cardano payments must not set supportedPaymentSourceIndex; pricing comes from AgentPricing"
            raise Refusal(400, message)
        pricing = metadata.pricing
    else:
        if index is None:
            message = (
                "V2 Cardano payments require supportedPaymentSourceIndex to select a priced Cardano source"
            )
            raise Refusal(400, message)
        chosen = select_source(metadata, index, source.network)
        if not is_configured(chosen, source):
            raise Refusal(404, "Selected Cardano payment source is not configured on this node")
        pricing = chosen.pricing
    if pricing is None:
        raise Refusal(400, "Selected payment source does not advertise valid Cardano pricing")
    return pricing


def _funds(pricing: Pricing, requested: list[dict[str, str]] | None) -> Funds:
    if pricing.kind == "Free":
        raise Refusal(400, "Pricing type not supported for payments")
    if pricing.kind == "Fixed":
        if requested is not None:
            raise Refusal(400, "For fixed pricing, RequestedFunds must be null")
        return fixed_funds(pricing)
    if not requested:
        raise Refusal(400, "For dynamic pricing, RequestedFunds must be provided")
    return positive_funds(requested, "RequestedFunds amounts must be positive")


def _need_key_address(address: str | None) -> None:
    if address is not None and not has_payment_key(address):
        message = (
            "sellerReturnAddress must be a Cardano base or enterprise address with a payment key credential"
        )
        raise Refusal(400, message)


def _selling_wallet(ctx: Context, source: PaymentSource, agent: Agent) -> Wallet:
    for wallet in ctx.world.wallets:
        if wallet.source is source and wallet.kind == "Selling" and wallet.vkey == agent.seller_vkey:
            if ctx.key.wallet_scoped and not ctx.key.can_admin and wallet.id not in ctx.key.wallet_ids:
                raise Refusal(404, "Not found")
            return wallet
    raise Refusal(404, "Selling wallet not found")


def _sign(
    ctx: Context,
    source: PaymentSource,
    wallet: Wallet,
    times: tuple[int, int, int, int],
    requested: list[dict[str, str]] | None,
    seller_return: str | None,
) -> str:
    data = ctx.data
    first = source.source_type == V1
    seller_id = hashlib.sha256(ctx.world.new_id().encode()).hexdigest() + data["agentIdentifier"]
    pay, submit, unlock, dispute = map(str, times)
    content = terms(
        input_hash=data["inputHash"],
        agent_identifier=data["agentIdentifier"],
        purchaser_id=data["identifierFromPurchaser"],
        seller_id=seller_id,
        requested=requested,
        times=(pay, submit, unlock, dispute),
        seller_address=wallet.address,
        v2=None if first else (seller_return, source.contract_address, data["supportedPaymentSourceIndex"]),
    )
    signature, key = wallet.signer.sign(identifier.terms_digest(content), wallet.address)
    contract = None if first else source.contract_address
    return identifier.encode(
        identifier.Parts(seller_id, data["identifierFromPurchaser"], signature, key, contract)
    )


def _row(
    ctx: Context,
    source: PaymentSource,
    wallet: Wallet,
    text: str,
    agent_name: str,
    pricing_type: str,
    funds: Funds,
    times: tuple[int, int, int, int],
    seller_return: str | None,
) -> Payment:
    world, data, now = ctx.world, ctx.data, ctx.world.now_ms()
    return Payment(
        id=world.new_id(),
        created_ms=now,
        updated_ms=now,
        action_changed_ms=now,
        state_changed_ms=now,
        changed_ms=now,
        source=source,
        identifier=text,
        agent_identifier=data["agentIdentifier"],
        agent_name=agent_name,
        pricing_type=pricing_type,
        pay_by_ms=times[0],
        submit_result_ms=times[1],
        unlock_ms=times[2],
        dispute_ms=times[3],
        input_hash=data["inputHash"],
        result_hash="",
        funds=funds,
        requested_by=ctx.key.id,
        action=Action(world.new_id(), now, now, "WaitingForExternalAction"),
        wallet=wallet,
        other_wallet=None,
        metadata=data["metadata"],
        seller_return=seller_return,
        scoped=ctx.key.wallet_scoped,
    )
