"""A world that holds a corpus' fixtures: its sources, wallets, agents, keys and registry entries."""

from __future__ import annotations

import copy
from collections.abc import Container
from typing import Any

from masumi_tools.sandbox.chain.changes import set_action, set_state, set_transaction
from masumi_tools.sandbox.chain.crypto import Signer
from masumi_tools.sandbox.chain.escrow import World
from masumi_tools.sandbox.chain.network import ADMINS, FEE_RECEIVERS
from masumi_tools.sandbox.chain.rows import Agent, ApiKey, Payment, PaymentSource, Row, Transaction, Wallet
from masumi_tools.sandbox.clock import Clock
from masumi_tools.sandbox.registry import routes

FORCED_FEES = 331_245
FORCED_BLOCK = 4_211_987


def token_of(label: str) -> str:
    """The token that stands for ``<token:label>`` in the replay."""
    return f"masumi-payment-{label}"


def build(fixtures: dict[str, Any], now_ms: int, later: Container[str] = ()) -> World:
    """The world at ``now_ms``, standing still: no jobs run, rows stay as the API or a setup left them.

    ``later`` are labels of keys that a setup makes: they are not there from the start.
    """
    world = World(clock=Clock("manual", now_ms=now_ms), seed=1, populate=False, jobs=False)
    for entry in fixtures["payment_sources"]:
        world.sources.append(_source(entry, now_ms))
    by_id = {source.id: source for source in world.sources}
    for entry in fixtures["wallets"]:
        world.wallets.append(_wallet(world, entry, by_id[entry["paymentSourceId"]]))
    for entry in fixtures["agents"].values():
        source = next(s for s in world.sources if s.policy_id == entry["policyId"])
        world.agents[entry["agentIdentifier"]] = Agent(
            agent_identifier=entry["agentIdentifier"],
            source=source,
            metadata=entry["onchain_metadata"],
            holder_address=entry["holderAddress"],
            seller_vkey=entry["holderVkey"],
        )
    for label, entry in fixtures["keys"]["payment-node"].items():
        if label not in later:
            add_key(world, label, entry)
    world.registry = _registry(fixtures)
    return world


def add_key(world: World, label: str, entry: dict[str, Any]) -> None:
    """The key of a fixture, with the id it had in the recording."""
    key = _key(label, entry)
    world.keys[key.token] = key


def force_state(world: World, row: Row, op: dict[str, Any]) -> None:
    """What the chain sync does to a row, by hand (the ``force_state`` of a corpus' setup)."""
    source_wallets = [w for w in world.wallets if w.source is row.source]
    if op["wallet"] != "unchanged":
        kind = "Selling" if isinstance(row, Payment) else "Purchasing"
        row.wallet = next(w for w in source_wallets if w.kind == kind)
    if isinstance(row, Payment) and op["onChainState"] is not None:
        buyer = next(w for w in source_wallets if w.kind == "Purchasing")
        row.other_wallet = (world.base_id(row.source, buyer.vkey), buyer.vkey)
    tx = op["transaction"]
    if tx != "unchanged":
        set_transaction(world, row, _transaction(world, row, tx, op["onChainState"]))
    result = op.get("resultHash", row.result_hash)
    if op["onChainState"] != row.on_chain or result != row.result_hash:
        set_state(world, row, op["onChainState"], result)
    if op["requestedAction"] is not None:
        error = (op["errorType"], op["errorNote"]) if op["errorType"] else None
        set_action(world, row, op["requestedAction"], error=error, result_hash=op.get("action_resultHash"))
    cooldown = op.get("cooldown", {})
    row.buyer_cooldown_ms = int(cooldown.get("buyerCoolDownTime", row.buyer_cooldown_ms))
    row.seller_cooldown_ms = int(cooldown.get("sellerCoolDownTime", row.seller_cooldown_ms))


def _transaction(world: World, row: Row, tx: dict[str, Any], state: str | None) -> Transaction:
    now = world.now_ms()
    made = Transaction(world.new_id(), now, now, tx["status"])
    made.hash = world.new_hash() if tx.get("has_hash") else None
    if tx["status"] == "Confirmed":
        made.fees, made.block_height, made.block_time_s = FORCED_FEES, FORCED_BLOCK, now // 1000
        made.old_state, made.new_state, made.confirmations = row.on_chain, state, 3
    return made


def _source(entry: dict[str, Any], now_ms: int) -> PaymentSource:
    return PaymentSource(
        id=entry["id"],
        network=entry["network"],
        source_type=entry["paymentSourceType"],
        policy_id=entry["policyId"],
        contract_address=entry["smartContractAddress"],
        fee_permille=entry["feeRatePermille"],
        cooldown_ms=entry["cooldownTime_ms"],
        created_ms=now_ms,
        fee_address=FEE_RECEIVERS[entry["paymentSourceType"]],
        admin_addresses=ADMINS,
    )


def _wallet(world: World, entry: dict[str, Any], source: PaymentSource) -> Wallet:
    """Nobody has the fixture wallets' real keys: a throw-away key signs, and the world takes it for theirs."""
    signer = Signer(world.rng.randbytes(32))
    world.aliases[signer.vkey] = entry["walletVkey"]
    return Wallet(
        id=entry["id"],
        source=source,
        kind=entry["type"],
        vkey=entry["walletVkey"],
        address=entry["walletAddress"],
        signer=signer,
        collection_address=entry["collectionAddress"],
    )


def _key(label: str, entry: dict[str, Any]) -> ApiKey:
    return ApiKey(
        id=entry["id"],
        token=token_of(label),
        can_read=entry["canRead"],
        can_pay=entry["canPay"],
        can_admin=entry["canAdmin"],
        usage_limited=entry["usageLimited"],
        networks=tuple(entry["NetworkLimit"]),
        chains=tuple(entry["ChainIdLimit"]),
        credits=[(int(credit["amount"]), credit["unit"]) for credit in entry["RemainingUsageCredits"]],
        active=entry["status"] == "Active",
        wallet_scoped=entry["walletScopeEnabled"],
        wallet_ids=tuple(scope["hotWalletId"] for scope in entry["WalletScopes"]),
    )


def _registry(fixtures: dict[str, Any]) -> routes.RegistryState:
    entries = copy.deepcopy(fixtures["registry_entries"])
    keys = {
        token_of(label): routes.RegistryKey(
            id=f"registry-{label}",
            permission=entry["permission"],
            usage_limited=entry.get("usageLimited", False),
            max_usage_credits=entry.get("maxUsageCredits"),
            status=entry["status"],
        )
        for label, entry in fixtures["keys"]["registry"].items()
    }
    return routes.RegistryState(entries=entries, keys=keys, follow_chain=False)
