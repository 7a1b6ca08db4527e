"""The two buyers behind one tool or toolkit, each made when it is first needed, over one journal."""

from __future__ import annotations

import threading
from collections.abc import Callable

from masumi_tools.errors import InputError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import AsyncBuyer, Buyer
from masumi_tools.hire.flows import Progress
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.settings import Settings

__all__ = ["Buyers"]


class Buyers:
    """`plain()` gives the Buyer for threads, `awaiting()` the AsyncBuyer for event loops.

    A given buyer is shared and stays its owner's to close; what is missing beside it is made over its
    journal, settings and budget. Without one both are made on first use, so that a tool can be built
    before the journal exists; what an event loop makes opens no file there. Safe to share among threads and
    event loops.
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
        self._journal: Journal | None = buyer.journal if buyer else None
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

    @property
    def journal_url(self) -> str:
        """Where the journal is, whether it has been opened or not."""
        return self._given.journal.url if self._given is not None else self.settings.database_url

    def plain(self) -> Buyer:
        """The Buyer for threads. SettingsError when no node is named, JournalError when there is no journal."""
        with self._lock:
            if self._plain is None:
                journal = self._shared()
                journal.open()
                self._plain = Buyer(
                    self.settings,
                    budget=self.budget,
                    journal=journal,
                    on_progress=self._listener,
                    on_change=self._on_change,
                )
            return self._plain

    def awaiting(self) -> AsyncBuyer:
        """The AsyncBuyer for event loops. SettingsError as `plain`; its journal is opened when it is used."""
        with self._lock:
            if self._awaiting is None:
                self._awaiting = AsyncBuyer(
                    self.settings,
                    budget=self.budget,
                    journal=self._shared(),
                    on_progress=self._listener,
                    on_change=self._on_change,
                )
            return self._awaiting

    @property
    def _listener(self) -> Callable[[Progress], None] | None:
        return self._given.on_progress if self._given is not None else self._on_progress

    @property
    def _on_change(self) -> Callable[[Receipt], object] | None:
        return self._given.on_change if self._given is not None else None

    def _shared(self) -> Journal:
        """The one journal of both buyers, which may not have been opened yet."""
        if self._journal is None:
            self._journal = Journal(self.settings.database_url, later=True)
        return self._journal

    def close(self) -> None:
        """Close what was made here, not what was given. Open hires stay resumable, a later use opens anew."""
        with self._lock:
            if self._plain is not None and self._plain is not self._given:
                self._plain.close()
                self._plain = None
            if self._awaiting is not self._given:
                self._awaiting = None
            if self._given is None and self._journal is not None:
                self._journal.close()
                self._journal = None
