"""Whose turn it is: when each open hire wants to be looked at, and who drives it. A narrow table of its own.

A lease that is written here costs a fraction of one in the record's row, and a look for what is due reads
an index. Only open hires are in it. `due_ms` is time of the node's clock, leases are time of this machine's.
`token` is the name under which the node's feed tells of the hire; `known_ms` and `news_ms` are when its
purchase changed last, by the node's clock, as its record knows it and as the feed told it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from masumi_tools.journal.tables import hires, turns

# No lease and no wait is longer. What lies farther ahead was written by a clock that was wrong, and binds nobody.
MOST_AHEAD_MS = 65 * 60_000

_SET = (
    "INSERT INTO masumi_turns (hire_id, due_ms, lease_owner, lease_until_ms, token, known_ms, news_ms)"
    " VALUES (:hire_id, :due_ms, :owner, :until_ms, :token, :known_ms, 0) ON CONFLICT (hire_id) DO UPDATE SET"
    " token = CASE WHEN excluded.token = '' THEN masumi_turns.token ELSE excluded.token END,"
    " known_ms = CASE WHEN excluded.known_ms > masumi_turns.known_ms"
    " THEN excluded.known_ms ELSE masumi_turns.known_ms END,"
    # What is saved without the news does not put them off.
    " due_ms = CASE WHEN masumi_turns.news_ms > excluded.known_ms AND masumi_turns.news_ms > masumi_turns.known_ms"
    " AND masumi_turns.due_ms < excluded.due_ms THEN masumi_turns.due_ms ELSE excluded.due_ms END"
)
_KEPT = sa.text(_SET)
_FREED = sa.text(f"{_SET}, lease_owner = NULL, lease_until_ms = 0")


def write(
    db: sa.Connection,
    hire_id: str,
    due_ms: int,
    *,
    is_open: bool,
    token: str = "",
    known_ms: int = 0,
    at_rest: bool = False,
    owner: str | None = None,
    until_ms: int = 0,
) -> None:
    """Keep when an open hire is due; one that is at rest is driven by nobody, one that ended has no turn."""
    if not is_open:
        db.execute(turns.delete().where(turns.c.hire_id == hire_id))
        return
    values = {
        "hire_id": hire_id,
        "due_ms": due_ms,
        "owner": owner,
        "until_ms": until_ms,
        "token": token,
        "known_ms": known_ms,
    }
    db.execute(_FREED if at_rest else _KEPT, values)


def take(
    db: sa.Connection, hire_id: str, owner: str, at_ms: int, until_ms: int, is_dead: Callable[[str], bool]
) -> bool:
    """Whether `owner` drives this open hire now; on PostgreSQL nobody waits for who takes it at this moment."""
    holder = db.execute(
        sa.select(turns.c.lease_owner).where(turns.c.hire_id == hire_id).with_for_update(skip_locked=True)
    ).first()
    if holder is None:
        return False
    held_by = holder[0]
    gone = held_by if held_by is not None and held_by != owner and is_dead(held_by) else owner
    free = sa.or_(
        turns.c.lease_owner.is_(None),
        turns.c.lease_owner.in_((owner, gone)),
        turns.c.lease_until_ms < at_ms,
        turns.c.lease_until_ms > at_ms + MOST_AHEAD_MS,
    )
    done = db.execute(
        turns.update()
        .where(turns.c.hire_id == hire_id, free)
        .values(lease_owner=owner, lease_until_ms=until_ms)
    )
    return done.rowcount == 1


def token(blockchain_identifier: str) -> str:
    """The short name of a purchase, under which its hire is found."""
    return hashlib.sha256(blockchain_identifier.encode()).hexdigest()[:32]


def hear(db: sa.Connection, news: Mapping[str, int]) -> set[str]:
    """Let those hires be due at once whose purchase has changed since their record was saved; their tokens."""
    query = sa.select(turns.c.hire_id, turns.c.token, turns.c.known_ms, turns.c.news_ms)
    found = db.execute(query.where(turns.c.token.in_(list(news))).order_by(turns.c.hire_id))
    told = [one for one in found if news[one.token] > one.known_ms]
    fresh = [
        {"hire_id": one.hire_id, "at_ms": news[one.token]} for one in told if news[one.token] > one.news_ms
    ]
    if fresh:
        db.execute(_TOLD, fresh)
    return {one.token for one in told}


_TOLD = sa.text(
    "UPDATE masumi_turns SET news_ms = :at_ms, due_ms = 0"
    " WHERE hire_id = :hire_id AND news_ms < :at_ms AND known_ms < :at_ms"
)


def runs(owner: str | None, until_ms: int, at_ms: int) -> bool:
    """Whether somebody's lease runs at `at_ms`."""
    return owner is not None and at_ms <= until_ms <= at_ms + MOST_AHEAD_MS


def drop(db: sa.Connection, hire_id: str, owner: str) -> None:
    db.execute(
        turns.update()
        .where(turns.c.hire_id == hire_id, turns.c.lease_owner == owner)
        .values(lease_owner=None, lease_until_ms=0)
    )


def due(db: sa.Connection, now: int, after: tuple[int, str], limit: int) -> list[Any]:
    """The open hires that are due at `now`, the longest waiting first, from the one after `after` on.

    Rows of the record with `due_ms`, `known_ms`, `news_ms`, `lease_owner` and `lease_until_ms` beside.
    """
    later = sa.or_(turns.c.due_ms > after[0], sa.and_(turns.c.due_ms == after[0], turns.c.hire_id > after[1]))
    begun = sa.select(turns).where(turns.c.due_ms >= after[0], later)
    wrong = turns.c.due_ms > now + MOST_AHEAD_MS
    both = sa.union_all(begun.where(turns.c.due_ms <= now), begun.where(wrong)).subquery()
    page = sa.select(both).order_by(both.c.due_ms, both.c.hire_id).limit(limit).subquery()
    record = [column for column in hires.c if column.name != "lease_until_ms"]
    query = (
        sa.select(
            *record,
            page.c.due_ms,
            page.c.known_ms,
            page.c.news_ms,
            page.c.lease_owner,
            page.c.lease_until_ms,
        )
        .join_from(page, hires, page.c.hire_id == hires.c.hire_id)
        .order_by(page.c.due_ms, page.c.hire_id)
    )
    return list(db.execute(query))


_PUT_OFF = sa.text(
    "UPDATE masumi_turns SET due_ms = :due_ms"
    " WHERE hire_id = :hire_id AND due_ms = :seen_ms AND news_ms = :news_ms"
)


def put_off(db: sa.Connection, turns_of: list[dict[str, Any]]) -> None:
    """Move these turns; one that changed since it was seen (`seen_ms`, `news_ms`) stays as it is."""
    db.execute(_PUT_OFF, turns_of)


def count(db: sa.Connection) -> int:
    """How many hires are open."""
    return db.scalar(sa.select(sa.func.count()).select_from(turns)) or 0
