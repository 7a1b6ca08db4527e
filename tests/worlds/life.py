"""One process of a buyer: it has a journal and a budget, drives hires, and may die at any step."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from masumi_tools.clock import Clock
from masumi_tools.errors import JournalBusy, JournalError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer_base import BuyerBase
from masumi_tools.hire.diff_feed import Feed
from masumi_tools.hire.flows import Flows
from masumi_tools.hire.operations import Fetch, Flow
from masumi_tools.hire.steps import Pace, Ways
from masumi_tools.journal.news import Place
from masumi_tools.journal.questions import Question
from masumi_tools.journal.row import Reservation, Row, Usage, Used
from masumi_tools.journal.store import Journal
from masumi_tools.settings import Settings
from tests.worlds.plan import Wish

Saved = Callable[[Row, Row | None], None]


class Dead(JournalError):
    """The process is dead: nothing that it still tries reaches the journal."""


def _seen(money: Reservation, decided: list[Row]) -> Reservation:
    """The reservation, of which each row that it decides is kept in the list."""

    def decide(usage: Usage) -> Row:
        decided.append(money.decide(usage))
        return decided[-1]

    return replace(money, decide=decide)


class Door(Journal):
    """The way of one process to the journal that several share; once `shut`, nothing passes any more."""

    def __init__(
        self,
        journal: Journal,
        is_dead: Callable[[str], bool],
        trouble: Callable[[], str],
        saved: Saved,
        ahead_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        self._journal = journal
        self._ahead_ms = ahead_ms
        self._is_dead = is_dead
        self._trouble = trouble
        self._saved = saved
        self.shut = False

    def close(self) -> None:
        self.shut = True

    def _by_own_clock(self, write: Callable[[], Any]) -> Any:
        """Leases run by the clock of the machine that takes them, which may be another's past or future."""
        right, ahead = self._journal._now_ms, self._ahead_ms()
        self._journal._now_ms = lambda: right() + ahead
        try:
            return write()
        finally:
            self._journal._now_ms = right

    def _write(self, write: Callable[[], Any]) -> Any:
        if self.shut:
            raise Dead("this process is dead")
        trouble = self._trouble()
        if trouble == "busy":
            raise JournalBusy("the journal is locked by another process; nothing was sent")
        if trouble == "full":
            raise JournalError("the journal failed while saving: the disk is full")
        done = write()
        if trouble == "late":
            raise JournalError("the journal failed while saving: the server cannot be reached")
        return done

    def add(
        self,
        row: Row,
        call_id: str | None = None,
        owner: str | None = None,
        lease_ms: int = 0,
        money: Reservation | None = None,
    ) -> tuple[Row, bool]:
        def write() -> tuple[Row, bool]:
            decided = [row]
            seen = _seen(money, decided) if money else None
            kept, made = self._by_own_clock(lambda: self._journal.add(row, call_id, owner, lease_ms, seen))
            if made:
                self._saved(decided[-1], None)
            return kept, made

        added: tuple[Row, bool] = self._write(write)
        return added

    def link(self, call_id: str, hire_id: str) -> None:
        self._write(lambda: self._journal.link(call_id, hire_id))

    def save(self, row: Row) -> Row:
        def write() -> Row:
            before = self._journal.get(row.hire_id)
            kept = self._journal.save(row)
            self._saved(row, before)
            return kept

        saved: Row = self._write(write)
        return saved

    def save_decided(self, money: Reservation) -> Row:
        def write() -> Row:
            decided: list[Row] = []
            before = self._journal.get(money.hire.hire_id)
            kept = self._journal.save_decided(_seen(money, decided))
            self._saved(decided[-1], before)
            return kept

        saved: Row = self._write(write)
        return saved

    def take_lease(self, hire_id: str, owner: str, for_ms: int, is_dead: Callable[[str], bool]) -> bool:
        def take() -> bool:
            return self._journal.take_lease(hire_id, owner, for_ms, self._is_dead)

        taken: bool = self._write(lambda: self._by_own_clock(take))
        return taken

    def drop_lease(self, hire_id: str, owner: str) -> None:
        self._write(lambda: self._journal.drop_lease(hire_id, owner))

    def ask(self, question: Question) -> Question:
        asked: Question = self._write(lambda: self._journal.ask(question))
        return asked

    def answer(self, question: Question, answer: str, by: str, why: str, at_ms: int) -> tuple[Question, bool]:
        answered: tuple[Question, bool] = self._write(
            lambda: self._journal.answer(question, answer, by, why, at_ms)
        )
        return answered

    def question(self, hire_id: str, digest: str | None = None) -> Question | None:
        return self._journal.question(hire_id, digest)

    def await_end(self, hire_id: str) -> None:
        if not self.shut:  # what is told of an end binds nothing, so no trouble is played here
            self._journal.await_end(hire_id)

    def end_heard(self, hire_id: str) -> None:
        if not self.shut:
            self._journal.end_heard(hire_id)

    def awaits(self, hire_id: str) -> bool:
        return self._journal.awaits(hire_id)

    def unanswered(self, state: str, limit: int = 1_000) -> list[Question]:
        return self._journal.unanswered(state, limit)

    def get(self, hire_id: str) -> Row | None:
        return self._journal.get(hire_id)

    def known_under(self, key: str, older_key: str) -> tuple[Row | None, Row | None]:
        return self._journal.known_under(key, older_key)

    def by_call(self, call_id: str) -> Row | None:
        return self._journal.by_call(call_id)

    def pages(
        self, *, only_open: bool = False, budget: str | None = None, size: int = 500
    ) -> Iterator[list[Row]]:
        return self._journal.pages(only_open=only_open, budget=budget, size=size)

    def due(
        self, now: int, after: tuple[int, str], is_dead: Callable[[str], bool], limit: int = 200
    ) -> list[Row]:
        return self._journal.due(now, after, self._is_dead, limit)

    def put_off(self, due: Sequence[tuple[Row, int]]) -> None:
        self._write(lambda: self._journal.put_off(due))

    def heard_to(self, feed: str) -> Place | None:
        return self._journal.heard_to(feed)

    def hear(self, feed: str, to: Place, news: Mapping[str, int], wrong_after: str) -> set[str]:
        told: set[str] = self._write(lambda: self._journal.hear(feed, to, news, wrong_after))
        return told

    def oldest_open_ms(self) -> int | None:
        return self._journal.oldest_open_ms()

    def of_service(self, service: str, states: Sequence[str], most: int) -> list[Row]:
        return self._journal.of_service(service, states, most)

    def count_open(self) -> int:
        return self._journal.count_open()

    def usage(self, row: Row, since_ms: int, month_ms: int | None = None) -> Usage:
        return self._journal.usage(row, since_ms, month_ms)

    def used(self, budget: str) -> list[Used]:
        return self._journal.used(budget)

    def budgets(self) -> dict[str, str]:
        return self._journal.budgets()


