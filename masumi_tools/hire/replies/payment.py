"""The money: what the node's answers mean, from POST /purchase to the last state on chain.

The rules are those of protocol N4, N6, N9, N21. An answer that is not definite leaves the state as it is:
unknown is settled by asking again, never by a new purchase.
"""

from __future__ import annotations

from masumi_tools.calls.call import Reply
from masumi_tools.calls.selling import iso
from masumi_tools.errors import WireError
from masumi_tools.hire.budget import text_of
from masumi_tools.hire.purchase import MISMATCH, ON_DEMAND, Event, Purchase, State
from masumi_tools.hire.replies.envelope import (
    denied,
    error_of,
    is_nodes,
    no_such_route,
    proves_absence,
    refused_order,
    says_unknown,
)
from masumi_tools.hire.replies.proof import compared
from masumi_tools.hire.replies.words import said
from masumi_tools.hire.steps import LAPSE_MS, NO_TEXT_MS, NODE_SLACK_MS, Ways, given_up
from masumi_tools.models import NodePurchase, OnChainState, read_purchase
from masumi_tools.money import Amount, total
from masumi_tools.text import quoted

FEED = "from the shared look at the node"  # an answer of the diff feed, which both dialects have
OPERATOR = "the node waits for its operator"
POLICY_DENIED = "PolicyDenied"
HELD_BACK = "the node has not sent the lock yet, and says why"
STRANGE = "the node shows the payment in a state that is not known here,"
LOST = (
    "the node does not know the purchase that it accepted: it was restored from a backup or set up again, and the "
    "money may be in escrow on the chain"
)
NO_AMOUNTS = "the node says that the service was paid, and names no amounts"
NO_AMOUNTS_BACK = "the node says that the refund was collected, and names no amounts"
WRITE_OFF = "connect the node that took it, or close the books with `masumi-tools hires write-off {}`"
ANOTHERS = "the node answered with another purchase than ours; it is asked again"
# A key that may not ask for a refund may be replaced; so long it is not tried again.
BARRED_MS = 10 * 60_000
# The node's clock and ours may differ by so much; older rows of a list cannot be our purchase.
LIST_SLACK_MS = 60 * 60_000


