"""The world of one history: node, registry, chain and sellers, and what comes of a request to any of them."""

from __future__ import annotations

import json
from dataclasses import replace
from email.utils import formatdate
from typing import Any

from masumi_tools.calls.call import Call
from masumi_tools.sandbox import node
from masumi_tools.sandbox.chain.changes import set_action
from masumi_tools.sandbox.chain.escrow import FIRST_FUNDS, World
from masumi_tools.sandbox.chain.jobs import WAITING
from masumi_tools.sandbox.chain.moves import FINAL
from masumi_tools.sandbox.chain.rows import V1, V2, Agent, Purchase
from masumi_tools.sandbox.clock import Clock
from masumi_tools.sandbox.registry import routes
from masumi_tools.sandbox.registry.listings import fixed_pricing
from masumi_tools.sandbox.sellers.mip003 import Job
from masumi_tools.sandbox.wire import Response, reply
from tests.worlds.more import TODAYS, of_an_older_replica
from tests.worlds.plan import Plan, Seller
from tests.worlds.vendors import Vendor
from tests.worlds.wire import NODE, place, request_of

KEYLESS_MS = 6 * 60_000
POOR = [(12_000_000, "")]


class Stage:
    """Everything on the other side of the buyers' requests, with a clock that only the scheduler moves."""

    def __init__(self, plan: Plan) -> None:
        clock = Clock("manual", now_ms=plan.start_ms)
        self.world = World(
            clock=clock,
            seed=plan.seed,
            dialect=plan.dialect,
            realistic=plan.realistic,
            populate=False,
        )
        self.plan = plan
        # "elsewhere": another node answers; "restored": the node has forgotten `forgotten`; "network": buyers
        # have settings of another network.
        self.away = ""
        self.shut_until_ms = 0
        self.keyless_from_ms: int | None = None
        self.forgotten: frozenset[str] = frozenset()
        self.poisoned: dict[str, str] = {}
        self._populate(plan)
        self.vendors: list[Vendor] = []
        self._by_host: dict[str, Vendor] = {}
        for number, seller in enumerate(plan.sellers):
            self._open(number, seller)
        self.world.chain.lose = plan.chaos.lost_tx

    def _populate(self, plan: Plan) -> None:
        world = self.world
        for source_type in (V1, V2):
            source = world.add_source(source_type)
            buying = world.add_wallet(source, "Purchasing", POOR if plan.poor else FIRST_FUNDS)
            world.add_wallet(source, "Selling", FIRST_FUNDS)
            if plan.scoped_key:
                world.add_wallet(source, "Purchasing", FIRST_FUNDS)
            self.wallets = [*getattr(self, "wallets", []), buying]
        scope: dict[str, Any] = {}
        if plan.scoped_key:
            scope = {"wallet_scoped": True, "wallet_ids": tuple(wallet.id for wallet in self.wallets)}
        world.token = world.add_key(pay=True, **scope).token
        world.seller_token = world.add_key(pay=True).token
        world.admin_token = world.add_key(admin=True).token
        self.token = world.token
        self.funds_before = {
            wallet.address: dict(world.chain.balance(wallet.address)) for wallet in self.wallets
        }

    def _open(self, number: int, seller: Seller) -> None:
        world, temper = self.world, seller.temper
        name = f"{temper.name}-{number}"
        url = f"https://{name}.example.com"
        amounts = dict(seller.price) if temper.pricing == "Fixed" else None
        agent = world.register_agent(name, url, amounts, temper.pricing, seller.version)
        decoy = None
        if temper.offer == "agent":
            decoy = world.register_agent(
                f"decoy-{number}", f"{url}/decoy", {"": 9_000_000}, "Fixed", seller.version
            )
        state = routes.state_of(world)
        routes.follow_chain(world, state)
        if temper.offer == "drifts":
            _raise_price(agent)
        if temper.offer == "greedy" and (entry := state.entry(agent.agent_identifier)) is not None:
            entry["AgentPricing"] = fixed_pricing([(str(amount), unit) for unit, amount in seller.price])
        vendor = Vendor(world, temper, agent, seller.deadlines, seller.work_ms, decoy, self.poisoned)
        self.vendors.append(vendor)
        self._by_host[f"{name}.example.com"] = vendor

    # Time ----------------------------------------------------------------------------------------

    def now(self) -> int:
        return self.world.clock.now_ms()

    def calm(self) -> None:
        """Nobody changes anything at the node any more."""
        self.shut_until_ms = 0

    def move_to(self, at_ms: int) -> None:
        """Let the world live until then."""
        self.world.clock.move_to(at_ms)
        self.world.tick()

    # Exchanges -----------------------------------------------------------------------------------

    def serve(self, call: Call, token: str) -> Response:
        """What the one who is asked answers; the request has its effect now."""
        host, _, _ = place(call.url)
        request = request_of(call, token)
        with self.world.moment():
            if host == "node.test":
                turned_away = self._of_another_node(call) or self._turned_away(call)
                return self._dated(turned_away or node.answer(self.world, request))
            if host == "registry.test":
                return routes.answer(self.world, request)
            vendor = self._by_host.get(host)
            if vendor is not None:
                return vendor.answer(request)
        return reply(404, {"detail": "Nobody lives here"})

    def raise_price(self, agent_identifier: str) -> None:
        """Double a fixed price, on the chain and where it is listed."""
        agent = next((v.agent for v in self.vendors if v.agent.agent_identifier == agent_identifier), None)
        entry = routes.state_of(self.world).entry(agent_identifier)
        listed = entry["AgentPricing"].get("FixedPricing") if entry is not None else None
        if agent is None or entry is None or not listed:
            return
        _raise_price(agent)
        doubled = [(str(int(one["amount"]) * 2), one["unit"]) for one in listed["Amounts"]]
        entry["AgentPricing"] = fixed_pricing(doubled)

    def _dated(self, response: Response) -> Response:
        """With the node's time in the head, where clocks differ."""
        if self.plan.more.skews:
            response.headers["date"] = formatdate(self.now() / 1000, usegmt=True)
        return response

    def _of_another_node(self, call: Call) -> Response | None:
        """What a node says that never heard of the purchase, or is not ours at all; None where ours answers."""
        if self.away in ("", "network"):
            return None
        _, path, _ = place(call.url)
        if self.away == "elsewhere":
            if path.endswith("/payment-source"):
                return _said(200, {"PaymentSources": [{"id": "of-another-node"}]})
            if path.endswith("/api-key-status"):
                return _said(401, "Unauthorized, invalid authentication token provided")
        if "/purchase" not in path:
            return None
        if call.method == "GET":
            return _said(200, {"Purchases": []})
        asked = named(call)
        if self.away == "restored" and asked not in self.forgotten:
            return None
        if self.plan.dialect == "seed" and call.name.endswith(TODAYS):
            return of_an_older_replica(call)
        if call.name == "POST /purchase":
            return _said(404, "No payment source found for agent identifiers policy id")
        return _said(404, "Purchase not found")

    def _turned_away(self, call: Call) -> Response | None:
        """What the node says while its operator changes something; None where it answers as usual."""
        _, path, _ = place(call.url)
        if self.plan.more.keyless and path.endswith("/request-refund") and self.keyless_from_ms is None:
            self.keyless_from_ms = self.now()
        keyless = self.keyless_from_ms is not None and self.now() < self.keyless_from_ms + KEYLESS_MS
        if keyless and "/purchase" in path:
            return _said(401, "Unauthorized, invalid authentication token provided")
        if self.now() >= self.shut_until_ms or call.name != "POST /purchase":
            return None
        if any(row.identifier == named(call) for row in self.world.purchases):
            return None
        return _said(404, "No payment source found for agent identifiers policy id")

    def another_purchase(self, call: Call) -> Response | None:
        """The answer to somebody else's question: what a confused proxy would deliver; None when there is none."""
        rows = self.world.purchases
        if len(rows) < 2 or not call.name.endswith(("/resolve-blockchain-identifier", "/purchase")):
            return None
        asked = (call.body or b"").decode()
        other = next((row for row in rows if row.identifier not in asked), None)
        if other is None:
            return None
        body = f'{{"blockchainIdentifier":"{other.identifier}","network":"{self.world.network}"}}'.encode()
        crossed = replace(
            call, name="POST x", url=f"{NODE}/api/v1/purchase/resolve-blockchain-identifier", body=body
        )
        answer = node.answer(self.world, request_of(crossed, self.world.admin_token))
        return answer if answer.status == 200 else None

    # Truth -------------------------------------------------------------------------------------------

    def job(self, nonce: str) -> tuple[Vendor, Job] | None:
        """The paid job that belongs to this identifier_from_purchaser, the newest of them."""
        for vendor in self.vendors:
            for job in reversed(vendor.jobs.values()):
                if job.identifier == nonce:
                    return vendor, job
        return None

    def locked(self, row: Purchase) -> bool:
        """Whether money was ever locked for this purchase."""
        return row.escrow is not None


