"""Driving one hire: who may, step after step, each saved before the next; and what is told of it meanwhile.

A driver holds no state that matters: the record in the journal does. A driver that dies is followed by any
later call, in this process or another, which goes on from the record.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial

from masumi_tools.calls.call import Call, Reply
from masumi_tools.clock import Clock
from masumi_tools.errors import JournalBusy, JournalError, UnknownHire
from masumi_tools.hire import approvals, ends, rows
from masumi_tools.hire.acceptance import above
from masumi_tools.hire.budget import Asked, Budget
from masumi_tools.hire.due import due_ms
from masumi_tools.hire.easing import eased, stumbled
from masumi_tools.hire.find import Memory
from masumi_tools.hire.known import is_new
from masumi_tools.hire.lease import Cap, Leases, Turn
from masumi_tools.hire.operations import (
    Approve,
    Decide,
    Do,
    Fetch,
    Flow,
    NotHere,
    Patience,
    Sleep,
    Tell,
    TimeIsUp,
)
from masumi_tools.hire.paying_node import PayingNode, unpaid
from masumi_tools.hire.purchase import BEFORE_PAYING, MISMATCH, Event, Purchase, State
from masumi_tools.hire.receipt import Receipt, receipt_of, unheard
from masumi_tools.hire.replies import learn
from masumi_tools.hire.request import Judge
from masumi_tools.hire.steps import (
    Ask,
    Become,
    Consult,
    Pause,
    Reserve,
    Rest,
    Send,
    Step,
    Ways,
    at_rest,
    could_pay,
    kept_up,
    may_be_shared,
    next_step,
    with_news,
)
from masumi_tools.journal.questions import END_CALLED, END_POSTED, Question
from masumi_tools.journal.store import Journal, now_ms
from masumi_tools.settings import Settings

log = logging.getLogger("masumi_tools")

# Who else is told of the hires that this thread or task drives, beside the buyer's own listener.
LISTENER: ContextVar[Callable[[Progress], None] | None] = ContextVar("masumi_listener", default=None)

JUST_S = 2.0  # a record that took longer to read may have moved meanwhile
LOOKS = frozenset({Ask.LISTING, Ask.NODE_LISTING, Ask.SEARCH, Ask.SCHEMA})
EFFECTS = frozenset({Ask.START, Ask.CANCEL, Ask.REFUND, Ask.ANSWER})
_ORDERED = frozenset({State.STARTED, State.PAYING, State.PAID})
MAYBE = "whether the order to pay was sent is not known, and it is not sent again here"
LOOK_S = (0.02, 0.5)  # how often a hire that another one drives is looked at, first and at most


@dataclass(frozen=True, slots=True)
class Progress:
    """What `on_progress` is told: the hire's state when it changes, and the service's own words meanwhile."""

    hire_id: str
    state: State
    text: str
    at_ms: int
    ms_left: int | None


class Driver:
    """Drives the hires of one buyer over one journal. Holds no connection; those are the buyer's part."""

    def __init__(
        self,
        settings: Settings,
        budget: Budget | None,
        journal: Journal,
        ways: Ways,
        clock: Clock,
        token_hex: Callable[[int], str] = secrets.token_hex,
        monotonic: Callable[[], float] = time.monotonic,
        on_progress: Callable[[Progress], None] | None = None,
        on_change: Callable[[Receipt], object] | None = None,
    ) -> None:
        self.settings = settings
        self.budget = budget
        self.journal = journal
        self.ways = ways
        self.clock = clock
        self._token_hex = token_hex
        self._monotonic = monotonic
        self._on_progress = on_progress
        self._on_change = on_change
        # By hire and by who drives it: one that lost its lease by sleeping may still be on its way.
        self.driven: dict[tuple[str, str], Turn] = {}
        self._swept: dict[str, Purchase] = {}
        self._leases = Leases(journal)
        self._asked_registries = Memory()
        self._node = PayingNode(ways, clock, monotonic, real=not settings.sandbox)

    def follow(
        self,
        hire_id: str,
        patience: Patience,
        owner: str,
        held: Purchase | None = None,
        judge: Judge | None = None,
        cap: Cap = None,
        *,
        told: bool = False,
    ) -> Flow[Receipt]:
        """Drive the hire, or watch whoever drives it, until it rests or the patience is over.

        `held` is the record of a hire that this call has just made, with its lease, and its price where it is
        reserved; `judge` is asked about a result that does not match; above `cap` nothing is paid by this call,
        whoever began the hire. `told` says that the node has news of it, which are read at once.
        """
        reserved = True if held is not None and held.state is State.RESERVED else None
        turn = Turn(owner, patience, judge, cap, told, may_pay=reserved, known=held)
        look = LOOK_S[0]
        if self.clock.stale:
            yield from self._node.hear_the_time(patience)
        while True:
            try:
                if held or (yield from self._leases.take(hire_id, turn)):
                    ours, held = held, None
                    p = yield from self._leased(hire_id, ours, turn)
                    return unheard(receipt_of(p), patience.silent)
                turn.known = known = yield from self._just_read(hire_id)
            except JournalError as error:
                if not isinstance(error, JournalBusy) or patience.left_s <= 0:
                    last = turn.known or (yield from self._readable(hire_id))
                    if last is None or last.state in BEFORE_PAYING:
                        raise
                    return receipt_of(rows.unwritten(last, error))
                log.debug("hire %s: %s", hire_id, error)
            else:
                rests = at_rest(known, self.clock.now(), self.ways) and not known.owed
                if (rests and known.state is not State.AWAITING) or patience.left_s <= 0:
                    return receipt_of(known)
            yield Sleep(min(look, max(patience.left_s, 0.001)))
            look = min(look * 2, LOOK_S[1])

    def _leased(self, hire_id: str, held: Purchase | None, turn: Turn) -> Flow[Purchase]:
        """Drive a hire whose lease was taken, and give it back whatever happens."""
        known = held
        if known is None:
            known = yield from self._load(hire_id)
            turn.may_pay = None  # another may have had the hire, and the budget, meanwhile
        turn.known = with_news(known) if turn.told else known
        self._leases.begin(hire_id, turn)
        try:
            p = yield from self._drive(turn.known, turn)
        except GeneratorExit:  # the caller was cancelled: nothing may be awaited any more
            self._leases.abandon(hire_id, turn)
            raise
        except BaseException:
            yield Do(lambda: self._leases.drop(hire_id, turn))
            raise
        finally:
            self.driven.pop((hire_id, turn.owner), None)
        yield from self._leases.end(hire_id, turn)
        return p

    def _just_read(self, hire_id: str) -> Flow[Purchase]:
        """The record as it stands now: where the machine slept while it was read, it is read again."""
        while True:
            began = self._monotonic()
            p = yield from self._load(hire_id)
            if self._monotonic() - began < JUST_S:
                return p

    def _load(self, hire_id: str) -> Flow[Purchase]:
        row = yield Do(lambda: self.journal.get(hire_id))
        if row is None:
            raise UnknownHire(f"there is no hire {hire_id!r} in this journal")
        return rows.purchase_of(row)

    def _readable(self, hire_id: str) -> Flow[Purchase | None]:
        with contextlib.suppress(JournalError):
            return (yield from self._load(hire_id))
        return None

    def _drive(self, p: Purchase, turn: Turn) -> Flow[Purchase]:
        """The loop: one step after the other, each reply saved before the next step is chosen."""
        away, more = (yield from self._node.elsewhere(p, turn.patience)), True
        while more and away is None:
            now = self.clock.now()
            p = self._at(kept_up(p, now), turn)
            try:
                p, more = yield from self._go_on(p, now, turn)
            except TimeIsUp:
                return turn.known or p
            except JournalError as error:
                p = turn.known or p
                if isinstance(error, JournalBusy) or p.state in BEFORE_PAYING:
                    raise
                # The journal knows that a payment was begun; any later call goes on from there.
                return rows.unwritten(p, error)
            if more and p.state in _ORDERED:
                away = yield from self._node.elsewhere(p, turn.patience)
        return p if away is None else (yield from self._left_alone(p, away))

    def _at(self, p: Purchase, turn: Turn) -> Purchase:
        """Where the hire stands now is known to the shared look at the node, and to whoever ends this turn."""
        turn.known = p
        self.driven[p.hire_id, turn.owner] = turn
        return p

    def _go_on(self, p: Purchase, now: int, turn: Turn) -> Flow[tuple[Purchase, bool]]:
        """The hire after its next step, and whether this turn goes on."""
        try:
            sure = not p.node_ids or bool(self._node.ids)
            step = next_step(p, now, self.ways, may_pay=turn.may_pay is not False, sure=sure)
        except Exception as error:
            return (yield from self.save(p, stumbled(p, error, now, self.ways))), False
        if isinstance(step, Rest):
            return p, False
        if turn.judge is not None and p.undecided:
            return (yield from self._judge(p, turn.judge, turn)), True
        yield from self._leases.renew(p.hire_id, turn)
        if isinstance(step, Pause):
            return p, (yield from self._pause(p, step, now, turn.patience))
        if turn.patience.within_s <= 0:
            return p, False
        if turn.may_pay is None and _leads_to_paying(p, step):
            checked = yield from self._within_limits(p, step, turn)
            if checked is not None:
                return checked
        if isinstance(step, Consult):
            heard = yield from self._consult(p, turn)
            return heard, heard is not p
        return (yield from self._take(p, step, turn)), True

    def _pause(self, p: Purchase, step: Pause, now: int, patience: Patience) -> Flow[bool]:
        """Whether what is waited for is waited for in this turn; it was, when this comes back."""
        left = patience.left_s
        if at_rest(p, now, self.ways) or left <= 0 or (step.expected_ms - now) / 1000 > left:
            return False
        yield Sleep(min(max(step.until_ms - now, 1) / 1000, left))
        return True

    def _within_limits(self, p: Purchase, step: Step, turn: Turn) -> Flow[tuple[Purchase, bool] | None]:
        """Hold this step to the limits of now, once in a turn; None where they leave it as it is."""
        if too_much := _beyond(p, step, turn.cap):
            turn.may_pay = False
            return (yield from self._denied(p, too_much)), True
        if not could_pay(p, step):
            return None
        turn.may_pay, p = yield from self._limits_again(p, turn)
        return p, not p.ended and (turn.may_pay or p.state is State.PAYING)

    def _take(self, p: Purchase, step: Send | Reserve | Become, turn: Turn) -> Flow[Purchase]:
        if isinstance(step, Reserve):
            p = yield from self._reserve(p, turn)
            turn.may_pay = True if p.state is State.RESERVED else turn.may_pay
            return p
        if isinstance(step, Become):
            return (yield from self.save(p, step.purchase))
        if step.announce is not None:
            p = self._at((yield from self.save(p, step.announce)), turn)
        return (yield from self._sent(p, step, turn.patience))

    def _sent(self, p: Purchase, step: Send, patience: Patience) -> Flow[Purchase]:
        """Make the request of this step, and save what its reply means."""
        began = self.clock.ticks()
        reply = yield from self._ask(p, step, patience, self.clock.now())
        if step.call.to == "node":
            self._node.hear(reply)
        now = self.clock.now()
        if reply.as_of_ms is None:
            # By the node's clock, which may have been heard only now; a cached answer is as old as its date.
            as_of = now - max(self.clock.ticks() - began, 0)
            dated = reply.dated_ms if step.call.to == "node" else None
            reply = replace(reply, as_of_ms=as_of if dated is None else min(as_of, dated + 999))
        try:
            after = eased(p, learn(p, step.ask, reply, now, self.ways), step.ask, reply, now, self.ways)
        except Exception as error:
            after = stumbled(p, error, now, self.ways)
        return (yield from self.save(p, after))

    def _ask(self, p: Purchase, step: Send, patience: Patience, now: int) -> Flow[Reply]:
        """The reply to a step. The order of an escrow is never cut short: its answer is worth the wait."""
        if step.ask is Ask.PAY:
            reply: Reply = yield Fetch(step.call)
            return reply
        if step.ask in LOOKS:
            return (yield from patience.read(step.call, self.ways.pace.repeat_ms / 1000))
        if step.ask in EFFECTS:
            return (yield from patience.fetch(step.call))
        watched = p if step.ask is Ask.READ and may_be_shared(p, now) else None
        return (yield from patience.look(step.call, watched))

    def save(self, before: Purchase, after: Purchase) -> Flow[Purchase]:
        """Save what changed, and tell those who listen."""
        if not rows.worth_saving(before, after):
            self._told(before, after)
            return after
        now = self.clock.now()
        rests = at_rest(after, now, self.ways)
        row = rows.row_of(after, before, at_rest=rests, due_ms=due_ms(after, now, self.ways))
        saved = yield Do(lambda: self.journal.save(row))
        after = after.but(version=saved.version)
        if rests:
            self._leases.rested(after.hire_id)
        self._told(before, after)
        return after

    def _told(self, before: Purchase, after: Purchase) -> None:
        if after.state is not before.state or _words(after) != _words(before):
            self._tell(after)

    def _reserve(self, p: Purchase, turn: Turn) -> Flow[Purchase]:
        p, denied = yield from self._checked(p, turn.patience)
        if denied is None and not p.free:
            p = yield from self._heard_before(p)
            if (asking := approvals.asking(p, self._budget_of(p))) is not None:
                return (yield from self._put_question(p, asking))
        checked = p

        def reserve() -> Purchase:
            reserving = self._reserving(checked, denied)
            return reserving.saved(self.journal.save_decided(reserving.money))

        p = yield Do(reserve)
        self._tell(p)
        return p

    def _reserving(self, p: Purchase, denied: str | None) -> rows.Reserving:
        """The reservation, at the time at which the journal makes it: a machine may sleep before, over midnight."""
        budget = self._budget_of(p)
        new = is_new(self.journal, p, budget)
        return rows.Reserving(p, budget, denied, self.clock.now(), new=new)

    def _checked(self, p: Purchase, patience: Patience) -> Flow[tuple[Purchase, str | None]]:
        """The hire with the node that is to pay for it, and why it would not."""
        denied = None
        if not p.free:
            p, denied = yield from self._node.paying(p, patience)
        if not self._is_its_budget(p):
            denied = f"it was started under the budget {p.budget!r}, and this buyer has another one"
        return p, denied

    def _budget_of(self, p: Purchase) -> Budget | None:
        """The budget of this hire: ours, or the limits that were kept when a person was asked."""
        if p.bounds is not None and p.budget != (self.budget.name if self.budget else ""):
            return Budget.of_json(p.bounds)
        return self.budget

    # Asking a person --------------------------------------------------------------------------

    def _put_question(self, p: Purchase, budget: Budget) -> Flow[Purchase]:
        """Put the question into the journal, then let the hire wait; nothing is reserved."""
        now = self.clock.now()
        question = approvals.question_of(p, now, budget.approval_within_ms)
        yield Do(lambda: self.journal.ask(question))
        waiting = p.move(Event.APPROVAL_ASKED, now, bounds=budget.as_json(), approval=None)
        return (yield from self.save(p, waiting))

    def _heard_before(self, p: Purchase) -> Flow[Purchase]:
        """A yes that was given before the hire, in a framework, goes into the same table."""
        if not approvals.vouched(p) or approvals.approved(p):
            return p
        now = self.clock.now()
        question = yield Do(lambda: self.journal.ask(approvals.question_of(p, now, 0)))
        if not question.answer:
            question, _ = yield Do(lambda: self.journal.answer(question, "yes", p.vouched_by, "", now))
        return approvals.with_answer(p, question)

    def _consult(self, p: Purchase, turn: Turn) -> Flow[Purchase]:
        """The hire after the answer to its question; the very same record where nobody has answered yet."""
        question = yield Do(lambda: self.journal.question(p.hire_id, approvals.digest_of(p)))
        if question is None:  # never without one: the question is kept first
            question = approvals.question_of(p, p.changed_ms, 0)
            yield Do(lambda: self.journal.ask(question))
        if not question.answer and approvals.is_over(question, self.clock.now()):
            now = self.clock.now()
            question, _ = yield Do(lambda: self.journal.answer(question, "expired", "", "", now))
        budget = self.budget
        if not question.answer and budget is not None and budget.approve and budget.name == p.budget:
            try:
                denied = yield from self._leases.while_asked(p.hire_id, turn, Approve(budget, self.asked(p)))
            except NotHere:
                return p
            said, why, now = ("no", denied, self.clock.now()) if denied else ("yes", "", self.clock.now())
            question, _ = yield Do(lambda: self.journal.answer(question, said, approvals.CALLBACK, why, now))
        if not question.answer:
            yield from self._notify(question, partial(approvals.notice, p, question))
            return p
        yield from self._leases.hold(p.hire_id, turn)  # who asked gave it back, as the hire was at rest
        return (yield from self.save(p, approvals.after(p, question, self.clock.now())))

    def _notify(self, question: Question, notice: Callable[..., Call]) -> Flow[None]:
        """Tell the user's own address, again until it has arrived; a failure stops nothing."""
        url, now = self.settings.notify_url, self.clock.now()
        if url is None or not (yield Do(lambda: self.journal.to_tell(question, now))):
            return
        at_ms = now_ms()
        page = yield Do(lambda: self.journal.page(at_ms))
        reply = yield Fetch(notice(url, self.settings.notify_key, at_ms // 1000, page))
        if reply.status is not None and 200 <= reply.status < 300:
            yield Do(lambda: self.journal.told(question))

    def _tell_ends(self) -> Flow[None]:
        """Tell of the hires that ended since somebody was told that they go on, in this buyer's ways of telling."""
        listener, now = self._on_change, self.clock.now()
        ways = [END_POSTED] if self.settings.notify_url else []
        for way in ways + ([END_CALLED] if listener else []):
            look = partial(self.journal.to_be_told, way, ends.STATES, now - ends.NEWS_MS, now)
            for question in (yield Do(look)):
                made = receipt_of((yield from self._load(question.hire_id)))
                if not ends.is_end(made):
                    continue
                if way == END_POSTED:
                    yield from self._notify(question, partial(ends.notice, made))
                elif listener and (yield Do(partial(self.journal.to_tell, question, now))):
                    if (yield Tell(listener, made)):
                        yield Do(partial(self.journal.told, question))

    def _is_its_budget(self, p: Purchase) -> bool:
        budget = self._budget_of(p)
        return p.budget == (budget.name if budget else "")

    def _disapproved(self, p: Purchase, turn: Turn) -> Flow[str | None]:
        """Why a person or function says no to this price, where the budget asks one; None for yes."""
        budget = approvals.asking(p, self._budget_of(p))
        if budget is None:
            return None
        if budget.approve is None:
            return "its price needs an approval that was not given"
        try:
            denied: str | None = yield from self._leases.while_asked(
                p.hire_id, turn, Approve(budget, self.asked(p))
            )
        except NotHere:
            return "its price needs an approval that cannot be asked for here"
        return denied

    def _limits_again(self, p: Purchase, turn: Turn) -> Flow[tuple[bool, Purchase]]:
        """Whether the limits of now allow what an earlier call reserved, before anything more is sent for it."""
        if not self._is_its_budget(p):
            name = f"the budget {p.budget!r}" if p.budget else "no budget but a max_price"
            why = f"it was started under {name}; a buyer with that continues it, or it ends unpaid"
            return False, p.but(reason=why if p.state is not State.PAYING else f"{MAYBE}; {why}")
        budget = self._budget_of(p)
        share, since = rows.share_of(p), rows.periods(budget, self.clock.now())
        usage = yield Do(lambda: self.journal.usage(share, *since))
        new = yield Do(lambda: is_new(self.journal, p, budget))
        denied = rows.refusal(p, budget, usage, new=new) or (yield from self._disapproved(p, turn))
        return (True, p) if denied is None else (False, (yield from self._denied(p, denied)))

    def _denied(self, p: Purchase, why: str) -> Flow[Purchase]:
        """The hire without a payment: it ends here, or is only asked about where the order may have left."""
        if p.state is State.PAYING:
            return (yield from self.save(p, p.but(reason=f"{MAYBE}; {why}")))
        return (yield from self.save(p, p.move(Event.REFUSED, self.clock.now(), reason=why)))

    def _left_alone(self, p: Purchase, away: str) -> Flow[Purchase]:
        """A hire of another node or network: nothing is sent for it here, and its receipt says what it needs."""
        if p.state in BEFORE_PAYING:
            now = self.clock.now()
            return (yield from self.save(p, p.move(Event.REFUSED, now, reason=unpaid(away))))
        return p.but(reason=away)

    def _judge(self, p: Purchase, judge: Judge, turn: Turn) -> Flow[Purchase]:
        policy, note = yield from self._leases.while_asked(p.hire_id, turn, Decide(judge, receipt_of(p)))
        notes = (*p.notes, note) if note else p.notes
        wanted = MISMATCH if policy == "refund" else p.refund_wanted
        return (yield from self.save(p, p.but(on_mismatch=policy, refund_wanted=wanted, notes=notes)))

    def asked(self, p: Purchase) -> Asked:
        """What an approve callback is shown of this hire."""
        listing = p.listing
        return Asked(
            hire_id=p.hire_id,
            agent_identifier=listing.agent_identifier if listing else "",
            name=listing.name if listing else "",
            url=listing.api_base_url if listing else p.target,
            price=p.price,
            input_data=p.input_data,
            budget=p.budget,
        )

    def _tell(self, p: Purchase) -> None:
        log.info("hire %s: %s", p.hire_id, p.state.value)
        listeners = [tell for tell in (self._on_progress, LISTENER.get()) if tell is not None]
        if not listeners:
            return
        deadline = p.terms.times.submit_result_time - self.clock.now() if p.terms else None
        told = Progress(p.hire_id, p.state, _words(p), self.clock.now(), deadline)
        for tell in listeners:
            with contextlib.suppress(Exception):  # a listener's fault must not stop a hire that moves money
                tell(told)


def _leads_to_paying(p: Purchase, step: Step) -> bool:
    return isinstance(step, Reserve) or could_pay(p, step)


def _beyond(p: Purchase, step: Step, cap: Cap) -> str | None:
    """Why this step would lead to a payment that the caller who joined this hire does not allow; None when not."""
    return above(p.price, cap) if _leads_to_paying(p, step) and not p.free else None


def _words(p: Purchase) -> str:
    if p.job is not None and p.job.progress and p.state in (State.LOCKED, State.RUNNING):
        return p.job.progress
    return p.reason
