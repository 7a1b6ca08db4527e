"""One look for all: the node's diff feed, so that requests do not grow with the number of open hires.

`Feed.refresh` is a flow of one request per source type and page; `Feed.reply` answers a hire's read from
what it brought. A feed that cannot be read is not used: each hire then asks for itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from masumi_tools.calls import node
from masumi_tools.calls.call import Reply
from masumi_tools.calls.selling import iso
from masumi_tools.errors import WireError
from masumi_tools.hire.operations import Fetch, Flow
from masumi_tools.hire.purchase import Purchase, State
from masumi_tools.hire.replies.payment import FEED
from masumi_tools.hire.steps import Ways
from masumi_tools.models import read_purchase

log = logging.getLogger("masumi_tools")

SOURCE_TYPES = ("Web3CardanoV1", "Web3CardanoV2")
MOST_PAGES = 500  # a look that comes to no end goes on where it stopped, at the next one
# The node's clock and ours may differ; rows that come again do no harm.
OVERLAP_MS = 5 * 60_000
# Who waits for the chain right now: for the lock, or for the result's hash.
HURRY = frozenset({State.PAID, State.DELIVERED})


class Feed:
    """What the node has changed since we looked last, for the identifiers that somebody watches."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._since: dict[str, tuple[str, str | None]] = {}
        self._rows: dict[str, Any] = {}
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
        self, watched: Callable[[], Iterable[Purchase]], now: int, left_s: Callable[[], float] | None = None
    ) -> Flow[None]:
        """Read what changed, of both source types; nothing else is remembered than what is watched.

        `left_s` tells how much time the hire has that looks for all; a look that it cuts short says nothing
        about the node, and the next one is made by another. `watched` is asked anew for each page: a hire that pays while this goes on may have its row in it.
        """
        hires = [p for p in watched() if p.terms is not None]
        self._hurried = any(p.state in HURRY for p in hires)
        wanted = _identifiers(hires)
        self._rows = {key: row for key, row in self._rows.items() if key in wanted}
        late = [p for p in hires if not self._covers(p) and _key(p) not in self._pending]
        if late:  # what changed before these were watched has gone by: the look begins there once more
            self._since = {}
        started = min((p.node_read_ms or p.created_ms for p in late or hires), default=now) - OVERLAP_MS
        self._pending |= {_key(p) for p in late}
        complete = True
        for source_type in SOURCE_TYPES:
            since, cursor = self._since.setdefault(source_type, (iso(max(started, 0)), None))
            for _page in range(MOST_PAGES):
                call = node.diff(
                    self._ways.node,
                    self._ways.network,
                    source_type=source_type,
                    last_update=since,
                    cursor=cursor,
                )
                within_s = left_s() if left_s is not None else None
                reply: Reply = yield Fetch(call, None, within_s)
                if reply.status is None and left_s is not None and left_s() <= 0:
                    return
                rows = _rows(reply)
                if rows is None:
                    self.usable, self.read_ms = False, now
                    return
                # The cursor's row comes again; when it has changed meanwhile it is news, though its id is known.
                # Who was watched at the start is watched to the end, also when its call has ended meanwhile.
                wanted |= _identifiers(watched())
                fresh = [row for row in rows if (_changed(row), row.get("id")) != (since, cursor)]
                self._rows |= {
                    row["blockchainIdentifier"]: row
                    for row in fresh
                    if row.get("blockchainIdentifier") in wanted
                }
                if not fresh:
                    break
                since, cursor = _changed(fresh[-1]), fresh[-1].get("id")
                self._since[source_type] = (since, cursor)
                if len(rows) < node.MOST_ROWS:
                    break
            else:
                complete = False
        if complete:  # who came meanwhile is covered by the next look
            self._covered, self._pending = _identifiers(hires), set()
        self.usable, self.read_ms = complete, now

    def reply(self, p: Purchase) -> Reply | None:
        """The answer to this hire's read: its row, 304 when nothing changed, None when it has to ask itself."""
        key = _key(p)
        row = self._rows.get(key)
        # A row is told again until the record has it: what was learnt from it may not have been saved.
        if row is not None and (p.node is None or _changed(row) > p.node.changed_at):
            return Reply(200, {"status": "success", "data": row}, detail=FEED, as_of_ms=self.read_ms)
        covered = self.usable and key in self._covered and p.node is not None
        return Reply(304, as_of_ms=self.read_ms) if covered else None

    def _covers(self, p: Purchase) -> bool:
        """Whether all that changed since this hire was looked at is in what we read, or comes after it.

        One that was never looked at asks for itself first, whatever we have read.
        """
        return not p.node_read_ms or _key(p) in self._covered or p.node_read_ms >= self.read_ms > 0


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
    return [row for row in rows if isinstance(row, dict) and _is_purchase(row)]


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
