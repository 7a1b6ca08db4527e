"""The jobs of a shop as an operator reads them: listed, one whole, cancelled, run again, archived, and what they earned."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Literal

from masumi_tools.errors import InputError, StateError
from masumi_tools.journal.database import explained, open_engine
from masumi_tools.money import Amount, total
from masumi_tools.seller.clock import Clock
from masumi_tools.seller.jobs.job import (
    CHAIN_ENDS,
    CONTESTED,
    ENDED,
    STATUS,
    Job,
    JobState,
    Rules,
    again,
    cancel,
    to_json,
)
from masumi_tools.seller.jobs.table import JobTable, Which
from masumi_tools.seller.jobs.tables import SCHEMA
from masumi_tools.settings import Settings

Period = Literal["", "day", "month", "year"]
_LENGTH = {"": 0, "day": 10, "month": 7, "year": 4}
_PAGE = 500


@contextmanager
def _opened(settings: Settings) -> Iterator[JobTable]:
    table = JobTable(settings.database_url, Rules())
    try:
        yield table
    finally:
        table.close()


def jobs(
    settings: Settings,
    *,
    limit: int | None = 50,
    states: Sequence[str] = (),
    service: str = "",
    since_ms: int = 0,
    by: Period = "",
    zone: tzinfo = UTC,
) -> dict[str, Any]:
    """The newest jobs that fit, how many there are of each state, what they earned, and what is contested.

    Amounts are text. `left_out` says how many more fit than the `limit` (None for all) that are listed, and
    `contested` how many are contested, of which as many are listed. `income` counts what the seller has (before
    the network's fee), `expected` what is locked for completed jobs; `periods` has the income by day, month or
    year of the zone where `by` asks for it.
    """
    strange = [state for state in states if state not in set(JobState)]
    if strange:
        raise InputError(
            f"{strange[0]!r} is not a state of a job; there are {', '.join(JobState)}", phase="jobs"
        )
    which = Which(states, service, since_ms)
    with _opened(settings) as table:
        shown = [line(name, job) for name, job in table.listed(which, limit)]
        disputes = [line(name, job) for name, job in table.listed(which, limit, contested=True)]
        counted = table.in_states(which)
        bookings = list(table.bookings(which, by_time=bool(by)))
    money: dict[str, tuple[Amount, ...]] = {}
    periods: dict[str, tuple[Amount, ...]] = {}
    contested = 0
    for booking in bookings:
        where, _, doubt = booking.booked.partition(" ")
        amounts = tuple(Amount(quantity * booking.number, unit) for quantity, unit in booking.price)
        money[where] = total((*money.get(where, ()), *amounts))
        contested += booking.number if doubt == CONTESTED else 0
        if by and where == "earned":
            period = iso(booking.slot_ms, zone)[: _LENGTH[by]]
            periods[period] = total((*periods.get(period, ()), *amounts))
    sums = {where: [str(amount) for amount in amounts] for where, amounts in money.items()}
    return {
        "jobs": shown,
        "left_out": max(sum(counted.values()) - len(shown), 0),
        "states": counted,
        "income": sums.get("earned", []),
        "expected": sums.get("expected", []),
        "refunded": sums.get("refunded", []),
        "disputes": disputes,
        "contested": contested,
        "periods": {period: [str(amount) for amount in periods[period]] for period in sorted(periods)},
    }


def jobs_if_any(settings: Settings, *, limit: int | None = 50) -> dict[str, Any]:
    """`jobs`, without making tables in a database that has none: then nothing was ever sold."""
    engine = open_engine(settings.database_url)
    try:
        with explained("looking for jobs"), engine.connect() as db:
            sold = SCHEMA.version(db) > 0
    finally:
        engine.dispose()
    if not sold:
        lists: dict[str, Any] = {name: [] for name in ("jobs", "income", "expected", "refunded", "disputes")}
        return lists | {"states": {}, "periods": {}, "left_out": 0, "contested": 0}
    return jobs(settings, limit=limit, by="month")


def whole(settings: Settings, job_id: str) -> dict[str, Any]:
    """All that is saved of one job, by its id or the beginning of it."""
    with _opened(settings) as table:
        service, job = _found(table, job_id)
    return {"service": service, "status": STATUS[job.state], "money": job.money, **to_json(job)}


def change(settings: Settings, job_id: str, how: Literal["cancel", "again"]) -> dict[str, Any]:
    """Cancel a job, or have a failed one worked on again by the processes that serve; the job afterwards.

    StateError where that is not possible; nothing is changed then.
    """
    now = Clock().now_ms()
    with _opened(settings) as table:
        service, job = _found(table, job_id)

        def act(job: Job) -> Job:
            return cancel(job, now) if how == "cancel" else again(job, now, Rules())

        of_service = JobTable(settings.database_url, Rules(), service)
        try:
            after = of_service.change(job.job_id, now, act)
        finally:
            of_service.close()
    return line(service, after or job)


def archive(settings: Settings, before_ms: int, file: Path) -> int:
    """Move jobs that ended before, with nothing more to come from the chain, to a file of JSON lines; how many.

    A job is in the file, and on the disk, before it leaves the table. One that is archived twice stands in it twice.
    """
    moved = 0
    with _opened(settings) as table, file.open("a", encoding="utf-8") as lines:
        page: list[tuple[str, Job]] = []
        states = [state.value for state in ENDED]
        for found in table.listed(Which(states, before_ms=before_ms)):
            if _over(found[1]):
                page.append(found)
            if len(page) == _PAGE:
                moved += _move(table, page, lines)
                page = []
        moved += _move(table, page, lines)
    return moved


def _over(job: Job) -> bool:
    return job.free or job.state is JobState.LAPSED or job.chain.state in {*CHAIN_ENDS, None}


def _move(table: JobTable, page: list[tuple[str, Job]], lines: Any) -> int:
    for service, job in page:
        lines.write(json.dumps({"service": service, **to_json(job)}, ensure_ascii=False) + "\n")
    lines.flush()
    os.fsync(lines.fileno())
    return table.remove([job for _, job in page])


def _found(table: JobTable, job_id: str) -> tuple[str, Job]:
    found = table.named(job_id)
    if len(found) != 1:
        what = "there is no job" if not found else "there is more than one job"
        raise StateError(f"{what} whose id begins with {job_id[:60]!r}", phase="jobs")
    return found[0]


def line(service: str, job: Job) -> dict[str, Any]:
    """A job on one line."""
    return {
        "job_id": job.job_id,
        "service": service,
        "state": job.state.value,
        "status": STATUS[job.state],
        "created_ms": job.created_ms,
        "price": [str(amount) for amount in _amounts(job)],
        "money": job.money,
        "on_chain": job.chain.state,
        "refund": job.refund or None,
        "result_hash": job.result_hash,
        "error": job.error,
        "progress": job.progress or None,
        "attempt": job.attempt,
    }


def iso(ms: int, zone: tzinfo = UTC) -> str:
    """A time for people, to the second."""
    return datetime.fromtimestamp(ms / 1000, zone).isoformat(" ", "seconds")


def _amounts(job: Job) -> tuple[Amount, ...]:
    return tuple(Amount(quantity, unit) for quantity, unit in job.price)
