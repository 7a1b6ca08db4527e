"""One sold job: its record, its states with the table of moves, and the pure decisions about it.

The record is everything that must survive a crash. A job is born when the node has made its payment
(a free one is born ready), becomes ready when the buyer's money is seen locked, runs, may ask people,
is finished when its result is saved, and completed when the node has taken the hash of that result.
What the escrow does meanwhile is kept beside it as the node tells it (`chain`), never guessed.

Nothing here reads a clock, a network or a database: `now_ms` is passed in, and what should happen next
is a `Step` that the watch and the workers carry out.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Literal

from masumi_tools.errors import StateError

log = logging.getLogger("masumi_tools.seller")

# The node sends no result later than this before submit_result_time (protocol N10).
RESULT_GAP_MS: Final = 5 * 60_000


class JobState(StrEnum):
    """Where a job is in its own life; `STATUS` says which MIP-003 word a buyer sees for it."""

    AWAITING_PAYMENT = "awaiting_payment"
    READY = "ready"
    RUNNING = "running"
    AWAITING_INPUT = "awaiting_input"
    FINISHED = "finished"
    COMPLETED = "completed"
    FAILED = "failed"
    LAPSED = "lapsed"


STATUS: Final[Mapping[JobState, str]] = {
    JobState.AWAITING_PAYMENT: "awaiting_payment",
    JobState.READY: "running",
    JobState.RUNNING: "running",
    JobState.AWAITING_INPUT: "awaiting_input",
    JobState.FINISHED: "running",
    JobState.COMPLETED: "completed",
    JobState.FAILED: "failed",
    JobState.LAPSED: "failed",
}

Event = Literal[
    "locked",
    "expired",
    "refused",
    "claimed",
    "asked",
    "answered",
    "result",
    "delivered",
    "broke",
    "lost",
    "undelivered",
    "cancelled",
    "again",
]

_S = JobState
TRANSITIONS: Final[Mapping[tuple[JobState, Event], JobState]] = {
    (_S.AWAITING_PAYMENT, "locked"): _S.READY,
    (_S.AWAITING_PAYMENT, "expired"): _S.LAPSED,
    (_S.AWAITING_PAYMENT, "refused"): _S.FAILED,
    (_S.LAPSED, "locked"): _S.READY,
    (_S.LAPSED, "refused"): _S.FAILED,
    (_S.READY, "claimed"): _S.RUNNING,
    (_S.READY, "refused"): _S.FAILED,
    (_S.RUNNING, "asked"): _S.AWAITING_INPUT,
    (_S.RUNNING, "result"): _S.FINISHED,
    (_S.RUNNING, "broke"): _S.FAILED,
    (_S.RUNNING, "lost"): _S.READY,
    (_S.AWAITING_INPUT, "answered"): _S.RUNNING,
    (_S.AWAITING_INPUT, "broke"): _S.FAILED,
    (_S.FINISHED, "delivered"): _S.COMPLETED,
    (_S.FINISHED, "broke"): _S.FAILED,
    (_S.COMPLETED, "undelivered"): _S.FAILED,
    (_S.AWAITING_PAYMENT, "cancelled"): _S.FAILED,
    (_S.READY, "cancelled"): _S.FAILED,
    (_S.RUNNING, "cancelled"): _S.FAILED,
    (_S.AWAITING_INPUT, "cancelled"): _S.FAILED,
    (_S.FAILED, "again"): _S.READY,
}

ENDED: Final = frozenset({_S.COMPLETED, _S.FAILED, _S.LAPSED})
PAID_STATES: Final = frozenset({"FundsLocked", "ResultSubmitted", "RefundRequested", "Disputed"})
CHAIN_ENDS: Final = frozenset({"Withdrawn", "RefundWithdrawn", "DisputedWithdrawn", "FundsOrDatumInvalid"})
REFUND_WISHES: Final = frozenset({"RefundRequested", "Disputed"})


@dataclass(frozen=True, slots=True)
class Question:
    """One question to people: asked once under a stable `status_id`, answered at most once."""

    status_id: str
    schema: dict[str, Any]
    message: str
    asked_ms: int
    answer: dict[str, Any] | None = None
    answered_ms: int | None = None
    key: str = ""  # how work that goes on where it was names the question


@dataclass(frozen=True, slots=True)
class Chain:
    """What the node last said of the payment; its own words, None where it said nothing."""

    state: str | None = None
    action: str = ""
    error: str | None = None
    result_hash: str | None = None
    coming_hash: str | None = None  # a result hash on its way to the chain
    tx_hash: str | None = None

    @property
    def waiting(self) -> bool:
        """Whether the node lets the seller act now: it waits for somebody outside and notes no error."""
        return self.action == "WaitingForExternalAction" and not self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it is saved. Times are ms; `price` is [(base units, unit)]; `version` counts the saves."""

    job_id: str
    state: JobState
    agent_identifier: str
    identifier_from_purchaser: str
    input_sent: dict[str, Any]
    input_hash: str
    created_ms: int
    changed_ms: int
    client: str = ""
    contract: str = ""
    version: int = 0
    # the terms
    free: bool = False
    price: tuple[tuple[int, str], ...] = ()
    blockchain_identifier: str = ""
    seller_vkey: str = ""
    source_type: str = ""
    source_index: int | None = None
    seller_return_address: str | None = None
    pay_by_time: int = 0
    submit_result_time: int = 0
    unlock_time: int = 0
    external_dispute_unlock_time: int = 0
    # the escrow
    chain: Chain = field(default_factory=Chain)
    refund: Literal["", "wished", "authorised"] = ""
    # the work
    owner: str = ""
    attempt: int = 0
    started_ms: int | None = None
    finished_ms: int | None = None
    progress: str = ""
    questions: tuple[Question, ...] = ()
    result: str | None = None
    result_hash: str | None = None
    error: str | None = None
    tries: int = 0
    next_try_ms: int = 0

    @property
    def question(self) -> Question | None:
        """The question that waits for people now."""
        if self.state is _S.AWAITING_INPUT and self.questions:
            return self.questions[-1]
        return None

    @property
    def status_id(self) -> str:
        """Stable while nothing changes: the question's own id, else derived from the state."""
        question = self.question
        return question.status_id if question else f"{self.job_id}:{self.state.value}:{len(self.questions)}"

    @property
    def watched(self) -> bool:
        """Whether the node may still have news that matter for this job."""
        return (
            bool(self.blockchain_identifier)
            and self.chain.state not in CHAIN_ENDS
            and self.state is not _S.LAPSED
        )

    @property
    def money(self) -> str:
        """Where the buyer's money is: none, locked, earned, refunded, split or unclear."""
        if self.free:
            return "none"
        return {
            None: "none",
            "Withdrawn": "earned",
            "RefundWithdrawn": "refunded",
            "DisputedWithdrawn": "split",
            "FundsOrDatumInvalid": "unclear",
        }.get(self.chain.state, "locked")


