"""The jobs as they are saved: one row for each, in SQLite or PostgreSQL, on SQLAlchemy Core.

The record is JSON; beside it stand the columns that are searched. Every save names the version that
it saw, so a process that was overtaken loses its save and never overwrites. All times are ms.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from pydantic_core import to_json
from sqlalchemy.dialects import sqlite

from masumi_tools.errors import JournalBusy, JournalError
from masumi_tools.journal.database import Unsettled, explained, let_go_with, open_engine, open_unsettled
from masumi_tools.journal.postgres import refuse_pooler, unhurried
from masumi_tools.seller.jobs.alive import database_ms, has_ended
from masumi_tools.seller.jobs.job import (
    CONTESTED,
    ENDED,
    Job,
    JobState,
    Rules,
    booked,
    due_ms,
    from_json,
)
from masumi_tools.seller.jobs.tables import IS_BOOKED, SCHEMA, processes
from masumi_tools.seller.jobs.tables import facts as _facts
from masumi_tools.seller.jobs.tables import jobs as _jobs

NEVER = 2**62
_PAGE = 200
_SHORT = 200
_SLOT_MS = 15 * 60_000  # midnight of every zone is at the beginning of one
_SILENT_MS = 60_000
_AT_ONCE, _CHARACTERS_AT_ONCE = 64, 200_000  # some milliseconds of the event loop

_written = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_INSERT: Any = _jobs.insert().compile(dialect=sqlite.dialect())  # the statement and the order of its values
_NEWEST = (_jobs.c.created_ms.desc(), _jobs.c.job_id.desc())
_CONTESTED = [f"{where} {CONTESTED}" for where in ("locked", "expected")]
_BY_ID = sa.select(_jobs.c.version, _jobs.c.record, _jobs.c.service).where(
    _jobs.c.job_id == sa.bindparam("id")
)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many open jobs there are: by state, and the unpaid ones by client."""

    states: dict[str, int]
    unpaid: dict[str, int]


@dataclass(frozen=True, slots=True)
class Booking:
    """So many jobs of one price that count alike (`job.booked`), made in the quarter of an hour from `slot_ms` on."""

    booked: str
    price: tuple[tuple[int, str], ...]
    slot_ms: int
    number: int


@dataclass(frozen=True, slots=True)
class Which:
    """Which jobs are wanted: in these states, of this service, made in this time; nothing said means all."""

    states: Sequence[str] = ()
    service: str = ""
    since_ms: int = 0
    before_ms: int | None = None

    def conditions(self) -> Iterator[Any]:
        if self.since_ms:
            yield _jobs.c.created_ms >= self.since_ms
        if self.states:
            yield _jobs.c.state.in_(list(self.states))
        if self.service:
            yield _jobs.c.service == self.service
        if self.before_ms is not None:
            yield _jobs.c.created_ms < self.before_ms


Told = Callable[[Job | None, Job], None]


def payment_key(blockchain_identifier: str) -> str:
    """A short key for the long identifier; "" for a free job."""
    return sha256(blockchain_identifier.encode()).hexdigest() if blockchain_identifier else ""


