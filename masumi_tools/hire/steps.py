"""What a hire does next: a pure function of its record and the time.

    record, now ──next_step──▶ Send | Reserve | Become | Pause | Rest
    record, what was asked, reply, now ──learn──▶ record            (masumi_tools.hire.replies)

There is one machine. A first call, a resume after a crash and a sweep all ask it the same question;
only how long the driver waits differs. No I/O, no clock and no randomness here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from masumi_tools.calls import node, registry, service
from masumi_tools.calls.call import Call
from masumi_tools.calls.node import PURCHASE_S
from masumi_tools.hire.acceptance import HORIZON_MS, MINUTE_MS, times_problem
from masumi_tools.hire.purchase import BEFORE_PAYING, MISMATCH, ON_DEMAND, Event, Purchase, State
from masumi_tools.models import OnChainState
from masumi_tools.models.sources import V1

# A hire that nobody drove for this long before it paid is given up: its caller is gone.
ABANDON_MS = 15 * MINUTE_MS
_IN_PASSING = frozenset({State.ASKED, State.LISTED, State.RESERVED})
# The node's batch takes no purchase with less time left to pay_by (57 s); a later POST only asks.
LAST_POST_MS = MINUTE_MS
# The node writes off an unlocked purchase 5 minutes after pay_by; then a repeat creates nothing.
LAPSE_MS = 6 * MINUTE_MS
# request-refund is carried out only while unlock_time is more than 3 minutes ahead (protocol N6).
REFUND_MARGIN_MS = 4 * MINUTE_MS
# With a result hash on chain but no text, the money is asked back this long before unlock_time.
NO_TEXT_MS = 30 * MINUTE_MS
# The node collects a refund by itself 10 minutes after submit_result_time, a payout after unlock_time.
NODE_SLACK_MS = 10 * MINUTE_MS
FREE_JOB_MS = 24 * 60 * MINUTE_MS
# A service that was paid, and gave no result or one that is in doubt, is asked for it so long.
LAST_ASK_MS = 24 * 60 * MINUTE_MS
# And then so often before it is given up: nobody may have asked for a day, and one answer may be lost.
LAST_ASKS = 3
# An order of which the connection broke may still arrive for so long: longer than an order may take.
IN_FLIGHT_MS = int(PURCHASE_S * 1000) + 5_000
# No wait that is set here is longer, so a longer one was set by a clock that has gone back since.
LONGEST_WAIT_MS = 60 * MINUTE_MS
# Two clocks that follow one another differ by so much at the most.
CLOCK_NOISE_MS = 2_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to look, in ms of the node's clock."""

    lock_ms: int = 5_000
    job_ms: int = 2_000
    job_max_ms: int = 20_000
    node_ms: int = 60_000
    repeat_ms: int = 3_000
    in_flight_ms: int = IN_FLIGHT_MS
    verify_wait_ms: int = 60_000
    failure_ms: int = 30_000  # so long a service has to say that a job failed before it is believed


QUICK = Pace(
    lock_ms=60,
    job_ms=60,
    job_max_ms=250,
    node_ms=250,
    repeat_ms=60,
    verify_wait_ms=5_000,
    failure_ms=500,
)


@dataclass(frozen=True, slots=True)
class Ways:
    """Where to ask and how often: node and registry API URLs (".../api/v1"), network, pace."""

    node: str
    registry: str | None
    network: str
    pace: Pace = Pace()
    horizon_ms: int = HORIZON_MS  # the longest that money may be bound
    sandbox: bool = False  # services on loopback are allowed


class Ask(StrEnum):
    """What a Send asks for; `learn` reads the reply accordingly."""

    LISTING = "listing"
    NODE_LISTING = "node_listing"
    SEARCH = "search"
    AVAILABILITY = "availability"
    SCHEMA = "schema"
    START = "start"
    PAY = "pay"
    READ = "read"
    REFUND = "refund"
    CANCEL = "cancel"
    STATUS = "status"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Send:
    """Make this call and `learn` its reply; save `announce` first where it is given."""

    ask: Ask
    call: Call
    announce: Purchase | None = None


@dataclass(frozen=True, slots=True)
class Reserve:
    """Ask for approval where the budget wants it, and take the price from the budget."""