CONTESTED: Final = "contested"


def booked(job: Job) -> str:
    """How the price counts in the books of the seller: "" for not, as `money`, or "expected" for work that is done
    and locked; with " contested" behind it while a refund is wished for or the money is disputed.
    """
    if job.money == "none":
        return ""
    where = "expected" if job.money == "locked" and job.state is JobState.COMPLETED else job.money
    return f"{where} {CONTESTED}" if job.chain.state in REFUND_WISHES else where


def move(job: Job, event: Event, now_ms: int, **changes: Any) -> Job:
    """The job after `event`, with `changes`; StateError where the table has no such move."""
    target = TRANSITIONS.get((job.state, event))
    if target is None:
        raise StateError(f"job {job.job_id} is {job.state.value}: {event} is not possible", phase="job")
    return replace(job, state=target, changed_ms=now_ms, **changes)


# Rules and decisions ---------------------------------------------------------------------------------


RefundPolicy = Literal["no-result", "always", "never"] | Callable[[Job], bool]


@dataclass(frozen=True, slots=True)
class Rules:
    """The seller's margins, all ms.

    `submit_margin_ms` comes off submit_result_time: the node itself refuses to send a result in the
    last five minutes and needs its own interval. `pay_grace_ms` is added to pay_by_time before an
    unpaid job is given up (the node does so itself after five minutes). Work that takes longer than
    `work_timeout_ms`, or than the result's deadline leaves, is written off.
    """

    submit_margin_ms: int = RESULT_GAP_MS + 30_000
    pay_grace_ms: int = 10 * 60_000
    least_work_ms: int = 0
    work_timeout_ms: int | None = None
    max_attempts: int = 10
    refunds: RefundPolicy = "no-result"

    def submit_by(self, job: Job) -> int:
        """Until when the result's hash can be handed to the node."""
        return job.submit_result_time - (0 if job.free else self.submit_margin_ms)


def work_until(job: Job, begun_ms: int, rules: Rules) -> int:
    """Until when work that began then may take; after that it is written off."""
    submit_by = rules.submit_by(job)
    return submit_by if rules.work_timeout_ms is None else min(submit_by, begun_ms + rules.work_timeout_ms)


