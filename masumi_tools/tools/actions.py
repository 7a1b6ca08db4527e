"""What the tools of every framework do, written once: an action yields wishes to a buyer and ends in a Said.

    Actions.hire(...) ──yields──▶ Wish("hire", ...) ──▶ done by run (plainly) or arun (awaiting)

No action raises: whatever happens is in the Said, in words for the model, with the receipt for the caller.
"""

from __future__ import annotations

import inspect
import json
import logging
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import anyio.to_thread

from masumi_tools.errors import InputError, MasumiError
from masumi_tools.hire.acceptance import above
from masumi_tools.hire.budget import AmountsLike, Budget
from masumi_tools.hire.buyer import AsyncBuyer, Buyer
from masumi_tools.hire.callbacks import pauses
from masumi_tools.hire.flows import gave_nothing
from masumi_tools.hire.quote import Hireable, Quote
from masumi_tools.hire.receipt import Receipt
from masumi_tools.hire.request import Judge, Policy, call_key, checked_policy
from masumi_tools.inputs import read_input_schema
from masumi_tools.money import Amount, parse_amounts
from masumi_tools.settings import Settings
from masumi_tools.target import Target, targets
from masumi_tools.tools import catalogue, tracing, wording
from masumi_tools.tools.arguments import Reader, read_arguments
from masumi_tools.tools.buyers import Buyers
from masumi_tools.tools.progress import Listener, listening
from masumi_tools.tools.talk import Call, Said, Shown, Talk, Wish

log = logging.getLogger("masumi_tools.tools")

MOST_FOUND = 2_000
MOST_READ = 200  # so many of the newest hires are looked through for those that have ended lately
MOST_ENDED = 5
MOVES = frozenset({"hire", "resume", "answer", "refund"})  # the wishes after which money may move
UNASKED = (
    "a person was asked about prices before this tool was restored, and no one is asked now: call approval(...) "
    "for the restored tools first"
)
NO_LIMIT = "the user has set no budget and no max_price, so only free services can be hired"


