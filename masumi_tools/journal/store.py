"""The journal: plain versioned records in SQLite or PostgreSQL, on one code path of SQLAlchemy Core.

A record is JSON with the columns that are searched and summed beside it; what it means is known to
the layers above. Every write names the version that it saw, so a process that was overtaken loses
its write and never overwrites. A reservation is one transaction: sum, decide, save.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import sqlalchemy as sa

from masumi_tools.errors import JournalBusy, JournalError
from masumi_tools.journal import totals, turns
from masumi_tools.journal.database import explained, let_go_with, open_engine
from masumi_tools.journal.looking import Filter, Looks
from masumi_tools.journal.news import News
from masumi_tools.journal.questions import Questions
from masumi_tools.journal.row import Counted, Reservation, Row, Usage, Used, columns, read
from masumi_tools.journal.statement import Statement
from masumi_tools.journal.tables import (
    budgets,
    calls,
    hires,
    meta,
    notes,
    schema,
)
from masumi_tools.journal.totals import Line
from masumi_tools.text import storable


def now_ms() -> int:
    """This machine's clock, in ms: leases belong to machines, not to the node's clock."""
    return time.time_ns() // 1_000_000


class Journal(Questions, Looks, News):
    """Saved hires. Safe to share among threads; several processes may open the same database.

    `now_ms` is the clock that leases run by. With `later` the database is opened when it is first used, in
    whichever thread that is: an event loop makes a journal without touching a file.
    """

    def __init__(self, url: str, now_ms: Callable[[], int] = now_ms, *, later: bool = False) -> None:
        self.url = url
        self._now_ms = now_ms
        self._opening = threading.Lock()
        self._opened: tuple[sa.Engine, sa.Engine] | None = None
        if not later:
            self.open()

    def open(self) -> tuple[sa.Engine, sa.Engine]:
        """The engines that write and that read, opened now if they are not yet; JournalError says why not."""
        with self._opening:
            if self._opened is None:
                self._opened = _open(self.url)
                let_go_with(self, self._opened[0])
            return self._opened

    def close(self) -> None:
        if self._opened is not None:
            self._opened[0].dispose()

    @property
    def _engine(self) -> sa.Engine:
        return self.open()[0]

    @property
    def _reading(self) -> sa.Engine:
        return self.open()[1]

    def schema_version(self) -> int:
        """The version that the database has now; 0 when it is new. Changes nothing."""
        with explained("reading its version"), self._reading.connect() as db:
            return schema().version(db)

    def check_writable(self) -> None:
        """Nothing, when a change could be saved now; JournalError (locked, full, read-only) says why not."""
        with (
            explained("trying whether it can be written"),
            self._engine.connect() as db,
            db.begin() as change,
        ):
            db.execute(meta.update().values(value=meta.c.value))
            change.rollback()

    # Writing ---------------------------------------------------------------------------------

    def add(
        self,
        row: Row,
        call_id: str | None = None,
        owner: str | None = None,
        lease_ms: int = 0,
        money: Reservation | None = None,
    ) -> tuple[Row, bool]:
        """Save a new record, or answer the one that is there already: open under the same key or that of a
        rival, made under it since the caller looked (`row.after`; it may have ended), or known by the call id.

        `owner` drives the new record from the start, for `lease_ms`. With `money` the record is what its
        reservation makes of it, in the same transaction.
        """
        until_ms = self._now_ms() + lease_ms if owner else 0
        with explained("saving a new hire"):
            try:
                with self._engine.begin() as db:
                    if (there := self._there(db, row, call_id, money)) is not None:
                        return there, False
                    made = replace(self._decided(db, money) if money else row, version=1)
                    self._insert(db, made, call_id, owner, until_ms)
                    return made, True
            except sa.exc.IntegrityError:
                pass
            with self._engine.begin() as db:
                known = (
                    (call_id and self._by_call(db, call_id))
                    or self._by(db, "open_key", row.key)
                    or self._by(db, "key", row.key)
                )
                if known is None:
                    raise JournalBusy(
                        "the same hire was started and ended at this moment; run the call again"
                    )
        if call_id and known.joinable:
            self.link(call_id, known.hire_id)
        return known, False

    def _there(
        self, db: sa.Connection, row: Row, call_id: str | None, money: Reservation | None
    ) -> Row | None:
        """The record that is there instead of a new one."""
        if call_id and (known := self._by_call(db, call_id)):
            return known
        if row.rivals or money:  # from here on nobody adds another under this budget until this is saved
            self._lock_budget(db, row.budget, money.limits if money else "")
        if row.rivals and (rival := self._one(db, hires.c.open_key.in_(row.rivals))):
            return rival
        if money and (same := self._by(db, "open_key", row.key)):  # joined, whatever is left
            if call_id:
                db.execute(calls.insert().values(call_id=call_id, hire_id=same.hire_id))
            return same
        newest = self._by(db, "key", row.key) if row.after is not None else None
        ended = newest is not None and newest.hire_id != row.after and not newest.joinable
        return newest if ended else None

    def _insert(
        self, db: sa.Connection, row: Row, call_id: str | None, owner: str | None, until_ms: int
    ) -> None:
        _NEW.run(db, {**columns(row), "version": row.version, "lease_until_ms": 0})
        turns.write(db, row, owner, until_ms)
        _KNOWN_BUDGET.run(db, {"name": row.budget})
        self._write_entries(db, row)
        if call_id:
            db.execute(calls.insert().values(call_id=call_id, hire_id=row.hire_id))

    def link(self, call_id: str, hire_id: str) -> None:
        """Remember that this tool call belongs to this hire; a call that is known keeps its own."""
        with (
            explained("saving a call id"),
            contextlib.suppress(sa.exc.IntegrityError),
            self._engine.begin() as db,
        ):
            db.execute(calls.insert().values(call_id=call_id, hire_id=hire_id))

    def note(self, name: str, text: str) -> str:
        """Keep a text under a name, and answer it; a name that is known keeps its own text."""
        with explained("saving a note"):
            try:
                with self._engine.begin() as db:
                    db.execute(notes.insert().values(name=name, text=text))
                return text
            except sa.exc.IntegrityError:
                return self.noted(name) or text

    def save(self, row: Row) -> Row:
        """Save over the version that `row` was read with; JournalBusy when somebody saved first."""
        with explained("saving a hire"):
            try:
                with self._engine.begin() as db:
                    return self._save(db, row)
            except sa.exc.IntegrityError:  # a newer hire is open under the key: that one is joined, not this
                with self._engine.begin() as db:
                    return self._save(db, replace(row, joinable=False))

    def save_decided(self, money: Reservation) -> Row:
        """Sum the budget's use, make the row of it, and save: one transaction."""
        with explained("reserving money"):
            try:
                return self._save_reserved(money)
            except sa.exc.IntegrityError:  # a newer hire is open under the key: that one is joined, not this
                return self._save_reserved(money, joinable=False)

    def _save_reserved(self, money: Reservation, *, joinable: bool = True) -> Row:
        with self._engine.begin() as db:
            self._lock_budget(db, money.hire.budget, money.limits)
            row = self._decided(db, money)
            return self._save(db, row if joinable else replace(row, joinable=False))

    def _decided(self, db: sa.Connection, money: Reservation) -> Row:
        return money.decide(self._usage(db, money.hire, money.since_ms, money.month_ms))

    def _save(self, db: sa.Connection, row: Row) -> Row:
        now = {**columns(row), "version": row.version + 1}
        if _OVER.run(db, {**now, "of": row.hire_id, "seen": row.version}) != 1:
            raise JournalBusy("another process saved this hire first", phase="journal")
        turns.write(db, row)
        self._write_entries(db, row)
        return replace(row, version=row.version + 1)

    def _write_entries(self, db: sa.Connection, row: Row) -> None:
        if row.entries:
            at_ms = row.at_ms or row.created_ms
            new = [
                Line(entry.unit, row.budget, row.service, at_ms, row.money, entry.quantity, entry.returned)
                for entry in row.entries
            ]
            totals.write(db, row.hire_id, new)

    def _lock_budget(self, db: sa.Connection, name: str, limits: str) -> None:
        """Hold the budget until the transaction ends; on SQLite BEGIN IMMEDIATE holds the whole file."""
        _KNOWN_BUDGET.run(db, {"name": name})
        known = _LIMITS.rows(db, {"value": name})
        if limits and known != [(limits,)]:
            db.execute(budgets.update().where(budgets.c.name == name).values(limits=limits))

    def _usage(self, db: sa.Connection, hire: Counted, since_ms: int, month_ms: int | None) -> Usage:
        own = totals.lines_of(db, hire.hire_id)
        used = totals.use(db, hire.budget, hire.service, since_ms, without=own)
        month = totals.since(db, hire.budget, month_ms, without=own) if month_ms is not None else {}
        return Usage(*used, month)

    # Leases ----------------------------------------------------------------------------------

    def take_lease(self, hire_id: str, owner: str, for_ms: int, is_dead: Callable[[str], bool]) -> bool:
        """Whether `owner` now drives this hire; False while the lease of another, who is not dead, runs."""
        at = self._now_ms()
        with explained("taking a lease"), self._engine.begin() as db:
            return turns.take(db, storable(hire_id), owner, at, at + for_ms, is_dead)

    def drop_lease(self, hire_id: str, owner: str) -> None:
        with explained("giving a lease back"), self._engine.begin() as db:
            turns.drop(db, hire_id, owner)

    def due(
        self, now: int, after: tuple[int, str], is_dead: Callable[[str], bool], limit: int = 200
    ) -> list[Row]:
        """Open hires that are due at `now` (ms of the node's clock) and driven by nobody, nearest unlock_time first.

        `after` is (rank, hire_id) of the last one of the page before; (0, "") begins, and `now` stays what it
        was then. An empty page is the end. Reads only, and takes no lease.
        """
        while True:
            with explained("looking for what is due"), self._reading.connect() as db:
                page = turns.due(db, now, after, limit)
            at = self._now_ms()
            free = [
                replace(
                    read(found),
                    due_ms=found.due_ms,
                    known_ms=found.known_ms,
                    news_ms=found.news_ms,
                    rank=found.rank,
                )
                for found in page
                if not turns.runs(found.lease_owner, found.lease_until_ms, at) or is_dead(found.lease_owner)
            ]
            if free or not page:
                return free
            after = page[-1].rank, page[-1].hire_id

    def put_off(self, due: Sequence[tuple[Row, int]]) -> None:
        """Let rows of `due` be looked at later: at the moment beside each, unless it was saved meanwhile."""
        moved = [
            {"hire_id": row.hire_id, "seen_ms": row.due_ms, "news_ms": row.news_ms, "due_ms": due_ms}
            for row, due_ms in sorted(due, key=lambda one: one[0].hire_id)
            if due_ms != row.due_ms
        ]
        if moved:
            with explained("keeping when hires are due"), self._engine.begin() as db:
                turns.put_off(db, moved)

    def archive(self, rows: Sequence[Row]) -> int:
        """Take these ended hires out of the journal; how many went. What they count in budgets stays.

        One that changed since it was read, or is open, stays as it is. Calls keep the id of their hire.
        """
        with explained("archiving hires"), self._engine.begin() as db:
            known = {(row.hire_id, row.version) for row in rows}
            query = sa.select(hires.c.hire_id, hires.c.version).where(
                hires.c.hire_id.in_([row.hire_id for row in rows]), ~hires.c.is_open
            )
            gone = [found.hire_id for found in db.execute(query.with_for_update()) if tuple(found) in known]
            totals.archive(db, gone)
            db.execute(hires.delete().where(hires.c.hire_id.in_(gone)))
            return len(gone)

    def vacuum(self) -> None:
        """Give the room of what was archived back to the disk, on SQLite; nobody may write meanwhile."""
        if self._engine.name == "sqlite":
            with explained("giving room back"), self._reading.connect() as db:
                db.exec_driver_sql("VACUUM")

    def count(self, *, only_open: bool = False, budget: str | None = None) -> int:
        """How many records `pages` gives; an index is read, no record."""
        query = sa.select(sa.func.count()).select_from(hires)
        query = query.where(hires.c.is_open) if only_open else query
        query = query.where(hires.c.budget == storable(budget)) if budget is not None else query
        with explained("counting"), self._reading.connect() as db:
            return db.scalar(query) or 0

    def count_open(self) -> int:
        """How many hires are open."""
        with explained("counting"), self._reading.connect() as db:
            return turns.count(db)

    # Reading ---------------------------------------------------------------------------------

    def get(self, hire_id: str) -> Row | None:
        with explained("reading"), self._reading.connect() as db:
            return self._by(db, "hire_id", storable(hire_id))

    def known_under(self, key: str, older_key: str) -> tuple[Row | None, Row | None]:
        """The newest record under the key; beside it, where there is none, the open or else newest of the other."""
        with explained("reading"), self._reading.connect() as db:
            newest = self._by(db, "key", key)
            if newest is not None:
                return newest, None
            older = self._by(db, "open_key", older_key) or self._by(db, "key", older_key)
            return None, older

    def by_call(self, call_id: str) -> Row | None:
        with explained("reading"), self._reading.connect() as db:
            return self._by_call(db, call_id)

    def noted(self, name: str) -> str | None:
        """The text under this name, or None."""
        with explained("reading"), self._reading.connect() as db:
            return db.scalar(sa.select(notes.c.text).where(notes.c.name == name))

    def rows(
        self, *, only_open: bool = False, budget: str | None = None, limit: int | None = None
    ) -> list[Row]:
        """The newest records first: all of them, or at most `limit`."""
        found: list[Row] = []
        for page in self.pages(only_open=only_open, budget=budget, size=min(limit or 500, 500)):
            found += page
            if limit is not None and len(found) >= limit:
                return found[:limit]
        return found

    def pages(
        self, *, only_open: bool = False, budget: str | None = None, size: int = 500
    ) -> Iterator[list[Row]]:
        """All records, the newest first, a page at a time: none is left out however many there are."""
        query = sa.select(hires).order_by(*_NEWEST).limit(size)
        if only_open:
            query = query.where(hires.c.is_open)
        if budget is not None:
            query = query.where(hires.c.budget == storable(budget))
        page: list[Row] = []
        while not page or len(page) == size:
            at = page[-1] if page else None
            older = sa.true() if at is None else sa.tuple_(*_AGE) < sa.tuple_(at.created_ms, at.hire_id)
            with explained("reading"), self._reading.connect() as db:
                page = [read(found) for found in db.execute(query.where(older))]
            if not page:
                return
            yield page

    def search(self, wanted: Filter, limit: int = 50, *, oldest: bool = False) -> list[Row]:
        """Records of those that are wanted, at most `limit` of them: the newest, or the oldest, first."""
        return self.records(self.found(wanted, limit, oldest=oldest)[1])

    def newest_of(self, services: Sequence[str]) -> list[Row]:
        """The newest hire of each of these services."""
        last = sa.select(hires.c.service, sa.func.max(hires.c.created_ms)).where(
            hires.c.service.in_([storable(service) for service in services])
        )
        with explained("reading"), self._reading.connect() as db:
            ends = [tuple(found) for found in db.execute(last.group_by(hires.c.service))]
            query = sa.select(hires).where(sa.tuple_(hires.c.service, hires.c.created_ms).in_(ends))
            return [read(found) for found in db.execute(query)]

    def records(self, hire_ids: Sequence[str]) -> list[Row]:
        """The records of these hires, in this order; those that are not there are left out."""
        with explained("reading"), self._reading.connect() as db:
            found = {
                one.hire_id: read(one)
                for one in db.execute(sa.select(hires).where(hires.c.hire_id.in_(hire_ids)))
            }
        return [found[hire_id] for hire_id in hire_ids if hire_id in found]

    def of_service(self, service: str, states: Sequence[str], most: int) -> list[Row]:
        """Of each of these states the newest records of the service, at most `most` of each; read by an index."""
        newest = [
            sa.select(hires.c.hire_id)
            .where(hires.c.service == storable(service), hires.c.state == state)
            .order_by(hires.c.created_ms.desc())
            .limit(most)
            .subquery()
            for state in states
        ]
        either = sa.union_all(*(sa.select(one.c.hire_id) for one in newest)).subquery()
        query = sa.select(hires).where(hires.c.hire_id.in_(sa.select(either.c.hire_id)))
        with explained("reading"), self._reading.connect() as db:
            return [read(found) for found in db.execute(query)]

    def usage(self, hire: Counted, since_ms: int, month_ms: int | None = None) -> Usage:
        """What counts against the hire's budget now, without the hire itself."""
        with explained("reading"), self._reading.connect() as db:
            return self._usage(db, hire, since_ms, month_ms)

    def used(self, budget: str) -> list[Used]:
        """What the budget's lines come to, per unit and money; those that were released too."""
        with explained("reading"), self._reading.connect() as db:
            return [Used(*found) for found in totals.of_budget(db, storable(budget))]

    def budgets(self) -> dict[str, str]:
        """The names of all budgets that were ever used, with the limits that they had last, as text."""
        query = sa.select(budgets.c.name, budgets.c.limits).order_by(budgets.c.name)
        with explained("reading"), self._reading.connect() as db:
            return {name: text for name, text in db.execute(query)}

    def wrong_totals(self) -> int:
        """How many of the kept sums are not those of the lines; reads every line, and holds nobody up."""
        one_moment = "BEGIN ISOLATION LEVEL REPEATABLE READ" if self._engine.name == "postgresql" else "BEGIN"
        with explained("comparing its sums"), self._reading.connect() as db:
            db.exec_driver_sql(one_moment)
            try:
                return len(totals.differences(db))
            finally:
                db.exec_driver_sql("COMMIT")

    def mend_totals(self) -> int:
        """Make the sums that are wrong anew from the lines; how many there were."""
        with explained("mending its sums"), self._engine.begin() as db:
            return totals.mend(db)

    def _one(self, db: sa.Connection, condition: sa.ColumnElement[bool]) -> Row | None:
        query = sa.select(hires).where(condition).order_by(*_NEWEST).limit(1)
        found = db.execute(query).first()
        return read(found) if found else None

    def _by(self, db: sa.Connection, column: str, value: str) -> Row | None:
        found = _BY[column].rows(db, {"value": value})
        return read(_Found(*found[0])) if found else None

    def _by_call(self, db: sa.Connection, call_id: str) -> Row | None:
        hire_id = db.scalar(sa.select(calls.c.hire_id).where(calls.c.call_id == call_id))
        if hire_id is None:
            return None
        found = self._by(db, "hire_id", hire_id)
        if found is None:  # bought anew it would be paid twice
            raise JournalError(
                f"this tool call belongs to the hire {hire_id}, which was archived; nothing was sent. Its "
                "receipt is in the file that it was archived to; to hire again, make a new call",
                phase="journal",
                repeatable=False,
            )
        return found