def too_long(job: Job, rules: Rules) -> str:
    """What is said of a job whose work was written off."""
    if rules.work_timeout_ms is None:
        return "the work was not done when the result was due"
    return f"the work took longer than {rules.work_timeout_ms / 1000:g} s and was stopped"


def answer_too_late(job: Job, now_ms: int, rules: Rules) -> str | None:
    """Why an answer that comes now is refused: the result is due, or no time is left to work with it."""
    if now_ms >= rules.submit_by(job):
        return "the answer comes too late: the result was due before it"
    if now_ms + rules.least_work_ms >= rules.submit_by(job):
        return "the answer comes too late: the time that is left until the result is due is too short to work"
    return None


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next with a job; `at_ms` is when to look again where there is nothing to do now."""

    do: Literal["wait", "run", "ask-node", "submit", "authorise-refund", "fail", "undeliver", "rest"]
    at_ms: int = 0
    why: str = ""


def next_step(job: Job, now_ms: int, rules: Rules) -> Step:
    """The one next step of a job. Pure: the same job, time and rules give the same step."""
    if (step := _refund_step(job, now_ms, rules)) is not None:
        return step
    submit_by = rules.submit_by(job)
    match job.state:
        case _S.AWAITING_PAYMENT:
            until = job.pay_by_time + rules.pay_grace_ms
            return Step("wait", until) if now_ms < until else _later(job, now_ms, "ask-node")
        case _S.READY:
            if now_ms + rules.least_work_ms >= submit_by:
                return Step(
                    "fail", why="there was not enough time left to do the work before the result was due"
                )
            return Step("run", submit_by)
        case _S.RUNNING:
            return _before(now_ms, submit_by, "the work was not done when the result was due")
        case _S.AWAITING_INPUT:
            return _before(now_ms, submit_by, "no answer came before the result was due")
        case _S.FINISHED:
            if job.free:
                return Step("submit")
            if now_ms >= submit_by:
                return Step("fail", why="the result could not be recorded on the chain in time")
            return _later(job, now_ms, "submit")
        case _S.COMPLETED:
            return _after_completion(job, now_ms, submit_by)
    return Step("rest")


def _before(now_ms: int, until_ms: int, why: str) -> Step:
    return Step("wait", until_ms) if now_ms < until_ms else Step("fail", why=why)


def _later(job: Job, now_ms: int, do: Literal["ask-node", "submit", "authorise-refund"]) -> Step:
    return Step(do) if now_ms >= job.next_try_ms else Step("wait", job.next_try_ms)


def _after_completion(job: Job, now_ms: int, submit_by: int) -> Step:
    chain = job.chain
    if job.free or chain.result_hash or chain.state in CHAIN_ENDS or chain.state not in PAID_STATES:
        return Step("rest")
    if now_ms >= job.submit_result_time:
        return Step(
            "undeliver", why="the hash of the result did not reach the chain in time; the buyer is refunded"
        )
    if now_ms < submit_by and chain.action == "WaitingForExternalAction":
        return _later(job, now_ms, "submit")
    return Step("wait", job.submit_result_time)


def _refund_step(job: Job, now_ms: int, rules: Rules) -> Step | None:
    """Authorise a refund where the policy says so and the contract can do it (protocol N6, N9.2).

    V1 authorises only out of a dispute with a result; from V1's RefundRequested the buyer collects
    by itself. V2 authorises from both.
    """
    chain = job.chain
    if chain.state not in REFUND_WISHES or job.refund == "authorised" or not chain.waiting:
        return None
    if job.source_type != "Web3CardanoV2" and not (chain.state == "Disputed" and chain.result_hash):
        return None
    return _later(job, now_ms, "authorise-refund") if _refund_is_wanted(job, rules) else None


def _refund_is_wanted(job: Job, rules: Rules) -> bool:
    if callable(rules.refunds):
        try:
            return bool(rules.refunds(job))
        except Exception:  # one job's policy must not stop the watch over all the others
            log.exception("job %s: the refund policy failed; no refund is authorised", job.job_id)
            return False
    if rules.refunds == "no-result":
        return job.state in (_S.FAILED, _S.LAPSED)
    return rules.refunds == "always" and job.state in ENDED


def due_ms(job: Job, now_ms: int, rules: Rules) -> int | None:
    """When the watch must look at this job again without news; None when never."""
    step = next_step(job, now_ms, rules)
    if step.do == "rest":
        return None
    return step.at_ms if step.do in ("wait", "run") else now_ms


@dataclass(frozen=True, slots=True)
class Seen:
    """What the node says of one payment now, read from any of its answers."""

    blockchain_identifier: str
    chain: Chain
    funds: tuple[tuple[int, str], ...] | None = None


def learn(job: Job, seen: Seen, now_ms: int, rules: Rules) -> Job:
    """The job after the node said `seen`. Work becomes ready only on a lock that is whole and in time."""
    chain = seen.chain
    job = replace(job, chain=chain, changed_ms=now_ms if chain != job.chain else job.changed_ms)
    if chain.state in REFUND_WISHES and not job.refund:
        job = replace(job, refund="wished")
    if job.state in (_S.AWAITING_PAYMENT, _S.LAPSED):
        return _learn_lock(job, seen, now_ms, rules)
    if job.state is _S.READY and chain.state not in (None, "FundsLocked"):
        why = "the buyer asked for a refund before the work began"
        if chain.state not in REFUND_WISHES:
            why = f"the payment went to {chain.state} before the work began"
        return move(job, "refused", now_ms, error=why)
    return job


def _learn_lock(job: Job, seen: Seen, now_ms: int, rules: Rules) -> Job:
    chain = seen.chain
    if chain.state is None:
        return job
    if chain.state != "FundsLocked":
        if chain.state == "FundsOrDatumInvalid" and not chain.tx_hash and job.state is _S.AWAITING_PAYMENT:
            return move(job, "expired", now_ms, error="no payment came in time")
        if job.state is _S.LAPSED:
            return job
        return move(job, "refused", now_ms, error=f"the payment is {chain.state}; the work was not started")
    if not chain.waiting:
        return job
    if seen.funds is not None and _sums(seen.funds) != _sums(job.price):
        return move(job, "refused", now_ms, error="the amounts of the payment are not those that were asked")
    if now_ms + rules.least_work_ms >= rules.submit_by(job):
        return move(
            job, "refused", now_ms, error="the payment came too late to do the work before the result was due"
        )
    return move(job, "locked", now_ms, error=None, attempt=job.attempt + 1)


def _sums(amounts: tuple[tuple[int, str], ...]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for quantity, unit in amounts:
        sums[unit] = sums.get(unit, 0) + quantity
    return {unit: quantity for unit, quantity in sums.items() if quantity}


def lose(job: Job, now_ms: int, rules: Rules) -> Job:
    """The job after the process that held it died: what ran begins again, what waits for people stays."""
    if job.state is not _S.RUNNING:
        return replace(job, owner="", next_try_ms=0)
    if job.attempt >= rules.max_attempts:
        return move(
            job,
            "broke",
            now_ms,
            owner="",
            error=f"the work was interrupted {job.attempt} times; it was given up",
        )
    return move(job, "lost", now_ms, owner="", attempt=job.attempt + 1, progress="")


def cancel(job: Job, now_ms: int) -> Job:
    """The job after its seller gave it up; StateError once its result is there. The buyer may ask the money back."""
    return move(job, "cancelled", now_ms, owner="", error="the seller cancelled the job")


def again(job: Job, now_ms: int, rules: Rules) -> Job:
    """A failed job that is to be worked on once more; StateError where it is not paid, refunded or too late."""
    if not job.free and (job.chain.state != "FundsLocked" or job.chain.result_hash):
        raise StateError(
            f"job {job.job_id} cannot run again: its payment is {job.chain.state or 'not there'}", phase="job"
        )
    if now_ms + rules.least_work_ms >= rules.submit_by(job):
        raise StateError(f"job {job.job_id} cannot run again: its result would come too late", phase="job")
    return move(
        job, "again", now_ms, owner="", error=None, result=None, result_hash=None, finished_ms=None,
        progress="", tries=0, next_try_ms=0, attempt=job.attempt + 1,
    )  # fmt: skip


def pause_ms(tries: int) -> int:
    """How long to wait before the next try of a call that failed: 1 s, doubling, at most a minute."""
    return min(60_000, 1000 << min(tries, 6))


# As JSON ---------------------------------------------------------------------------------------------


def to_json(job: Job) -> dict[str, Any]:
    """The record as plain JSON."""
    record = {name: getattr(job, name) for name in Job.__dataclass_fields__}
    record["chain"] = dataclasses.asdict(job.chain)
    record["questions"] = [dataclasses.asdict(question) for question in job.questions]
    return record


def from_json(record: Mapping[str, Any]) -> Job:
    """The record back from JSON; fields that this version does not know are ignored."""
    known = {name: record[name] for name in Job.__dataclass_fields__ if name in record}
    known["state"] = JobState(known["state"])
    known["price"] = tuple((int(quantity), str(unit)) for quantity, unit in known.get("price", ()))
    known["chain"] = Chain(**known.get("chain", {}))
    known["questions"] = tuple(Question(**question) for question in known.get("questions", ()))
    return Job(**known)
