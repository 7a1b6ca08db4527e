"""What a buyer knows of the payment node that pays for it: its time, which one it is, and whether it would pay."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from masumi_tools.calls import node
from masumi_tools.calls.call import Reply
from masumi_tools.clock import Clock
from masumi_tools.hire.operations import Flow, Patience, TimeIsUp
from masumi_tools.hire.purchase import Purchase, State
from masumi_tools.hire.replies.envelope import is_nodes
from masumi_tools.hire.replies.node import elsewhere, is_limited, node_ids, readiness
from masumi_tools.hire.steps import Ways
from masumi_tools.models import PricingType

log = logging.getLogger("masumi_tools")

READY_S = 600
NAMELESS_S = 30  # a node that did not say which it is is asked again
CLOCK_OFF_MS = 30_000  # such a difference between two clocks is told


class PayingNode:
    """The payment node of one buyer, which is asked for what it is and can once in ten minutes.

    Each of its answers says the time, and all are heard: one that met a machine that stood still says a wrong one.
    """

    def __init__(self, ways: Ways, clock: Clock, monotonic: Callable[[], float], *, real: bool) -> None:
        self._ways = ways
        self._clock = clock
        self._monotonic = monotonic
        self._real = real
        self.ids: tuple[str, ...] = ()
        self._known_until = 0.0
        self._ready_until = 0.0
        self._told_off_ms = 0

    # Its time ---------------------------------------------------------------------------------

    def hear_the_time(self, patience: Patience, *, begins: bool = False) -> Flow[None]:
        """The node's clock may be hours ahead: it is heard before the time decides that something is due.

        A call that `begins` asks a sandbox in any case: somebody may have moved its clock since the last one.
        """
        if self._clock.stale or (begins and self._clock.moves):
            with contextlib.suppress(TimeIsUp):
                self.hear((yield from patience.look(node.health(self._ways.node))))
            if self._clock.stale:
                self._clock.unheard()

    def hear(self, reply: Reply) -> None:
        """Take the time from an answer of the node itself; a difference that matters is told in the log."""
        if (at := reply.dated_ms) is None or not is_nodes(reply):
            return
        self._clock.hear(at)
        off = self._clock.ahead_ms
        if abs(off) > CLOCK_OFF_MS and abs(off - self._told_off_ms) > CLOCK_OFF_MS and self._real:
            self._told_off_ms = off
            which = "behind" if off > 0 else "ahead of"
            log.warning("this machine's clock is %d s %s the node's, which counts", abs(off) // 1000, which)

    # Which one it is, and whether it would pay ------------------------------------------------

    def elsewhere(self, p: Purchase, patience: Patience) -> Flow[str | None]:
        """Why the hire is none of this node's; None when it is."""
        if p.ended or p.free:
            return None
        if p.state is State.ASKED:  # which node it is to be is not known yet: the network is
            return elsewhere(p, self._ways.network, self._ways.node, ())
        if self._monotonic() >= self._known_until and p.network == self._ways.network:
            with contextlib.suppress(TimeIsUp):
                pause = self._ways.pace.repeat_ms / 1000
                reply = yield from patience.read(node.payment_sources(self._ways.node), pause)
                self.hear(reply)
                self.ids = node_ids(reply)
                self._known_until = self._monotonic() + (READY_S if self.ids else NAMELESS_S)
        return elsewhere(p, self._ways.network, self._ways.node, self.ids)

    def paying(self, p: Purchase, patience: Patience) -> Flow[tuple[Purchase, str | None]]:
        """The hire with the node that is to pay for it, and why it would not; `passing` there where that may pass."""
        denied, passing = yield from self.refuses(p, patience)
        if away := (yield from self.elsewhere(p, patience)):
            denied = unpaid(away)
        return p.but(node_ids=self.ids, node_url=self._ways.node, passing=passing), denied

    def refuses(self, p: Purchase, patience: Patience) -> Flow[tuple[str | None, bool]]:
        """Why the node would not pay, and whether that may pass.

        It is asked before a service is troubled. A key whose use is limited is asked for each hire: each
        purchase changes what is left.
        """
        if self._monotonic() < self._ready_until:
            return None, False
        call, pause = node.key_status(self._ways.node), self._ways.pace.repeat_ms / 1000
        reply = yield from patience.read(call, pause, lambda reply: not is_nodes(reply))
        self.hear(reply)
        fixed = p.listing is not None and p.listing.price.pricing is PricingType.FIXED
        reason = readiness(reply, self._ways.network, p.price if fixed else ())
        if reason is None and not is_limited(reply):
            self._ready_until = self._monotonic() + READY_S
        return reason, reason is not None and reply.passing


def unpaid(away: str) -> str:
    """Why a hire that is none of this node's ends before it was paid."""
    return f"{away}; nothing was paid"