def _open(url: str) -> tuple[sa.Engine, sa.Engine]:
    """The engines of a journal, whose tables are brought to this version: one writes, one reads and locks nothing."""
    engine = open_engine(url)
    reading = engine.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with explained("opening it"):
            schema().bring(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine, reading


_KNOWN_BUDGET = Statement(
    sa.text("INSERT INTO masumi_budgets (name, limits) VALUES (:name, '') ON CONFLICT DO NOTHING")
)
_LIMITS = Statement(
    sa.select(budgets.c.limits).where(budgets.c.name == sa.bindparam("value")).with_for_update()
)
_NEW = Statement(hires.insert(), hires.c.keys())
_OVER = Statement(
    hires.update().where(hires.c.hire_id == sa.bindparam("of"), hires.c.version == sa.bindparam("seen")),
    [column.name for column in hires.c if column.name != "lease_until_ms"],
)
_AGE = (hires.c.created_ms, hires.c.hire_id)
_NEWEST = (hires.c.created_ms.desc(), hires.c.hire_id.desc())
_BY = {
    name: Statement(
        sa.select(hires).where(hires.c[name] == sa.bindparam("value")).order_by(*_NEWEST).limit(1)
    )
    for name in ("hire_id", "key", "open_key")
}
_Found = namedtuple("_Found", hires.c.keys())  # type: ignore[misc]
