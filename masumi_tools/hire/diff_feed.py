"""One look for all: the node's diff feed, so that requests do not grow with the number of open hires.

`Feed.refresh` is a flow of one request per source type and page; `Feed.reply` answers a hire's read from
what it brought. A feed that cannot be read is not used: each hire then asks for itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from masumi_tools.calls import node
from masumi_tools.calls.call import Reply
from masumi_tools.calls.selling import iso
from masumi_tools.errors import JournalError, WireError
from masumi_tools.hire.operations import Do, Fetch, Flow
from masumi_tools.hire.purchase import Purchase, State
from masumi_tools.hire.replies.payment import FEED
from masumi_tools.hire.rows import changed_ms
from masumi_tools.hire.steps import Ways
from masumi_tools.journal.news import Place
from masumi_tools.journal.store import Journal
from masumi_tools.journal.turns import token
from masumi_tools.models import read_purchase

log = logging.getLogger("masumi_tools")

SOURCE_TYPES = ("Web3CardanoV1", "Web3CardanoV2")
MOST_PAGES = 500  # a look that comes to no end goes on where it stopped, at the next one
# The node's clock and ours may differ; rows that come again do no harm.
OVERLAP_MS = 5 * 60_000
MOST_NEWS = 2_000  # rows that are kept for hires that nobody watches yet
AHEAD_MS = 60_000  # what changed later than this from now on, the node's clock has not reached yet
# Who waits for the chain right now: for the lock, or for the result's hash.
HURRY = frozenset({State.PAID, State.DELIVERED})


@dataclass(slots=True)
class _Look:
    """What one look is made with: `now` is when it began, `wanted` are the identifiers whose rows are kept."""

    journal: Journal
    watched: Callable[[], Iterable[Purchase]]
    now: int
    left_s: Callable[[], float] | None
    wanted: set[str]

    @property
    def wrong_after(self) -> str:
        """A time that the node's clock has not reached yet."""
        return iso(self.now + AHEAD_MS)


