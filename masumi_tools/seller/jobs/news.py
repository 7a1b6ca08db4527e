"""The node's news, asked for once for all services of a process that use one node with one key.

A service that wants news takes an answer that another one was given a moment ago, where it began no later than
the service's own place. Rows that come again do no harm: each says how its payment is now.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import sha256
from weakref import WeakValueDictionary

from masumi_tools.models import NodePayment
from masumi_tools.seller.payment_node import NodeTrouble, Place
from masumi_tools.settings import Settings

_KEPT = 20  # answers: a service that is behind goes on page by page


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the node: what changed since a place, the place after it, and whether more is there."""

    since: Place
    rows: tuple[NodePayment, ...]
    after: Place
    more: bool
    asked_s: float

    def serves(self, place: Place, oldest_s: float) -> bool:
        """Whether all that changed after `place` is in it, or, where more is there, some that leads further."""
        if self.asked_s < oldest_s:
            return False
        if self.since == place:
            return True
        return self.since.at_ms < place.at_ms and (not self.more or self.after.at_ms > place.at_ms)

    def from_place(self, place: Place) -> Page:
        """The same for a service that was further."""
        if self.after.at_ms >= place.at_ms:
            return self
        return Page(self.since, self.rows, place, self.more, self.asked_s)


Ask = Callable[[str, Place], Awaitable[tuple[list[NodePayment], Place, bool]]]


class News:
    """Safe to share among the event loops and threads of a process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._pages: dict[str, deque[Page]] = {}
        self._asking: dict[str, Future[None]] = {}

    async def since(self, source: str, place: Place, ask: Ask, within_s: float) -> Page:
        """What changed since `place`, as of `within_s` ago at the earliest. Where nobody knows it yet, this
        caller asks for all, over its own connection; NodeTrouble where that fails, for all who wait for it."""
        oldest_s = time.monotonic() - within_s
        while True:
            with self._guard:
                known = [page for page in self._pages.get(source, ()) if page.serves(place, oldest_s)]
                if known:
                    return known[-1].from_place(place)
                mine: Future[None] = Future()
                asking = self._asking.setdefault(source, mine)
            if asking is mine:
                return await self._asked(source, place, ask, mine)
            await asyncio.shield(asyncio.wrap_future(asking))

    async def _asked(self, source: str, place: Place, ask: Ask, done: Future[None]) -> Page:
        begun_s = time.monotonic()
        trouble: NodeTrouble | None = None
        try:
            rows, after, more = await ask(source, place)
            page = Page(place, tuple(rows), after, more, begun_s)
            with self._guard:
                self._pages.setdefault(source, deque(maxlen=_KEPT)).append(page)
            return page
        except NodeTrouble as error:
            trouble = error
            raise
        finally:
            with self._guard:
                del self._asking[source]
            if trouble is not None:
                done.set_exception(NodeTrouble(str(trouble), down=trouble.down))
            else:
                done.set_result(None)


_shared: WeakValueDictionary[tuple[str, str, str], News] = WeakValueDictionary()
_guard = threading.Lock()


def news_of(settings: Settings) -> News:
    """The news of this node for this key, shared by all who hold them in this process."""
    token = settings.node_token.reveal() if settings.node_token is not None else ""
    key = (settings.node_url or "", settings.network, sha256(token.encode()).hexdigest())
    with _guard:
        news = _shared.get(key)
        if news is None:
            news = _shared[key] = News()
        return news
