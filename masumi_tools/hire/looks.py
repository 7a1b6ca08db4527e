"""Who looks at a node's feed: all buyers of a process that share a node, its key and a journal, and not each of them."""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from collections.abc import Hashable
from typing import Generic, TypeVar

from masumi_tools.hire.diff_feed import Feed
from masumi_tools.hire.flows import Flows
from masumi_tools.hire.purchase import Purchase
from masumi_tools.journal.store import Journal
from masumi_tools.settings import Settings

L = TypeVar("L")


class Look(Generic[L]):
    """One feed, what keeps two from reading it at once, and the flows that it is read for."""

    def __init__(self, feed: Feed, lock: L) -> None:
        self.feed, self.lock = feed, lock
        self._flows: weakref.WeakSet[Flows] = weakref.WeakSet()

    def join(self, flows: Flows) -> None:
        self._flows.add(flows)

    def watched(self) -> list[Purchase]:
        """The hires that any of them drives now."""
        return [p for flows in list(self._flows) for p in flows.watched.values()]


Shared = weakref.WeakValueDictionary[Hashable, Look[L]]
_of_process: Shared[threading.Lock] = weakref.WeakValueDictionary()
_joining = threading.Lock()


def look_of_process(flows: Flows) -> Look[threading.Lock]:
    """The look that these flows share with all others of this process that would see the same."""
    with _joining:
        return look_among(_of_process, flows, threading.Lock())


def look_among(shared: Shared[L], flows: Flows, lock: L) -> Look[L]:
    """The look of these flows among those that are shared; a new one, with this lock, where there is none yet."""
    settings, journal = flows.settings, flows.journal
    key = (flows.ways, settings.node_token, _place(journal))
    look = shared.get(key)
    if look is None:
        look = shared[key] = Look(Feed(flows.ways, whose(settings)), lock)
    look.join(flows)
    return look


def whose(settings: Settings) -> str:
    """A name for the node's key that does not give it away; a key that is another may see other purchases."""
    token = settings.node_token.reveal() if settings.node_token else ""
    return hashlib.sha256(token.encode()).hexdigest()[:8]


def _place(journal: Journal) -> Hashable:
    """What tells journals apart: two in memory have the same URL."""
    in_memory = journal.url in ("sqlite://", "sqlite:///:memory:") or "mode=memory" in journal.url
    return id(journal) if in_memory else journal.url


def _in_child() -> None:
    """A thread of the parent may have been reading: in the child nobody would ever end that."""
    global _joining
    _joining = threading.Lock()
    _of_process.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
