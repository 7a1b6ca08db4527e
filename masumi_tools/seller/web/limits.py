"""How much a service takes on, and who has a place among the jobs that nobody has paid yet."""

from __future__ import annotations

import time
from collections import Counter, deque

from masumi_tools.seller.jobs.table import Counts
from masumi_tools.seller.offering import Limits
from masumi_tools.seller.web.requests import Refusal

_TOO_MANY = "too many jobs wait for their payment; pay them or come back later"


class Room:
    """Places among the unpaid jobs. Belongs to one event loop.

    The table is counted now and then; what is on its way, or was saved since a count began, is counted here.
    A job may be counted twice for a moment, and never not at all; so nobody is refused by a count that began
    before the last job was saved.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._fresh: Counter[str] = Counter()
        self._every = 0
        self._saved: deque[tuple[float, str]] = deque()

    def take(self, client: str, counts: Counts, counted_s: float) -> bool:
        """A place while a job is begun, until `keep` or `give`; Refusal 429 where there is none.

        False where the jobs must be counted anew to know, since some were saved meanwhile.
        `counts` are the jobs in the table, as of a count that began at `counted_s` (`time.monotonic`).
        """
        while self._saved and self._saved[0][0] < counted_s:
            self.give(self._saved.popleft()[1])
        mine = counts.unpaid.get(client, 0) + self._fresh[client]
        every = counts.states.get("awaiting_payment", 0) + self._every
        if mine >= self._limits.unpaid_per_client or every >= self._limits.unpaid:
            if self._saved:
                return False
            raise Refusal(429, _TOO_MANY, {"Retry-After": "60"})
        self._fresh[client] += 1
        self._every += 1
        return True

    def keep(self, client: str) -> None:
        """The job was saved: the next count has it."""
        self._saved.append((time.monotonic(), client))

    def give(self, client: str) -> None:
        """Nothing came of the job."""
        self._every -= 1
        self._fresh[client] -= 1
        if not self._fresh[client]:
            del self._fresh[client]
