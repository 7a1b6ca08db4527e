"""Every flow of a buyer, written once: generators that yield what is to be done and are sent what came of it.

    Flows.hire ──yields──▶ Fetch | Do | Sleep | Approve ──▶ done by Buyer (plainly) or AsyncBuyer (awaiting)

A flow holds no state that matters: the record in the journal does. A flow that dies is begun again by any
later call, in this process or another, and goes on from the record.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from masumi_tools import inputs
from masumi_tools.clock import is_dead
from masumi_tools.errors import InputError, JournalBusy, JournalError, SettingsError, StateError
from masumi_tools.hire import approvals
from masumi_tools.hire import quote as search
from masumi_tools.hire import rows as ledger
from masumi_tools.hire.acceptance import above
from masumi_tools.hire.driver import LISTENER, LOOK_S, Driver, Progress, log
from masumi_tools.hire.due import LONGEST_MS, unattended_ms
from masumi_tools.hire.find import MOST_READ, FindOptions, Found, Wanted, find
from masumi_tools.hire.known import is_new, known
from masumi_tools.hire.lease import LEASE_MS
from masumi_tools.hire.operations import LOOK_S as LOOK_IN_ALL_S
from masumi_tools.hire.operations import Do, Flow, Hear, Patience, Quiet, Sleep, TimeIsUp
from masumi_tools.hire.purchase import BEFORE_PAYING, ON_DEMAND, Event, Moment, Purchase, State
from masumi_tools.hire.quote import Quote, of_name
from masumi_tools.hire.receipt import Receipt, not_coming_back, receipt_of
from masumi_tools.hire.replies import learn
from masumi_tools.hire.replies.offer import lay_out
from masumi_tools.hire.request import Order, order_of
from masumi_tools.hire.steps import QUICK, Ask, Pace, Ways, read_call
from masumi_tools.journal.row import Row
from masumi_tools.proof import hashing
from masumi_tools.settings import Settings
from masumi_tools.target import Target, is_target
from masumi_tools.text import parts, plain, plain_text

__all__ = ["LISTENER", "Flows", "Progress", "ways_of"]

Known = Literal["new", "open", "finished"]

# Whose money may be wanted back; before the lock the wish waits for it (protocol N21.7).
REFUNDABLE = frozenset({State.PAYING, State.PAID, State.LOCKED, State.NEEDS_INPUT, State.DELIVERED})
# Ends without work, after which the same is not bought again unasked for a while.
UNDONE = ("refunded", "lapsed", "failed")
BEFORE = "this is how an earlier hire with the same input ended; again=True starts and pays for a new one"
CALLED_OFF = "it was cancelled before anything was paid"
MOST_CHANGES = 50
SWEEP_S = 60.0  # what one hire may take of a sweep
PAGE = 500  # hires of a sweep that are in memory at a time
BEHIND_MS = 10 * 60_000


class Flows(Driver):
    """The flows of one buyer over one journal."""

    # Hiring ----------------------------------------------------------------------------------

    def hire(self, order: Order, patience_s: float, owner: str, quote: Quote | None = None) -> Flow[Receipt]:
        """Find or begin the hire of this order and drive it until there is something to tell."""
        patience = self._patience(patience_s)
        yield from self._node.hear_the_time(patience, begins=True)
        p, known = yield from self._begin(order, quote, owner, patience)
        if known == "finished":
            made = receipt_of(p, reused=True)
            if made.outcome in UNDONE:
                made = made.model_copy(update={"notes": (*made.notes, BEFORE)})
        else:
            # What others began is not paid above what this caller allows.
            held, cap = (p, None) if known == "new" else (None, order.max_price)
            made = yield from self.follow(p.hire_id, patience, owner, held, order.judge, cap)
            if p.owed and made.outcome == "completed":  # what was delivered before is only proved now
                made = made.model_copy(update={"outcome": "reused", "reused": True})
        if known != "new" or made.open:
            made = yield from self._heard(made)
        return made

    def hire_first(
        self, orders: Sequence[Order], patience_s: float, owner: str, quote: Quote | None = None
    ) -> Flow[Receipt]:
        """Hire the first of the services that does the work. The next is hired only where the one before has ended
        without the work and can take no money any more; one that is open, here or elsewhere, is joined.
        """
        if quote is not None and not orders[0].fits(Target.kept(quote.target), orders[0].input_data):
            raise InputError(f"the quote belongs to another service: {quote.target[:80]!r}")
        begun, going = self._monotonic(), orders[0]
        if len(orders) > 1:
            yield from self._node.hear_the_time(self._patience(patience_s))
            for order in reversed(orders):
                going = order if (yield from self._goes_on(order, owner)) else going
        waiting = [going, *(order for order in orders if order is not going)]
        while True:
            order, left_s = waiting.pop(0), max(patience_s - (self._monotonic() - begun), 0)
            made = yield from self.hire(order, left_s, owner, quote if order is orders[0] else None)
            if not waiting or not gave_nothing(made):
                return made

    def _goes_on(self, order: Order, owner: str) -> Flow[bool]:
        """Whether a hire of this order is open, is still to be told of, or has given a result lately."""
        known, newest = yield from self._known(order, owner)
        if known is None and newest:
            known = yield from self._load(newest)
            return known.joinable
        if known is None or known.joinable or known.owed or known.result is not None:
            return known is not None
        return bool((yield Do(partial(self._is_awaited, known))))

    def _heard(self, made: Receipt) -> Flow[Receipt]:
        """Remember whether the caller is told that the hire goes on; then its end is told once, however late.

        What is told is read last: the machine may sleep while it is remembered, and others go on meanwhile.
        """
        with contextlib.suppress(JournalError):  # what is told is true all the same
            yield Do(partial(self._awaits, made, anew=False))
            p = yield from self._just_read(made.hire_id)
            if p.awaited:
                yield from self._change(made.hire_id, lambda p: p.but(awaited=False))
            if made.open and p.state is not made.state:
                return receipt_of(p)
        return made

    def _awaits(self, made: Receipt, *, anew: bool = True) -> None:
        """Remember whether the end of this hire is still to be told; again `anew` to all who listen for it."""
        if anew or self.journal.awaits(made.hire_id) is not made.open:
            (self.journal.await_end if made.open else self.journal.end_heard)(made.hire_id)

    def _is_awaited(self, p: Purchase) -> bool:
        return p.awaited or self.journal.awaits(p.hire_id)

    def _patience(self, seconds: float) -> Patience:
        return Patience.of(seconds, self._monotonic)

    def _begin(
        self, order: Order, quote: Quote | None, owner: str, patience: Patience
    ) -> Flow[tuple[Purchase, Known]]:
        for _attempt in range(MOST_CHANGES):
            known, newest = yield from self._known(order, owner)
            if known is not None:
                return known, "open" if known.joinable or known.owed else "finished"
            p = self._first(order, quote)
            reserve = yield from self._priced(p, patience)
            made, known = yield Do(partial(self._added, p, order, newest, owner, reserve))
            if made is not None:
                for step in (p, made) if made.state is not p.state else (made,):
                    self._tell(step)
                return made, "new"
            if known.joinable and not (yield from self._gives_way(known, p, owner)):
                return known, "open"
            # The same hire was begun and ended since we looked: perhaps it is the answer.
        raise JournalBusy("other processes keep starting and ending this hire; make the call again")

    def _priced(self, p: Purchase, patience: Patience) -> Flow[Callable[[], ledger.Reserving] | None]:
        """The reservation of a new hire that is made as it is saved, which spares a write; None where it waits.

        It can be made where the price is known from a quote, and nobody has to be asked about it.
        """
        with contextlib.suppress(TimeIsUp):
            if p.state is State.LISTED and not p.vouched:
                checked, denied = yield from self._checked(p, patience)
                if denied or approvals.asking(checked, self._budget_of(checked)) is None:
                    return partial(self._reserving, checked, denied)
        return None

    def _added(
        self,
        p: Purchase,
        order: Order,
        newest: str | None,
        owner: str,
        reserve: Callable[[], ledger.Reserving] | None,
    ) -> tuple[Purchase | None, Purchase]:
        """The new record as it was saved, and None; or None, and the one that is there instead."""
        row = replace(ledger.row_of(p), after=newest, rivals=order.rivals)
        reserving = reserve() if reserve else None
        money = reserving.money if reserving else None
        kept, made = self.journal.add(row, order.call_id, owner, LEASE_MS, money)
        if not made:
            return None, ledger.purchase_of(kept)
        return (reserving.saved(kept) if reserving else p.but(version=kept.version)), p

    def _known(self, order: Order, owner: str) -> Flow[tuple[Purchase | None, str | None]]:
        """The earlier hire that answers this call, or the id of the newest of its kind ("" for none)."""
        now, call_id = self.clock.now(), order.call_id
        if call_id and (p := (yield Do(partial(self._called, order)))):
            if not order.fits(p.whom, p.input_data):
                raise InputError("this call_id belongs to a hire of another service or with another input")
            return p, None
        if order.again:
            return None, None
        row, before = yield Do(lambda: self.journal.known_under(order.key, order.older_key))
        if before is not None and (older := (yield from self._older(before, order, owner))) is not None:
            if older.joinable:
                return older, None
            row = ledger.row_of(older)
        if row is None or row.joinable:  # one that ends before ours is added has come between
            return None, ""
        p = ledger.purchase_of(row)
        answers = p.stuck or p.owed or _recent(p, now, order.reuse_within_ms)
        if not answers and not (yield Do(partial(self._is_awaited, p))):
            return None, p.hire_id
        if call_id:
            yield Do(lambda: self.journal.link(call_id, p.hire_id))
        return p, None

    def _called(self, order: Order) -> Purchase | None:
        """The hire that this tool call made or was told of before, with the money of the same budget."""
        for call_id in filter(None, (order.call_id, order.older_call_id)):
            if row := self.journal.by_call(call_id):
                p = ledger.purchase_of(row)
                if p.budget == order.budget:
                    return p
        return None

    def _older(self, row: Row, order: Order, owner: str) -> Flow[Purchase | None]:
        """The hire of an older journal, under the key of its time, if it is the same hire."""
        p = ledger.purchase_of(row)
        if p.budget != order.budget or not order.fits(p.whom, p.input_data):
            return None
        mine = self.new_purchase(order, self.clock.now())
        return None if p.joinable and (yield from self._gives_way(p, mine, owner)) else p

    def _first(self, order: Order, quote: Quote | None) -> Purchase:
        now = self.clock.now()
        p = self.new_purchase(order, now)
        if quote is None or quote.listing is None:
            return p
        price = p.max_price or () if quote.dynamic else quote.price
        seen = approvals.vouch(p.but(listing=quote.listing, price=price), order.approved_by)
        if now > quote.until_ms:
            return p.but(vouched=seen.vouched, vouched_by=seen.vouched_by)
        if reason := above(price, p.max_price):
            return p.move(Event.REFUSED, now, reason=reason)
        return lay_out(seen.move(Event.LISTED, now, free=quote.free), quote.spec, now)

    def _gives_way(self, p: Purchase, mine: Purchase, owner: str) -> Flow[bool]:
        """Whether a hire that nobody drives and that holds no money was given up, for its limits are not mine."""
        begun = p.state not in (State.ASKED, State.LISTED)
        if begun or (p.budget, p.max_price) == (mine.budget, mine.max_price):
            return False
        if not (yield Do(lambda: self.journal.take_lease(p.hire_id, owner, LEASE_MS, is_dead))):
            return False
        why = "it was interrupted before payment and started again with other limits"
        try:
            yield from self.save(p, p.move(Event.REFUSED, self.clock.now(), reason=why))
        except JournalBusy:
            return False
        return True

    def new_purchase(self, order: Order, now: int) -> Purchase:
        """A record at its very beginning, with a fresh identifier_from_purchaser of 20 hex digits."""
        key = order.key if not order.again else f"{order.key[:32]}{self._token_hex(16)}"
        return Purchase(
            hire_id=self._token_hex(8),
            key=key,
            scope=order.scope,
            target=order.target.text,
            budget=self.budget.name if self.budget else "",
            network=self.ways.network,
            input_data=order.input_data,
            nonce=self._token_hex(10),
            max_price=order.max_price or (self.budget.per_hire if self.budget else None),
            on_mismatch=order.on_mismatch,
            created_ms=now,
            changed_ms=now,
            history=(Moment(state=State.ASKED, at_ms=now),),
        )

    def named_each(self, targets: Sequence[str]) -> Flow[list[str]]:
        """As `named`, for several."""
        found = []
        for target in targets:
            found.append((yield from self.named(target)))
        return found

    def named(self, target: str) -> Flow[str]:
        """The identifier or URL that is meant; a name is looked up where there is a registry."""
        if is_target(target) or not target.strip() or self.ways.registry is None:
            return target
        return of_name(target, (yield from self.find(target, MOST_READ, {})))

    def quote(self, target: str) -> Flow[Quote]:
        """Price and input fields of a service, and whether the budget has room for it."""
        patience = Patience.of(0, self._monotonic, LOOK_IN_ALL_S)
        yield from self._node.hear_the_time(patience, begins=True)
        now = self.clock.now()
        p = self.new_purchase(order_of(target, {}), now).but(max_price=None)
        found = yield from search.quote(p, now, self.ways, patience)
        history = yield Do(lambda: known(self.journal, found.target, found.listing))
        found = replace(found, known=history)
        if found.refusal or found.listing is None or found.dynamic:
            return found
        priced = p.but(listing=found.listing, price=found.price, free=found.free, max_price=found.price)
        since = ledger.periods(self.budget, now)
        usage = yield Do(lambda: self.journal.usage(ledger.share_of(priced), *since))
        new = yield Do(lambda: is_new(self.journal, priced, self.budget))
        return replace(found, refusal=ledger.refusal(priced, self.budget, usage, new=new))

    def find(self, query: str, limit: int, options: FindOptions) -> Flow[Found]:
        """The registry's services that match."""
        wanted = Wanted.read(query, limit, options)
        patience = Patience.of(0, self._monotonic, LOOK_IN_ALL_S)
        return (yield from find(self.ways, patience, wanted, self.clock.now(), self._asked_registries))

    # Asking, answering, asking back ------------------------------------------------------------

    def answer(self, hire_id: str, data: Any, patience_s: float, owner: str, *, seen: Any) -> Flow[Receipt]:
        """Give the service the input that it asked for, and go on; StateError where that is no more what was `seen`."""
        patience = self._patience(patience_s)
        clean = hashing.normalise(data)

        def answered(p: Purchase) -> Purchase:
            if p.state is not State.NEEDS_INPUT or p.job is None:
                raise StateError(
                    f"hire {hire_id} is not waiting for an answer (state: {p.state.value})", money=p.money
                )
            if seen is not None and seen != p.job.input_schema:
                raise StateError(
                    f"the service asks something else about hire {hire_id} by now; nothing was sent: look at its question",
                    money=p.money,
                )
            checked = inputs.check(inputs.read_input_schema(p.job.input_schema), clean)
            return p.but(answer=checked, next_job_ms=0, reason="")

        yield from self._change(hire_id, answered)
        made = yield from self.follow(hire_id, patience, owner)
        with contextlib.suppress(JournalError):
            yield Do(partial(self._awaits, made))
        return made

    def resume(self, hire_id: str, patience_s: float, owner: str) -> Flow[Receipt]:
        """Go on with a hire of this journal, whoever began it."""
        patience = self._patience(patience_s)
        yield from self._node.hear_the_time(patience, begins=True)
        made = yield from self._heard((yield from self.follow(hire_id, patience, owner)))
        return made

    def refund(self, hire_id: str, patience_s: float, owner: str) -> Flow[Receipt]:
        """Ask for the money back. Never refused by a budget; the receipt says what came of it, or why nothing."""
        patience = self._patience(patience_s)

        def wanted(p: Purchase) -> Purchase:
            if p.state in BEFORE_PAYING:
                return p.move(Event.REFUSED, self.clock.now(), reason=CALLED_OFF)
            if p.state in (State.REFUND_REQUESTED, State.DISPUTED):
                return p.but(
                    refund_wanted=ON_DEMAND
                )  # who demands what was wanted anyway does not take it back
            if p.free or p.state not in REFUNDABLE:
                return p
            return p.but(refund_wanted=ON_DEMAND, refund_barred=False, refund_due_ms=0)

        yield from self._node.hear_the_time(patience, begins=True)
        yield from self._change(hire_id, wanted)
        made = yield from self.follow(hire_id, patience, owner)
        with contextlib.suppress(JournalError):
            yield Do(partial(self._awaits, made))
        why = not_coming_back(made, self.clock.now())
        return made.model_copy(update={"reason": plain(why), "reason_parts": parts(why)}) if why else made

    def write_off(self, hire_id: str, owner: str) -> Flow[Receipt]:
        """Close the books of a hire whose node is gone or does not know it. StateError where the node knows it."""
        patience = self._patience(0)
        p = yield from self._load(hire_id)
        if p.ended or p.free or p.state in BEFORE_PAYING:
            raise StateError(
                f"hire {hire_id} holds no money that could be lost (state: {p.state.value})", money=p.money
            )
        if (yield from self._node.elsewhere(p, patience)) is None:
            now = self.clock.now()
            reply = yield from patience.read(read_call(p, self.ways), self.ways.pace.repeat_ms / 1000)
            seen = learn(p.but(node=None), Ask.READ, reply, now, self.ways)
            if seen.node is not None:
                raise StateError(
                    f"the node knows the purchase of the hire {hire_id} ({seen.node.on_chain_state or 'not locked yet'}):"
                    " it ends automatically; to get the money back, request a refund",
                    money=p.money,
                )

        def closed(p: Purchase) -> Purchase:
            why = f"written off by hand while it was {p.state.value}"
            return p.move(
                Event.WRITTEN_OFF, self.clock.now(), reason=f"{why} ({p.reason})" if p.reason else why
            )

        yield from self._change(hire_id, closed)
        return receipt_of((yield from self._load(hire_id)))

    def decide(self, hire_id: str, said: approvals.Decision, patience_s: float, owner: str) -> Flow[Receipt]:
        """Give a person's answer to a price, and go on. The first answer counts; StateError tells who comes later,
        and who has seen another question than the one that is asked by now.
        """
        patience = self._patience(patience_s)
        yield from self._node.hear_the_time(patience, begins=True)
        p, now = (yield from self._load(hire_id)), self.clock.now()
        question = yield Do(lambda: self.journal.question(hire_id))
        asked = question is not None and question.digest == approvals.digest_of(p)
        if question is None or question.answer or p.state is not State.AWAITING or not asked:
            raise approvals.told_already(p, question)
        if said.seen and said.seen != question.digest:
            raise approvals.told_of_another(p)
        by, why = plain_text(said.by, 200), plain_text(said.why, 1_000)
        answer = "expired" if approvals.is_over(question, now) else said.answer
        kept, mine = yield Do(lambda: self.journal.answer(question, answer, by, why, now))
        made = yield from self.follow(hire_id, patience, owner)
        with contextlib.suppress(JournalError):  # the decision is made, whoever hears of it when
            yield from self._tell_ends()
        if not mine or answer == "expired":
            raise approvals.told_already((yield from self._load(hire_id)), kept)
        return made

    def _change(self, hire_id: str, change: Callable[[Purchase], Purchase]) -> Flow[None]:
        """Change a record that others may be driving; who drives it loses one save and reads it again."""
        for _attempt in range(MOST_CHANGES):
            p = yield from self._load(hire_id)
            try:
                yield from self.save(p, change(p))
            except JournalBusy:
                yield Sleep(LOOK_S[0])
            else:
                return
        raise JournalBusy(f"the hire {hire_id} keeps being changed by other processes; make the call again")

    def receipt(self, hire_id: str) -> Flow[Receipt]:
        """The receipt as the journal has it."""
        return receipt_of((yield from self._load(hire_id)))

    def sweep(self, owner: str) -> Flow[list[Receipt]]:
        """Drive every hire that is due as far as it goes now, without waiting; one look at the node serves many.

        The nearest unlock_time comes first, then the longest waiting, a page at a time; where nothing is due,
        nothing is written, and the node is asked once for all.
        """
        yield from self._node.hear_the_time(self._patience(0), begins=True)
        begun, after = self.clock.now(), (0, "")
        receipts: list[Receipt] = []
        seen: set[str] = set()  # one that was moved on may be due again at once: that is for the next sweep
        heard = yield Hear((yield Do(self.journal.count_open)))
        while page := (yield Do(partial(self.journal.due, begun, after, is_dead, PAGE))):
            after = page[-1].rank, page[-1].hire_id
            fresh = [row for row in page if row.hire_id not in seen]
            seen |= {row.hire_id for row in fresh}
            receipts += yield from self._sweep_page(fresh, owner, heard)
            if len(page) == PAGE:
                if self.clock.now() - begun > BEHIND_MS:
                    log.warning("the sweep is behind: it began %d s ago", (self.clock.now() - begun) // 1000)
                heard = yield Hear((yield Do(self.journal.count_open)))
        try:
            yield from self._tell_ends()
        except JournalError as error:  # they are told at the next sweep
            log.error("%s; ends of hires are told later", error)
        return receipts

    def _sweep_page(self, page: list[Row], owner: str, heard: int) -> Flow[list[Receipt]]:
        swept = {}
        for row in page:
            try:
                swept[row.hire_id] = ledger.purchase_of(row)
            except JournalError as error:  # it keeps nobody from the money of the others
                log.error("%s; it is left out of the sweep", error)
        # Watched to the end, so that the feed's news of one reach it however late its turn is.
        self._swept |= swept
        news = {row.hire_id for row in page if row.news_ms > row.known_ms}
        yield Quiet([p for hire_id, p in swept.items() if hire_id not in news], heard)
        receipts = []
        try:
            for hire_id, p in swept.items():
                try:
                    patience = Patience.of(0, self._monotonic, SWEEP_S)
                    told = hire_id in news
                    receipts.append((yield from self.follow(hire_id, patience, owner, told=told)))
                except JournalBusy:  # somebody moves this one right now; the others are waiting for us
                    receipts.append(receipt_of(p))
                except JournalError:
                    raise
                except Exception as error:  # nothing of one hire keeps the others from their money
                    log.error("hire %s: unforeseen %s in a sweep", hire_id, type(error).__name__)
        finally:
            self._swept = {key: p for key, p in self._swept.items() if key not in swept}
        now = self.clock.now()
        looked = [(row, swept.get(row.hire_id)) for row in page]
        later = [(row, unattended_ms(p, now, self.ways) if p else now + LONGEST_MS) for row, p in looked]
        yield Do(partial(self.journal.put_off, later))
        return receipts

    @property
    def watched(self) -> dict[str, Purchase]:
        """The hires that are driven or swept now: what one look at the node is shared among."""
        driven = {hire_id: turn.known for (hire_id, _), turn in self.driven.items() if turn.known}
        return self._swept | driven


def gave_nothing(made: Receipt) -> bool:
    """Whether the hire ended without the work and all of its money is the buyer's again, unasked for."""
    if made.reason in (CALLED_OFF, ON_DEMAND):  # the user's own wish is no reason to hire another
        return False
    if made.outcome == "refunded":
        return made.refunded == made.price
    return made.outcome in ("refused", "lapsed") or (made.outcome == "failed" and not made.price)


def _recent(p: Purchase, now: int, within_ms: int) -> bool:
    """Whether the hire ended, well or not, so lately that an equal call is answered with it."""
    if p.state in (State.DELIVERED, State.SETTLED):
        return p.result is not None and now - p.result_ms <= within_ms
    if p.state in (State.REFUNDED, State.LAPSED, State.FAILED):
        return not p.free and now - p.changed_ms <= within_ms
    return False


def ways_of(settings: Settings) -> Ways:
    """Where to ask, from the settings; SettingsError when no node is named."""
    if not settings.node_url:
        raise SettingsError(
            "no payment node is set: set MASUMI_NODE_URL, --node-url or Settings(node_url=...)"
        )
    return Ways(
        node=settings.node_api,
        registry=settings.registry_api if settings.registry_url else None,
        network=settings.network,
        pace=QUICK if settings.sandbox else Pace(),
        horizon_ms=int(settings.most_bound_days * 24 * 3_600_000),
        sandbox=settings.sandbox,
    )
