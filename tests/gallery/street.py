"""A street of sellers beside a sandbox whose clock the buyer moves: minutes and hours pass at once, in order.

The sandbox keeps the node's own intervals (`realistic`), so that every wait here is as long as a real one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import Buyer
from masumi_tools.hire.operations import Operation, Sleep
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.gallery.seller import Seller
from tests.gallery.serving import Serving
from tests.hire.clocked import _prepare


class StreetBuyer(Buyer):
    """The package's buyer on real sockets; where it would sleep, the street's clock goes on instead."""

    def __init__(self, street: OpenStreet, budget: Budget | None, journal_url: str) -> None:
        settings = Settings.from_sandbox(street.sandbox)
        super().__init__(settings, budget=budget, journal=Journal(journal_url))
        self.journal_url = journal_url
        self._street = street
        _prepare(self, street)

    def _perform(self, operation: Operation) -> Any:
        if isinstance(operation, Sleep):
            self._street.advance(max(int(operation.seconds * 1000), 1))
            return None
        return super()._perform(operation)


class OpenStreet:
    """Sandbox, sellers and their HTTP server."""

    def __init__(self, folder: Path, **sandbox: Any) -> None:
        options: dict[str, Any] = {"realistic": True, "seed": 1, **sandbox}
        self.sandbox = Sandbox(manual_clock=True, **options)
        self.folder = folder
        self.sellers: list[Seller] = []
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        self._buyers: list[StreetBuyer] = []

    def __enter__(self) -> Self:
        self.sandbox.start()
        self.serving = Serving()
        self.node_url, self.token = self.sandbox.node_url, self.sandbox.token
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for buyer in self._buyers:
            buyer.close()
            buyer.journal.close()
        for seller in self.sellers:
            seller.close()
        self.serving.close()
        self.sandbox.stop()

    def open(self, kind: type[Seller]) -> Seller:
        """A seller of this kind, registered with the sandbox and serving."""
        seller = kind(self)
        url = f"{self.serving.url}/{seller.name}"
        pricing: Any = "Dynamic" if seller.price is None else None
        service = self.sandbox.register_service(seller.name, url, seller.price, pricing, seller.version)  # type: ignore[arg-type]
        seller.agent, seller.vkey = service.agent_identifier, service.seller_vkey
        self.serving.sellers[seller.name] = seller.answer
        self.sellers.append(seller)
        return seller

    def buyer(self, budget: str = "20 ADA") -> StreetBuyer:
        self._number += 1
        url = f"sqlite:///{self.folder / f'journal{self._number}.sqlite3'}"
        self._buyers.append(StreetBuyer(self, Budget(budget), url))
        return self._buyers[-1]

    def heir_of(self, dead: StreetBuyer) -> StreetBuyer:
        """A buyer of another process, over the journal that a dead one left."""
        self._buyers.append(StreetBuyer(self, dead.budget, dead.journal_url))
        return self._buyers[-1]

    def purchases(self, seller: Seller) -> list[dict[str, Any]]:
        """The purchases from this seller in the sandbox's ledger."""
        rows = self.sandbox.ledger()["purchases"]
        return [row for row in rows if row["agentIdentifier"] == seller.agent]

    # ---- time -----------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        return self.sandbox.now_ms()

    def later(self, ms: int, event: Callable[[], None]) -> None:
        """Run `event` when the clock has gone on by `ms`."""
        self._number += 1
        heapq.heappush(self._due, (self.now_ms() + ms, self._number, event))

    def advance(self, ms: int) -> None:
        """Let time pass, with all that falls due on the way."""
        until = self.now_ms() + ms
        while self._due and self._due[0][0] <= until:
            due, _, event = heapq.heappop(self._due)
            self.sandbox.advance(max(due - self.now_ms(), 0))
            event()
        self.sandbox.advance(max(until - self.now_ms(), 0))
