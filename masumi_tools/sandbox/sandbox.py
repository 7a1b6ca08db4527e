"""The sandbox as one object: a world with node, registry and services, behind sockets or in process."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from . import node
from .chain.escrow import Dialect, World
from .chain.rows import Agent
from .clock import Clock
from .control import answer_control
from .faults import DEEDS, Answer, Faults, Place, late, spoilt, without_service
from .meant import meant
from .registry import routes
from .registry.kinds import every_kind
from .registry.listings import entry_of, fixed_pricing
from .sellers.mip003 import Sample
from .sellers.mip003 import Service as Seller
from .sellers.prices import price_text, read_price
from .sellers.samples import SAMPLES
from .server import HttpServer
from .services import Pricing, Seen, Service
from .wire import Request, Response, reply

if TYPE_CHECKING:  # httpx is not needed where nobody asks for a transport
    from .transport import SandboxTransport

log = logging.getLogger(__name__)


class Sandbox:
    """A simulated Masumi network on 127.0.0.1: node, registry and sample services, with no keys and no money.

    ``time_scale`` makes its clock run that many times faster; with ``manual_clock=True`` it stands still
    until ``advance``. ``dialect="seed"`` serves the older buyer routes, ``realistic=True`` uses the node's
    own intervals. ``latency_ms`` is how long each answer takes; where the clock is moved by hand, ``transport()``
    lets it pass on the clock. ``listen=False`` opens no port: only ``transport()`` reaches it. Use it as a context
    manager or by ``start`` and ``stop``; it may be driven from several threads.
    """

    @meant
    def __init__(
        self,
        time_scale: float = 1.0,
        dialect: Dialect = "today",
        realistic: bool = False,
        port: int = 0,
        manual_clock: bool = False,
        seed: int | None = None,
        listen: bool = True,
        latency_ms: int = 0,
    ) -> None:
        if manual_clock:
            clock = Clock("manual")
        else:
            clock = Clock("scaled" if time_scale != 1 else "real", scale=time_scale)
        self.world = World(clock=clock, seed=seed, dialect=dialect, realistic=realistic)
        self.faults = Faults()
        self._latency_ms = latency_ms
        self.token = self.world.token
        self.admin_token = self.world.admin_token
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._sleeping_until_ms: int | None = None
        self._stopping = threading.Event()
        self._services: dict[str, Service] = {}
        self._sellers: dict[str, Seller] = {}
        self._log: deque[Seen] = deque(maxlen=20_000)
        self._server = (
            HttpServer(self.exchange, self.now_ms, port=port, latency_ms=latency_ms) if listen else None
        )
        self._ticker = threading.Thread(target=self._tick, name="sandbox-clock", daemon=True)
        self.origin = f"http://127.0.0.1:{self._server.port if self._server else 1}"
        self.node_url = f"{self.origin}/api/v1"
        self.registry_url = f"{self.origin}/registry/api/v1"
        routes.state_of(self.world).reachable = self._registered
        for sample in SAMPLES:
            self._open(sample)

    # ---- life -----------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Begin to serve and to let time pass; returns itself."""
        if self._server:
            self._server.start()
        if self.world.clock.mode != "manual":
            self._ticker.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection; all that the sandbox held is gone."""
        self._stopping.set()
        self._wake.set()
        if self._server:
            self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ---- what a test or a demo asks of it -------------------------------------------------------------

    @property
    def services(self) -> list[Service]:
        """The samples and what was registered here, in the order in which they came."""
        return list(self._services.values())

    def service(self, name: str) -> Service:
        """The service of that name; KeyError when there is none."""
        return self._services[name]

    def list_every_kind(self, newer: Literal["ignored", "refused", "known"] = "known") -> None:
        """Let the registry list agents of every kind, to be looked at: other protocols, old versions, claims.

        ``newer`` is what it makes of the questions that registries know since July 2026.
        """
        with self._lock:
            state = routes.state_of(self.world)
            state.newer = newer
            routes.follow_chain(self.world, state)
            echo = state.entry(self.service("echo").agent_identifier)
            if echo is not None:
                state.entries += every_kind(self.world, echo, echo)

    @property
    def requests(self) -> list[Seen]:
        """The exchanges of node, registry and services so far (the newest 20 000)."""
        return list(self._log)

    def now_ms(self) -> int:
        """The sandbox's time in unix milliseconds."""
        return self.world.clock.now_ms()

    def advance(self, ms: int) -> int:
        """Move the clock forward, with all that falls due on the way; the new time. Not back: ValueError."""
        with self._lock:
            self.world.tick()
            self.world.advance(ms)
            self._nudge()
            return self.now_ms()

    def ledger(self) -> dict[str, Any]:
        """Payments and purchases with their whole history, in the node's field names, and the wallets."""
        with self._lock:
            self.world.tick()
            return self.world.ledger()

    def arm(self, fault: Mapping[str, Any]) -> None:
        """Arm a fault (faults.py); ValueError with a sentence when the order makes no sense."""
        with self._lock:
            self.faults.arm(fault)

    def deny_locks(self, note: str, *, lasting: bool, times: int = 1) -> None:
        """Let the policy of the node's purchasing wallets deny the next locks, for good or for the time being."""
        with self._lock:
            self.world.guard.deny(note, lasting=lasting, times=times)

    def register_service(
        self,
        name: str,
        url: str,
        price: str | None = None,
        pricing_type: Pricing | None = None,
        metadata_version: Literal[1, 2] = 1,
        *,
        description: str | None = None,
        tags: Iterable[str] = ("sandbox",),
    ) -> Service:
        """Register a service that runs at ``url``, and give it a wallet of the node to sell from.

        ``price`` is a text like "1.5 ADA"; without one the service is Free (or Dynamic, when said so). The
        seller creates its payments with ``token``. ValueError when name, URL or price make no sense.
        """
        if not name or not url.startswith(("http://", "https://")):
            raise ValueError("A service needs a name and an http(s) URL.")
        kind: Pricing = pricing_type or ("Fixed" if price else "Free")
        if kind not in ("Fixed", "Free", "Dynamic") or metadata_version not in (1, 2):
            raise ValueError("pricing_type is Fixed, Free or Dynamic, metadata_version 1 or 2.")
        if (kind == "Fixed") != bool(price):
            raise ValueError('A Fixed price needs a price like "1 ADA"; Free and Dynamic take none.')
        amounts = read_price(price) if price else None
        with self._lock:
            if name in self._services:
                raise ValueError(f"There is a service named {name!r} already.")
            agent = self.world.register_agent(
                name, url, amounts, kind, metadata_version, description=description, tags=tuple(tags)
            )
            return self._list(name, agent, price_text(amounts) if amounts else kind.lower(), kind)

    def ready(self) -> dict[str, Any]:
        """What the ready file says: addresses, token and services."""
        return {
            "node_url": self.node_url,
            "registry_url": self.registry_url,
            "token": self.token,
            "services": [service.listed() for service in self.services],
        }

    def transport(self) -> SandboxTransport:
        """An httpx transport, sync and async, that answers for the sandbox's URLs without a socket."""
        from .transport import SandboxTransport

        half_ms = self._latency_ms // 2
        if half_ms and self.world.clock.mode == "manual":
            return SandboxTransport(self.origin, self.exchange, self.now_ms, lambda: self._pass(half_ms))
        return SandboxTransport(self.origin, self.exchange, self.now_ms)

    # ---- exchanges ------------------------------------------------------------------------------------

    def exchange(self, request: Request) -> Answer:
        """What becomes of one request; never raises."""
        place = self.place(request.path)
        method = request.method
        with self._lock:
            self._catch_up()
            fault = self.faults.take(method, place)
            if fault and DEEDS[fault.do] == "before":
                answer = without_service(fault, place)
            elif fault and DEEDS[fault.do] == "late":
                self.world.at(self.now_ms() + fault.delay_ms, partial(self._arrive, place, request))
                answer = late(fault)
            else:
                response = self._answer(place, request)
                if fault is None and response.status == 409:
                    fault = self.faults.take(method, place, conflict=True)
                answer = spoilt(fault, place, response) if fault else Answer(response)
            if place.kind in ("node", "registry", "service"):
                status = answer.response.status if answer.response else None
                self._log.append(Seen(method, place.path, place.name, status, self.now_ms()))
            self._nudge()
        return answer

    def place(self, path: str) -> Place:
        """Who serves ``path``. A base to which ``/api/v1`` was added once too often means the same node."""
        while path.startswith("/api/v1/api/v1"):
            path = path.removeprefix("/api/v1")
        if path.startswith("/_sandbox") or "/_sandbox/" in path:
            return Place("control", "control", path[path.index("/_sandbox") :])
        if path.startswith("/registry/api/v1"):
            return Place("registry", "registry", path.removeprefix("/registry/api/v1") or "/")
        if path.startswith("/services/"):
            name, _, rest = path.removeprefix("/services/").partition("/")
            if name in self._sellers:
                return Place("service", name, "/" + rest)
        if path.startswith("/api/v1"):
            return Place("node", "node", path.removeprefix("/api/v1") or "/")
        return Place("none", "", path)

    def _arrive(self, place: Place, request: Request) -> None:
        """A request that was long on its way has its effect now; nobody waits for the answer."""
        self._answer(place, request)

    def _answer(self, place: Place, request: Request) -> Response:
        try:
            if place.kind == "node":
                return node.answer(self.world, replace(request, path="/api/v1" + place.path))
            if place.kind == "registry":
                return routes.answer(self.world, replace(request, path="/api/v1" + place.path))
            if place.kind == "service":
                return self._sellers[place.name].answer(replace(request, path=place.path))
            if place.kind == "control":
                return answer_control(self, replace(request, path=place.path))
        except Exception:
            log.exception("The sandbox could not answer %s %s", request.method, request.path)
            return reply(500, {"status": "error", "error": {"message": "Internal Server Error"}})
        return reply(404, {"detail": "Nothing of the sandbox lives here; see /_sandbox"})

    # ---- inside ---------------------------------------------------------------------------------------

    def _pass(self, ms: int) -> None:
        self.advance(ms)

    def _registered(self, url: str) -> bool:
        """What the registry's health check finds up: all that was registered here, though it is on loopback."""
        return any(service.url == url for service in self._services.values())

    def _tick(self) -> None:
        """Run what falls due between requests; sleeps as long as nothing can."""
        while True:
            with self._lock:
                self._catch_up()
                due = self._sleeping_until_ms = self.world.next_due_ms()
                wait_ms = None if due is None else max(1.0, (due - self.now_ms()) / self.world.clock.scale)
                self._wake.clear()
            if self._stopping.is_set():
                return
            self._wake.wait(None if wait_ms is None else wait_ms / 1000)

    def _nudge(self) -> None:
        """Wake the clock's thread when something falls due earlier than it sleeps."""
        due, until = self.world.next_due_ms(), self._sleeping_until_ms
        if due is not None and (until is None or due < until):
            self._wake.set()

    def _catch_up(self) -> None:
        try:
            self.world.tick()
        except Exception:
            log.exception("An event of the sandbox failed")

    def _open(self, sample: Sample) -> None:
        """Register a sample service and begin to serve it."""
        fixed = read_price(sample.price) if sample.pricing_type == "Fixed" else None
        dynamic = sample.demands is not None
        agent = self.world.register_agent(
            sample.title,
            f"{self.origin}/services/{sample.name}",
            None if dynamic else fixed,
            "Dynamic" if dynamic else sample.pricing_type,  # type: ignore[arg-type]
            sample.metadata_version,  # type: ignore[arg-type]
            description=sample.description,
            tags=sample.tags,
            capability=("sandbox-echo", "1.0"),
        )
        if dynamic and fixed:
            self._list_at(agent, fixed)
        self._sellers[sample.name] = Seller(self.world, sample, agent)
        self._list(sample.name, agent, sample.price, sample.pricing_type)

    def _list_at(self, agent: Agent, amounts: Mapping[str, int]) -> None:
        """Let the registry show a fixed price for an agent whose price on chain is open."""
        state = routes.state_of(self.world)
        entry = entry_of(self.world, agent, state.source_id, len(state.entries))
        entry["AgentPricing"] = fixed_pricing([(str(quantity), unit) for unit, quantity in amounts.items()])
        state.entries.append(entry)

    def _list(self, name: str, agent: Agent, price: str, pricing_type: str) -> Service:
        service = Service(
            name,
            agent.agent_identifier,
            agent.url,
            price,
            agent.seller_vkey or "",
            pricing_type,
            agent.source.source_type,
        )
        self._services[name] = service
        return service
