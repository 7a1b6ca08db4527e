"""The two buyers behind one tool or toolkit, each made when it is first needed, over one journal."""

from __future__ import annotations

import threading
from collections.abc import Callable

from masumi_tools.errors import InputError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import AsyncBuyer, Buyer
from masumi_tools.hire.flows import Progress
from masumi_tools.settings import Settings

__all__ = ["Buyers"]


class Buyers:
    """`plain()` gives the Buyer for threads, `awaiting()` the AsyncBuyer for event loops.

    A given buyer is shared and stays its owner's to close; what is missing beside it is made over its
    journal, settings and budget. Without one both are made on first use, so that a tool can be built
    before the journal exists. Safe to share among threads and event loops.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        budget: Budget | None = None,
        buyer: Buyer | AsyncBuyer | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        if buyer is not None and (budget is not None or settings is not None):
            what = "budget" if budget is not None else "settings"
            raise InputError(
                f"{what}= would do nothing beside buyer=, which has its own: give one of the two"
            )
        self._settings = settings
        self._budget = budget
        self._given = buyer
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._plain: Buyer | None = buyer if isinstance(buyer, Buyer) else None
        self._awaiting: AsyncBuyer | None = buyer if isinstance(buyer, AsyncBuyer) else None

    @property
    def settings(self) -> Settings:
        """The settings in use; read from the environment once when none were given."""
        if self._given is not None:
            return self._given.settings
        if self._settings is None:
            self._settings = Settings.from_env()
        return self._settings

    @property
    def budget(self) -> Budget | None:
        return self._given.budget if self._given is not None else self._budget

    def plain(self) -> Buyer:
        """The Buyer for threads. SettingsError when no node is named, JournalError when there is no journal."""
        with self._lock:
            if self._plain is None:
                self._plain = Buyer(
                    self.settings,
                    budget=self.budget,
                    journal=self._given.journal if self._given else None,
                    on_progress=self._given.on_progress if self._given else self._on_progress,
                )
            return self._plain

    def awaiting(self) -> AsyncBuyer:
        """The AsyncBuyer for event loops; errors as `plain`."""
        if self._awaiting is not None:
            return self._awaiting
        plain = self.plain()
        with self._lock:
            if self._awaiting is None:
                self._awaiting = AsyncBuyer(
                    plain.settings, budget=plain.budget, journal=plain.journal, on_progress=plain.on_progress
                )
            return self._awaiting

    def close(self) -> None:
        """Close what was made here, not what was given. Open hires stay resumable, a later use opens anew."""
        with self._lock:
            if self._plain is not None and self._plain is not self._given:
                self._plain.close()
                self._plain = None
                if self._awaiting is not self._given:
                    self._awaiting = None
