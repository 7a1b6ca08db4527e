"""Whose turn it is: when each open hire wants to be looked at, and who drives it. A narrow table of its own.

A lease that is written here costs a fraction of one in the record's row, and a look for what is due reads
an index. Only open hires are in it. `due_ms` is time of the node's clock, leases are time of this machine's.
`token` is the name under which the node's feed tells of the hire; `known_ms` and `news_ms` are when its
purchase changed last, by the node's clock, as its record knows it and as the feed told it. `unlock_ms` is its
unlock_time, 0 without one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa

from masumi_tools.journal.row import Row
from masumi_tools.journal.statement import Statement
from masumi_tools.journal.tables import hires, turns

# No lease and no wait is longer. What lies farther ahead was written by a clock that was wrong, and binds nobody.
MOST_AHEAD_MS = 65 * 60_000

_SET = (
    "INSERT INTO masumi_turns (hire_id, due_ms, lease_owner, lease_until_ms, token, known_ms, news_ms,"
    " unlock_ms) VALUES (:hire_id, :due_ms, :owner, :until_ms, :token, :known_ms, 0, :unlock_ms) ON CONFLICT (hire_id) DO UPDATE SET"
    " token = CASE WHEN excluded.token = '' THEN masumi_turns.token ELSE excluded.token END,"
    " known_ms = CASE WHEN excluded.known_ms > masumi_turns.known_ms"
    " THEN excluded.known_ms ELSE masumi_turns.known_ms END,"
    " unlock_ms = excluded.unlock_ms,"
    # What is saved without the news does not put them off.
    " due_ms = CASE WHEN masumi_turns.news_ms > excluded.known_ms AND masumi_turns.news_ms > masumi_turns.known_ms"
    " AND masumi_turns.due_ms < excluded.due_ms THEN masumi_turns.due_ms ELSE excluded.due_ms END"
)
_KEPT = Statement(sa.text(_SET))
_FREED = Statement(sa.text(f"{_SET}, lease_owner = NULL, lease_until_ms = 0"))
_ENDED = Statement(turns.delete().where(turns.c.hire_id == sa.bindparam("value")))


def write(db: sa.Connection, row: Row, owner: str | None = None, until_ms: int = 0) -> None:
    """Keep when an open hire is due; one that is at rest is driven by nobody, one that ended has no turn."""
    if not row.is_open:
        _ENDED.run(db, {"value": row.hire_id})
        return
    values = {
        "hire_id": row.hire_id,
        "due_ms": row.due_ms,
        "owner": owner,
        "until_ms": until_ms,
        "token": row.token,
        "known_ms": row.known_ms,
        "unlock_ms": row.unlock_ms,
    }
    (_FREED if row.at_rest else _KEPT).run(db, values)


def take(
    db: sa.Connection, hire_id: str, owner: str, at_ms: int, until_ms: int, is_dead: Callable[[str], bool]
) -> bool:
    """Whether `owner` drives this open hire now; on PostgreSQL nobody waits for who takes it at this moment."""
    holder = _HOLDER.rows(db, {"value": hire_id})
    if not holder:
        return False
    held_by = holder[0][0]
    gone = held_by if held_by is not None and held_by != owner and is_dead(held_by) else owner
    given = {"value": hire_id, "owner": owner, "gone": gone, "until_ms": until_ms}
    return _TAKEN.run(db, {**given, "at_ms": at_ms, "ahead_ms": at_ms + MOST_AHEAD_MS}) == 1


_HOLDER = Statement(
    sa.select(turns.c.lease_owner)
    .where(turns.c.hire_id == sa.bindparam("value"))
    .with_for_update(skip_locked=True)
)
_TAKEN = Statement(
    sa.text(
        "UPDATE masumi_turns SET lease_owner = :owner, lease_until_ms = :until_ms WHERE hire_id = :value AND"
        " (lease_owner IS NULL OR lease_owner = :owner OR lease_owner = :gone OR lease_until_ms < :at_ms"
        " OR lease_until_ms > :ahead_ms)"
    )
)


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
    _DROPPED.run(db, {"value": hire_id, "owner": owner})


_DROPPED = Statement(
    sa.text(
        "UPDATE masumi_turns SET lease_owner = NULL, lease_until_ms = 0"
        " WHERE hire_id = :value AND lease_owner = :owner"
    )
)


def due(db: sa.Connection, now: int, after: tuple[int, str], limit: int) -> list[Any]:
    """The open hires that are due at `now`, from the one after `after` (rank, hire_id) on.

    The nearest unlock_time that is still to come is first: by it a refund must be asked for. Those for which
    waiting loses nothing follow, the longest waiting first. Rows of the record with `due_ms`, `known_ms`,
    `news_ms`, `rank`, `lease_owner` and `lease_until_ms` beside.
    """
    given = {
        "now": now,
        "ahead": now + MOST_AHEAD_MS,
        "from_rank": after[0],
        "from_id": after[1],
        "most": limit,
    }
    return list(db.execute(_due(), given))


def rank(unlock_ms: int, due_ms: int, now: int) -> int:
    """Where a hire stands among those that are due at `now`."""
    return unlock_ms if unlock_ms > now else NO_HURRY + due_ms


# Behind every unlock_time.
NO_HURRY = 2**61


@cache
def _due() -> sa.Select[Any]:
    """Written once: to put it together takes longer than to ask where nothing is due."""
    big = sa.BigInteger
    now, ahead, from_rank = (sa.bindparam(name, type_=big) for name in ("now", "ahead", "from_rank"))
    at = sa.case(
        (turns.c.unlock_ms > now, turns.c.unlock_ms), else_=turns.c.due_ms + sa.literal(NO_HURRY, big)
    )
    ready = sa.select(turns, at.label("rank"))
    wrong = ready.where(turns.c.due_ms > ahead)
    both = sa.union_all(ready.where(turns.c.due_ms <= now), wrong).subquery()
    from_id = sa.bindparam("from_id", type_=sa.String)
    later = sa.or_(both.c.rank > from_rank, sa.and_(both.c.rank == from_rank, both.c.hire_id > from_id))
    most = sa.bindparam("most", type_=sa.Integer)
    page = sa.select(both).where(later).order_by(both.c.rank, both.c.hire_id).limit(most).subquery()
    record = [column for column in hires.c if column.name != "lease_until_ms"]
    names = ("due_ms", "known_ms", "news_ms", "rank", "lease_owner", "lease_until_ms")
    return (
        sa.select(*record, *(page.c[name] for name in names))
        .join_from(page, hires, page.c.hire_id == hires.c.hire_id)
        .order_by(page.c.rank, page.c.hire_id)
    )


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
