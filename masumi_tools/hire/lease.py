"""Who drives a hire now: one caller's turn at it, and the lease that keeps all others away meanwhile."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from masumi_tools.clock import is_dead
from masumi_tools.errors import JournalBusy, JournalError
from masumi_tools.hire.operations import Approve, Decide, Do, Flow, Patience
from masumi_tools.hire.purchase import Purchase
from masumi_tools.hire.request import Judge
from masumi_tools.journal.database import apart
from masumi_tools.journal.store import Journal
from masumi_tools.money import Amount

# A lease outlives the longest request; a process that died on this machine loses its leases at once.
LEASE_MS = 120_000
RENEW_MS = 30_000
APPROVAL_MS = 60 * 60_000  # a person who is asked may take so long; nothing is reserved meanwhile

Cap = tuple[Amount, ...] | None


@dataclass(slots=True)
class Turn:
    """One caller's turn at a hire: who drives, for how long, and what this call alone knows and allows.

    `judge` is asked about a result that does not match; above `cap` nothing is paid, whoever began the hire.
    `told` says that the node has news of the hire, which are read at once.
    `may_pay` says whether the limits of now allow the price; None while that was not asked. `known` is the
    record as it was last driven here.
    """

    owner: str
    patience: Patience
    judge: Judge | None = None
    cap: Cap = None
    told: bool = False
    may_pay: bool | None = None
    known: Purchase | None = None
    renewed: float = 0.0


class Leases:
    """The leases that the turns of one buyer hold. A journal that fails at the end lets them run out."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._held: dict[str, str] = {}

    def take(self, hire_id: str, turn: Turn) -> Flow[bool]:
        """Whether this turn drives the hire from now on; False while another, who lives, does."""
        taken: bool = yield Do(lambda: self._journal.take_lease(hire_id, turn.owner, LEASE_MS, is_dead))
        return taken

    def begin(self, hire_id: str, turn: Turn) -> None:
        """The lease is this turn's: it was taken, or came with the new record."""
        turn.renewed = turn.patience.monotonic()
        self._held[hire_id] = turn.owner

    def renew(self, hire_id: str, turn: Turn) -> Flow[None]:
        """Make the lease last, now and then."""
        if turn.patience.monotonic() - turn.renewed > RENEW_MS / 1000:
            turn.renewed = turn.patience.monotonic()
            yield from self.hold(hire_id, turn)

    def hold(self, hire_id: str, turn: Turn, for_ms: int = LEASE_MS) -> Flow[None]:
        """Have the lease for so long, also where it was given back at rest; JournalBusy where another has it."""
        if not (yield Do(lambda: self._journal.take_lease(hire_id, turn.owner, for_ms, is_dead))):
            raise JournalBusy("another process is working on this hire")
        self._held[hire_id] = turn.owner

    def while_asked(self, hire_id: str, turn: Turn, question: Approve | Decide) -> Flow[Any]:
        """What the caller's function says: the hire is held meanwhile, and the time is not the call's."""
        yield from self.hold(hire_id, turn, APPROVAL_MS)
        began = turn.patience.monotonic()
        said = yield question
        turn.patience.forgive(turn.patience.monotonic() - began)
        yield from self.hold(hire_id, turn)  # who dies from now on is not waited for so long
        return said

    def rested(self, hire_id: str) -> None:
        """A record that was saved at rest gave its lease back with it."""
        self._held.pop(hire_id, None)

    def end(self, hire_id: str, turn: Turn) -> Flow[None]:
        """Give the lease back, unless that was done."""
        if self._held.get(hire_id) == turn.owner:
            yield Do(lambda: self.drop(hire_id, turn))

    def drop(self, hire_id: str, turn: Turn) -> None:
        """Give the lease back at once; one that cannot be given back runs out by itself."""
        if self._held.get(hire_id) == turn.owner:
            del self._held[hire_id]
        with contextlib.suppress(JournalError):
            self._journal.drop_lease(hire_id, turn.owner)

    def abandon(self, hire_id: str, turn: Turn) -> None:
        """As `drop`, for a call that was given up: its remains may be swept up in the midst of another call."""
        with apart():
            self.drop(hire_id, turn)
