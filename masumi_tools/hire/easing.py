"""What repeats without news is done less and less often; and a step that went wrong unforeseen ends one call.

Functions from record to record, applied after each reply.
"""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from masumi_tools.calls.call import Reply
from masumi_tools.hire.purchase import BEFORE_PAYING, Event, Purchase, State
from masumi_tools.hire.replies.words import said
from masumi_tools.hire.steps import Ask, Ways

log = logging.getLogger("masumi_tools")

# After so many in a row the node's operator is needed, and the receipt says so.
TRIES_ENOUGH = 6
UNHEARD = "the node gives no usable answer"
UNTAKEN = "the node does not take the request for the refund"


def eased(before: Purchase, after: Purchase, ask: Ask, reply: Reply, now: int, ways: Ways) -> Purchase:
    """The record with growing pauses where the node was asked again and there is no news."""
    if after.dialect != before.dialect:
        return after
    if ask is Ask.REFUND:
        return _refund(before, after, reply, now, ways)
    if ask not in (Ask.READ, Ask.PAY) or after.ended or after.next_node_ms <= now:
        return after
    if reply.ok or reply.status in (304, 409):
        quiet = after.reason.startswith(UNHEARD)
        return after.but(node_tries=0, reason="" if quiet else after.reason) if before.node_tries else after
    tries = before.node_tries + 1
    waits = after.but(node_tries=tries, next_node_ms=max(after.next_node_ms, now + _step(tries, after, ways)))
    known = not after.reason or after.reason.startswith(UNHEARD)
    if tries < TRIES_ENOUGH or not known or reply.status == 404:
        return waits
    return waits.but(
        reason=f"{UNHEARD} ({said(reply)}), asked {tries} times; its operator has to look at it, and it is asked on"
    )


def _refund(before: Purchase, after: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    if reply.ok or after.state is not before.state or after.refund_barred:
        return after.but(refund_tries=0) if before.refund_tries else after
    tries = before.refund_tries + 1
    due = max(after.refund_due_ms, now + _step(tries, after, ways))
    waits = after.but(refund_tries=tries, refund_due_ms=due)
    if tries < TRIES_ENOUGH:
        return waits
    return waits.but(
        reason=f"{UNTAKEN} ({said(reply)}), asked {tries} times; its operator has to look at it, and it is asked on"
    )


def _step(tries: int, p: Purchase, ways: Ways) -> int:
    """Pauses of 3, 6, 12 s and so on, up to a minute; while a payment is on its way, up to 20 s."""
    most = 4 * ways.pace.lock_ms if p.state in (State.PAYING, State.PAID) else ways.pace.node_ms
    return min(ways.pace.repeat_ms << min(tries - 1, 10), most)


def stumbled(p: Purchase, error: Exception, now: int, ways: Ways) -> Purchase:
    """The record after an error that nobody foresaw: noted on this hire alone, which is looked at again later."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
    log.error("hire %s: unforeseen %s while it was %s", p.hire_id, what, p.state.value)
    note = f"something unforeseen went wrong here ({what}); please report it"
    if p.state in BEFORE_PAYING:
        return p.move(Event.REFUSED, now, reason=note)
    if note in p.notes:
        notes = p.notes
    else:
        notes = (*p.notes, note)
    return p.but(notes=notes, next_node_ms=now + ways.pace.node_ms, next_job_ms=now + ways.pace.node_ms)
