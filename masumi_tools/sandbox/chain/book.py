"""What one node knows: its time, its chain, and the rows, wallets and keys, before anything is done with them."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..clock import Clock
from .guard import Guard
from .ids import Ids
from .rows import ApiKey, Payment, PaymentSource, Purchase, Row, Wallet
from .sums import Chain

GENESIS_BLOCK = 4_200_000
BLOCK_MS = 20_000


class Book:
    """Rows with their indexes, in order of change, and what is planned for later."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self.clock = clock
        self.rng = rng
        self.chain = Chain()
        self.guard = Guard()
        self.sources: list[PaymentSource] = []
        self.wallets: list[Wallet] = []
        self.keys: dict[str, ApiKey] = {}
        self.payments: list[Payment] = []
        self.purchases: list[Purchase] = []
        self.recent_payments: dict[str, Payment] = {}
        """By id, the last changed last; feeds read it from the end."""
        self.recent_purchases: dict[str, Purchase] = {}
        self._ids = Ids(self.rng)
        self._bases: dict[tuple[str, str], str] = {}
        self._payments: dict[tuple[str, str], Payment] = {}
        self._purchases: dict[tuple[str, str], Purchase] = {}
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._event_ms: int | None = None
        self._started_ms = self.clock.now_ms()
        self._watchers: list[Callable[[Row], None]] = []

    # Time

    def now_ms(self) -> int:
        """The sandbox's time; it stands still during one event and during one request."""
        return self.clock.now_ms() if self._event_ms is None else self._event_ms

    def at(self, due_ms: int, event: Callable[[], None]) -> None:
        """Run ``event`` when the clock reaches ``due_ms`` (by the next tick); ties in the order of calls."""
        self._order += 1
        heapq.heappush(self._due, (due_ms, self._order, event))

    def next_due_ms(self) -> int | None:
        """When the next event is due, None when nothing is planned (a server may sleep until then)."""
        return self._due[0][0] if self._due else None

    def tick(self) -> None:
        """Run what is due, in order of time, each at its own time; next to nothing when nothing is due."""
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

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Run what is due, then let the time stand still inside the block (one request is one moment)."""
        self.tick()
        if self._event_ms is not None:
            yield
            return
        self._event_ms = self.clock.now_ms()
        try:
            yield
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

    def block_height(self) -> int:
        return GENESIS_BLOCK + (self.now_ms() - self._started_ms) // BLOCK_MS

    # Rows

    def new_id(self) -> str:
        """A fresh object id."""
        return self._ids.next(self.now_ms())

    def new_hash(self) -> str:
        """A fresh transaction hash."""
        return self.rng.randbytes(32).hex()

    def add_payment(self, row: Payment) -> None:
        self.payments.append(row)
        self._payments[row.source.network, row.identifier] = row
        self.moved(row)

    def add_purchase(self, row: Purchase) -> None:
        self.purchases.append(row)
        self._purchases[row.source.network, row.identifier] = row
        self.moved(row)

    def payment(self, network: str, identifier: str) -> Payment | None:
        """The payment with exactly this identifier text."""
        return self._payments.get((network, identifier))

    def purchase(self, network: str, identifier: str) -> Purchase | None:
        """The purchase with exactly this identifier text; another spelling is another purchase."""
        return self._purchases.get((network, identifier))

    def moved(self, row: Row) -> None:
        """Put the row at the end of the order of change."""
        if isinstance(row, Payment):
            self.recent_payments.pop(row.id, None)
            self.recent_payments[row.id] = row
        elif isinstance(row, Purchase):
            self.recent_purchases.pop(row.id, None)
            self.recent_purchases[row.id] = row

    def forget_rows(self) -> None:
        """Drop all payments and purchases and all that is planned; keys, wallets and agents stay."""
        for rows in (self.payments, self.purchases, self._due):
            rows.clear()
        for index in (self._payments, self._purchases, self.recent_payments, self.recent_purchases):
            index.clear()

    # Wallets and keys

    def base_id(self, source: PaymentSource, vkey: str) -> str:
        """The id of the node's note about a foreign wallet (``SellerWallet``, ``BuyerWallet``)."""
        found = self._bases.get((source.id, vkey))
        if found is None:
            found = self._bases[source.id, vkey] = self.new_id()
        return found

    def key_by_id(self, key_id: str) -> ApiKey | None:
        return next((key for key in self.keys.values() if key.id == key_id), None)