def named(call: Call) -> str:
    """The purchase that this request to the node is about, by its identifier; "" for none."""
    try:
        body = json.loads(call.body or b"{}")
    except ValueError:
        return ""
    return str(body.get("blockchainIdentifier", "")) if isinstance(body, dict) else ""


def _said(status: int, what: Any) -> Response:
    if status == 200:
        return reply(200, {"status": "success", "data": what})
    return reply(status, {"status": "error", "error": {"message": what}})


def tend(world: World, seller_permille: int) -> None:
    """What operators do in the end: clear errors that hold a row up, and decide disputes that are due."""
    for row in (*world.purchases, *world.payments):
        if row.on_chain in FINAL or row.on_chain in (None, "FundsOrDatumInvalid"):
            continue
        if row.action.error_type is not None and not row.action.requested.endswith("Requested"):
            set_action(world, row, WAITING)
            world.jobs.settled(row)
    for row in world.purchases:
        escrow = row.escrow
        if escrow is not None and escrow.state == "Disputed" and not escrow.busy:
            if world.now_ms() >= row.dispute_ms:
                world.jobs.split(row, seller_permille)


def _raise_price(agent: Agent) -> None:
    """Double the price on the chain, behind the registry's back."""
    metadata = agent.metadata or {}
    prices = [metadata.get("agentPricing", {}).get("fixedPricing", [])]
    prices += [source["pricing"].get("fixed", []) for source in metadata.get("supported_payment_sources", [])]
    for price in prices:
        for entry in price:
            entry["amount"] = str(int(entry["amount"]) * 2)
