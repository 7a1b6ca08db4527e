"""What the node's feed told, kept beside the hires: up to where it was read, and which open hires it had news of.

    a page of the feed ──heard──▶ its news make hires due, and the place to go on from moves: one transaction

A process that was down, or that died in between, goes on from the place that is kept. Places are the node's own
words and times; what comes again does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from masumi_tools.journal import turns
from masumi_tools.journal.database import explained
from masumi_tools.journal.tables import feeds, hires


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a feed: when the row changed that was read last, in the node's words, and that row's id."""

    changed: str
    row_id: str | None = None


class News:
    """The journal's part of reading a node's feed."""

    @property
    def _engine(self) -> sa.Engine:
        raise NotImplementedError

    @property
    def _reading(self) -> sa.Engine:
        raise NotImplementedError

    def heard_to(self, feed: str) -> Place | None:
        """Up to where this feed was read, by whichever process; None where nobody has read it."""
        query = sa.select(feeds.c.changed, feeds.c.row_id).where(feeds.c.feed == feed)
        with explained("reading"), self._reading.connect() as db:
            found = db.execute(query).first()
            return Place(found.changed, found.row_id or None) if found else None

    def hear(self, feed: str, to: Place, news: Mapping[str, int], wrong_after: str) -> set[str]:
        """Let the open hires be due that have news, and keep the place up to which the feed was read.

        `news` says when (ms of the node's clock) the purchase of a hire changed, by its `turns.token`. The
        caller has told all that lies between the place that was kept and `to`. The place never goes back,
        except from one after `wrong_after`: a time that the node's clock has not reached. Answers the tokens
        of the hires whose records do not know their news yet.
        """
        with explained("keeping the node's news"), self._engine.begin() as db:
            told = turns.hear(db, news)
            values = {"feed": feed, "changed": to.changed, "row_id": to.row_id or "", "wrong": wrong_after}
            db.execute(_MOVE, values)
            return told

    def oldest_open_ms(self) -> int | None:
        """When the oldest of the open hires was begun; None where none is open."""
        query = sa.select(sa.func.min(hires.c.created_ms)).where(hires.c.is_open)
        with explained("reading"), self._reading.connect() as db:
            oldest: int | None = db.scalar(query)
            return oldest


_MOVE = sa.text(
    "INSERT INTO masumi_feeds (feed, changed, row_id) VALUES (:feed, :changed, :row_id)"
    " ON CONFLICT (feed) DO UPDATE SET changed = excluded.changed, row_id = excluded.row_id"
    " WHERE masumi_feeds.changed <= excluded.changed OR masumi_feeds.changed > :wrong"
)
