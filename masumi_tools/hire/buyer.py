"""Buyer and AsyncBuyer: the same flows, driven plainly or awaiting. All decisions are made below."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, TypedDict, TypeVar, Unpack

import anyio
import anyio.to_thread
from pydantic import JsonValue

from masumi_tools.calls.call import Reply
from masumi_tools.clock import turn
from masumi_tools.errors import JournalBusy
from masumi_tools.hire.answering import PATIENCE_S, Answering, AsyncAnswering
from masumi_tools.hire.budget import AmountsLike, Budget
from masumi_tools.hire.buyer_base import BuyerBase
from masumi_tools.hire.callbacks import adecide, ajudge, atell, decide, judge, tell
from masumi_tools.hire.diff_feed import unshared
from masumi_tools.hire.find import FindOptions, Found
from masumi_tools.hire.flows import Progress
from masumi_tools.hire.interrupts import Crew, heard, held, rest
from masumi_tools.hire.looks import Look, Shared, look_among, look_of_process
from masumi_tools.hire.operations import (
    LOOK_S,
    Approve,
    Decide,
    Do,
    Fetch,
    Flow,
    Hear,
    Operation,
    Quiet,
    Sleep,
    Tell,
)
from masumi_tools.hire.quote import Hireable, Quote, agreed, spoken
from masumi_tools.hire.receipt import Receipt
from masumi_tools.hire.receipts import Receipts
from masumi_tools.hire.request import Judge, Policy, check_orders, orders_of
from masumi_tools.journal import database
from masumi_tools.journal.store import Journal
from masumi_tools.keywords import keywords
from masumi_tools.net.http import AsyncHttp, Http
from masumi_tools.settings import Settings

T = TypeVar("T")


class HireOptions(TypedDict, total=False):
    """The options of `hire` that `hire_many` takes for all of its orders."""

    max_price: AmountsLike | None
    patience_s: float
    scope: str
    again: bool
    reuse_within_s: float
    on_mismatch: Policy | Judge
    quote: Quote | None


@dataclass(slots=True)
class _Loop:
    """What an AsyncBuyer has for each event loop, since locks belong to one."""

    look: Look[anyio.Lock]
    writers: anyio.CapacityLimiter


_of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Shared[anyio.Lock]] = (
    weakref.WeakKeyDictionary()
)


class Buyer(Answering, BuyerBase):
    """Hires agentic services within a budget and keeps every hire in a journal.

        with Buyer(Settings.from_env(), budget=Budget("20 ADA")) as buyer:
            receipt = buyer.hire("<agent identifier or URL>", {"text": "..."}, max_price="2 ADA")

    `notify` is an address that receives a notice when a hire waits for approval, and when a hire that was
    "open" ends in a sweep or another process (default: `settings.notify_url`). `on_change` is called with the
    receipt of such an end, by this buyer's `sweep` or `approve`, once; again only where it raised or the
    process died meanwhile.
    Safe to share among threads. Raises SettingsError when no node is named, JournalError when the
    journal cannot be opened; nothing is sent then.
    """

    @keywords()
    def __init__(
        self,
        settings: Settings | None = None,
        *,
        budget: Budget | None = None,
        journal: Journal | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        transport: Any = None,
        notify: str | None = None,
        on_change: Callable[[Receipt], object] | None = None,
    ) -> None:
        super().__init__(
            settings,
            budget=budget,
            journal=journal,
            on_progress=on_progress,
            notify=notify,
            on_change=on_change,
        )
        self._look = look_of_process(self._flows)
        self._http = Http(self.settings, on_sandbox_now=self._clock.follow, transport=transport)

    @keywords()
    def hire(
        self,
        target: Hireable,
        input_data: Any = None,
        *,
        max_price: AmountsLike | None = None,
        patience_s: float = PATIENCE_S,
        scope: str = "",
        call_id: str | None = None,
        again: bool = False,
        reuse_within_s: float = 600,
        on_mismatch: Policy | Judge = "keep",
        quote: Quote | None = None,
        approved_by: str = "",
        fallback: Sequence[Hireable] = (),
    ) -> Receipt:
        """Hire the service, or continue the same hire, and return its Receipt after at most `patience_s`.

        It is back 10 s after that at the latest (`GRACE_S`), whatever node and service do; only a
        POST /purchase that was sent is waited for (at most 60 s), and what `approve` and
        `on_mismatch` take does not count.

        `target` is an agent identifier, a URL, what `find` or `quote` gave, or the name of exactly one service
        in the registry (looked up first, within 60 s). The same hire (scope, target, canonical input) while one is open joins it; a finished one within
        `reuse_within_s` is returned again and not charged; `again=True` starts and pays for a new hire. When
        patience ends the hire continues: the same call, `resume` or `sweep` picks it up. `on_mismatch` says what becomes of a
        result that does not match its hash on the chain: "keep" (marked unverified), "refund", or a function
        that is shown the receipt and answers one of the two. `approved_by` says that a person has said yes to
        this hire at the price of `quote`, and where. The services of `fallback` are hired in their order when
        the one before ends without the work, and only after all of its money is yours again: never two of
        them are open, and equal calls from anywhere join the one that is. Raises InputError for arguments that
        no hire can have and JournalError for a journal that cannot be written; then nothing was paid.
        Whatever else happens is in the Receipt: `outcome`, `reason`, `where_the_money_is`.
        """
        quote = quote or (target if isinstance(target, Quote) else None)
        wanted: list[Hireable] = [quote or target, *fallback]
        orders = orders_of(
            self._run(self._flows.named_each([spoken(target), *map(spoken, fallback)])),
            input_data,
            [agreed(one if isinstance(one, Quote) else None, max_price) for one in wanted],
            budget=self.budget.name if self.budget else "",
            scope=scope,
            call_id=call_id,
            again=again,
            reuse_within_s=reuse_within_s,
            on_mismatch=on_mismatch,
            approved_by=approved_by,
        )
        return self._drive(lambda owner: self._flows.hire_first(orders, patience_s, owner, quote), patience_s)

    @keywords(HireOptions)
    def hire_many(self, orders: Sequence[tuple[Hireable, Any]], **options: Unpack[HireOptions]) -> Receipts:
        """Several hires at once under the one budget, each a (target, input_data); receipts in their order.

        `options` are those of `hire`. InputError when one of them is invalid, before anything is sent; an
        error of the journal when all the others are through. Runs in threads, all of which Ctrl-C ends where they
        wait (the hires continue as after any end of patience); for hundreds take `AsyncBuyer`.
        """
        named = [(self._run(self._flows.named(spoken(whom))), data) for whom, data in orders]
        check_orders(named, options)
        crew = Crew()
        with ThreadPoolExecutor(min(len(named), 16) or 1) as pool, crew.awaited():
            hires = [partial(self.hire, target, data, **options) for target, data in named]
            waiting = [pool.submit(crew.run, hire) for hire in hires]
            return Receipts(done.result() for done in waiting)

    @keywords()
    def quote(self, target: Hireable) -> Quote:
        """What a service costs and which input it wants, within 60 s; nothing is saved and nothing costs.

        `refusal` says why it cannot be hired now. InputError when `target` names no service, or more than one.
        """
        return self._run(self._flows.quote(self._run(self._flows.named(spoken(target)))))

    @keywords(FindOptions)
    def find(self, query: str = "", *, limit: int = 20, **options: Unpack[FindOptions]) -> Found:
        """The registry's services that are online, match, and can be hired; a list that counts what it left out.

        Options: `tags`, `capability`, `min_price`, `max_price` (a dynamic price fits any), `min_uptime` in
        percent (an agent that was never checked does not pass), `checked_within_s`, `sort_by` "uptime",
        "price" (within one unit), "recency" or "score", and `all_kinds`, which shows agents that cannot be
        hired from here too. MasumiError when the registry does not answer within 60 s.
        """
        return self._run(self._flows.find(query, limit, options))

    @keywords()
    def resume(self, hire_id: str, *, patience_s: float = PATIENCE_S) -> Receipt:
        """Continue a hire of this journal, also one of another process; patience as for `hire`. UnknownHire when there is none."""
        return self._drive(lambda owner: self._flows.resume(hire_id, patience_s, owner), patience_s)

    @keywords()
    def answer(
        self, hire_id: str, data: Any, *, seen: JsonValue = None, patience_s: float = PATIENCE_S
    ) -> Receipt:
        """Give the input that a service asked for (outcome "needs_input") and go on; patience as for `hire`.

        `seen` is the receipt's `question` that is answered. InputError when the data does not fit the question,
        StateError when nothing is asked, or something else than was seen; then nothing is sent.
        """
        return self._drive(
            lambda owner: self._flows.answer(hire_id, data, patience_s, owner, seen=seen), patience_s
        )

    @keywords()
    def refund(self, hire_id: str, *, patience_s: float = 60) -> Receipt:
        """Request a refund of a hire; patience as for `hire`. The receipt says whether it is possible."""
        return self._drive(lambda owner: self._flows.refund(hire_id, patience_s, owner), patience_s)

    @keywords()
    def write_off(self, hire_id: str) -> Receipt:
        """Close the books of a hire by hand; its budget gets the amount back, and nothing is asked for any more.

        Only where the money is maybe out and the node is gone, is another one, or does not know the purchase:
        StateError where it does. UnknownHire when there is no such hire.
        """
        return self._drive(lambda owner: self._flows.write_off(hire_id, owner))

    def sweep(self) -> Receipts:
        """Update every open hire that is due: fetch results, follow refunds, record payouts.

        Returns the receipts of those, the longest waiting first. A hire that another call works on is left to
        it; one without news is looked at less and less often, and never later than its next deadline.
        """
        return Receipts(self._drive(self._flows.sweep))

    @keywords()
    def receipt(self, hire_id: str) -> Receipt:
        """The receipt as the journal has it; nothing is asked. UnknownHire when there is none."""
        return self._run(self._flows.receipt(hire_id))

    def close(self) -> None:
        """Close connections and, when this buyer opened it, the journal. Open hires stay resumable."""
        self._http.close()
        if self._own_journal:
            self.journal.close()

    def __enter__(self) -> Buyer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drive(self, flow: Callable[[str], Flow[T]], patience_s: float | None = None) -> T:
        with turn() as owner, database.within(patience_s):
            return self._run(flow(owner))

    def _run(self, flow: Flow[T]) -> T:
        with held():
            return self._steps(flow)

    def _steps(self, flow: Flow[T]) -> T:
        resume: Callable[[], Operation] = partial(flow.send, None)
        while True:
            try:
                operation = resume()
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                answer = self._perform(operation)
            except BaseException as error:
                resume = partial(flow.throw, error)
            else:
                resume = partial(flow.send, answer)

    def _shared(self, read: Fetch) -> Reply | None:
        """The answer of the shared look at the node; None when this hire has to ask for itself."""
        assert read.watched is not None
        look, left_s = self._look, self._left(read)
        if not look.lock.acquire(timeout=max(left_s(), 0.0)):
            return None
        try:
            if look.feed.due(read.watched, now := self._clock.now()):
                self._run(look.feed.refresh(self.journal, look.watched, now, left_s))
            return look.feed.reply(read.watched)
        except Exception as error:
            unshared(error)
            return None
        finally:
            look.lock.release()

    def _hear(self) -> int:
        """Read the node's news to their end, or for as long as a look may take; the next look goes on then."""
        look, left_s = self._look, self._lasts(LOOK_S)
        if not look.lock.acquire(timeout=left_s()):
            return 0
        try:
            return self._run(look.feed.refresh(self.journal, look.watched, self._clock.now(), left_s))
        except Exception as error:
            unshared(error)
            return 0
        finally:
            look.lock.release()

    def _perform(self, operation: Operation) -> Any:
        match operation:
            case Do(work):
                return work()
            case Fetch(call):
                left_s = self._left(operation)
                shared = self._shared(operation) if self._shares(operation) else None
                if shared is not None:
                    return shared
                with heard():
                    return self._http.send(call, None if operation.within_s is None else left_s())
            case Hear(count):
                return self._hear() if self._crowded(count) else 0
            case Quiet(hires, as_of):
                if self._look.lock.acquire(blocking=False):
                    self._look.feed.quiet(hires, as_of)
                    self._look.lock.release()
            case _:
                with heard():
                    return self._wait(operation)
        return None

    def _wait(self, operation: Operation) -> Any:
        """For the clock, or for a function of the caller."""
        match operation:
            case Sleep(seconds):
                rest(seconds)
            case Approve(budget, asked):
                return decide(budget, asked)
            case Decide(function, receipt):
                return judge(function, receipt)
            case Tell(listener, receipt):
                return tell(listener, receipt)
        return None