def paid(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """POST /purchase: the purchase itself, as 200 or 409 bring it, or the node's own no; all else is unknown."""
    asked_ms = _as_of(reply, now)
    if reply.ok or reply.status == 409:
        node = _readable(reply.body)
        if node is not None and _is_anothers(p, node):
            doubted = p.but(pay_unknown=True) if p.state is State.PAYING else p
            return _noted(doubted, ANOTHERS, now + _again_ms(reply, ways))
        if node is not None:
            held = p.move(Event.ACCEPTED, now) if p.state is State.PAYING else p
            # A 409 object is the raw row; what it lacks is read by resolve, where that can see the row.
            if reply.status == 409 and not p.unseen and p.absent_ms <= 0:
                return held.but(next_node_ms=now)
            return on_chain(held, node, now, ways, asked_ms)
    if p.state is State.PAID:
        # Its own refusal so long after pay_by proves that the node has no such row any more. The chain may
        # hold the money all the same: a node that was restored from a backup has forgotten, not refunded.
        if _past(p, asked_ms) and proves_absence(reply):
            return _missed(p.but(missing_ms=p.missing_ms or now, lost=True), now + ways.pace.node_ms)
        return p.but(next_node_ms=now + _again_ms(reply, ways))
    return _not_paid(p, reply, now, ways)


def _not_paid(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """Paying, and no purchase came back: unsent, the node's definite no, or unknown."""
    assert p.terms is not None
    # An attempt whose reply was never saved (a crash) may have had its effect, as a lost reply may.
    unknown = p.pay_unknown or p.pay_attempts > 1
    if not reply.sent:
        if not unknown and now > p.terms.times.pay_by_time:
            why = f"the node did not answer before the pay-by time: {said(reply)}"
            return p.move(Event.REFUSED, now, reason=why, passing=True)
        attempts = p.pay_attempts if unknown else 0
        return p.but(pay_attempts=attempts, absent_ms=-1, next_node_ms=now + ways.pace.repeat_ms)
    if not unknown and refused_order(reply):
        return p.move(Event.REFUSED, now, reason=_refusal(p, reply))
    if not proves_absence(reply) and not (denied(reply) and p.absent_seen):
        wait = _again_ms(reply, ways)
        return p.but(pay_unknown=True, pay_denied_ms=0, reason=_unconfirmed(reply), next_node_ms=now + wait)
    # The first POST may still be on its way to the node: the same no once more, when it cannot be, is proof.
    if not p.pay_denied_ms or now - p.pay_denied_ms < ways.pace.in_flight_ms:
        since = p.pay_denied_ms or now
        return p.but(pay_unknown=True, pay_denied_ms=since, next_node_ms=since + ways.pace.in_flight_ms)
    if _past(p, _as_of(reply, now)):
        return p.move(Event.LAPSED, now, reason=f"the node never took the purchase: {said(reply)}")
    return p.move(Event.REFUSED, now, reason=_refusal(p, reply))


def _unconfirmed(reply: Reply) -> str:
    return f"the node has not confirmed the purchase ({said(reply)}); it is asked again"


def read(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """A read of our purchase; 404 is no proof of absence (protocol N5)."""
    asked_ms = _as_of(reply, now)
    if reply.ok:
        node = _found(p, reply.body)
        if node is not None:
            seen = p.today_seen or (
                p.dialect == "today" and reply.detail != FEED and not _is_anothers(p, node)
            )
            return on_chain(p.but(today_seen=seen), node, now, ways, asked_ms)
        if (cursor := _next_page(p, reply.body)) is not None:
            return p.but(list_cursor=cursor, next_node_ms=now)
    if reply.status == 304 and p.node is not None:  # the shared feed: nothing changed, but time has passed
        return on_chain(p, p.node, now, ways, asked_ms)
    if no_such_route(reply):
        return _other_dialect(p).but(next_node_ms=now if not p.today_seen else now + ways.pace.lock_ms)
    if says_unknown(reply) or (p.dialect == "seed" and reply.ok and is_nodes(reply)):
        return _absent(p, reply, now, ways)
    wait = max(_again_ms(reply, ways), ways.pace.lock_ms)
    # A node that does not read may still take orders.
    if p.state is State.PAYING and reply.status is not None:
        told, wait = _unconfirmed(reply), _again_ms(reply, ways)
        return p.but(absent_ms=p.absent_ms or -1, reason=told, next_node_ms=now + wait)
    return p.but(next_node_ms=now + wait)


def _absent(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """The node itself shows no such purchase."""
    p = p.but(list_cursor=None, today_seen=p.today_seen or p.dialect == "today")
    if p.state is State.PAYING:
        return p.but(absent_ms=now, next_node_ms=now)
    if p.state is State.PAID:  # a key that is bound to wallets does not see it before the wallet is known
        return p.but(unseen=True, next_node_ms=now + ways.pace.lock_ms)
    since = p.missing_ms or now
    lost = now - since >= ways.pace.in_flight_ms
    p = p.but(missing_ms=since, lost=lost)
    return _missed(p, now + ways.pace.node_ms) if lost else p.but(next_node_ms=now + ways.pace.lock_ms)


def _missed(p: Purchase, next_node_ms: int) -> Purchase:
    return p.but(reason=f"{LOST}; {WRITE_OFF.format(p.hire_id)}", next_node_ms=next_node_ms)


def _other_dialect(p: Purchase) -> Purchase:
    """The dialect to go on with, when the node itself says that it has no such route.

    The older one is tried only where today's routes have never answered, and left as soon as it is disproved.
    """
    if p.dialect == "seed":
        return p.but(dialect="today")
    return p if p.today_seen else p.but(dialect="seed")


def refund_asked(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """request-refund: its 404 means already asked, too early or unknown, and a read tells which."""
    later = p.but(refund_due_ms=now + min(_again_ms(reply, ways), _barred_ms(p, now, ways)))
    node = _found(p, reply.body) if reply.ok else None
    if node is not None:
        if _is_anothers(p, node):
            return _noted(later, ANOTHERS, now + ways.pace.repeat_ms)
        asked = p.move(
            Event.REFUND_ASKED,
            now,
            reason=p.refund_wanted,
            refund_tries=0,
            refund_due_ms=0,
        )
        return on_chain(asked, node, now, ways, _as_of(reply, now))
    if no_such_route(reply) or (reply.status == 405 and p.dialect == "seed"):
        other = _other_dialect(later)
        # Nothing was asked yet, and it may be the last look.
        at_once = (p.dialect, other.dialect) == ("today", "seed")
        return other.but(refund_due_ms=now) if at_once else other
    if reply.status in (401, 403) and error_of(reply) is not None:
        note = f"the refund request failed: {said(reply)}"
        barred = later.but(refund_barred=True, refund_due_ms=now + _barred_ms(p, now, ways))
        return _noted(barred, note, now)
    if p.node is not None and p.node.needs_a_person:
        later = later.but(reason=_operator(p.node))
    return later.but(next_node_ms=now)


def _barred_ms(p: Purchase, now: int, ways: Ways) -> int:
    """How long a key that may not ask for it is let alone: never past the last moment to ask."""
    assert p.terms is not None
    left = p.terms.times.unlock_time - now
    return min(BARRED_MS, max(left // 4, ways.pace.repeat_ms))


def cancelled(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """cancel-refund-request: whatever is said, the purchase is read again; the chain tells what came of it."""
    tries = p.refund_tries + 1
    wait = min(ways.pace.repeat_ms << min(tries, 10), ways.pace.node_ms)
    return p.but(refund_tries=tries, refund_due_ms=now + wait, next_node_ms=now)


def on_chain(p: Purchase, node: NodePurchase, now: int, ways: Ways, asked_ms: int) -> Purchase:
    """The record after the node showed this state of our purchase; one reading may mean several moves.

    What the node has not seen is judged by the time at which it was asked: an answer may be read long after.
    """
    if _is_anothers(p, node):  # answers got mixed up on their way: this one says nothing about ours
        return _noted(p, ANOTHERS, now + ways.pace.repeat_ms)
    if reason := _foreign(p, node):
        if p.state not in (State.PAYING, State.PAID):
            return _noted(p, reason, now + ways.pace.node_ms)
        since = p.foreign_ms or now
        if now - since >= ways.pace.failure_ms:
            return p.move(Event.BROKEN, now, node=node, reason=reason)
        return _noted(p.but(foreign_ms=since, pay_unknown=True), reason, now + ways.pace.failure_ms)
    asked_ms = max(asked_ms, p.node_read_ms)
    if p.lost:
        p = p.but(reason="")
    p = p.but(
        node=node,
        node_read_ms=asked_ms,
        unseen=False,
        missing_ms=0,
        foreign_ms=0,
        lost=False,
        purchase_id=node.id or p.purchase_id,
    )
    if p.state is State.PAYING:
        p = p.move(Event.ACCEPTED, now)
    if p.state is State.PAID:
        p = _lock(p, node, now, asked_ms)
    if not p.ended and p.state is not State.PAID:
        p = _after_lock(p, node, now, ways, asked_ms)
    return p if p.ended else _troubled(p, node).but(next_node_ms=_next_look(p, node, now, ways))


def _troubled(p: Purchase, node: NodePurchase) -> Purchase:
    """What the node's operator has to do is told beside whatever else there is, and goes when it is done."""
    if node.needs_a_person:
        return p.but(reason=_operator(node))
    if node.strange_state is not None:
        return p.but(reason=_strange(node))
    if p.reason.startswith((OPERATOR, STRANGE)):
        asked_back = p.state in (State.REFUND_REQUESTED, State.DISPUTED)
        return p.but(reason=p.refund_wanted if asked_back else "")
    return p


def _lock(p: Purchase, node: NodePurchase, now: int, asked_ms: int) -> Purchase:
    """Paid: is the money in escrow, still on its way, or does the node say that it was never taken?"""
    if node.on_chain_state == OnChainState.FUNDS_OR_DATUM_INVALID:
        if node.tx_hash is None and not node.tx_hashes:
            note = f" ({quoted(node.error_note)})" if node.error_note else ""
            return p.move(
                Event.LAPSED,
                now,
                reason=f"the pay-by time passed before the money was locked{note}; nothing was spent",
            )
        words = (
            f"the chain shows no valid lock, but a transaction was sent ({node.tx_hash or node.tx_hashes[-1]}); "
            f"{_amounts(p, node)}"
        )
        return p.move(Event.BROKEN, now, reason=f"{words}; the node's operator has to resolve it")
    if node.on_chain_state is None:
        return p.but(reason=_not_locked(node, _past(p, asked_ms)))
    if node.strange_state is not None:  # neither locked nor lapsed as far as is known: the node is asked on
        return p
    return p.move(Event.LOCKED, now, next_job_ms=now, reason="")


def _not_locked(node: NodePurchase, past: bool) -> str:
    """What is worth telling of a lock that is not seen yet; "" while that is as usual."""
    if node.needs_a_person:
        return _operator(node)
    if not past:
        return f"{HELD_BACK}: {quoted(node.error_note)}; it tries again" if node.error_note else ""
    if node.tx_hash is not None or node.requested_action.endswith("Initiated"):
        return "the node sent the lock transaction and has not seen it confirmed; whether it is on the chain is not known yet"
    return "the pay-by time passed, and the node has not said yet that nothing was locked"


def _strange(node: NodePurchase) -> str:
    note = f", {quoted(node.error_note)}" if node.error_note else ""
    return f"{STRANGE} {quoted(node.strange_state or '')}{note}: whether it is in escrow is not known, and the node is asked on"


def _operator(node: NodePurchase) -> str:
    if node.error_type == POLICY_DENIED and node.on_chain_state is None:
        why = f" ({quoted(node.error_note)})" if node.error_note else ""
        return (
            f"{OPERATOR}: the policy of its wallet denied the payment{why}; nothing is locked, and unless the "
            "operator allows it the order lapses at its pay-by time"
        )
    kind = node.error_type or node.requested_action
    return f"{OPERATOR} ({quoted(kind)}{f': {quoted(node.error_note)}' if node.error_note else ''})"


def _amounts(p: Purchase, node: NodePurchase) -> str:
    return f"{text_of(p.price)} was agreed, {text_of(total(node.paid_funds))} is what the node paid"


def _after_lock(p: Purchase, node: NodePurchase, now: int, ways: Ways, asked_ms: int) -> Purchase:
    assert p.terms is not None
    state, times = node.on_chain_state, p.terms.times
    p = compared(p, node, now, ways)
    if state == OnChainState.REFUND_WITHDRAWN:
        back = _came_back(p, node) or p.price
        p = p if node.withdrawn_for_buyer else _remarked(p, NO_AMOUNTS_BACK)
        return p.move(
            Event.REFUNDED, now, returned=back, reason=p.refund_wanted or "the node collected the refund"
        )
    if state == OnChainState.DISPUTED_WITHDRAWN:
        return _split(p, node, now)
    if state == OnChainState.WITHDRAWN:
        return _paid_out(p if node.withdrawn_for_seller else _remarked(p, NO_AMOUNTS), now)
    if state == OnChainState.FUNDS_OR_DATUM_INVALID:
        words = f"the chain shows the lock as invalid; {_amounts(p, node)}"
        return p.move(
            Event.BROKEN,
            now,
            reason=f"{words}; the money is stuck in the escrow contract, and the node's operator has to resolve it",
        )
    if state == OnChainState.DISPUTED:
        return p if p.state is State.DISPUTED else p.move(Event.DISPUTED, now, next_job_ms=now)
    asked = node.requested_action.startswith("SetRefundRequested") or node.requested_action.startswith(
        "WithdrawRefund"
    )
    if asked or state in (OnChainState.REFUND_REQUESTED, OnChainState.REFUND_AUTHORIZED):
        return p if p.state is State.REFUND_REQUESTED else p.move(Event.REFUND_ASKED, now)
    if _taken_back(p, state):
        return p.move(Event.CANCELLED, now, refund_wanted="", reason="")
    if p.refund_wanted or p.state in (State.DELIVERED, State.REFUND_REQUESTED, State.DISPUTED):
        return p
    if node.result_hash is None and asked_ms >= times.submit_result_time:
        return p.but(refund_wanted="the service submitted no result before its deadline")
    if node.result_hash is not None and p.result is None and now >= times.unlock_time - NO_TEXT_MS:
        return p.but(refund_wanted="the service put a result hash on the chain but never gave the result")
    return p


def _taken_back(p: Purchase, state: str | None) -> bool:
    """Whether the chain shows that our refund wish was cancelled, for a result that was proved after all."""
    over = state in (OnChainState.RESULT_SUBMITTED, OnChainState.WITHDRAW_AUTHORIZED)
    ours = p.verified is True and p.refund_wanted not in (ON_DEMAND, MISMATCH)
    return p.state is State.DISPUTED and over and ours


def _remarked(p: Purchase, note: str) -> Purchase:
    return p if note in p.notes else p.but(notes=(*p.notes[-8:], note))


def _paid_out(p: Purchase, now: int) -> Purchase:
    """The seller took the money. A result that we have not fetched yet is still worth asking for."""
    if p.result is not None and not p.doubted:
        return p.move(Event.PAID_OUT, now)
    if _may_still_come(p, now):
        return _asked_once_more(p, now)
    return p.move(Event.BROKEN, now, reason="the service took the money and gave no result")


def _may_still_come(p: Purchase, now: int) -> bool:
    return (p.result is None or p.doubted) and not given_up(p, now)


def _asked_once_more(p: Purchase, now: int) -> Purchase:
    reason = "the service was paid and still owes the result; it is asked for it"
    return p.but(paid_out_ms=p.paid_out_ms or now, next_job_ms=min(p.next_job_ms, now), reason=reason)


def _split(p: Purchase, node: NodePurchase, now: int) -> Purchase:
    back = _came_back(p, node)
    returned = {amount.unit: amount.quantity for amount in back}
    if p.price and all(returned.get(amount.unit, 0) >= amount.quantity for amount in p.price):
        return p.move(Event.REFUNDED, now, returned=back, reason="the dispute was decided for the buyer")
    if not back and p.result is not None and not p.doubted:
        return p.move(Event.PAID_OUT, now, reason="the dispute was decided for the service")
    if _may_still_come(p, now):
        return _asked_once_more(p.but(returned=back), now)
    words = "the money was split" if back else "the service got it all"
    if not node.withdrawn_for_buyer and not node.withdrawn_for_seller:
        words = "the node names no amounts, so who got what is not known"
    return p.move(Event.BROKEN, now, returned=back, reason=f"the dispute was decided: {words}")


def _came_back(p: Purchase, node: NodePurchase) -> tuple[Amount, ...]:
    """What of the price the buyer got. The collateral, which comes back beside it, is no part of it."""
    price = {amount.unit: amount.quantity for amount in p.price}
    back = {amount.unit: amount.quantity for amount in total(node.withdrawn_for_buyer)}
    taken = {amount.unit: amount.quantity for amount in total(node.withdrawn_for_seller)}
    if back.get("", 0) + taken.get("", 0) > price.get("", 0):
        back[""] = max(back.get("", 0) - node.collateral_return_lovelace, 0)
    found = (Amount(min(back.get(unit, 0), quantity), unit) for unit, quantity in price.items())
    return tuple(amount for amount in found if amount.quantity)


def _next_look(p: Purchase, node: NodePurchase, now: int, ways: Ways) -> int:
    """When the node is worth asking again: at the next deadline, or after the usual pause."""
    assert p.terms is not None
    times, pace = p.terms.times, ways.pace
    if p.state is State.PAID:
        return now + (pace.lock_ms if now <= times.pay_by_time + LAPSE_MS else pace.node_ms)
    if p.state is State.DELIVERED:
        if p.verified is None and now < times.submit_result_time:
            return now + (pace.lock_ms if now - p.result_ms < pace.verify_wait_ms else pace.node_ms)
        if p.doubted:
            return now + pace.node_ms
        return max(now + pace.node_ms, min(_after(now, times.unlock_time + NODE_SLACK_MS), now + 30 * 60_000))
    usual = now + pace.node_ms
    for deadline in (times.submit_result_time, times.unlock_time - NO_TEXT_MS):
        if now < deadline < usual:
            return deadline
    return usual


def _after(now: int, at: int) -> int:
    return at if at > now else now


def _found(p: Purchase, body: object) -> NodePurchase | None:
    """Our purchase in an answer: the row itself, or one of a list (the seed's GET /purchase)."""
    assert p.terms is not None
    if (node := _readable(body)) is not None:
        return node
    wanted = p.terms.blockchain_identifier
    return next((row for row in _listed(body) if row.blockchain_identifier == wanted), None)


def _listed(body: object) -> list[NodePurchase]:
    """The purchases of a list; rows that cannot be read belong to others and are left out."""
    data = body.get("data", body) if isinstance(body, dict) else None
    rows = data.get("Purchases") if isinstance(data, dict) else None
    return [row for row in map(_readable, rows) if row is not None] if isinstance(rows, list) else []


def _next_page(p: Purchase, body: object) -> str | None:
    """The cursor to go on with in a list that is newest first, while its rows may be newer than our purchase."""
    last = next(reversed(_listed(body)), None)
    if last is None or last.id == p.list_cursor or last.created_at < iso(p.created_ms - LIST_SLACK_MS):
        return None
    return last.id


def _readable(body: object) -> NodePurchase | None:
    try:
        return read_purchase(body)
    except WireError:
        return None


def _is_anothers(p: Purchase, node: NodePurchase) -> bool:
    assert p.terms is not None
    return node.blockchain_identifier != p.terms.blockchain_identifier


def _noted(p: Purchase, note: str, next_node_ms: int) -> Purchase:
    return p.but(next_node_ms=next_node_ms, notes=(*p.notes[-8:], note))


def _foreign(p: Purchase, node: NodePurchase) -> str | None:
    """Why this row is not the purchase that we ordered, although it has its identifier; None when it is."""
    assert p.terms is not None
    if node.input_hash and node.input_hash != p.terms.input_hash:
        return "the node holds a purchase with our identifier but another input hash"
    if node.times != p.terms.times:
        return "the node holds a purchase with our identifier but other times"
    return None


def _refusal(p: Purchase, reply: Reply) -> str:
    words = f"the node refused the purchase: {said(reply)}"
    if "amounts do not match" in words.lower():  # the order names the agreed price for this (protocol K19)
        return f"the price on chain is no longer the {text_of(p.price)} that was agreed; {words}"
    return words


def _as_of(reply: Reply, now: int) -> int:
    return now if reply.as_of_ms is None else reply.as_of_ms


def _past(p: Purchase, now: int) -> bool:
    assert p.terms is not None
    return now > p.terms.times.pay_by_time + LAPSE_MS


def _again_ms(reply: Reply, ways: Ways) -> int:
    wait = reply.retry_after_s
    return ways.pace.repeat_ms if wait is None else max(int(wait * 1000), ways.pace.repeat_ms)
