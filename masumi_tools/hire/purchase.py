"""The Purchase: all that is known of one hire, its states, and the table of allowed moves.

A Purchase is a value. It is born when somebody asks for work, is saved before each request that it
announces and after each reply, and is all that another process needs to go on. Two rules hold:

1. Only `TRANSITIONS` allows a move. A pair that is not in it is an error that names state and event,
   and changes nothing. docs/states.md is drawn from this table.
2. The body of `POST /purchase` enters the record once, in the move to STARTED, and never changes.
   Whoever drives the hire sends these bytes, so that there is at most one purchase.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from masumi_tools.errors import Money, StateError
from masumi_tools.models import JobStatus, Listing, NodePurchase, OnChainState, Terms
from masumi_tools.money import Amount
from masumi_tools.target import Target
from masumi_tools.text import kept


class State(StrEnum):
    """Where a hire stands. The money: none up to STARTED, may have left in PAYING and PAID, then in escrow."""

    ASKED = "asked"
    LISTED = "listed"
    AWAITING = "awaiting_approval"
    RESERVED = "reserved"
    STARTED = "started"
    PAYING = "paying"
    PAID = "paid"
    LOCKED = "locked"
    RUNNING = "running"
    NEEDS_INPUT = "needs_input"
    DELIVERED = "delivered"
    REFUND_REQUESTED = "refund_requested"
    DISPUTED = "disputed"
    SETTLED = "settled"
    REFUNDED = "refunded"
    REFUSED = "refused"
    LAPSED = "lapsed"
    FAILED = "failed"
    WRITTEN_OFF = "written_off"


class Event(StrEnum):
    """What can happen to a hire."""

    LISTED = "listed"  # the price is known
    APPROVAL_ASKED = "approval_asked"  # a person has to say yes to the price
    APPROVED = "approved"  # somebody said yes to exactly this
    LOOKED_AGAIN = "looked_again"  # yes, but to a price of long ago: it is looked up once more
    RESERVED = "reserved"  # the budget holds the price
    OFFERED = "offered"  # start_job answered with terms that we accept
    FREE = "free"  # start_job of a free service answered
    SENT = "sent"  # POST /purchase is about to leave
    ACCEPTED = "accepted"  # the node holds our purchase
    LOCKED = "locked"  # the money is seen in escrow
    ASKS = "asks"  # the service waits for input
    ANSWERED = "answered"
    DELIVERED = "delivered"  # the result is here
    REFUND_ASKED = "refund_asked"
    DISPUTED = "disputed"  # refund asked and a result hash exists
    REFUSED = "refused"  # by us, the service or the node, before any money moved
    LAPSED = "lapsed"  # pay_by passed and nothing was locked
    REFUNDED = "refunded"
    PAID_OUT = "paid_out"  # the seller took the money
    BROKEN = "broken"  # the money is stuck, split, or gone without a result
    CANCELLED = "cancelled"  # our refund wish was taken back, since the result was proved after all
    WRITTEN_OFF = "written_off"  # a person closed the books


_SENTENCES = frozenset({"reason", "refund_wanted"})

# Why money is wanted back.
ON_DEMAND = "the buyer requested a refund"
MISMATCH = "the result does not match the hash on the chain"

_S, _E = State, Event
_BEFORE_MONEY = {_E.REFUSED: _S.REFUSED}
_BY_HAND = {_E.WRITTEN_OFF: _S.WRITTEN_OFF}
_ON_CHAIN = {
    _E.REFUND_ASKED: _S.REFUND_REQUESTED,
    _E.DISPUTED: _S.DISPUTED,
    _E.REFUNDED: _S.REFUNDED,
    _E.BROKEN: _S.FAILED,
    **_BY_HAND,
}

TRANSITIONS: dict[State, dict[Event, State]] = {
    _S.ASKED: {_E.LISTED: _S.LISTED, **_BEFORE_MONEY},
    _S.LISTED: {_E.APPROVAL_ASKED: _S.AWAITING, _E.RESERVED: _S.RESERVED, **_BEFORE_MONEY},
    _S.AWAITING: {_E.APPROVED: _S.LISTED, _E.LOOKED_AGAIN: _S.ASKED, **_BEFORE_MONEY},
    _S.RESERVED: {_E.OFFERED: _S.STARTED, _E.FREE: _S.RUNNING, **_BEFORE_MONEY},
    _S.STARTED: {_E.SENT: _S.PAYING, **_BEFORE_MONEY},
    _S.PAYING: {
        _E.ACCEPTED: _S.PAID,
        _E.LAPSED: _S.LAPSED,
        _E.BROKEN: _S.FAILED,
        **_BEFORE_MONEY,
        **_BY_HAND,
    },
    _S.PAID: {_E.LOCKED: _S.LOCKED, _E.LAPSED: _S.LAPSED, _E.BROKEN: _S.FAILED, **_BY_HAND},
    _S.LOCKED: {_E.ASKS: _S.NEEDS_INPUT, _E.DELIVERED: _S.DELIVERED, **_ON_CHAIN},
    _S.RUNNING: {_E.ASKS: _S.NEEDS_INPUT, _E.DELIVERED: _S.SETTLED, _E.BROKEN: _S.FAILED},
    _S.NEEDS_INPUT: {_E.ANSWERED: _S.LOCKED, _E.FREE: _S.RUNNING, _E.DELIVERED: _S.DELIVERED, **_ON_CHAIN},
    _S.DELIVERED: {_E.PAID_OUT: _S.SETTLED, **_ON_CHAIN},
    _S.REFUND_REQUESTED: {
        _E.DISPUTED: _S.DISPUTED,
        _E.REFUNDED: _S.REFUNDED,
        _E.PAID_OUT: _S.SETTLED,
        _E.BROKEN: _S.FAILED,
        _E.CANCELLED: _S.DELIVERED,
        **_BY_HAND,
    },
    _S.DISPUTED: {
        _E.REFUND_ASKED: _S.REFUND_REQUESTED,
        _E.REFUNDED: _S.REFUNDED,
        _E.PAID_OUT: _S.SETTLED,
        _E.BROKEN: _S.FAILED,
        _E.CANCELLED: _S.DELIVERED,
        **_BY_HAND,
    },
    _S.SETTLED: {},
    _S.REFUNDED: {},
    _S.REFUSED: {},
    _S.LAPSED: {},
    _S.FAILED: {},
    _S.WRITTEN_OFF: {},
}

# Up to here no request that could move money has been sent, so the hire may still be given up.
BEFORE_PAYING = frozenset({_S.ASKED, _S.LISTED, _S.AWAITING, _S.RESERVED, _S.STARTED})
ENDED = frozenset(state for state, moves in TRANSITIONS.items() if not moves)
# A second identical call joins a hire in one of these states instead of starting another.
JOINABLE = frozenset(TRANSITIONS) - ENDED - {_S.DELIVERED}

_MONEY: dict[State, Money] = {
    _S.PAYING: "maybe",
    _S.PAID: "maybe",
    _S.LOCKED: "locked",
    _S.NEEDS_INPUT: "locked",
    _S.DELIVERED: "locked",
    _S.REFUND_REQUESTED: "refunding",
    _S.DISPUTED: "refunding",
    _S.SETTLED: "spent",
    _S.REFUNDED: "refunded",
    _S.FAILED: "spent",
    _S.WRITTEN_OFF: "maybe",
}


class Moment(BaseModel):
    """One state of the history and when it was reached, in milliseconds."""

    model_config = ConfigDict(frozen=True)

    state: State
    at_ms: int


class Approval(BaseModel):
    """What was answered when a person was asked for a price: to what (a digest), by whom, and when, in ms."""

    model_config = ConfigDict(frozen=True)

    digest: str
    answer: Literal["yes", "no", "expired"]
    by: str = ""
    why: str = ""
    asked_ms: int = 0
    at_ms: int = 0


class Layout(BaseModel):
    """One form of the start_job body, its name, and the input in it that is hashed."""

    model_config = ConfigDict(frozen=True)

    form: str
    body: JsonValue
    hashed: JsonValue


class Purchase(BaseModel):
    """One hire. Times are integer milliseconds of the node's clock; amounts are base units with unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Who asked for what.
    hire_id: str
    key: str
    scope: str = ""
    target: str
    budget: str
    network: str
    input_data: JsonValue
    nonce: str
    max_price: tuple[Amount, ...] | None = None
    on_mismatch: Literal["keep", "refund", "ask"] = "keep"
    created_ms: int

    # Where it stands.
    state: State = State.ASKED
    version: int = 0
    changed_ms: int
    history: tuple[Moment, ...] = ()
    reason: str = ""
    passing: bool = False  # refused for a trouble that may pass, so that the same call may be made again
    notes: tuple[str, ...] = ()

    # The service and its price.
    listing: Listing | None = None
    asked_registry: bool = False
    price: tuple[Amount, ...] = ()
    free: bool = False
    available_ms: int = 0  # when the service last did not say that it takes no jobs
    layouts: tuple[Layout, ...] = ()
    layout: int = 0
    start_attempts: int = 0
    field_errors: dict[str, tuple[str, ...]] = Field(
        default_factory=dict
    )  # what was refused of the input, by field

    # A person's yes to the price.
    bounds: JsonValue = None  # the budget's limits when it was asked: whoever hears the yes keeps to them
    approval: Approval | None = None
    vouched: str = ""  # the digest of what a person said yes to before the hire, and where that was
    vouched_by: str = ""

    # The offer and the payment.
    job_id: str | None = None
    continuation_token: str | None = None
    terms: Terms | None = None
    input_hash_form: str | None = None
    purchase_body: str | None = None
    pay_attempts: int = 0
    pay_unknown: bool = False
    pay_denied_ms: int = 0
    absent_ms: int = 0  # since when the node itself says that it has none; -1: asked, and no clear answer
    unseen: bool = False
    purchase_id: str | None = None
    missing_ms: int = 0  # since when the node does not know a purchase that it accepted
    lost: bool = False  # and that for so long that a person has to look
    dialect: Literal["today", "seed"] = "today"
    today_seen: bool = False  # today's routes have answered: the older dialect is never tried
    node_ids: tuple[str, ...] = ()  # which node this hire belongs to: the ids of its payment sources
    node_url: str = ""  # and under which URL it was ordered there
    list_cursor: str | None = None  # the page of the seed's list on which we look for the purchase
    node: NodePurchase | None = None
    node_read_ms: int = 0
    node_tries: int = 0  # how often in a row the node gave no usable answer
    foreign_ms: int = 0  # since when the node shows another order than ours under our identifier

    # The work.
    job: JobStatus | None = None
    last_seen_job_ms: int = 0
    answered_status: str | None = None
    answered_ms: int = 0
    answer: JsonValue = None
    answer_attempts: int = 0
    failed_ms: int = 0  # since when the service says that the job failed, without a break
    result: str | None = None
    result_ms: int = 0
    verified: bool | None = None
    result_hash_form: str | None = None
    mismatch_ms: int = (
        0  # since when the result does not match the hash on the chain, and that is not believed
    )
    mismatch_again: bool = False  # the service gave no matching one at a later read either

    # Getting money back.
    # In older records: the caller was told last that it goes on. The journal knows it now.
    awaited: bool = False
    refund_wanted: str = ""
    refund_due_ms: int = 0
    refund_asked: bool = Field(
        default=False, exclude=True, repr=False
    )  # older records have it; nothing reads it
    refund_tries: int = 0  # how often in a row the node did not take the request
    refund_barred: bool = False  # our key may not ask for it; until refund_due_ms it is not tried again
    returned: tuple[Amount, ...] = ()
    paid_out_ms: int = 0  # since when the service has money of a job whose result we have not got
    last_asks: int = 0  # how often the service was asked for its result since its time for that is over

    # When to look next, and when the last reply was learnt: a clock that goes back below it is noticed.
    looked_ms: int = 0
    next_node_ms: int = 0
    next_job_ms: int = 0
    quiet_polls: int = 0  # how often in a row the service had no news of its job
    silent_polls: int = 0  # and how often it said nothing of it at all

    def move(self, event: Event, now: int, **changes: Any) -> Purchase:
        """The record after `event`; StateError, and nothing changed, where the table has no such move."""
        target = TRANSITIONS[self.state].get(event)
        if target is None:
            raise StateError(
                f"a hire that is {self.state.value} cannot take the event {event.value}",
                phase=self.state.value,
                money=self.money,
            )
        moment = Moment(state=target, at_ms=now)
        return self.but(state=target, changed_ms=now, history=(*self.history, moment), **changes)

    def but(self, **changes: Any) -> Purchase:
        """The same record with other values in some fields; what is told in words is kept without secrets."""
        for name in _SENTENCES & changes.keys():
            changes[name] = kept(changes[name])
        if "notes" in changes:
            changes["notes"] = tuple(map(kept, changes["notes"]))
        return self.model_copy(update=changes)

    @property
    def money(self) -> Money:
        """Where the money is: "none", "maybe" (ask the node), "locked", "refunding", "refunded" or "spent"."""
        if self.free:
            return "none"
        if self.paid_out_ms and not self.ended:
            return "spent"
        if self.state is State.DISPUTED and self.result is not None:
            return "locked"
        return _MONEY.get(self.state, "none")

    @property
    def whom(self) -> Target:
        """Whom the hire is of, in the form in which services are compared."""
        return Target.kept(self.target)

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def joinable(self) -> bool:
        """Whether a second identical call goes on with this hire instead of starting another."""
        return self.state in JOINABLE

    @property
    def absent_seen(self) -> bool:
        """Whether the node itself has said, before the last order, that it has none."""
        return self.absent_ms > 0

    @property
    def undecided(self) -> bool:
        """Whether the caller's function has to say what becomes of a result that does not match."""
        return self.state is State.DELIVERED and self.verified is False and self.on_mismatch == "ask"

    @property
    def doubted(self) -> bool:
        """Whether the service is asked for its result once more, for the one that is here does not match."""
        return self.mismatch_ms > 0 and self.verified is None and not self.mismatch_again

    @property
    def owed(self) -> bool:
        """Whether the result is here and its proof, a decision about it, or a refund of it is not."""
        if self.state is not State.DELIVERED or self.free:
            return False
        return self.verified is None or self.undecided or bool(self.refund_wanted and not self.refund_barred)

    @property
    def stuck(self) -> bool:
        """Whether the money left and a person has to find it: the same is not bought again unasked (protocol N21)."""
        invalid = self.node is not None and self.node.on_chain_state == OnChainState.FUNDS_OR_DATUM_INVALID
        return self.state is State.FAILED and invalid

    def at(self, state: State) -> int | None:
        """When `state` was first reached, in milliseconds; None when it was not."""
        return next((moment.at_ms for moment in self.history if moment.state is state), None)
