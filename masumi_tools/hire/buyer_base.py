"""What both buyers have without asking anybody: settings, budget, journal, clock, and what the journal tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from masumi_tools.clock import Clock
from masumi_tools.hire import approvals, flows, rows
from masumi_tools.hire.approvals import PendingApproval
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.flows import Flows, Progress
from masumi_tools.hire.known import Known, known
from masumi_tools.hire.operations import Fetch
from masumi_tools.hire.purchase import State
from masumi_tools.hire.receipt import Receipt, receipt_of
from masumi_tools.hire.receipts import Receipts
from masumi_tools.hire.request import call_key, within
from masumi_tools.journal.store import Journal
from masumi_tools.keywords import keywords
from masumi_tools.models import Listing
from masumi_tools.settings import Settings

# With more hires than this driven at once, the node is asked by its diff feed, once for all.
CROWD = 4


class BuyerBase:
    """What both buyers have: settings, budget, journal, clock, and the flows over them."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        budget: Budget | None = None,
        journal: Journal | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        notify: str | None = None,
        on_change: Callable[[Receipt], object] | None = None,
        later: bool = False,
    ) -> None:
        self.settings = settings or Settings.from_env()
        if notify is not None:
            self.settings = replace(self.settings, notify_url=notify)
        self.budget = budget
        self.on_progress, self.on_change = on_progress, on_change
        self._ways = flows.ways_of(self.settings)
        self._own_journal = journal is None
        self.journal = journal or Journal(self.settings.database_url, later=later)
        self._clock = Clock()
        self._flows = Flows(
            self.settings,
            budget,
            self.journal,
            self._ways,
            self._clock,
            on_progress=on_progress,
            on_change=on_change,
        )

    def _shares(self, call: Fetch) -> bool:
        """Whether this read is answered from the shared feed: when many hires are driven at once."""
        return call.watched is not None and self._crowded(len(self._flows.watched))

    def _crowded(self, hires: int) -> bool:
        """Whether so many are looked after that one look at the node for all costs less."""
        return hires > CROWD

    def _left(self, read: Fetch) -> Callable[[], float]:
        """How much of the time of this request is left, asked again and again."""
        if read.within_s is None:
            return lambda: read.call.timeout_s
        return self._lasts(read.within_s)

    def _lasts(self, seconds: float) -> Callable[[], float]:
        end = time.monotonic() + seconds
        return lambda: end - time.monotonic()

    def __reduce__(self) -> Any:
        raise TypeError(
            f"{type(self).__name__} holds connections and is not pickled or copied; make a new one over the same journal"
        )

    def now_ms(self) -> int:
        """The node's time as far as it is known, in ms: this machine's, or the sandbox's."""
        return self._clock.now()

    @keywords()
    def hires(
        self, *, only_open: bool = False, budget: str | None = None, scope: str = "", limit: int | None = None
    ) -> Receipts:
        """The receipts in the journal, the newest first; of `scope` and the scopes inside it. Reads only.

        The list shows itself in a notebook, and `to_csv` writes it.

        `limit` bounds how many of the newest are looked through, so that a long journal stays quick.
        """
        found = self.journal.rows(only_open=only_open, budget=budget, limit=limit)
        hires = [rows.purchase_of(row) for row in found]
        return Receipts(receipt_of(p) for p in hires if within(p.scope, scope))

    @keywords()
    def approvals(self) -> list[PendingApproval]:
        """The hires that wait for a person to say yes to their price, the oldest first. Reads only."""
        found = []
        for question in self.journal.unanswered(State.AWAITING.value):
            row = self.journal.get(question.hire_id)
            shown = approvals.pending(question, row) if row else None
            if shown is not None:
                found.append(shown)
        return found

    @keywords()
    def recall(self, call_id: str, *, scope: str = "") -> Receipt | None:
        """The receipt of the hire that this tool call made before, or None. Reads only."""
        budget = self.budget.name if self.budget else ""
        for key in (call_key(call_id, scope, budget), call_key(call_id, scope)):
            row = self.journal.by_call(key) if call_id else None
            if row is not None and row.budget == budget:
                return receipt_of(rows.purchase_of(row), reused=True)
        return None

    @keywords()
    def known(self, service: Listing | str) -> Known:
        """What this journal knows of a service (a listing, agent identifier or URL) from its own hires. Reads only."""
        listing = service if isinstance(service, Listing) else None
        target = listing.agent_identifier or listing.api_base_url if listing else str(service)
        return known(self.journal, target, listing)

    def known_all(self, services: Sequence[Listing]) -> list[Known]:
        """As `known`, for each of them."""
        return [self.known(service) for service in services]

    def budget_lines(self) -> list[rows.BudgetLine]:
        """How this buyer's budget stands, a line per unit. Reads only."""
        name = self.budget.name if self.budget else ""
        return rows.budget_lines(self.journal.used(name), self.budget.total if self.budget else ())