class JobTable:
    """The saved jobs of one service, known by its name; "" sees those of every service.

    Safe to share among threads; several processes, machines and services may use one database.
    `told(before, job)` hears of every saved change; `before` is None for a new job.
    Raises JournalError where the database cannot be used and JournalBusy where somebody saved first.
    """

    def __init__(self, url: str, rules: Rules, service: str = "", told: Told | None = None) -> None:
        self._told = told or (lambda before, job: None)
        self.service = service
        self._mine = _jobs.c.service == service if service else sa.true()
        self.engine = let_go_with(self, open_engine(url))
        self.rules = rules
        self.sqlite = self.engine.dialect.name == "sqlite"
        self._unsettled: Unsettled | None = None
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        try:
            with explained("opening the jobs"):
                self._make()
                self._unsettled = open_unsettled(self.engine)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        unsettled, self._unsettled = self._unsettled, None
        if unsettled is not None:
            unsettled.close()
        self.engine.dispose()

    def _make(self) -> None:
        if not self.sqlite:
            refuse_pooler(self.engine)
        SCHEMA.bring(self.engine)

    # Writing -----------------------------------------------------------------------------------------

    def add(self, jobs: Sequence[Job], now_ms: int) -> None:
        """Save new jobs, all in one transaction."""
        with explained("saving a new job"), self.engine.begin() as db:
            db.execute(_jobs.insert(), [self._columns(job, now_ms) for job in jobs])
        for job in jobs:
            self._told(None, job)

    def add_at_once(self, jobs: Sequence[Job], now_ms: int) -> bool:
        """Save new jobs without waiting for anybody; they are on the disk when `settle` returns.

        False, and nothing is saved, where that cannot be: on PostgreSQL, when another writes just now, for
        more than is written in a moment, and for jobs that somebody would begin before the disk has them.
        """
        if self._unsettled is None or len(jobs) > _AT_ONCE:
            return False
        if any(job.state is not JobState.AWAITING_PAYMENT for job in jobs):
            return False
        rows = [self._columns(job, now_ms) for job in jobs]
        if sum(len(row["record"]) for row in rows) > _CHARACTERS_AT_ONCE:
            return False
        values = [[row[name] for name in _INSERT.positiontup] for row in rows]
        if not self._unsettled.write(str(_INSERT), values):
            return False
        for job in jobs:
            self._told(None, job)
        return True

    def settle(self) -> None:
        """Returns when the disk has what `add_at_once` saved; JournalError where it takes nothing."""
        if self._unsettled is not None:
            self._unsettled.settle()

    def claim(self, how: Callable[[Job], Job | None], now_ms: int, limit: int) -> list[Job]:
        """Change up to `limit` ready jobs, the oldest first, in one transaction; those that were changed.

        Jobs that another process claims at this moment are passed over, and never waited for.
        """
        ready = sa.select(_jobs.c.version, _jobs.c.record).where(
            _jobs.c.state == JobState.READY.value, self._mine
        )
        ready = ready.order_by(_jobs.c.created_ms).limit(limit).with_for_update(skip_locked=True)
        with explained("looking for jobs"):
            if self.sqlite and not self._any_ready():
                return []  # without taking the file's lock for a look
            with self.engine.begin() as db:
                claimed: list[tuple[Job, Job]] = []
                for row in db.execute(ready).all():
                    job = _job(row)
                    if (after := how(job)) is not None:
                        where = (_jobs.c.job_id == job.job_id, _jobs.c.version == job.version)
                        db.execute(_jobs.update().where(*where).values(**self._columns(after, now_ms)))
                        claimed.append((job, replace(after, version=job.version + 1)))
        for before, after in claimed:
            self._told(before, after)
        return [after for _, after in claimed]

    def _any_ready(self) -> bool:
        ready = sa.select(_jobs.c.job_id).where(_jobs.c.state == JobState.READY.value, self._mine).limit(1)
        with self._reading.connect() as db:
            return db.execute(ready).first() is not None

    def save(self, job: Job, now_ms: int) -> Job:
        """Save over the version that `job` was read with."""
        with explained("saving a job"), self.engine.begin() as db:
            done = db.execute(
                _jobs.update()
                .where(_jobs.c.job_id == job.job_id, _jobs.c.version == job.version, self._mine)
                .values(**self._columns(job, now_ms))
            )
            if done.rowcount != 1:
                raise JournalBusy("another process saved this job first", phase="job")
        return replace(job, version=job.version + 1)

    def change(self, job_id: str, now_ms: int, how: Callable[[Job], Job | None]) -> Job | None:
        """Read, apply `how` and save, again while others save first; None where `how` saves nothing."""
        while True:
            job = self.get(job_id)
            changed = how(job) if job is not None else None
            if changed is None:
                return None
            try:
                saved = self.save(changed, now_ms)
            except JournalBusy as busy:
                if busy.phase != "job":
                    raise
            else:
                self._told(job, saved)
                return saved

    def _columns(self, job: Job, now_ms: int) -> dict[str, Any]:
        due = due_ms(job, now_ms, self.rules)
        return {
            "job_id": job.job_id,
            "service": self.service,
            "state": job.state.value,
            "version": job.version + 1,
            "owner": "" if job.state in ENDED else job.owner,
            "payment": payment_key(job.blockchain_identifier),
            "source_type": job.source_type,
            "watched": job.watched,
            "client": job.client[:80],
            "due_ms": NEVER if due is None else due,
            "created_ms": job.created_ms,
            "changed_ms": job.changed_ms,
            "record": to_json(job).decode(),
            "booked": booked(job),
            "price": price if len(price := _written(job.price)) <= _SHORT else "",
        }

    # Reading -----------------------------------------------------------------------------------------

    def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        if "\0" in job_id:  # PostgreSQL knows no such text
            return None
        with explained("reading a job"), self._reading.connect() as db:
            row = db.execute(_BY_ID, {"id": job_id}).first()
        return _job(row) if row and (not self.service or row.service == self.service) else None

    def by_payments(self, identifiers: Iterable[str]) -> list[Job]:
        """The jobs with these blockchain identifiers."""
        keys = [payment_key(identifier) for identifier in identifiers if identifier]
        return self._select(_jobs.c.payment.in_(keys)) if keys else []

    def due(self, now_ms: int, limit: int = 200) -> list[Job]:
        """Jobs that want to be looked at now, the longest waiting first."""
        return self._select(_jobs.c.due_ms <= now_ms, order=_jobs.c.due_ms, limit=limit)

    def in_state(self, *states: JobState, limit: int = 1000) -> list[Job]:
        """Jobs in these states, the oldest first."""
        where = _jobs.c.state.in_([state.value for state in states])
        return self._select(where, order=_jobs.c.created_ms, limit=limit)

    def every(self) -> Iterator[Job]:
        """All jobs, newest first; read a page at a time, since each may hold a long result."""
        where: Any = sa.true()
        while page := self._select(where, order=_NEWEST, limit=_PAGE):
            yield from page
            last = page[-1]
            earlier = sa.and_(_jobs.c.created_ms == last.created_ms, _jobs.c.job_id < last.job_id)
            where = sa.or_(_jobs.c.created_ms < last.created_ms, earlier)

    def listed(
        self, which: Which, most: int | None = None, *, contested: bool = False
    ) -> Iterator[tuple[str, Job]]:
        """Jobs with the names of their services, newest first, a page at a time; `most` of them, or all.

        `contested` are those alone whose refund is wished for, or whose money is disputed.
        """
        wanted = [self._mine, *which.conditions()]
        if contested:
            wanted += [IS_BOOKED, _jobs.c.booked.in_(_CONTESTED)]
        columns = sa.select(_jobs.c.version, _jobs.c.record, _jobs.c.service)
        after: Any = sa.true()
        left = most if most is not None else NEVER
        while left > 0:
            query = columns.where(*wanted, after).order_by(*_NEWEST).limit(size := min(left, _PAGE))
            with explained("reading jobs"), self._reading.connect() as db:
                page = [(row.service, _job(row)) for row in db.execute(query)]
            yield from page
            left -= len(page)
            if len(page) < size:
                return
            last = page[-1][1]
            earlier = sa.and_(_jobs.c.created_ms == last.created_ms, _jobs.c.job_id < last.job_id)
            after = sa.or_(_jobs.c.created_ms < last.created_ms, earlier)

    def in_states(self, which: Which) -> dict[str, int]:
        """How many of these jobs are in each state; an index is read, no job."""
        query = sa.select(_jobs.c.state, sa.func.count()).where(self._mine, *which.conditions())
        with explained("counting jobs"), self._reading.connect() as db:
            return {state: number for state, number in db.execute(query.group_by(_jobs.c.state))}

    def bookings(self, which: Which, *, by_time: bool = False) -> Iterator[Booking]:
        """What these jobs come to. An index is read; of jobs, only those whose prices are too long for it."""
        slot = _jobs.c.created_ms - _jobs.c.created_ms % _SLOT_MS if by_time else sa.literal_column("0")
        query = sa.select(
            _jobs.c.booked, _jobs.c.price, slot.label("slot_ms"), sa.func.count().label("number")
        )
        query = query.where(IS_BOOKED, self._mine, *which.conditions())
        query = (
            query.group_by(_jobs.c.booked, _jobs.c.price, sa.text("slot_ms"))
            if by_time
            else (query.group_by(_jobs.c.booked, _jobs.c.price))
        )
        long = sa.select(_jobs.c.version, _jobs.c.record).where(
            IS_BOOKED, _jobs.c.price == "", self._mine, *which.conditions()
        )
        with explained("adding up jobs"), self._reading.connect() as db:
            for row in db.execute(query).all():
                if row.price:
                    price = tuple((quantity, unit) for quantity, unit in json.loads(row.price))
                    yield Booking(row.booked, price, row.slot_ms, row.number)
            for row in db.execute(long).all():
                job = _job(row)
                yield Booking(booked(job), job.price, job.created_ms, 1)

    def named(self, beginning: str) -> list[tuple[str, Job]]:
        """At most two jobs whose ids begin so, with the names of their services."""
        query = sa.select(_jobs.c.version, _jobs.c.record, _jobs.c.service)
        query = query.where(_jobs.c.job_id.startswith(beginning, autoescape=True), self._mine).limit(2)
        with explained("reading a job"), self._reading.connect() as db:
            return [(row.service, _job(row)) for row in db.execute(query)]

    def remove(self, jobs: Sequence[Job]) -> int:
        """Take these jobs out of the table, those alone that nobody changed since they were read; how many."""
        with explained("removing old jobs"), self.engine.begin() as db:
            gone = 0
            for job in jobs:
                where = (_jobs.c.job_id == job.job_id, _jobs.c.version == job.version)
                gone += db.execute(_jobs.delete().where(*where)).rowcount
            return gone

    def owned_by(self, owner: str) -> list[Job]:
        """All that this process holds."""
        return self._select(_jobs.c.owner == owner)

    def versions(self, job_ids: Sequence[str]) -> dict[str, int]:
        """The present version of each of these jobs."""
        with explained("reading jobs"), self._reading.connect() as db:
            rows = db.execute(sa.select(_jobs.c.job_id, _jobs.c.version).where(_jobs.c.job_id.in_(job_ids)))
            return {row.job_id: row.version for row in rows}

    def owners(self) -> list[str]:
        """Every process that holds a job, alive or not."""
        with explained("reading jobs"), self._reading.connect() as db:
            return list(db.scalars(sa.select(_jobs.c.owner).where(_jobs.c.owner > "", self._mine).distinct()))

    def watched_sources(self) -> list[str]:
        """The kinds of escrow of which jobs wait for news ("" where the node did not say), however many jobs."""
        found: list[str] = []
        watched = sa.select(sa.func.min(_jobs.c.source_type)).where(_jobs.c.watched, self._mine)
        with explained("reading jobs"), self._reading.connect() as db:
            after: Any = sa.true()
            while (source := db.scalar(watched.where(after))) is not None:
                found.append(source)
                after = _jobs.c.source_type > source
        return found

    def counts(self) -> Counts:
        """How many open jobs there are now; those that have ended, which may be millions, are not counted."""
        count = sa.func.count()
        is_open = _jobs.c.state.in_([state.value for state in JobState if state not in ENDED])
        unpaid = _jobs.c.state == JobState.AWAITING_PAYMENT.value
        with explained("counting jobs"), self._reading.connect() as db:
            states = db.execute(
                sa.select(_jobs.c.state, count).where(is_open, self._mine).group_by(_jobs.c.state)
            ).all()
            clients = db.execute(
                sa.select(_jobs.c.client, count).where(unpaid, self._mine).group_by(_jobs.c.client)
            ).all()
        return Counts({row[0]: row[1] for row in states}, {row[0]: row[1] for row in clients})

    def _select(self, where: Any, *, order: Any = None, limit: int | None = None) -> list[Job]:
        query = sa.select(_jobs.c.version, _jobs.c.record).where(where, self._mine)
        if order is not None:
            query = query.order_by(*order) if isinstance(order, tuple) else query.order_by(order)
        if limit is not None:
            query = query.limit(limit)
        with explained("reading jobs"), self._reading.connect() as db:
            return [_job(row) for row in db.execute(query)]

    # Small facts: the feed's place, the agent identifier, the seller's key ---------------------------

    def fact(self, name: str) -> str | None:
        name = self._fact_name(name)
        with explained("reading the shop's facts"), self._reading.connect() as db:
            return db.scalar(sa.select(_facts.c.value).where(_facts.c.name == name))

    def set_fact(self, name: str, value: str) -> None:
        name = self._fact_name(name)
        with explained("saving the shop's facts"), self.engine.begin() as db:
            done = db.execute(_facts.update().where(_facts.c.name == name).values(value=value))
            if done.rowcount == 0:
                db.execute(_facts.insert().values(name=name, value=value))

    def change_fact(self, name: str, old: str | None, new: str) -> bool:
        """Save a fact where it still is `old` (None: not there yet); False where another one was faster."""
        name = self._fact_name(name)
        with explained("saving the shop's facts"):
            try:
                with self.engine.begin() as db:
                    if old is None:
                        db.execute(_facts.insert().values(name=name, value=new))
                        return True
                    same = (_facts.c.name == name, _facts.c.value == old)
                    return bool(db.execute(_facts.update().where(*same).values(value=new)).rowcount)
            except sa.exc.IntegrityError:
                return False

    def adopt(self, agent_identifier: str) -> str | None:
        """Take over the jobs of this agent that were kept under another name of the service; the earlier name.

        None where there is nothing to take over. JournalError while a process of the earlier name lives.
        """
        name = f"agent {agent_identifier}"[:250]
        with explained("looking for jobs of an earlier name"), self.engine.begin() as db, unhurried(db):
            before = db.scalar(sa.select(_facts.c.value).where(_facts.c.name == name))
            if before == self.service:
                return None
            if before is not None:
                old, new = service_key(before), service_key(self.service)
                fresh = processes.c.beat_ms > database_ms(db) - _SILENT_MS
                beating = sa.select(processes.c.name).where(processes.c.service == old, fresh)
                if any(not has_ended(name) for name in db.scalars(beating)):
                    raise JournalError(
                        f"the same agent is being sold under the name {before!r}; stop that service first",
                        phase="sell",
                    )
                db.execute(_jobs.update().where(_jobs.c.service == before).values(service=self.service))
                for row in db.execute(sa.select(_facts).where(_facts.c.name.startswith(f"{old} "))).all():
                    known = f"{new} {row.name[len(old) + 1 :]}"
                    db.execute(_facts.delete().where(_facts.c.name == known))
                    db.execute(_facts.insert().values(name=known, value=row.value))
                db.execute(_facts.delete().where(_facts.c.name == name))
            db.execute(_facts.insert().values(name=name, value=self.service))
            return before

    def _fact_name(self, name: str) -> str:
        return f"{service_key(self.service)} {name}"


def service_key(service: str) -> str:
    """A short name of the service for locks, queues and facts."""
    return sha256(service.encode()).hexdigest()[:12]


def _job(row: Any) -> Job:
    return replace(from_json(json.loads(row.record)), version=row.version)