class Feed:
    """What the node has changed since we looked last, for the identifiers that somebody watches.

    The journal keeps how far it was read, by whichever process, and which open hires it had news of. `whose` tells
    the keys of one node apart, which may not see the same.
    """

    def __init__(self, ways: Ways, whose: str = "") -> None:
        self._ways = ways
        self._names = {kind: f"{ways.node} {ways.network} {kind} {whose}".rstrip() for kind in SOURCE_TYPES}
        self._at: dict[str, Place] = {}
        self._kept: dict[str, Place] = {}
        self._rows: dict[str, dict[str, Any] | None] = {}  # None: of a kind that cannot be read
        self._news: dict[str, None] = {}  # whose rows are kept for who sweeps, the oldest first
        self._covered: set[str] = set()
        self._pending: set[str] = set()  # they will be, when the look that goes on for them is at its end
        self._hurried = False
        self.usable = True
        self.read_ms = 0

    def due(self, asks: Purchase, now: int) -> bool:
        """Whether this hire's read is a reason to look: often while one waits for the chain, else at leisure."""
        pace = self._ways.pace
        if self.usable and asks.terms is not None and not self._covers(asks):
            return True
        hurry = self.usable and (self._hurried or asks.state in HURRY)
        return now - self.read_ms >= (pace.lock_ms if hurry else pace.node_ms)

    def refresh(
        self,
        journal: Journal,
        watched: Callable[[], Iterable[Purchase]],
        now: int,
        left_s: Callable[[], float] | None = None,
    ) -> Flow[int]:
        """Read what changed, of both source types, and let the open hires be due that it is news of.

        Nothing else is remembered here than what is watched. `left_s` tells how much time the hire has that
        looks for all; a look that it cuts short says nothing about the node, and the next one is made by
        another. Answers as of when all is known that changed (`now`), or 0. `watched` is asked anew for each page: a hire that pays while this goes on may have its row in it.
        """
        hires = [p for p in watched() if p.terms is not None]
        self._hurried = any(p.state in HURRY for p in hires)
        look = _Look(journal, watched, now, left_s, _identifiers(hires))
        self._rows = {key: row for key, row in self._rows.items() if key in look.wanted or key in self._news}
        late = [p for p in hires if not self._covers(p) and _key(p) not in self._pending]
        if late:  # what changed before these were watched has gone by: the look begins there once more
            self._at = {}
        since_ms = min((p.node_read_ms or p.created_ms for p in late or hires), default=None)
        self._pending |= {_key(p) for p in late}
        ends = []
        for source_type in SOURCE_TYPES:
            try:
                yield from self._begin(look, source_type, since_ms)
                ends.append((yield from self._read(look, source_type)))
            except JournalError as error:  # what could not be kept is read again
                log.warning("%s; each hire asks for itself", error)
                ends.append("broken")
            if ends[-1] == "broken":
                self.usable, self.read_ms = False, now
            if ends[-1] in ("broken", "cut"):
                return 0
        if complete := "more" not in ends:  # who came meanwhile is covered by the next look
            self._covered, self._pending = _identifiers(hires), set()
        self.usable, self.read_ms = complete, now
        return now if complete else 0

    def _begin(self, look: _Look, source_type: str, since_ms: int | None) -> Flow[None]:
        """Set the place to read from: where we were, or where anybody was, or earlier where a hire needs it."""
        at = self._at.get(source_type)
        if at is None:
            kept: Place | None = yield Do(partial(look.journal.heard_to, self._names[source_type]))
            if kept is None:
                oldest = yield Do(look.journal.oldest_open_ms)
                since_ms = min((ms for ms in (since_ms, oldest) if ms is not None), default=look.now)
            else:
                self._kept[source_type] = kept
            begins = [] if since_ms is None else [Place(iso(max(since_ms - OVERLAP_MS, 0)))]
            at = min([*begins, *([kept] if kept else [])], key=lambda place: place.changed)
        if at.changed > look.wrong_after:  # the node's clock was ahead, and has gone back
            at = Place(iso(max(look.now - OVERLAP_MS, 0)))
            self._kept.pop(source_type, None)
        self._at[source_type] = at

    def _read(self, look: _Look, source_type: str) -> Flow[Literal["all", "more", "cut", "broken"]]:
        """Read page after page from our place on."""
        for _page in range(MOST_PAGES):
            at = self._at[source_type]
            call = node.diff(
                self._ways.node,
                self._ways.network,
                source_type=source_type,
                last_update=at.changed,
                cursor=at.row_id,
            )
            within_s = look.left_s() if look.left_s is not None else None
            reply: Reply = yield Fetch(call, None, within_s)
            if reply.status is None and look.left_s is not None and look.left_s() <= 0:
                return "cut"
            rows = _rows(reply)
            if rows is None:
                return "broken"
            # The cursor's row comes again; when it has changed meanwhile it is news, though its id is known.
            fresh = [row for row in rows if (_changed(row), row["id"]) != (at.changed, at.row_id)]
            if not fresh:
                return "all"
            self._take(look, fresh)
            yield from self._keep(look, source_type, fresh)
            if len(rows) < node.MOST_ROWS:
                return "all"
        return "more"

    def _take(self, look: _Look, fresh: list[dict[str, Any]]) -> None:
        """Remember the rows of who is watched; whoever has one that cannot be read asks for itself."""
        # Who was watched at the start is watched to the end, also when its call has ended meanwhile.
        look.wanted |= _identifiers(look.watched())
        for row in fresh:
            identifier = row["blockchainIdentifier"]
            if identifier in look.wanted:
                self._rows[identifier] = row if _is_purchase(row) else None

    def _keep(self, look: _Look, source_type: str, fresh: list[dict[str, Any]]) -> Flow[None]:
        """Keep the news of a page and the place behind it, then go on from there: never the other way round."""
        to = Place(_changed(fresh[-1]), fresh[-1]["id"])
        kept = self._kept.get(source_type)
        if kept is None or (to != kept and to.changed >= kept.changed):
            news = {token(row["blockchainIdentifier"]): changed_ms(_changed(row)) for row in fresh}
            hear = partial(look.journal.hear, self._names[source_type], to, news, look.wrong_after)
            told: set[str] = yield Do(hear)
            self._kept[source_type] = to
            self._take_news(row for row in fresh if token(row["blockchainIdentifier"]) in told)
        self._at[source_type] = to

    def _take_news(self, rows: Iterable[dict[str, Any]]) -> None:
        """Remember the rows for who sweeps the hires that they are of, as far as there is room."""
        for row in rows:
            identifier = row["blockchainIdentifier"]
            self._news.pop(identifier, None)
            self._news[identifier] = None
            self._rows[identifier] = row if _is_purchase(row) else None
        for oldest in list(self._news)[: max(len(self._news) - MOST_NEWS, 0)]:
            del self._news[oldest]
            self._rows.pop(oldest, None)

    def quiet(self, hires: Iterable[Purchase], heard: int) -> None:
        """The journal had no news of these hires after the look that was `heard`; a later look says nothing of them."""
        if self.usable and self.read_ms == heard > 0:
            self._covered |= _identifiers(hires)

    def reply(self, p: Purchase) -> Reply | None:
        """The answer to this hire's read: its row, 304 when nothing changed, None when it has to ask itself."""
        key = _key(p)
        if key in self._rows and self._rows[key] is None:
            return None
        # A row is told again until the record has it: what was learnt from it may not have been saved.
        if (row := self._newer(p)) is not None:
            return Reply(200, {"status": "success", "data": row}, detail=FEED, as_of_ms=self.read_ms)
        covered = self.usable and key in self._covered and p.node is not None
        return Reply(304, as_of_ms=self.read_ms) if covered else None

    def _newer(self, p: Purchase) -> dict[str, Any] | None:
        """The row that we have of this hire, where its record does not know it yet."""
        row = self._rows.get(_key(p))
        return row if row and (p.node is None or _changed(row) > p.node.changed_at) else None

    def _covers(self, p: Purchase) -> bool:
        """Whether all that changed since this hire was looked at is in what we read, or comes after it.

        One that was never looked at asks for itself first, whatever we have read.
        """
        known = not p.node_read_ms or _key(p) in self._covered or p.node_read_ms >= self.read_ms > 0
        return known or self._newer(p) is not None