class Actions:
    """The actions of one tool or toolkit over its buyers. Safe to share among threads and event loops.

    `patience_s` bounds how long one action waits for a hire, which goes on without it. `allow` lists the
    only agent identifiers and URLs that may be hired. `on_progress` is told every step of every hire.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        budget: Budget | None = None,
        buyer: Buyer | AsyncBuyer | None = None,
        allow: Iterable[str] | None = None,
        max_price: AmountsLike | None = None,
        on_mismatch: Policy | Judge = "keep",
        on_progress: Listener | None = None,
        patience_s: float = 600,
        reuse_within_s: float = 600,
        result_limit: int = wording.RESULT_LIMIT,
        trace_content: bool = False,
    ) -> None:
        self.buyers = Buyers(settings=settings, budget=budget, buyer=buyer)
        self.allow = None if allow is None else targets(allow, "allow")
        self.follow = wording.ALONE
        self.asks_first = False  # whether prices are shown to a person before a hire
        self.falls_back = False  # whether a tool of these may hire another service than its own
        self.unasked = False  # restored, and nobody has been named yet who is asked
        self._max_price = None if max_price is None else parse_amounts(max_price)
        self._on_mismatch = checked_policy(on_mismatch)
        self._on_progress = on_progress
        self._patience_s = patience_s
        self.reuse_within_s = reuse_within_s
        self._result_limit = result_limit
        self._trace_content = trace_content
        self._quotes: dict[Target, Quote] = {}
        self._shown: dict[str, str] = {}
        self._asked: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def options(self) -> dict[str, Any]:
        """The options that bound what the actions do, as they were read."""
        return {
            "max_price": self._max_price,
            "on_mismatch": self._on_mismatch,
            "patience_s": self._patience_s,
            "reuse_within_s": self.reuse_within_s,
            "result_limit": self._result_limit,
            "trace_content": self._trace_content,
        }

    def __copy__(self) -> Actions:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Actions:
        return self

    # Driving ---------------------------------------------------------------------------------

    def run(self, talk: Talk) -> Said:
        """Do the wishes of an action plainly; never raises an Exception but LangGraph's own pause."""
        answer: Any = None
        error: Exception | None = None
        moved = False
        try:
            while True:
                wish = talk.throw(error) if error is not None else talk.send(answer)
                answer, error = None, None
                try:
                    buyer = self.buyers.plain()
                    method = getattr(buyer if wish.of == "buyer" else buyer.journal, wish.method)
                    answer = method(*wish.args, **wish.options)
                except Exception as caught:
                    if pauses(caught):  # not a fault: the graph gets it, and makes this very call again
                        raise
                    error = _harmless(caught, wish, moved)
                moved = moved or wish.method in MOVES
        except StopIteration as end:
            said: Said = end.value
            return said
        except Exception as caught:
            if pauses(caught):
                raise
            return self._broken(caught)
        finally:
            talk.close()

    async def arun(self, talk: Talk) -> Said:
        """Do the wishes of an action, awaiting; never raises an Exception. Cancelling detaches from a hire."""
        answer: Any = None
        error: Exception | None = None
        moved = False
        try:
            while True:
                wish = talk.throw(error) if error is not None else talk.send(answer)
                answer, error = None, None
                try:
                    buyer = self.buyers.awaiting()
                    method = getattr(buyer if wish.of == "buyer" else buyer.journal, wish.method)
                    work = partial(method, *wish.args, **wish.options)
                    if inspect.iscoroutinefunction(method):
                        answer = await work()
                    else:
                        answer = await anyio.to_thread.run_sync(work)
                except Exception as caught:
                    if pauses(caught):  # not a fault: the graph gets it, and makes this very call again
                        raise
                    error = _harmless(caught, wish, moved)
                moved = moved or wish.method in MOVES
        except StopIteration as end:
            said: Said = end.value
            return said
        except Exception as caught:
            if pauses(caught):
                raise
            return self._broken(caught)
        finally:
            talk.close()

    # Quotes ----------------------------------------------------------------------------------

    def keep(self, quote: Quote, asked: str = "") -> None:
        """Remember a quote, also under the name that was asked for: the price that was shown is paid."""
        if quote.listing is not None:
            with self._lock:
                for target in {quote.target, asked or quote.target}:
                    self._quotes[Target.kept(target)] = quote

    def known(self, target: str) -> Quote | None:
        """The last quote for this target, which may have run out; None when there was none."""
        with self._lock:
            return self._quotes.get(Target.kept(target))

    def _quoted(self, target: str) -> Generator[Wish, Any, Quote]:
        """A quote that holds: the known one for its few minutes, else a new one."""
        known = self.known(target)
        if known is not None and (yield Wish("now_ms")) <= known.until_ms:
            return known
        fresh: Quote = yield Wish("quote", (target,))
        self.keep(fresh, target)
        return fresh if fresh.listing is not None or known is None else known

    # Actions ---------------------------------------------------------------------------------

    def hire(
        self,
        target: str,
        payload: object,
        call: Call,
        *,
        max_price: str | None = None,
        fallback: Sequence[Hireable] = (),
        reader: Reader | None = None,
    ) -> Talk:
        """Hire the service with what a model sent as its input, or go on with the same hire.

        `reader` has read the payload before, by the fields that the service had then.
        """
        with tracing.hiring(target, self._trace_content) as trace:
            with listening(trace.tell, self._on_progress, call.listener):
                try:
                    said = yield from self._hire(target, payload, call, max_price, fallback, reader)
                except Exception as error:
                    said = self._broken(error)
            trace.end(said.code, said.receipt)
        return said

    def _hire(
        self,
        target: str,
        payload: object,
        call: Call,
        max_price: str | None,
        fallback: Sequence[Hireable],
        reader: Reader | None,
    ) -> Talk:
        name = call_name(target, payload, call)
        if name is not None:
            before: Receipt | None = yield Wish("recall", (name,), {"scope": call.scope})
            if before is not None and (before.open or before.owed):
                before = yield from self._resumed(before)
            if before is not None and not (fallback and gave_nothing(before)):
                return (yield from self._said(before))
        if self.unasked:
            return Said(wording.not_hired(UNASKED), True, "refused")
        shown = self.known(target)
        quote = yield from self._quoted(target)
        if reason := self._forbidden(quote):
            return Said(wording.not_hired(reason), True, "refused")
        if shown is not None and not quote.dynamic and above(quote.price, shown.price):
            return Said(wording.dearer(shown, quote), True, "refused")
        notes: list[str] = []
        try:
            if reader is None or reader.spec != quote.spec:
                reader = Reader(quote.spec)
            data = reader(payload, notes)
            asked = parse_amounts(max_price) if max_price else None
        except InputError as error:
            return Said(wording.error_told(error), True, "invalid_input", data=error.field_errors)
        cap = least(asked, self._max_price)
        reason = above(quote.price, cap) if not quote.dynamic else None
        if not quote.free and self.buyers.budget is None and self._max_price is None:
            reason = NO_LIMIT  # a price that was only looked up, or that a model names, is no permission
        reason = reason or (yield from self._changed(quote, target, payload, call))
        if reason:
            return Said(wording.not_hired(reason), True, "refused")
        approved_by = yield from self._asked_before(target, payload, call)
        options = {
            "quote": quote,
            "approved_by": approved_by,
            "max_price": cap,
            "patience_s": self._patience_of(call.wait_s),
            "reuse_within_s": self.reuse_within_s,
            "scope": call.scope,
            "call_id": name,
            "on_mismatch": self._on_mismatch,
            "fallback": fallback,
        }
        said = yield from self._said((yield Wish("hire", (quote.target, data), options)))
        state, newline, rest = said.text.partition("\n")
        return replace(said, text=f"{' '.join([state, *notes])}{newline}{rest}")

    def find(
        self,
        query: str = "",
        tags: Sequence[str] = (),
        capability: str | None = None,
        max_price: str | None = None,
        everything: bool = False,
        **bounds: Any,
    ) -> Talk:
        """Search the registry; only what the budget could pay, unless `everything` is asked for.

        `bounds` are further options of `Buyer.find`: min_price, min_uptime, checked_within_s, sort_by.
        """
        options = {"tags": tuple(tags), "capability": capability, "limit": MOST_FOUND}
        options |= {name: value for name, value in bounds.items() if value is not None}
        if max_price:
            options["max_price"] = max_price
        found = yield Wish("find", (query,), options)
        lines = yield Wish("budget_lines")
        fits = [entry for entry in found if catalogue.listed(entry, self.allow)]
        payable = fits if everything else catalogue.payable(fits, self.buyers.budget, lines, bool(max_price))
        shown = payable[: catalogue.MOST_SHOWN]
        known = yield Wish("known_all", (shown,))
        words = catalogue.found_told(
            payable,
            len(fits) - len(payable),
            found.left_out,
            has_budget=self.buyers.budget is not None,
            known=known,
        )
        more = payable[len(shown) :]
        data = [*map(catalogue.as_data, shown, known), *map(catalogue.as_data, more)]
        return Said(words, data=data)

    def quote(self, target: str) -> Talk:
        """Price, input fields and whether the budget has room; the price holds for some minutes."""
        quote: Quote = yield Wish("quote", (target,))
        self.keep(quote, target)
        now = yield Wish("now_ms")
        refusal = self._forbidden(quote) or quote.refusal
        data = {
            "agent_identifier": quote.listing.agent_identifier if quote.listing else None,
            "price": quote.price_text if quote.listing else None,
            "until_ms": quote.until_ms,
            "refusal": refusal,
            "known": str(quote.known),
            "known_counts": quote.known.as_json(),
        }
        return Said(catalogue.quote_told(quote, refusal, now), quote.listing is None, data=data)

    def check(self, hire_id: str | None, call: Call, wait_s: float | None = None) -> Talk:
        """How a hire stands, after waiting for it; without an id the open hires and those that ended lately."""
        waiting_for = {"patience_s": self._patience_of(wait_s)}
        with listening(self._on_progress, call.listener):
            if hire_id:
                return (yield from self._said((yield Wish("resume", (hire_id,), waiting_for))))
            whose = {"budget": self._budget_name, "scope": call.family}
            held = yield Wish("hires", (), {**whose, "only_open": True})
            waiting = [receipt for receipt in held if receipt.open]
            if len(waiting) == 1 and waiting[0].outcome in ("open", "needs_approval"):
                return (yield from self._said((yield Wish("resume", (waiting[0].hire_id,), waiting_for))))
            now = yield Wish("now_ms")
            newest = yield Wish("hires", (), {**whose, "limit": MOST_READ})
            ended = [r for r in newest if not r.open and r.outcome != "refused"][:MOST_ENDED]
            return Said(
                wording.hires_told(waiting, ended, now, self.follow),
                data=[r.hire_id for r in (*waiting, *ended)],
            )

    def answer(self, hire_id: str, payload: object, call: Call, wait_s: float | None = None) -> Talk:
        """Give a service the input that it asked for, and go on with the hire for at most `wait_s`."""
        patience_s = self._patience_of(wait_s)
        with listening(self._on_progress, call.listener):
            receipt: Receipt = yield Wish("receipt", (hire_id,))
            if receipt.outcome != "needs_input":  # answered already, or the journal is behind
                receipt = yield Wish("resume", (hire_id,), {"patience_s": patience_s})
            if receipt.outcome != "needs_input":
                return (yield from self._said(receipt))
            try:
                data = read_arguments(read_input_schema(receipt.question), payload)
                options = {"patience_s": patience_s, "seen": receipt.question}
                answered = yield Wish("answer", (hire_id, data), options)
            except InputError as error:
                words = wording.answer_refused(error, receipt)
                return Said(words, True, "invalid_input", receipt, error.field_errors)
            return (yield from self._said(answered))

    def refund(self, hire_id: str, call: Call) -> Talk:
        """Request a refund of a hire."""
        with listening(self._on_progress, call.listener):
            receipt: Receipt = yield Wish("refund", (hire_id,))
            said = yield from self._said(receipt)
        if receipt.outcome in ("refund_requested", "refunded", "disputed"):
            return said
        if receipt.outcome in ("refused", "lapsed"):
            return said
        return Said(wording.not_refunded(receipt), True, receipt.outcome, receipt)

    def budget(self) -> Talk:
        """What is left of the budget, reserved, locked and spent."""
        lines = yield Wish("budget_lines")
        budget = self.buyers.budget
        data = {"name": self._budget_name, "lines": [str(line) for line in lines]}
        return Said(catalogue.budget_told(budget, lines, self._max_price), data=data)

    # Asking a person first -------------------------------------------------------------------

    def show(self, target: str, payload: object, call: Call) -> Generator[Wish, Any, Shown | None]:
        """The offer that a person is shown before a call; None where there is none to be had.

        The hire of this call is held to its price. A call with an id is shown the same offer again, also in
        another process: the journal keeps the first. Without an id each time is a new question.
        """
        name = _shown_name(target, payload, call)
        if not call.call_id:
            quote = yield from self._quoted(target)
            with self._lock:
                self._shown[name] = Shown.of(quote)
            return Shown.read(Shown.of(quote))
        noted = yield Wish("noted", (name,), of="journal")
        if noted is None:
            quote = yield from self._quoted(target)
            noted = yield Wish("note", (name, Shown.of(quote)), of="journal")
        return Shown.read(noted)

    def _changed(
        self, quote: Quote, target: str, payload: object, call: Call
    ) -> Generator[Wish, Any, str | None]:
        """Why the price is not the one that a person was shown; None when it is, or when nobody was."""
        if not self.asks_first:
            return None
        name = _shown_name(target, payload, call)
        with self._lock:
            noted = self._shown.pop(name, None)
        if noted is None and call.call_id:
            noted = yield Wish("noted", (name,), of="journal")
        if noted is None:
            return None
        shown = Shown.read(noted)
        if shown is None:
            return "its price was not shown to the person who approves"
        if not shown.same_service(quote):
            return "the service's address or key is not the one that was approved"
        if (shown.price, shown.dynamic) == (quote.price, quote.dynamic):
            return None
        return f"{shown.price_text} was approved, but the price is now {quote.price_text}"

    def vouch(self, target: str, payload: object, call: Call, by: str) -> Talk:
        """Remember that this call, when it comes, was approved by a person in the framework `by`."""
        name = _asked_name(target, payload, call)
        if call.call_id is None:
            with self._lock:
                self._asked[name] = by
        else:
            yield Wish("note", (name, by), of="journal")
        return Said("")

    def _asked_before(self, target: str, payload: object, call: Call) -> Generator[Wish, Any, str]:
        """Where a person said yes to this very call before it was made; "" where nobody was asked."""
        name = _asked_name(target, payload, call)
        with self._lock:
            here = self._asked.pop(name, "")
        if here or not self.asks_first or call.call_id is None:
            return here
        return (yield Wish("noted", (name,), of="journal")) or ""

    # Inside ----------------------------------------------------------------------------------

    @property
    def _budget_name(self) -> str:
        return self.buyers.budget.name if self.buyers.budget else ""

    def _patience_of(self, wait_s: float | None) -> float:
        """For how long a hire is waited for by a call that waits for `wait_s`."""
        return self._patience_s if wait_s is None else min(max(wait_s, 0), self._patience_s)

    def _forbidden(self, quote: Quote) -> str | None:
        if catalogue.allowed(quote, self.allow):
            return None
        return f"{wording.named(quote.target)} is not on the allow list"

    def _broken(self, error: Exception) -> Said:
        if not isinstance(error, MasumiError):
            log.exception("an action of a tool broke", exc_info=error)
        return Said(wording.error_told(error, follow=self.follow), True, "error")

    def _resumed(self, before: Receipt) -> Generator[Wish, Any, Receipt]:
        """The hire that this very call made before: a replayed call never makes another."""
        after: Receipt = yield Wish("resume", (before.hire_id,), {"patience_s": self._patience_s})
        # What only waited for a person is paid by this call: that is no old result.
        if after.outcome == "completed" and before.outcome != "needs_approval":
            return after.model_copy(update={"outcome": "reused", "reused": True})
        return after

    def _said(self, receipt: Receipt) -> Talk:
        now = yield Wish("now_ms")
        text = wording.told(receipt, now, self.follow, self._result_limit)
        return Said(text, not (receipt.ok or receipt.open), receipt.outcome, receipt)


