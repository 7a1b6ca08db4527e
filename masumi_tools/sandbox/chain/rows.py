"""The rows that the simulated node keeps: sources, wallets, keys, agents, payments, purchases, history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from .crypto import Signer

V1 = "Web3CardanoV1"
V2 = "Web3CardanoV2"

Funds = list[tuple[int, str]]
"""Amounts in order: base units and unit, ADA is ``""`` (protocol N12)."""


@dataclass(slots=True)
class PaymentSource:
    """One escrow contract that the node serves."""

    id: str
    network: str
    source_type: str
    policy_id: str
    contract_address: str
    fee_permille: int
    cooldown_ms: int
    created_ms: int
    fee_address: str | None = None
    admin_addresses: tuple[str, ...] = ()


@dataclass(slots=True)
class Wallet:
    """A hot wallet of the node. ``signer`` holds the throw-away key that signs for ``vkey``."""

    id: str
    source: PaymentSource
    kind: Literal["Selling", "Purchasing"]
    vkey: str
    address: str
    signer: Signer
    collection_address: str | None = None
    created_ms: int = 0


@dataclass(slots=True)
class ApiKey:
    """An API key of the node; limits as protocol N1 says."""

    id: str
    token: str
    can_read: bool = True
    can_pay: bool = False
    can_admin: bool = False
    usage_limited: bool = False
    networks: tuple[str, ...] = ("Preprod",)
    chains: tuple[str, ...] = ()
    credits: Funds = field(default_factory=list)
    active: bool = True
    wallet_scoped: bool = False
    wallet_ids: tuple[str, ...] = ()
    created_ms: int = 0


@dataclass(slots=True)
class Agent:
    """An agent's NFT as the chain shows it. ``metadata`` is the on-chain JSON, None when there is none."""

    agent_identifier: str
    source: PaymentSource
    metadata: dict[str, Any] | None
    holder_address: str | None
    seller_vkey: str | None
    name: str = ""
    url: str = ""
    wallet: Wallet | None = None
    created_ms: int = 0
    burnt: bool = False


@dataclass(slots=True)
class Registration:
    """A row of ``GET /registry``: an agent that was registered through this node."""

    id: str
    created_ms: int
    updated_ms: int
    state: str
    body: dict[str, Any]
    wallet: Wallet
    agent: Agent | None = None
    requested_by: str = ""
    recipient: Wallet | None = None


@dataclass(slots=True)
class Action:
    """One NextAction of a row, the present one or one of its ActionHistory."""

    id: str
    created_ms: int
    updated_ms: int
    requested: str
    error_type: str | None = None
    error_note: str | None = None
    result_hash: str | None = None
    tx_hash: str | None = None


@dataclass(slots=True)
class Transaction:
    """One chain transaction as the node tells of it."""

    id: str
    created_ms: int
    updated_ms: int
    status: str
    hash: str | None = None
    fees: int | None = None
    block_height: int | None = None
    block_time_s: int | None = None
    old_state: str | None = None
    new_state: str | None = None
    confirmations: int | None = None


@dataclass(slots=True)
class Escrow:
    """One locked output of the contract; ``identifier`` is canonical, as the datum gives it back."""

    identifier: str
    funds: Funds
    collateral: int
    buyer_wallet: Wallet
    buyer_address: str
    seller_address: str | None
    state: str = "FundsLocked"
    busy: bool = False
    purchase: Purchase | None = None
    payment: Payment | None = None


@dataclass(slots=True)
class Row:
    """What payments and purchases have in common. Times and cooldowns in unix ms, fees in lovelace."""

    id: str
    created_ms: int
    source: PaymentSource
    identifier: str
    agent_identifier: str
    agent_name: str | None
    pricing_type: str
    pay_by_ms: int
    submit_result_ms: int
    unlock_ms: int
    dispute_ms: int
    input_hash: str
    result_hash: str | None
    funds: Funds
    requested_by: str
    action: Action
    wallet: Wallet | None
    other_wallet: tuple[str, str] | None
    metadata: str | None = None
    buyer_return: str | None = None
    seller_return: str | None = None
    scoped: bool = False
    on_chain: str | None = None
    action_history: list[Action] = field(default_factory=list)
    tx: Transaction | None = None
    tx_history: list[Transaction] = field(default_factory=list)
    withdrawn_seller: Funds = field(default_factory=list)
    withdrawn_buyer: Funds = field(default_factory=list)
    collateral: int | None = None
    buyer_cooldown_ms: int = 0
    seller_cooldown_ms: int = 0
    buyer_fees: int = 0
    seller_fees: int = 0
    updated_ms: int = 0
    action_changed_ms: int = 0
    state_changed_ms: int = 0
    changed_ms: int = 0
    escrow: Escrow | None = None


class Payment(Row):
    """The seller's side: ``wallet`` is the selling wallet, ``other_wallet`` the buyer's (id, vkey) once seen."""

    __slots__ = ()


class Purchase(Row):
    """The buyer's side: ``wallet`` is the purchasing wallet once picked, ``other_wallet`` the seller's."""

    __slots__ = ()
