"""The money: what the node's answers mean, from POST /purchase to the last state on chain.

The rules are those of protocol N4, N6, N9, N21. An answer that is not definite leaves the state as it is:
unknown is settled by asking again, never by a new purchase.
"""

from __future__ import annotations

from masumi_tools.calls.call import Reply
from masumi_tools.calls.selling import iso
from masumi_tools.errors import WireError
from masumi_tools.hire.budget import text_of
from masumi_tools.hire.purchase import MISMATCH, Event, Purchase, State
from masumi_tools.hire.replies.words import said
from masumi_tools.hire.steps import LAPSE_MS, NO_TEXT_MS, NODE_SLACK_MS, Ways
from masumi_tools.models import NodePurchase, OnChainState, read_purchase
from masumi_tools.money import Amount, total
from masumi_tools.proof.hashing import output_candidates, which

ANOTHERS = "the node answered with another purchase than ours; it is asked again"
# A service that was paid and gave no result is asked for it so long.
LAST_ASK_MS = 24 * 60 * 60_000
# A key that may not ask for a refund may be replaced; so long it is not tried again.
BARRED_MS = 10 * 60_000
# The node's clock and ours may differ by so much; older rows of a list cannot be our purchase.
LIST_SLACK_MS = 60 * 60_000


def paid(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """POST /purchase: 200 and 409 mean that the node holds it; only a definite no means that it does not."""
    asked_ms = _as_of(reply, now)
    if reply.ok or (reply.status == 409 and isinstance(reply.body, dict) and "object" in reply.body):
        node = _readable(reply.body)
        if node is not None and _is_anothers(p, node):
            doubted = p.but(pay_unknown=True) if p.state is State.PAYING else p
            return _noted(doubted, ANOTHERS, now + _again_ms(reply, ways))
        held = p.move(Event.ACCEPTED, now) if p.state is State.PAYING else p
        if node is None:
            return held.but(next_node_ms=now)
        # A 409 object is the raw row; what it lacks is read by resolve, where that can see the row.
        return (
            held.but(next_node_ms=now)
            if reply.status == 409 and not p.unseen
            else on_chain(held, node, now, ways, asked_ms)
        )
    if p.state is State.PAID:
        # Held before; its own refusal long after pay_by proves that the node has no such row any more.
        if _past(p, asked_ms) and _proves_absence(reply):
            return p.move(Event.LAPSED, now, reason=f"the node holds no such purchase: {said(reply)}")
        return p.but(next_node_ms=now + _again_ms(reply, ways))
    assert p.terms is not None
    # An attempt whose reply was never saved (a crash) may have had its effect, as a lost reply may.
    unknown = p.pay_unknown or p.pay_attempts > 1
    if not reply.sent:
        if not unknown and now > p.terms.times.pay_by_time:
            return p.move(
                Event.REFUSED, now, reason=f"the node could not be reached before pay_by: {reply.detail}"
            )
        attempts = p.pay_attempts if unknown else 0
        return p.but(pay_attempts=attempts, next_node_ms=now + ways.pace.repeat_ms)
    if reply.status == 429 and not unknown:
        return p.but(pay_attempts=0, next_node_ms=now + _again_ms(reply, ways))
    if not _denied(reply):
        return p.but(pay_unknown=True, next_node_ms=now + _again_ms(reply, ways))
    if not unknown:
        return p.move(Event.REFUSED, now, reason=_refusal(p, reply))
    if not _proves_absence(reply):  # a key that was revoked meanwhile hears 401 of a purchase that was paid
        words = f"the node does not say whether it took the purchase: {said(reply)}; it is asked on"
        return p.but(reason=words, next_node_ms=now + ways.pace.in_flight_ms)
    if _past(p, asked_ms):
        return p.move(Event.LAPSED, now, reason=f"the node never took the purchase: {said(reply)}")
    # The first POST may still be inside the node: the same no once more, a while later, is proof.
    if p.pay_denied_ms and now - p.pay_denied_ms >= ways.pace.in_flight_ms:
        return p.move(Event.REFUSED, now, reason=_refusal(p, reply))
    return p.but(pay_denied_ms=p.pay_denied_ms or now, next_node_ms=now + ways.pace.in_flight_ms)


def read(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """A read of our purchase; 404 is no proof of absence (protocol N5)."""
    asked_ms = _as_of(reply, now)
    if reply.ok:
        node = _found(p, reply.body)
        if node is not None:
            return on_chain(p, node, now, ways, asked_ms)
        if (cursor := _next_page(p, reply.body)) is not None:
            return p.but(list_cursor=cursor, next_node_ms=now)
        p, reply = p.but(list_cursor=None), Reply(404)
    if reply.status == 304 and p.node is not None:  # the shared feed: nothing changed, but time has passed
        return on_chain(p, p.node, now, ways, asked_ms)
    if _unknown_path(reply) and p.dialect == "today":
        return p.but(dialect="seed", next_node_ms=now)
    if reply.status == 404 and p.state in (State.PAYING, State.PAID):
        return p.but(unseen=True, next_node_ms=now + ways.pace.lock_ms)
    return p.but(next_node_ms=now + max(_again_ms(reply, ways), ways.pace.lock_ms))


def refund_asked(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """request-refund: its 404 means already asked, too early or unknown, and a read tells which."""
    if reply.ok:
        node = _found(p, reply.body)
        if node is not None and _is_anothers(p, node):
            return _noted(p, ANOTHERS, now + ways.pace.repeat_ms)
        asked = p.move(Event.REFUND_ASKED, now, reason=p.refund_wanted)
        return on_chain(asked, node, now, ways, _as_of(reply, now)) if node else asked.but(next_node_ms=now)
    if _unknown_path(reply) and p.dialect == "today":
        return p.but(dialect="seed")
    if reply.status in (401, 403):
        note = f"the refund could not be asked for: {said(reply)}"
        barred = p.but(refund_barred=True, refund_due_ms=now + BARRED_MS)
        return _noted(barred, note, now)
    return p.but(refund_due_ms=now + _again_ms(reply, ways), next_node_ms=now)


def on_chain(p: Purchase, node: NodePurchase, now: int, ways: Ways, asked_ms: int) -> Purchase:
    """The record after the node showed this state of our purchase; one reading may mean several moves.

    What the node has not seen is judged by the time at which it was asked: an answer may be read long after.
    """
    if _is_anothers(p, node):  # answers got mixed up on their way: this one says nothing about ours
        return _noted(p, ANOTHERS, now + ways.pace.repeat_ms)
    if reason := _foreign(p, node):
        if p.state in (State.PAYING, State.PAID):
            return p.move(Event.BROKEN, now, node=node, reason=reason)
        return _noted(p, reason, now + ways.pace.node_ms)
    asked_ms = max(asked_ms, p.node_read_ms)
    p = p.but(node=node, node_read_ms=asked_ms, unseen=False, purchase_id=node.id or p.purchase_id)
    if p.state is State.PAYING:
        p = p.move(Event.ACCEPTED, now)
    if p.state is State.PAID:
        p = _lock(p, node, now, asked_ms)
    if not p.ended and p.state is not State.PAID:
        p = _after_lock(p, node, now, asked_ms)
    return p if p.ended else p.but(next_node_ms=_next_look(p, node, now, ways))


def _lock(p: Purchase, node: NodePurchase, now: int, asked_ms: int) -> Purchase:
    """Paid: is the money in escrow, still on its way, or was it never taken?"""
    assert p.terms is not None
    past = _past(p, asked_ms)
    if node.on_chain_state == OnChainState.FUNDS_OR_DATUM_INVALID:
        if node.tx_hash is None:
            return p.move(Event.LAPSED, now, reason="pay_by passed and nothing was locked; nothing was spent")
        words = (
            f"the chain shows no valid lock, but a transaction was sent ({node.tx_hash}); {_amounts(p, node)}"
        )
        return p.move(Event.BROKEN, now, reason=f"{words}; an operator of the node has to look at it")
    if node.on_chain_state is None:
        if past and node.tx_hash is None and not node.requested_action.endswith("Initiated"):
            note = f" ({node.error_note})" if node.error_note else ""
            return p.move(
                Event.LAPSED, now, reason=f"the money was not locked before pay_by{note}; nothing was spent"
            )
        return p.but(reason=_not_locked(node, past))
    return p.move(Event.LOCKED, now, next_job_ms=now, reason="")


def _not_locked(node: NodePurchase, past: bool) -> str:
    """What is worth telling of a lock that is not seen yet; "" while that is as usual."""
    if past:
        return "the node sent the lock and saw no confirmation of it; whether it is on the chain is not known yet"
    if node.needs_a_person:
        return f"the node waits for its operator: {node.error_note or node.error_type}"
    return ""


def _amounts(p: Purchase, node: NodePurchase) -> str:
    return f"{text_of(p.price)} was agreed, {text_of(total(node.paid_funds))} is what the node paid"


def _after_lock(p: Purchase, node: NodePurchase, now: int, asked_ms: int) -> Purchase:
    assert p.terms is not None
    state, times = node.on_chain_state, p.terms.times
    p = _verify(p, node)
    if state == OnChainState.REFUND_WITHDRAWN:
        back = _came_back(p, node) or p.price
        return p.move(
            Event.REFUNDED, now, returned=back, reason=p.refund_wanted or "the node collected the refund"
        )
    if state == OnChainState.DISPUTED_WITHDRAWN:
        return _split(p, node, now)
    if state == OnChainState.WITHDRAWN:
        return _paid_out(p, now)
    if state == OnChainState.FUNDS_OR_DATUM_INVALID:
        words = f"the chain shows the lock as invalid; {_amounts(p, node)}"
        return p.move(Event.BROKEN, now, reason=f"{words}; the money is in the contract")
    if state == OnChainState.DISPUTED:
        return p if p.state is State.DISPUTED else p.move(Event.DISPUTED, now, next_job_ms=now)
    asked = node.requested_action.startswith("SetRefundRequested") or node.requested_action.startswith(
        "WithdrawRefund"
    )
    if asked or state in (OnChainState.REFUND_REQUESTED, OnChainState.REFUND_AUTHORIZED):
        return p if p.state is State.REFUND_REQUESTED else p.move(Event.REFUND_ASKED, now)
    if p.refund_wanted or p.state in (State.DELIVERED, State.REFUND_REQUESTED, State.DISPUTED):
        return p
    if node.result_hash is None and asked_ms >= times.submit_result_time:
        return p.but(refund_wanted="the service submitted no result before its deadline")
    if node.result_hash is not None and p.result is None and now >= times.unlock_time - NO_TEXT_MS:
        return p.but(refund_wanted="the service put a result hash on the chain but never gave the result")
    return p


def _verify(p: Purchase, node: NodePurchase) -> Purchase:
    """Compare the result with the hash on the chain, once there is one."""
    if p.verified is not None or node.result_hash is None or p.result is None:
        return p
    form = which(output_candidates(p.nonce, p.result), node.result_hash)
    if form is not None:
        return p.but(verified=True, result_hash_form=form)
    return p.but(verified=False, refund_wanted=MISMATCH if p.on_mismatch == "refund" else p.refund_wanted)


def _paid_out(p: Purchase, now: int) -> Purchase:
    """The seller took the money. A result that we have not fetched yet is still worth asking for."""
    if p.result is not None:
        return p.move(Event.PAID_OUT, now)
    if _may_still_come(p, now):
        return _asked_once_more(p, now)
    return p.move(Event.BROKEN, now, reason="the service took the money and gave no result")


def _may_still_come(p: Purchase, now: int) -> bool:
    return p.result is None and now - (p.paid_out_ms or now) < LAST_ASK_MS


def _asked_once_more(p: Purchase, now: int) -> Purchase:
    reason = "the service has the money; it is still asked for the result"
    return p.but(paid_out_ms=p.paid_out_ms or now, next_job_ms=min(p.next_job_ms, now), reason=reason)


def _split(p: Purchase, node: NodePurchase, now: int) -> Purchase:
    back = _came_back(p, node)
    returned = {amount.unit: amount.quantity for amount in back}
    if p.price and all(returned.get(amount.unit, 0) >= amount.quantity for amount in p.price):
        return p.move(Event.REFUNDED, now, returned=back, reason="the dispute was decided for us")
    if not back and p.result is not None:
        return p.move(Event.PAID_OUT, now, reason="the dispute was decided for the service")
    if _may_still_come(p, now):
        return _asked_once_more(p.but(returned=back), now)
    words = "the money was split" if back else "the service got it all"
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
        return now + pace.lock_ms
    if p.state is State.DELIVERED:
        if p.verified is None and now < times.submit_result_time:
            return now + (pace.lock_ms if now - p.result_ms < pace.verify_wait_ms else pace.node_ms)
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


def _denied(reply: Reply) -> bool:
    return reply.status is not None and 400 <= reply.status < 500 and reply.status not in (408, 409, 425, 429)


def _proves_absence(reply: Reply) -> bool:
    """A business 400 or 404 comes after the node looked for the row; a schema 400 and a 401 before it.

    A path that is unknown and an answer that is not in the node's form (a proxy's page) prove nothing either.
    """
    if reply.status not in (400, 404) or _unknown_path(reply):
        return False
    if not (isinstance(reply.body, dict) and reply.body.get("status") == "error"):
        return False
    head = said(reply).split(":", 1)[0]
    return ":" not in said(reply) or " " in head


def _unknown_path(reply: Reply) -> bool:
    """405, or the 404 of a node that has no such route (protocol N1): it speaks the other dialect."""
    return reply.status == 405 or (reply.status == 404 and said(reply).lower().startswith("can not "))


def _as_of(reply: Reply, now: int) -> int:
    return now if reply.as_of_ms is None else reply.as_of_ms


def _past(p: Purchase, now: int) -> bool:
    assert p.terms is not None
    return now > p.terms.times.pay_by_time + LAPSE_MS


def _again_ms(reply: Reply, ways: Ways) -> int:
    wait = reply.retry_after_s
    return ways.pace.repeat_ms if wait is None else max(int(wait * 1000), ways.pace.repeat_ms)