@dataclass(slots=True, eq=False)
class Task:
    """One call that a process has under way: a stack of flows, of which the last one runs."""

    life: Life
    label: str
    stack: list[Generator[Any, Any, Any]]
    ended: Callable[[Task, Any], None]
    wish: Wish | None = None
    paid: bool = False
    """Whether this very call has sent an order to pay."""
    given: tuple[str, str] | None = None
    """A result that has just come (nonce and text) and is not saved yet."""
    continuing: list[Callable[[Any], None]] = field(default_factory=list)
    begun_ms: int = 0
    excused_ms: int = 0
    """What the caller's people took, and how long it was made to stand still."""
    about: set[str] = field(default_factory=set)
    """The hires about which this call has asked the node."""


class Life(BuyerBase):
    """A process from its start to its end. `frozen_until_ms`: it stands still and knows nothing of it."""

    def __init__(
        self,
        name: str,
        number: int,
        settings: Settings,
        budget: Budget | None,
        journal: Door,
        now_ms: Callable[[], int],
        ways: Ways,
        rng: random.Random,
        crowd: int,
        ahead_ms: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(settings, budget=budget, journal=journal)
        self.name = name
        self.number = number
        self.door = journal
        self.crowd = crowd
        self.alive = True
        self.frozen_until_ms = 0
        self.feeding = False
        self.tasks: list[Task] = []
        self.skewed = ahead_ms is not None
        self._clock = Clock(now_ms) if ahead_ms is None else Clock(lambda: now_ms() + ahead_ms(), now_ms)
        self._turns = 0
        self._feed = Feed(ways)
        self._flows = Flows(
            settings,
            budget,
            journal,
            ways,
            self._clock,
            token_hex=lambda count: rng.randbytes(count).hex(),
            monotonic=lambda: now_ms() / 1000,
        )

    @property
    def flows(self) -> Flows:
        return self._flows

    @property
    def feed(self) -> Feed:
        return self._feed

    def turn(self) -> str:
        """The name under which the next call holds its lease."""
        self._turns += 1
        return f"{self.name}:{self._turns}"

    def shares(self, call: Fetch) -> bool:
        return call.watched is not None and len(self._flows.watched) > self.crowd

    def look(self) -> Flow[int]:
        """One look at the node's feed for all that is driven here."""
        return self._feed.refresh(self.journal, lambda: list(self._flows.watched.values()), self._clock.now())

    def die(self) -> None:
        """Gone, in the middle of whatever it did; nothing is given back."""
        self.alive = False
        self.door.close()
        for task in self.tasks:
            while task.stack:
                task.stack.pop().close()
        self.tasks.clear()


PACE = Pace()
