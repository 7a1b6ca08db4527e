"""The journal in memory, for speed: the same rules as `store.Journal`, and a test holds both to one contract.

`Door` is how one process of the simulation reaches a journal: it may die there, or find the disk full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from masumi_tools.errors import JournalBusy
from masumi_tools.journal.news import Place
from masumi_tools.journal.questions import END_ASKED, ENDS, Question
from masumi_tools.journal.row import Counted, Entry, Reservation, Row, Usage, Used
from masumi_tools.journal.store import Journal
from masumi_tools.journal.turns import MOST_AHEAD_MS, rank, runs

Summed = dict[str, int]


@dataclass(slots=True)
class _Kept:
    """One record with its lease, and the budget lines that were last written with it."""

    row: Row
    money: str = ""
    service: str = ""
    at_ms: int = 0
    entries: tuple[Entry, ...] = ()
    lease_owner: str | None = None
    lease_until_ms: int = 0
    due_ms: int = 0
    token: str = ""
    known_ms: int = 0
    news_ms: int = 0
    unlock_ms: int = 0

    def shown(self) -> Row:
        """As a database gives a row back: without its budget lines."""
        return replace(
            self.row,
            money="",
            entries=(),
            at_ms=0,
            at_rest=False,
            after=None,
            due_ms=0,
            token="",
            known_ms=0,
            unlock_ms=0,
        )


class MemoryJournal(Journal):
    """Saved hires of one history. One thread; `now_ms` is the clock that leases run by."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._kept: dict[str, _Kept] = {}
        self._open: dict[str, str] = {}
        self._calls: dict[str, str] = {}
        self._notes: dict[str, str] = {}
        self._feeds: dict[str, Place] = {}
        self._limits: dict[str, str] = {}
        self._questions: dict[tuple[str, str], Question] = {}

    def close(self) -> None:
        """Nothing is held open."""

    # Writing ---------------------------------------------------------------------------------

    def add(
        self,
        row: Row,
        call_id: str | None = None,
        owner: str | None = None,
        lease_ms: int = 0,
        money: Reservation | None = None,
    ) -> tuple[Row, bool]:
        if call_id and (known := self.by_call(call_id)):
            return known, False
        limits = dict(self._limits)
        if row.rivals or money:
            self._limits.setdefault(row.budget, "")
        if money and money.limits:
            self._limits[row.budget] = money.limits
        for key in row.rivals:
            if rival := self._open_under(key):
                return rival, False
        if money and (same := self._open_under(row.key)):
            if call_id:
                self._calls[call_id] = same.hire_id
            return same, False
        newest = self._newest_under(row.key)
        if row.after is not None and newest is not None and newest.hire_id != row.after:
            if not newest.joinable:
                return newest, False
        if money:
            row = money.decide(self.usage(money.hire, money.since_ms, money.month_ms))
        if row.hire_id not in self._kept and not (row.joinable and row.key in self._open):
            made = replace(row, version=1)
            kept = self._kept[row.hire_id] = _Kept(made)
            if owner and row.is_open:
                kept.lease_owner, kept.lease_until_ms = owner, self._now_ms() + lease_ms
            self._write(made)
            if call_id:
                self._calls[call_id] = row.hire_id
            return made, True
        self._limits = limits  # nothing was made, and nothing is kept of the try
        found = self._open_under(row.key) or newest
        if found is None:
            raise JournalBusy("the same hire was begun and ended at this moment; ask again")
        if call_id and found.joinable:
            self._calls[call_id] = found.hire_id
        return found, False

    def link(self, call_id: str, hire_id: str) -> None:
        self._calls.setdefault(call_id, hire_id)

    def note(self, name: str, text: str) -> str:
        return self._notes.setdefault(name, text)

    def save(self, row: Row) -> Row:
        kept = self._kept.get(row.hire_id)
        if kept is None or kept.row.version != row.version:
            raise JournalBusy("another process saved this hire first", phase="journal")
        if row.joinable and self._open.get(row.key, row.hire_id) != row.hire_id:
            row = replace(row, joinable=False)  # a newer hire is open under the key
        saved = replace(row, version=row.version + 1)
        if kept.row.joinable and not row.joinable:
            self._open.pop(kept.row.key, None)
        if row.at_rest or not row.is_open:
            kept.lease_owner, kept.lease_until_ms = None, 0
        kept.row = saved
        self._write(saved)
        return saved

    def save_decided(self, money: Reservation) -> Row:
        hire = money.hire
        saved = self.save(money.decide(self.usage(hire, money.since_ms, money.month_ms)))
        if money.limits or hire.budget not in self._limits:
            self._limits[hire.budget] = money.limits
        return saved

    def _write(self, row: Row) -> None:
        kept = self._kept[row.hire_id]
        news = kept.news_ms > max(row.known_ms, kept.known_ms)
        kept.due_ms = min(row.due_ms, kept.due_ms) if news else row.due_ms
        kept.unlock_ms = row.unlock_ms
        kept.token, kept.known_ms = row.token or kept.token, max(row.known_ms, kept.known_ms)
        if not row.is_open:
            kept.token, kept.known_ms, kept.news_ms = "", 0, 0
        if row.joinable:
            self._open[row.key] = row.hire_id
        if row.entries:
            kept.money, kept.service = row.money, row.service
            kept.entries, kept.at_ms = row.entries, row.at_ms or row.created_ms

    # Questions -------------------------------------------------------------------------------

    def ask(self, question: Question) -> Question:
        return self._questions.setdefault((question.hire_id, question.digest), question)

    def answer(self, question: Question, answer: str, by: str, why: str, at_ms: int) -> tuple[Question, bool]:
        kept = self._questions.get((question.hire_id, question.digest))
        if kept is None or kept.answer:
            return kept or question, False
        answered = replace(kept, answer=answer, by=by, why=why, at_ms=at_ms)
        self._questions[question.hire_id, question.digest] = answered
        return answered, True

    def question(self, hire_id: str, digest: str | None = None) -> Question | None:
        asked = [
            one
            for one in self._questions.values()
            if one.hire_id == hire_id and (one.digest == digest if digest else one.digest not in ENDS)
        ]
        return max(asked, key=lambda one: (one.asked_ms, one.digest), default=None)

    def unanswered(self, state: str, limit: int = 1_000) -> list[Question]:
        asked = [one for one in self._questions.values() if one.digest not in ENDS and not one.answer]
        found = [
            one for one in asked if one.hire_id in self._kept and self._kept[one.hire_id].row.state == state
        ]
        return sorted(found, key=lambda one: (one.asked_ms, one.hire_id, one.digest))[:limit]

    def await_end(self, hire_id: str) -> None:
        self.end_heard(hire_id)
        for way in ENDS:
            self._questions[hire_id, way] = Question(hire_id, way, asked_ms=0, until_ms=0)

    def end_heard(self, hire_id: str) -> None:
        for way in ENDS:
            self._questions.pop((hire_id, way), None)

    def awaits(self, hire_id: str) -> bool:
        return (hire_id, END_ASKED) in self._questions

    # Leases ----------------------------------------------------------------------------------

    def take_lease(self, hire_id: str, owner: str, for_ms: int, is_dead: Callable[[str], bool]) -> bool:
        kept, at = self._kept.get(hire_id), self._now_ms()
        if kept is None or not kept.row.is_open:
            return False
        holder = kept.lease_owner
        if holder is not None and holder != owner and runs(holder, kept.lease_until_ms, at):
            if not is_dead(holder):
                return False
        kept.lease_owner, kept.lease_until_ms = owner, at + for_ms
        return True

    def drop_lease(self, hire_id: str, owner: str) -> None:
        kept = self._kept.get(hire_id)
        if kept is not None and kept.lease_owner == owner:
            kept.lease_owner, kept.lease_until_ms = None, 0

    def due(
        self, now: int, after: tuple[int, str], is_dead: Callable[[str], bool], limit: int = 200
    ) -> list[Row]:
        at = self._now_ms()
        found = sorted(
            (found_at, hire_id)
            for hire_id, kept in self._kept.items()
            if kept.row.is_open
            and after < ((found_at := rank(kept.unlock_ms, kept.due_ms, now)), hire_id)
            and (kept.due_ms <= now or kept.due_ms > now + MOST_AHEAD_MS)
        )
        while page := found[:limit]:  # those that are driven are left out of a page, which is shorter then
            found = found[limit:]
            kept_of = [(found_at, self._kept[hire_id]) for found_at, hire_id in page]
            free = [
                replace(
                    kept.shown(),
                    due_ms=kept.due_ms,
                    known_ms=kept.known_ms,
                    news_ms=kept.news_ms,
                    rank=found_at,
                )
                for found_at, kept in kept_of
                if not runs(kept.lease_owner, kept.lease_until_ms, at) or is_dead(kept.lease_owner or "")
            ]
            if free:
                return free
        return []

    def put_off(self, due: Sequence[tuple[Row, int]]) -> None:
        for row, due_ms in due:
            kept = self._kept.get(row.hire_id)
            if kept is not None and kept.row.is_open and kept.due_ms == row.due_ms:
                kept.due_ms = due_ms if kept.news_ms == row.news_ms else kept.due_ms

    def heard_to(self, feed: str) -> Place | None:
        return self._feeds.get(feed)

    def hear(self, feed: str, to: Place, news: Mapping[str, int], wrong_after: str) -> set[str]:
        told = [
            kept
            for kept in self._kept.values()
            if kept.row.is_open and news.get(kept.token, 0) > kept.known_ms
        ]
        for kept in told:
            if (at_ms := news[kept.token]) > kept.news_ms:
                kept.news_ms, kept.due_ms = at_ms, 0
        before = self._feeds.get(feed)
        if before is None or before.changed <= to.changed or before.changed > wrong_after:
            self._feeds[feed] = to
        return {kept.token for kept in told}

    def oldest_open_ms(self) -> int | None:
        return min((kept.row.created_ms for kept in self._kept.values() if kept.row.is_open), default=None)

    def count_open(self) -> int:
        return sum(kept.row.is_open for kept in self._kept.values())

    # Reading ---------------------------------------------------------------------------------

    def get(self, hire_id: str) -> Row | None:
        kept = self._kept.get(hire_id)
        return kept.shown() if kept else None

    def known_under(self, key: str, older_key: str) -> tuple[Row | None, Row | None]:
        newest = self._newest_under(key)
        if newest is not None:
            return newest, None
        return None, self._open_under(older_key) or self._newest_under(older_key)

    def _open_under(self, key: str) -> Row | None:
        return self.get(self._open.get(key, ""))

    def _newest_under(self, key: str) -> Row | None:
        found = [kept for kept in self._kept.values() if kept.row.key == key]
        return max(found, key=_age).shown() if found else None

    def by_call(self, call_id: str) -> Row | None:
        return self.get(self._calls.get(call_id, ""))

    def noted(self, name: str) -> str | None:
        return self._notes.get(name)

    def pages(
        self, *, only_open: bool = False, budget: str | None = None, size: int = 500
    ) -> Iterator[list[Row]]:
        found = [
            kept
            for kept in self._kept.values()
            if (kept.row.is_open or not only_open) and budget in (None, kept.row.budget)
        ]
        rows = [kept.shown() for kept in sorted(found, key=_age, reverse=True)]
        return (rows[at : at + size] for at in range(0, len(rows), size))

    def of_service(self, service: str, states: Sequence[str], most: int) -> list[Row]:
        mine = [row for page in self.pages() for row in page if row.service == service]
        return [row for state in states for row in [one for one in mine if one.state == state][:most]]

    def usage(self, row: Counted, since_ms: int, month_ms: int | None = None) -> Usage:
        total: Summed = {}
        service: Summed = {}
        since: Summed = {}
        month: Summed = {}
        for hire_id, kept in self._kept.items():
            if kept.row.budget != row.budget or kept.money in ("", "released") or hire_id == row.hire_id:
                continue
            for entry in kept.entries:
                counts = entry.quantity - entry.returned
                total[entry.unit] = total.get(entry.unit, 0) + counts
                if kept.service == row.service:
                    service[entry.unit] = service.get(entry.unit, 0) + counts
                if kept.at_ms >= since_ms:
                    since[entry.unit] = since.get(entry.unit, 0) + counts
                if month_ms is not None and kept.at_ms >= month_ms:
                    month[entry.unit] = month.get(entry.unit, 0) + counts
        return Usage(
            *({unit: value for unit, value in one.items() if value} for one in (total, service, since, month))
        )

    def used(self, budget: str) -> list[Used]:
        summed: dict[tuple[str, str], tuple[int, int]] = {}
        for kept in self._kept.values():
            for entry in kept.entries if kept.row.budget == budget else ():
                quantity, returned = summed.get((entry.unit, kept.money), (0, 0))
                summed[entry.unit, kept.money] = quantity + entry.quantity, returned + entry.returned
        return [Used(*names, *sums) for names, sums in sorted(summed.items()) if sums[0]]

    def wrong_totals(self) -> int:
        """There are none: everything is summed from the lines each time."""
        return 0

    def budgets(self) -> dict[str, str]:
        names = sorted({*self._limits, *(kept.row.budget for kept in self._kept.values())})
        return {name: self._limits.get(name, "") for name in names}


def _age(kept: _Kept) -> tuple[int, str]:
    return kept.row.created_ms, kept.row.hire_id