def least(asked: Sequence[Amount] | None, most: Sequence[Amount] | None) -> tuple[Amount, ...] | None:
    """The price that a model asked for, as far as the user's own limit allows it; None where nobody named one."""
    if asked is None or most is None:
        return None if asked is most else tuple(asked or most or ())
    bounds = {amount.unit: amount.quantity for amount in most}
    return tuple(Amount(min(a.quantity, bounds.get(a.unit, 0)), a.unit) for a in asked)


def call_name(target: str, payload: object, call: Call) -> str | None:
    """The name of one call of one model: its id alone may come again for other arguments."""
    if not call.call_id:  # some providers send an empty one, which is none
        return None
    return f"{call.call_id}\x00{_canonical(target, payload)}"


def _shown_name(target: str, payload: object, call: Call) -> str:
    return call_key(f"shown\x00{call.call_id or ''}\x00{_canonical(target, payload)}", call.scope)


def _asked_name(target: str, payload: object, call: Call) -> str:
    return call_key(f"asked\x00{call.call_id or ''}\x00{_canonical(target, payload)}", call.scope)


def _canonical(target: str, payload: object) -> str:
    if isinstance(payload, Mapping):  # a framework may add the fields that were left out
        payload = {key: value for key, value in payload.items() if value is not None}
    return f"{Target.kept(target).text}\x00{json.dumps(payload, sort_keys=True, default=repr)}"


def _harmless(error: Exception, wish: Wish, moved: bool) -> Exception:
    """The error; one of our own in a talk that has moved nothing says that nothing was sent and nothing paid."""
    if moved or wish.method in MOVES or isinstance(error, MasumiError):
        return error
    log.error("a tool broke before anything was sent", exc_info=error)
    return MasumiError(f"something went wrong here before anything was sent ({type(error).__name__})")