class AsyncBuyer(AsyncAnswering, BuyerBase):
    """`Buyer` for asyncio: the same methods, awaited. Cancelling a call detaches from the hire, which continues.

        async with AsyncBuyer(Settings.from_env(), budget=Budget("20 ADA")) as buyer:
            receipt = await buyer.hire("<agent identifier or URL>", {"text": "..."})

    Nothing here blocks the loop: `async with`, or else the first call, opens the journal in a thread, and raises
    JournalError where it cannot be opened; nothing is sent then. `hires`, `recall` and `budget_lines` are plain
    here too, and read the journal at once: `await asyncio.to_thread(buyer.hires)` where a loop may not wait. Safe to share among event loops, one after
    the other or side by side.
    """

    @keywords()
    def __init__(
        self,
        settings: Settings | None = None,
        *,
        budget: Budget | None = None,
        journal: Journal | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        transport: Any = None,
        notify: str | None = None,
        on_change: Callable[[Receipt], object] | None = None,
    ) -> None:
        super().__init__(
            settings,
            budget=budget,
            journal=journal,
            on_progress=on_progress,
            notify=notify,
            on_change=on_change,
            later=True,
        )
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()
        self._http = AsyncHttp(self.settings, on_sandbox_now=self._clock.follow, async_transport=transport)

    @keywords()
    async def hire(
        self,
        target: Hireable,
        input_data: Any = None,
        *,
        max_price: AmountsLike | None = None,
        patience_s: float = PATIENCE_S,
        scope: str = "",
        call_id: str | None = None,
        again: bool = False,
        reuse_within_s: float = 600,
        on_mismatch: Policy | Judge = "keep",
        quote: Quote | None = None,
        approved_by: str = "",
        fallback: Sequence[Hireable] = (),
    ) -> Receipt:
        """As `Buyer.hire`."""
        quote = quote or (target if isinstance(target, Quote) else None)
        wanted: list[Hireable] = [quote or target, *fallback]
        orders = orders_of(
            await self._run(self._flows.named_each([spoken(target), *map(spoken, fallback)])),
            input_data,
            [agreed(one if isinstance(one, Quote) else None, max_price) for one in wanted],
            budget=self.budget.name if self.budget else "",
            scope=scope,
            call_id=call_id,
            again=again,
            reuse_within_s=reuse_within_s,
            on_mismatch=on_mismatch,
            approved_by=approved_by,
        )
        return await self._drive(
            lambda owner: self._flows.hire_first(orders, patience_s, owner, quote), patience_s
        )

    @keywords(HireOptions)
    async def hire_many(
        self, orders: Sequence[tuple[Hireable, Any]], **options: Unpack[HireOptions]
    ) -> Receipts:
        """Several hires at once under the one budget, each a (target, input_data); receipts in their order.

        `options` and errors are those of `Buyer.hire_many`. The node is asked once for all of them.
        """
        named = [(await self._run(self._flows.named(spoken(whom))), data) for whom, data in orders]
        check_orders(named, options)
        hires = [self.hire(target, data, **options) for target, data in named]
        made = await asyncio.gather(*hires, return_exceptions=True)
        for one in made:
            if isinstance(one, BaseException):
                raise one
        return Receipts(one for one in made if isinstance(one, Receipt))

    @keywords()
    async def quote(self, target: Hireable) -> Quote:
        """As `Buyer.quote`."""
        return await self._run(self._flows.quote(await self._run(self._flows.named(spoken(target)))))

    @keywords(FindOptions)
    async def find(self, query: str = "", *, limit: int = 20, **options: Unpack[FindOptions]) -> Found:
        """As `Buyer.find`."""
        return await self._run(self._flows.find(query, limit, options))

    @keywords()
    async def resume(self, hire_id: str, *, patience_s: float = PATIENCE_S) -> Receipt:
        """As `Buyer.resume`."""
        return await self._drive(lambda owner: self._flows.resume(hire_id, patience_s, owner), patience_s)

    @keywords()
    async def answer(
        self, hire_id: str, data: Any, *, seen: JsonValue = None, patience_s: float = PATIENCE_S
    ) -> Receipt:
        """As `Buyer.answer`."""
        return await self._drive(
            lambda owner: self._flows.answer(hire_id, data, patience_s, owner, seen=seen), patience_s
        )

    @keywords()
    async def refund(self, hire_id: str, *, patience_s: float = 60) -> Receipt:
        """As `Buyer.refund`."""
        return await self._drive(lambda owner: self._flows.refund(hire_id, patience_s, owner), patience_s)

    @keywords()
    async def write_off(self, hire_id: str) -> Receipt:
        """As `Buyer.write_off`."""
        return await self._drive(lambda owner: self._flows.write_off(hire_id, owner))

    async def sweep(self) -> Receipts:
        """As `Buyer.sweep`."""
        return Receipts(await self._drive(self._flows.sweep))

    @keywords()
    async def receipt(self, hire_id: str) -> Receipt:
        """As `Buyer.receipt`."""
        return await self._run(self._flows.receipt(hire_id))

    async def aclose(self) -> None:
        """As `Buyer.close`."""
        await self._http.close()
        if self._own_journal:
            self.journal.close()

    async def __aenter__(self) -> AsyncBuyer:
        await anyio.to_thread.run_sync(self.journal.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _drive(self, flow: Callable[[str], Flow[T]], patience_s: float | None = None) -> T:
        with turn() as owner, database.within(patience_s):
            return await self._run(flow(owner))

    async def _run(self, flow: Flow[T]) -> T:
        resume: Callable[[], Operation] = partial(flow.send, None)
        while True:
            try:
                operation = resume()
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                answer = await self._perform(operation)
            except Exception as error:
                resume = partial(flow.throw, error)
            except BaseException:
                flow.close()  # cancelled: the flow gives its lease back, the hire stays resumable
                raise
            else:
                resume = partial(flow.send, answer)

    def _here(self) -> _Loop:
        running = asyncio.get_running_loop()
        here = self._loops.get(running)
        if here is None:
            # One writer at a time is all that SQLite lets through; more of them would wait by sleeping.
            writers = 1 if self.settings.database_url.startswith("sqlite") else 8
            shared = _of_loops.setdefault(running, weakref.WeakValueDictionary())
            look = look_among(shared, self._flows, anyio.Lock())
            here = self._loops[running] = _Loop(look, anyio.CapacityLimiter(writers))
        return here

    async def _shared(self, read: Fetch) -> Reply | None:
        assert read.watched is not None
        look, left_s = self._here().look, self._left(read)
        if not await _turn(look.lock, left_s()):
            return None
        try:
            if look.feed.due(read.watched, now := self._clock.now()):
                await self._run(look.feed.refresh(self.journal, look.watched, now, left_s))
            return look.feed.reply(read.watched)
        except Exception as error:
            unshared(error)
            return None
        finally:
            look.lock.release()

    async def _hear(self) -> int:
        look, left_s = self._here().look, self._lasts(LOOK_S)
        if not await _turn(look.lock, left_s()):
            return 0
        try:
            return await self._run(look.feed.refresh(self.journal, look.watched, self._clock.now(), left_s))
        except Exception as error:
            unshared(error)
            return 0
        finally:
            look.lock.release()

    async def _write(self, work: Callable[[], Any]) -> Any:
        """What the journal is asked, in a thread; JournalBusy where others keep it waiting for too long."""
        done = []
        with anyio.move_on_after(database.queue_s()):  # ends the wait for a turn, never work that was begun
            done.append(await anyio.to_thread.run_sync(work, limiter=self._here().writers))
        if not done:
            raise JournalBusy("other calls of this process keep the journal busy; ask again", phase="journal")
        return done[0]

    async def _perform(self, operation: Operation) -> Any:
        match operation:
            case Do(work):
                return await self._write(work)
            case Fetch(call):
                left_s = self._left(operation)
                shared = await self._shared(operation) if self._shares(operation) else None
                return shared or await self._http.send(call, None if operation.within_s is None else left_s())
            case Hear(count):
                return await self._hear() if self._crowded(count) else 0
            case Quiet(hires, heard):
                look = self._here().look
                if not look.lock.locked():
                    look.feed.quiet(hires, heard)
            case Sleep(seconds):
                await anyio.sleep(seconds)
            case Approve(budget, asked):
                return await adecide(budget, asked)
            case Decide(function, receipt):
                return await ajudge(function, receipt)
            case Tell(listener, receipt):
                return await atell(listener, receipt)
        return None


async def _turn(lock: anyio.Lock, within_s: float) -> bool:
    """Whether the lock is this task's now."""
    with anyio.move_on_after(max(within_s, 0.0)):
        await lock.acquire()
    return lock.statistics().owner == anyio.get_current_task()