@dataclass(frozen=True, slots=True)
class Consult:
    """See what the person who was asked for this price has answered; without an answer there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Become:
    """Save this record: time alone decided."""

    purchase: Purchase


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing to do before `until_ms`; nothing that ends the wait is expected before `expected_ms`."""

    until_ms: int
    expected_ms: int


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do any more, or nothing without an answer."""


Step = Send | Reserve | Consult | Become | Pause | Rest


def next_step(p: Purchase, now: int, ways: Ways, *, may_pay: bool = True, sure: bool = True) -> Step:
    """The one next thing to do for this hire at this time.

    Without `may_pay` the limits forbid the price by now: an order that may have left is only asked about.
    Unless it is `sure` that the hire's own node answers, nothing is ordered, and so no refusal is heard.
    """
    if p.ended:
        return Rest()
    if p.state is State.PAYING:
        return _paying(p, now, ways, may_pay, sure)
    if p.state in _IN_PASSING and now - p.changed_ms > ABANDON_MS:
        why = "it was interrupted before anything was paid"
        return Become(p.move(Event.REFUSED, now, reason=why, passing=True))
    step = _STEPS[p.state](p, now, ways)
    return step if sure or not _is_order(step) else _instead(p, now, ways)


def _is_order(step: Step) -> bool:
    return isinstance(step, Send) and step.ask is Ask.PAY


def _instead(p: Purchase, now: int, ways: Ways) -> Step:
    """What is done in the place of an order until the node has said which it is."""
    again = now + ways.pace.repeat_ms
    return Pause(again, again) if p.state is State.STARTED else _read(p, ways)


def could_pay(p: Purchase, step: Step) -> bool:
    """Whether this step asks a service for paid work, or may order the payment: the limits are asked before."""
    if p.state is State.RESERVED:
        return isinstance(step, Send)
    return _is_order(step) and p.state in (State.STARTED, State.PAYING)


_DUE = ("next_node_ms", "next_job_ms", "refund_due_ms", "node_read_ms")
_SINCE = (
    "available_ms",
    "pay_denied_ms",
    "absent_ms",
    "missing_ms",
    "foreign_ms",
    "answered_ms",
    "failed_ms",
    "result_ms",
    "mismatch_ms",
    "paid_out_ms",
)


def kept_up(p: Purchase, now: int) -> Purchase:
    """The record where the clock went back since its last reply: nothing waits for a time of the old clock, and
    nothing lasts only from a moment on that has not come yet.
    """
    back = now < p.looked_ms - CLOCK_NOISE_MS
    if not back and max(p.next_node_ms, p.next_job_ms) <= now + LONGEST_WAIT_MS:
        return p
    return p.but(looked_ms=now, **{name: min(getattr(p, name), now) for name in (*_DUE, *_SINCE)})


def with_news(p: Purchase) -> Purchase:
    """The record when the node has news of it: what it waits for there is looked at now.

    An order that may not have arrived keeps its pace: it is sent again where the node does not know it.
    """
    return p if p.state in BEFORE_PAYING or p.state is State.PAYING else p.but(next_node_ms=0)


def at_rest(p: Purchase, now: int, ways: Ways) -> bool:
    """Whether the caller has what a hire can give now: an end, a question, or a result that was checked."""
    if p.ended:
        return True
    if p.state is State.AWAITING:
        return True
    if p.state is State.NEEDS_INPUT:
        return p.answer is None
    if p.lost and p.state is State.PAID:
        return True
    if p.state is State.DELIVERED:
        waited = now - max(p.result_ms, p.mismatch_ms) >= ways.pace.verify_wait_ms
        return not _refund_open(p, now) and (p.verified is not None or waited)
    return p.state is State.DISPUTED


def may_be_shared(p: Purchase, now: int) -> bool:
    """Whether a look at the node for many will do: not to find out whether a payment was made at all, nor where
    the node said what nobody understands: no news means that it says so still, unless that was a slip.
    """
    if p.state is State.PAYING or p.terms is None:
        return False
    if p.node is not None and p.node.strange_state is not None:
        return False
    return p.state is not State.PAID or now < p.terms.times.pay_by_time


def is_over(p: Purchase, now: int) -> bool:
    """Whether a service has had its time to give a result that no money depends on any more."""
    if p.free:
        return now - p.created_ms > FREE_JOB_MS
    return p.paid_out_ms > 0 and now - p.paid_out_ms >= LAST_ASK_MS


def given_up(p: Purchase, now: int) -> bool:
    """Whether it has, and was asked since: time in which nobody looked ends nothing alone."""
    return is_over(p, now) and (p.job_id is None or p.last_asks >= LAST_ASKS)


def refundable_until(p: Purchase) -> int | None:
    """Until when, in ms, the money can be asked back; None where nothing was paid."""
    return p.terms.times.unlock_time - REFUND_MARGIN_MS if p.terms else None


def _asked(p: Purchase, now: int, ways: Ways) -> Step:
    if p.whom.is_url:
        if p.asked_registry and ways.registry:
            return Send(Ask.SEARCH, registry.search(ways.registry, ways.network, str(p.whom)))
        return Send(Ask.LISTING, service.payment_information(p.target))
    if ways.registry and not p.asked_registry:
        return Send(Ask.LISTING, registry.payment_information(ways.registry, p.target))
    return Send(Ask.NODE_LISTING, node.agent(ways.node, p.target, ways.network))


def _listed(p: Purchase, now: int, ways: Ways) -> Step:
    return Reserve()


def _awaiting(p: Purchase, now: int, ways: Ways) -> Step:
    return Consult()


def _reserved(p: Purchase, now: int, ways: Ways) -> Step:
    assert p.listing is not None
    if now < p.next_job_ms:
        return Pause(p.next_job_ms, p.next_job_ms)
    url = p.listing.api_base_url
    if not p.layouts and not p.available_ms:
        return Send(Ask.AVAILABILITY, service.availability(url))
    if not p.layouts:
        return Send(Ask.SCHEMA, service.input_schema(url))
    return Send(Ask.START, service.start_job(url, p.layouts[p.layout].body))


def _started(p: Purchase, now: int, ways: Ways) -> Step:
    assert p.terms is not None and p.purchase_body is not None
    if problem := times_problem(p.terms.times, now, ways.horizon_ms):
        why = f"the offer expired before it was paid: {problem}"
        return Become(p.move(Event.REFUSED, now, reason=why, passing=True))
    return Send(Ask.PAY, _post(p, ways), announce=p.move(Event.SENT, now, pay_attempts=1))


def _post(p: Purchase, ways: Ways) -> Call:
    assert p.purchase_body is not None
    return node.purchase(ways.node, p.purchase_body.encode())


def _paying(p: Purchase, now: int, ways: Ways, may_pay: bool = True, sure: bool = True) -> Step:
    """Unknown or unsent: the node is asked first, then the same bytes again while they can still be locked."""
    assert p.terms is not None
    if now < p.next_node_ms:
        return Pause(p.next_node_ms, p.next_node_ms)
    pay_by = p.terms.times.pay_by_time
    # Long after pay_by the node takes no order any more, and its answer tells whether it holds this one.
    late = now > pay_by + LAPSE_MS
    if sure and (late or (may_pay and p.absent_ms and now < pay_by - LAST_POST_MS)):
        return Send(Ask.PAY, _post(p, ways), announce=p.but(pay_attempts=p.pay_attempts + 1, absent_ms=0))
    # The longer it is known by nobody, the rarer it is asked for.
    pause = min(max(ways.pace.lock_ms, (p.absent_ms - p.changed_ms) // 8), 4 * ways.pace.lock_ms)
    if now < (again := p.absent_ms + pause) and p.absent_seen:
        return Pause(again, again)
    if not sure and p.absent_ms and p.reason != (why := _nameless(p)):
        return Become(p.but(reason=why))
    return _read(p, ways)


def _nameless(p: Purchase) -> str:
    return (
        "the node does not know this purchase, and does not say which node it is (GET /payment-source), so nothing"
        " is ordered: its operator has to mend that; to close the books run"
        f" `masumi-tools hires write-off {p.hire_id}`"
    )


def _paid(p: Purchase, now: int, ways: Ways) -> Step:
    """The node holds the order. It is not sent again while it could be taken as a new one."""
    assert p.terms is not None
    if now < p.next_node_ms:
        return Pause(p.next_node_ms, now)
    if p.unseen and now > p.terms.times.pay_by_time + LAPSE_MS:
        return Send(Ask.PAY, _post(p, ways))
    return _read(p, ways)


def read_call(p: Purchase, ways: Ways) -> Call:
    """The request that reads our purchase at the node."""
    assert p.terms is not None
    identifier, network = p.terms.blockchain_identifier, ways.network
    if p.dialect == "today":
        return node.resolve(ways.node, identifier, network)
    second = p.terms.source_type if p.terms.source_type != V1 else None
    return node.find_purchase(ways.node, identifier, network, source_type=second, cursor=p.list_cursor)


def _read(p: Purchase, ways: Ways) -> Send:
    return Send(Ask.READ, read_call(p, ways))


def _refund(p: Purchase, ways: Ways) -> Send:
    assert p.terms is not None
    ask = node.request_refund if p.dialect == "today" else node.patch_refund
    return Send(Ask.REFUND, ask(ways.node, p.terms.blockchain_identifier, ways.network))


def _cancel(p: Purchase, ways: Ways) -> Send:
    assert p.terms is not None
    return Send(
        Ask.CANCEL, node.cancel_refund_request(ways.node, p.terms.blockchain_identifier, ways.network)
    )


def _refund_open(p: Purchase, now: int) -> bool:
    """Whether the money is wanted back and the node would take the request (protocol N6)."""
    last = refundable_until(p)
    barred = p.refund_barred and now < p.refund_due_ms
    if not p.refund_wanted or barred or last is None or now >= last or p.node is None:
        return False
    return p.node.on_chain_state in (OnChainState.FUNDS_LOCKED, OnChainState.RESULT_SUBMITTED)


def _refund_due(p: Purchase, now: int) -> bool:
    return _refund_open(p, now) and now >= p.refund_due_ms


def _at_work(p: Purchase, now: int, ways: Ways) -> Step:
    """Locked: answer, ask back, read the node when it is due, else ask the service for the result."""
    if p.answer is not None and now >= p.next_job_ms:
        return _answer(p)
    if _refund_due(p, now):
        return _refund(p, ways)
    if now >= p.next_node_ms:
        return _read(p, ways)
    if now >= p.next_job_ms:
        return _status(p)
    return Pause(min(p.next_node_ms, p.next_job_ms), now)


def cancellable(p: Purchase) -> bool:
    """Whether our refund wish, which nobody demanded, has been overtaken by a result that is proved."""
    # Whether the answer to our request was read does not matter: it may have been lost after its effect.
    if p.state is not State.DISPUTED or p.verified is not True or not p.refund_wanted or p.dialect == "seed":
        return False
    waits = p.node is not None and p.node.requested_action == "WaitingForExternalAction"
    disputed = p.node is not None and p.node.on_chain_state == OnChainState.DISPUTED
    return waits and disputed and p.refund_wanted not in (ON_DEMAND, MISMATCH)


def _status(p: Purchase) -> Send:
    assert p.listing is not None and p.job_id is not None
    return Send(Ask.STATUS, service.status(p.listing.api_base_url, p.job_id))


def _answer(p: Purchase) -> Send:
    assert p.listing is not None and p.job_id is not None and p.job is not None
    call = service.provide_input(
        p.listing.api_base_url,
        p.job_id,
        p.answer,
        p.job,
        inner=p.answer_attempts == 1,
        token=p.continuation_token,
    )
    return Send(Ask.ANSWER, call)


def _running(p: Purchase, now: int, ways: Ways) -> Step:
    """A free job: nothing was paid, so there is only the service to ask."""
    if given_up(p, now):
        return Become(p.move(Event.BROKEN, now, reason="the free service gave no result within a day"))
    if now < p.next_job_ms:
        return Pause(p.next_job_ms, now)
    return _answer(p) if p.answer is not None else _status(p)


def _needs_input(p: Purchase, now: int, ways: Ways) -> Step:
    return _running(p, now, ways) if p.free else _at_work(p, now, ways)


def _delivered(p: Purchase, now: int, ways: Ways) -> Step:
    if _refund_due(p, now):
        return _refund(p, ways)
    if p.doubted and now >= p.next_job_ms:  # before the node, whose hash would settle it against the service
        return _status(p)
    if now >= p.next_node_ms:
        return _read(p, ways)
    due = min(p.next_node_ms, p.refund_due_ms) if _refund_open(p, now) else p.next_node_ms
    due = min(due, p.next_job_ms) if p.doubted else due
    return Pause(due, due)


def _refunding(p: Purchase, now: int, ways: Ways) -> Step:
    """Money is on its way back, or in dispute; a result may still come."""
    if p.doubted and now >= p.next_job_ms and p.job_id is not None:
        return _status(p)
    if now >= p.next_node_ms:
        return _read(p, ways)
    if cancellable(p) and now >= p.refund_due_ms:
        return _cancel(p, ways)
    assert p.terms is not None
    if p.result is None and now >= p.next_job_ms and p.job_id is not None:
        return _status(p)
    expected = p.terms.times.submit_result_time + NODE_SLACK_MS
    if p.node is not None and p.node.on_chain_state == OnChainState.REFUND_AUTHORIZED:
        expected = now
    if p.state is State.DISPUTED:
        expected = p.terms.times.external_dispute_unlock_time
    return Pause(p.next_node_ms, max(expected, p.next_node_ms))


_STEPS: dict[State, Callable[[Purchase, int, Ways], Step]] = {
    State.ASKED: _asked,
    State.LISTED: _listed,
    State.AWAITING: _awaiting,
    State.RESERVED: _reserved,
    State.STARTED: _started,
    State.PAYING: _paying,
    State.PAID: _paid,
    State.LOCKED: _at_work,
    State.RUNNING: _running,
    State.NEEDS_INPUT: _needs_input,
    State.DELIVERED: _delivered,
    State.REFUND_REQUESTED: _refunding,
    State.DISPUTED: _refunding,
}