def _key(p: Purchase) -> str:
    return p.terms.blockchain_identifier if p.terms else ""


def unshared(error: Exception) -> None:
    """A shared look that went wrong unforeseen: each hire asks for itself."""
    log.error("the shared look at the node went wrong: unforeseen %s", type(error).__name__)


def _identifiers(hires: Iterable[Purchase]) -> set[str]:
    return {p.terms.blockchain_identifier for p in hires if p.terms is not None}


def _rows(reply: Reply) -> list[dict[str, Any]] | None:
    data = reply.body.get("data") if reply.ok and isinstance(reply.body, dict) else None
    rows = data.get("Purchases") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        return None
    placed = [row for row in rows if isinstance(row, dict) and _is_placed(row)]
    return placed if len(placed) == len(rows) else None


def _is_placed(row: dict[str, Any]) -> bool:
    """Whether the row says whose it is, and where in the feed it stands: else nobody could go on behind it."""
    return all(
        isinstance(at, str) and at for at in (row.get("blockchainIdentifier"), row.get("id"), _changed(row))
    )


def _is_purchase(row: dict[str, Any]) -> bool:
    try:
        read_purchase(row)
    except Exception as error:  # one row of a list: whoever waits for it asks for itself
        if not isinstance(error, WireError):
            log.error("a row of the node's feed could not be read: unforeseen %s", type(error).__name__)
        return False
    return True


def _changed(row: dict[str, Any]) -> str:
    return str(row.get("nextActionOrOnChainStateOrResultLastChangedAt") or row.get("updatedAt") or "")
