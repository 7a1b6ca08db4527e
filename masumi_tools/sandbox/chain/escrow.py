"""The world of the sandbox: its clock, its chain, and the rows of one node that serves buyers and sellers.

One thread at a time may touch a World; a server holds a lock around it. With a manual clock and a seed it is
deterministic.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ..clock import Clock
from ..registry import agents
from .book import Book
from .crypto import Signer
from .jobs import Jobs
from .network import ADMINS, CONTRACTS, COOLDOWN_MS, FEE_RECEIVERS, FEES_PERMILLE, NETWORK, POLICIES, TUSDM
from .objects import funds_json, payment_json, purchase_json
from .rows import (
    V1,
    V2,
    Agent,
    ApiKey,
    Funds,
    PaymentSource,
    Registration,
    Wallet,
)

__all__ = ["POLICY_V1", "POLICY_V2", "TUSDM", "Dialect", "World"]

Dialect = Literal["today", "seed"]
WalletKind = Literal["Selling", "Purchasing"]

POLICY_V1 = POLICIES[V1]
POLICY_V2 = POLICIES[V2]
FIRST_FUNDS: Funds = [(100_000_000_000, ""), (100_000_000_000, TUSDM)]
"""What each hot wallet of a populated world starts with: 100,000 ADA and 100,000 tUSDM."""


class World(Book):
    """A whole Masumi network in memory: ask it with ``node.answer(world, request)``.

    ``realistic`` gives the background jobs the node's own intervals (protocol N10); otherwise everything is
    seen within some 200 ms of the sandbox clock. ``dialect="seed"`` serves the older buyer routes.
    ``production=False`` shows the reason of a 500. ``populate=False`` leaves sources, wallets, keys and
    agents to the caller, ``jobs=False`` leaves rows as the API made them (a replay sets both).
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        seed: int | None = None,
        dialect: Dialect = "today",
        realistic: bool = False,
        production: bool = True,
        populate: bool = True,
        jobs: bool = True,
    ) -> None:
        super().__init__(clock or Clock(), random.Random(seed))
        self.network = NETWORK
        self.dialect: Dialect = dialect
        self.realistic = realistic
        self.production = production
        self.rails: list[dict[str, Any]] | None = None
        """What GET /rail-readiness answers; None for a node that has no such route yet."""
        self.jobs = Jobs(self, realistic=realistic, running=jobs)
        self.agents: dict[str, Agent] = {}
        self.registrations: list[Registration] = []
        self.aliases: dict[str, str] = {}
        """Key hash of a throw-away key -> key hash it stands for (wallets whose real key nobody has)."""
        self.rates: dict[tuple[str, str], tuple[int, int]] = {}
        """Rate-limited routes: (key id, route) -> (start of the window in ms, calls in it)."""
        self.registry: Any = None
        """State of the registry service, owned by registry.py."""
        self.token = self.seller_token = self.admin_token = ""
        if populate:
            self._populate()

    # Things

    def add_source(self, source_type: str) -> PaymentSource:
        source = PaymentSource(
            id=self.new_id(),
            network=self.network,
            source_type=source_type,
            policy_id=POLICIES[source_type],
            contract_address=CONTRACTS[source_type],
            fee_permille=FEES_PERMILLE[source_type],
            cooldown_ms=COOLDOWN_MS,
            created_ms=self.now_ms(),
            fee_address=FEE_RECEIVERS[source_type],
            admin_addresses=ADMINS,
        )
        self.sources.append(source)
        return source

    def source_of(self, source_type: str) -> PaymentSource:
        return next(s for s in self.sources if s.source_type == source_type)

    def add_wallet(self, source: PaymentSource, kind: WalletKind, funds: Funds | None = None) -> Wallet:
        """A new hot wallet with a throw-away key, holding ``funds``."""
        signer = Signer(self.rng.randbytes(32))
        address = signer.address(source.network)
        wallet = Wallet(self.new_id(), source, kind, signer.vkey, address, signer, created_ms=self.now_ms())
        self.wallets.append(wallet)
        self.chain.mint(address, funds or [])
        return wallet

    def add_key(self, *, read: bool = True, pay: bool = False, admin: bool = False, **more: Any) -> ApiKey:
        """A new API key; ``more`` are further fields of rows.ApiKey."""
        token = "masumi-payment-" + ("admin-" if admin else "") + self.rng.randbytes(12).hex()
        fields: dict[str, Any] = {"token": token, "created_ms": self.now_ms()} | more
        key = ApiKey(
            self.new_id(), can_read=read or pay or admin, can_pay=pay or admin, can_admin=admin, **fields
        )
        self.keys[key.token] = key
        return key

    def register_agent(
        self,
        name: str,
        url: str,
        amounts: Mapping[str, int] | None = None,
        pricing_type: agents.PricingType = "Fixed",
        metadata_version: Literal[1, 2] = 1,
        *,
        description: str | None = None,
        tags: Sequence[str] = ("sandbox",),
        capability: tuple[str, str] | None = None,
        author: str = "Sandbox",
        example_outputs: Sequence[Mapping[str, str]] = (),
        wallet: Wallet | None = None,
    ) -> Agent:
        """An agent minted at once, held by a selling wallet of this node.

        ``amounts`` maps unit to base units ("" is ADA) and is needed for Fixed only. Version 1 agents sell
        through the V1 contract, version 2 agents through V2 with one payment source, whose index is 0.
        """
        source = wallet.source if wallet else self.source_of(V1 if metadata_version == 1 else V2)
        holder = wallet or next(w for w in self.wallets if w.source is source and w.kind == "Selling")
        metadata = agents.describe(
            source,
            name=name,
            description=description or f"{name} of the sandbox",
            url=url,
            author=author,
            tags=tags,
            capability=capability,
            example_outputs=example_outputs,
            pricing_type=pricing_type,
            amounts=amounts,
        )
        return self.mint(source, metadata, holder)

    def mint(
        self, source: PaymentSource, metadata: dict[str, Any], holder: Wallet, *, asset: str | None = None
    ) -> Agent:
        """Put an agent's NFT on the chain, held by ``holder``; ``asset`` names the next version of an old one."""
        fresh = self.rng.randbytes(32).hex()
        if source.source_type == V2:
            fresh = f"10{fresh[2:58]}000000"  # a mark, a root, and a version that an update counts up
        agent = Agent(
            agent_identifier=source.policy_id + (asset or fresh),
            source=source,
            metadata=metadata,
            holder_address=holder.address,
            seller_vkey=holder.vkey,
            name=agents.joined(metadata.get("name")) or "",
            url=agents.joined(metadata.get("api_base_url")) or "",
            wallet=holder,
            created_ms=self.now_ms(),
        )
        self.agents[agent.agent_identifier] = agent
        return agent

    def _wallet_json(self, wallet: Wallet) -> dict[str, Any]:
        return {
            "id": wallet.id,
            "type": wallet.kind,
            "paymentSourceType": wallet.source.source_type,
            "walletVkey": wallet.vkey,
            "walletAddress": wallet.address,
            "Balance": _balance(self.chain.balance(wallet.address)),
        }

    def ledger(self) -> dict[str, Any]:
        """Payments and purchases with their history, and where the money is, in the node's field names."""
        chain = self.chain
        return {
            "payments": [payment_json(row, history=True) for row in self.payments],
            "purchases": [purchase_json(row, history=True) for row in self.purchases],
            "wallets": {wallet.vkey: self._wallet_json(wallet) for wallet in self.wallets},
            "addresses": {address: _balance(held) for address, held in chain.balances.items()},
            "escrowed": _balance(chain.escrowed),
            "fees": str(chain.fees),
            "minted": _balance(chain.minted),
        }

    def _populate(self) -> None:
        for source_type in (V1, V2):
            source = self.add_source(source_type)
            self.add_wallet(source, "Purchasing", FIRST_FUNDS)
            self.add_wallet(source, "Selling", FIRST_FUNDS)
        self.token = self.add_key(pay=True).token
        self.seller_token = self.add_key(pay=True).token
        self.admin_token = self.add_key(admin=True).token


def _balance(held: Mapping[str, int]) -> list[dict[str, Any]]:
    return funds_json([(amount, unit) for unit, amount in sorted(held.items()) if amount])
