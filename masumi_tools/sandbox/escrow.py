"""The world of the sandbox: its clock, its chain, and the rows of one payment node that serves buyers and sellers.

One thread at a time may touch a World; a server holds a lock around it. With a manual clock and a seed it is
deterministic.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from .clock import Clock
from .crypto import Signer
from .rows import (
    V1,
    V2,
    Agent,
    ApiKey,
    Payment,
    PaymentSource,
    Purchase,
    Registration,
    Row,
    Wallet,
)

Dialect = Literal["today", "seed"]

POLICY_V1 = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77"
POLICY_V2 = "67ab0c92c4ac1610895a1c965ee50aba41a8f1513b15240723b3bd0b"
CONTRACT_V1 = "addr_test1wz7j4kmg2cs7yf92uat3ed4a3u97kr7axxr4avaz0lhwdsqukgwfm"
CONTRACT_V2 = "addr_test1wzs4e6wc95hkwezlccjw9mdvq0r0rsgx6zk34avptga3ftgn37w4g"
TUSDM = "16a55b2a349361ff88c03788f93e1e966e5d689605d044fef722ddde0014df10745553444d"


class World:
    """A whole Masumi network in memory: ask it with ``node.answer(world, request)``.

    ``realistic`` gives the background jobs the node's own intervals (section 10); otherwise everything is seen
    within some 200 ms of the sandbox clock. ``dialect="seed"`` serves the older buyer routes. ``populate=False``
    leaves sources, wallets, keys and agents to the caller (the conformance replay loads its own).
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        seed: int | None = None,
        network: str = "Preprod",
        dialect: Dialect = "today",
        realistic: bool = False,
        production: bool = True,
        populate: bool = True,
    ) -> None:
        self.clock = clock or Clock()
        self.rng = random.Random(seed)
        self.network = network
        self.dialect: Dialect = dialect
        self.realistic = realistic
        self.production = production
        self.sources: list[PaymentSource] = []
        self.wallets: list[Wallet] = []
        self.keys: dict[str, ApiKey] = {}
        self.agents: dict[str, Agent] = {}
        self.registrations: list[Registration] = []
        self.payments: list[Payment] = []
        self.purchases: list[Purchase] = []
        self.registry: Any = None
        """State of the registry service, owned by registry.py."""
        self.token = ""
        self.seller_token = ""
        self.admin_token = ""
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._event_ms: int | None = None
        self._watchers: list[Callable[[Row], None]] = []
        if populate:
            self._populate()

    # ---- time -------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """The sandbox's time; inside an event the time at which that event was due."""
        return self.clock.now_ms() if self._event_ms is None else self._event_ms

    def at(self, due_ms: int, event: Callable[[], None]) -> None:
        """Run ``event`` when the clock reaches ``due_ms`` (by the next tick); ties run in the order of calls."""
        self._order += 1
        heapq.heappush(self._due, (due_ms, self._order, event))

    def next_due_ms(self) -> int | None:
        """When the next event is due, None when nothing is planned (a server may sleep until then)."""
        return self._due[0][0] if self._due else None

    def tick(self) -> None:
        """Run what is due, in order of time; costs next to nothing when nothing is."""
        due = self._due
        if not due or self._event_ms is not None:
            return
        now = self.clock.now_ms()
        try:
            while due and due[0][0] <= now:
                self._event_ms, _, event = heapq.heappop(due)
                event()
        finally:
            self._event_ms = None

    def advance(self, ms: int) -> None:
        """Move the clock and run all that falls due on the way, each at its own time."""
        self.clock.advance(ms)
        self.tick()

    def watch(self, watcher: Callable[[Row], None]) -> None:
        """Call ``watcher(row)`` after a payment or purchase changed its on-chain state or its next action."""
        self._watchers.append(watcher)

    def changed(self, row: Row) -> None:
        """Tell the watchers; called by the node and its jobs."""
        for watcher in self._watchers:
            watcher(row)

    # ---- things -----------------------------------------------------------------------------------------------

    def new_id(self, prefix: str = "cm") -> str:
        """A fresh object id in the style of the node's."""
        return prefix + f"{self.rng.getrandbits(115):023x}"[:23]

    def new_hash(self) -> str:
        """A fresh transaction hash."""
        return self.rng.randbytes(32).hex()

    def add_source(self, source_type: str, *, network: str | None = None) -> PaymentSource:
        first = source_type == V1
        source = PaymentSource(
            id=self.new_id(),
            network=network or self.network,
            source_type=source_type,
            policy_id=POLICY_V1 if first else POLICY_V2,
            contract_address=CONTRACT_V1 if first else CONTRACT_V2,
            fee_permille=50 if first else 0,
            cooldown_ms=420_000,
            created_ms=self.now_ms(),
        )
        self.sources.append(source)
        return source

    def add_wallet(self, source: PaymentSource, kind: Literal["Selling", "Purchasing"]) -> Wallet:
        """A new hot wallet with a throw-away key and no money."""
        signer = Signer(self.rng.randbytes(32))
        wallet = Wallet(
            self.new_id(), source, kind, signer.vkey, signer.address(source.network), signer, created_ms=self.now_ms()
        )
        self.wallets.append(wallet)
        return wallet

    def add_key(self, *, read: bool = True, pay: bool = False, admin: bool = False, **limits: Any) -> ApiKey:
        """A new API key; ``limits`` are further fields of rows.ApiKey."""
        key = ApiKey(
            self.new_id(),
            "masumi-payment-" + self.rng.randbytes(12).hex(),
            can_read=read or pay or admin,
            can_pay=pay or admin,
            can_admin=admin,
            created_ms=self.now_ms(),
            **limits,
        )
        self.keys[key.token] = key
        return key

    def source_of(self, source_type: str) -> PaymentSource:
        return next(s for s in self.sources if s.source_type == source_type)

    def register_agent(
        self,
        name: str,
        url: str,
        amounts: Mapping[str, int] | None = None,
        pricing_type: Literal["Fixed", "Free", "Dynamic"] = "Fixed",
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

        ``amounts`` maps unit to base units ("" is ADA) and is needed for Fixed only. Version 1 agents sell through
        the V1 contract, version 2 agents through V2 with one payment source, whose index is 0.
        """
        if (pricing_type == "Fixed") != bool(amounts):
            raise ValueError("Fixed pricing needs amounts, Free and Dynamic take none")
        source = wallet.source if wallet else self.source_of(V1 if metadata_version == 1 else V2)
        holder = wallet or next(w for w in self.wallets if w.source is source and w.kind == "Selling")
        metadata: dict[str, Any] = {
            "name": name,
            "description": description or f"{name} of the sandbox",
            "api_base_url": url,
            "author": {"name": author},
            "tags": list(tags),
            "image": "ipfs://sandbox",
            "metadata_version": metadata_version,
        }
        if capability:
            metadata["capability"] = {"name": capability[0], "version": capability[1]}
        if example_outputs:
            metadata["example_output"] = [dict(example) for example in example_outputs]
        prices = (amounts or {}).items()
        if metadata_version == 1:
            metadata["agentPricing"] = {"pricingType": pricing_type}
            if amounts:
                listed = [{"amount": str(amount), "unit": unit or "lovelace"} for unit, amount in prices]
                metadata["agentPricing"]["fixedPricing"] = listed
        else:
            pricing: dict[str, Any] = {"pricingType": pricing_type}
            if amounts:
                pricing["fixed"] = [{"asset": unit, "amount": str(amount)} for unit, amount in prices]
            settlement = {"paymentSourceType": V2, "address": source.contract_address}
            metadata["supported_payment_sources"] = [
                {"chain": "Cardano", "network": source.network, "settlement": settlement, "pricing": pricing}
            ]
        return self.mint(source, metadata, holder)

    def mint(self, source: PaymentSource, metadata: dict[str, Any], holder: Wallet) -> Agent:
        """Put an agent's NFT on the chain, held by ``holder``."""
        agent = Agent(
            agent_identifier=source.policy_id + self.rng.randbytes(32).hex(),
            source=source,
            metadata=metadata,
            holder_address=holder.address,
            seller_vkey=holder.vkey,
            name=str(metadata.get("name", "")),
            url=str(metadata.get("api_base_url", "")),
            wallet=holder,
            created_ms=self.now_ms(),
        )
        self.agents[agent.agent_identifier] = agent
        return agent

    def ledger(self) -> dict[str, Any]:
        """Payments, purchases (the node's field names, with their history) and what every wallet holds."""
        raise NotImplementedError

    def _populate(self) -> None:
        for source_type in (V1, V2):
            source = self.add_source(source_type)
            for kind in ("Purchasing", "Selling"):
                self.add_wallet(source, kind)  # type: ignore[arg-type]
        both = (self.network,)
        self.token = self.add_key(pay=True, networks=both).token
        self.seller_token = self.add_key(pay=True, networks=both).token
        self.admin_token = self.add_key(admin=True, networks=both).token
