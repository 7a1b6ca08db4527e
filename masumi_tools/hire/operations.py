"""What a flow may ask its driver to do, as values; Buyer does them plainly, AsyncBuyer awaits them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from masumi_tools.calls.call import Call, Reply, Target
from masumi_tools.hire.budget import Asked, Budget
from masumi_tools.hire.purchase import Purchase
from masumi_tools.hire.receipt import Receipt
from masumi_tools.hire.request import Judge


@dataclass(frozen=True, slots=True)
class Do:
    """Run this function, which may block on the journal."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Make this call; the answer is a Reply. A read of `watched` may be answered from the shared feed.

    `within_s` is what is left of the caller's patience; None for a call that may finish beyond it.
    """

    call: Call
    watched: Purchase | None = None
    within_s: float | None = None


@dataclass(frozen=True, slots=True)
class Hear:
    """Read what the node has changed, so that the hires are due that have news. `open` is how many are open.

    The answer says as of when that is (ms of the node's clock): 0 where the feed was not read to its end, or not
    at all because so few are open that each asks for itself.
    """

    open: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """The journal, read after the look that was `heard`, has no news of these hires: nothing changed up to then."""

    hires: Sequence[Purchase]
    heard: int


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Approve:
    """Ask the person or function behind the budget; the answer is None (yes) or why not."""

    budget: Budget
    asked: Asked


@dataclass(frozen=True, slots=True)
class Decide:
    """Ask the caller's function about a result that does not match; the answer is (policy, note)."""

    judge: Judge
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the caller's function of a hire that has ended; the answer is whether it took it."""

    function: Callable[[Receipt], object]
    receipt: Receipt


Operation = Do | Fetch | Hear | Quiet | Sleep | Approve | Decide | Tell
T = TypeVar("T")
Flow = Generator[Operation, Any, T]

MOST_READS = 3
LONGEST_WAIT_S = 20.0
# A call makes what is due in this time after its patience has ended, and is back when it is over.
GRACE_S = 10.0
LOOK_S = 60.0  # what a look that has no patience of its own may take in all


class TimeIsUp(Exception):
    """The patience of this call is over. Nothing was learnt, so the record stays as it is."""


class NotHere(Exception):
    """The function that approves cannot ask here: the question goes on waiting for its answer."""


@dataclass(slots=True)
class Patience:
    """How long one call takes: it waits for nothing after `until`, and no request of it outlives `end`.

    Both are moments of `monotonic`. Every request asks here first and is given what is left, so that no
    number of requests, repeats or slow answers adds up to more. `silent` is who was asked last and has kept
    silent until the time was over, if anybody.
    """

    until: float
    end: float
    monotonic: Callable[[], float]
    silent: Target | None = None

    @classmethod
    def of(cls, seconds: float, monotonic: Callable[[], float], grace_s: float = GRACE_S) -> Patience:
        """Patience that begins now."""
        until = monotonic() + max(seconds, 0.0)
        return cls(until, until + grace_s, monotonic)

    @property
    def left_s(self) -> float:
        """How long it may still be waited for something."""
        return self.until - self.monotonic()

    @property
    def within_s(self) -> float:
        """How long a request that is made now may take."""
        return self.end - self.monotonic()

    def forgive(self, seconds: float) -> None:
        """Time that the caller's own people and functions took does not count."""
        self.until += seconds
        self.end += seconds

    def fetch(self, call: Call) -> Flow[Reply]:
        """A request that may have an effect: its reply counts, also when the time cut it short."""
        if self.within_s <= 0:
            raise TimeIsUp
        return (yield from self._asked(Fetch(call, None, self.within_s)))

    def look(self, call: Call, watched: Purchase | None = None) -> Flow[Reply]:
        """A request that only reads: TimeIsUp when it was our own time that cut it short."""
        if self.within_s <= 0:
            raise TimeIsUp
        reply = yield from self._asked(Fetch(call, watched, self.within_s))
        if reply.status is None and self.within_s <= 0:
            raise TimeIsUp
        return reply

    def _asked(self, fetch: Fetch) -> Flow[Reply]:
        reply: Reply = yield fetch
        if reply.fault is not None and self.within_s <= 0:
            self.silent = fetch.call.to
        elif reply.fault is None and self.silent == fetch.call.to:
            self.silent = None
        return reply

    def read(self, call: Call, pause_s: float, doubt: Callable[[Reply], bool] | None = None) -> Flow[Reply]:
        """A read, asked again while the trouble looks passing and there is time; at most three times.

        `doubt` says which other answers are not believed at once.
        """
        reply = yield from self.look(call)
        for _attempt in range(MOST_READS - 1):
            wait = min(reply.retry_after_s or pause_s, LONGEST_WAIT_S)
            doubted = reply.passing or (doubt is not None and doubt(reply))
            if not doubted or wait >= self.within_s:
                break
            yield Sleep(wait)
            reply = yield from self.look(call)
        return reply
