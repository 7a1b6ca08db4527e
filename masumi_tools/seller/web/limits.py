"""How much a service takes on, and who has a place among the jobs that nobody has paid yet."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from masumi_tools.seller.jobs.table import Counts
from masumi_tools.seller.offering import Limits
from masumi_tools.seller.web.requests import Refusal

_TOO_MANY = "too many jobs wait for their payment; pay them or come back later"


class Room:
    """Places among the unpaid jobs. Belongs to one event loop.

    The table is counted now and then; what is on its way, or was saved since a count began, is counted here.
    A job may be counted twice for a moment, and never not at all.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._fresh: Counter[str] = Counter()
        self._every = 0
        self._saved: deque[tuple[float, str]] = deque()

    @contextmanager
    def place(self, client: str, counts: Counts, counted_s: float) -> Iterator[None]:
        """Hold a place while a job is begun and saved; Refusal 429 where there is none.

        `counts` are the jobs in the table, as of a count that began at `counted_s` (`time.monotonic`).
        """
        while self._saved and self._saved[0][0] < counted_s:
            self._give(self._saved.popleft()[1])
        mine = counts.unpaid.get(client, 0) + self._fresh[client]
        every = counts.states.get("awaiting_payment", 0) + self._every
        if mine >= self._limits.unpaid_per_client or every >= self._limits.unpaid:
            raise Refusal(429, _TOO_MANY, {"Retry-After": "60"})
        self._fresh[client] += 1
        self._every += 1
        try:
            yield
        except BaseException:
            self._give(client)
            raise
        self._saved.append((time.monotonic(), client))

    def _give(self, client: str) -> None:
        self._every -= 1
        self._fresh[client] -= 1
        if not self._fresh[client]:
            del self._fresh[client]
