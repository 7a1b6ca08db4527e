"""Buyers that live on the sandbox's own clock, without sockets and without waiting; and journals that crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio.lowlevel

from masumi_tools.clock import Clock
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import AsyncBuyer, Buyer
from masumi_tools.hire.operations import Operation, Sleep
from masumi_tools.hire.paying_node import PayingNode
from masumi_tools.hire.steps import Pace
from masumi_tools.journal.questions import Question
from masumi_tools.journal.row import Reservation, Row
from masumi_tools.journal.store import Journal
from masumi_tools.net.http import AsyncHttp, Http
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings


class Crash(BaseException):
    """The process dies here."""


class CrashingJournal(Journal):
    """Dies at its n-th write, before or after it was made."""

    def __init__(self, url: str, at: int = 0, after: bool = False) -> None:
        super().__init__(url)
        self.writes, self.at, self.after = 0, at, after

    def _crash_around(self, write: Callable[[], Any]) -> Any:
        self.writes += 1
        if self.writes == self.at and not self.after:
            raise Crash
        result = write()
        if self.writes == self.at:
            raise Crash
        return result

    def add(self, *given: Any, **more: Any) -> tuple[Row, bool]:
        return self._crash_around(lambda: super(CrashingJournal, self).add(*given, **more))

    def save(self, row: Row) -> Row:
        return self._crash_around(lambda: super(CrashingJournal, self).save(row))

    def save_decided(self, money: Reservation) -> Row:
        return self._crash_around(lambda: super(CrashingJournal, self).save_decided(money))

    def ask(self, question: Question) -> Question:
        return self._crash_around(lambda: super(CrashingJournal, self).ask(question))

    def answer(self, *given: Any) -> tuple[Question, bool]:
        return self._crash_around(lambda: super(CrashingJournal, self).answer(*given))

    def drop_lease(self, hire_id: str, owner: str) -> None:
        """A process that dies gives nothing back; the next one of this test finds its lease run out."""
        super().drop_lease(hire_id, owner)


def _prepare(buyer: Any, sandbox: Sandbox) -> None:
    buyer.sandbox = sandbox
    buyer._flows.ways = replace(buyer._flows.ways, pace=Pace())  # the clock runs as fast as it likes
    buyer._flows._monotonic = lambda: sandbox.now_ms() / 1000
    live_by(buyer, Clock(sandbox.now_ms))


def live_by(buyer: Any, clock: Clock) -> None:
    """From now on it is this clock that the buyer looks at, and it knows nothing of its node."""
    flows = buyer._flows
    buyer._clock = flows.clock = clock
    real = not buyer.settings.sandbox
    flows._node = PayingNode(flows.ways, clock, flows._monotonic, real=real)


class ClockedBuyer(Buyer):
    sandbox: Sandbox

    def __init__(self, sandbox: Sandbox, budget: Budget | None, journal: Journal, **options: Any) -> None:
        settings = options.pop("settings", None) or Settings.from_sandbox(sandbox)
        super().__init__(settings, budget=budget, journal=journal, **options)
        _prepare(self, sandbox)
        self._http = Http(self.settings, transport=sandbox.transport())

    def _perform(self, operation: Operation) -> Any:
        if isinstance(operation, Sleep):
            self.sandbox.advance(max(int(operation.seconds * 1000), 1))
            return None
        return super()._perform(operation)


class ClockedAsyncBuyer(AsyncBuyer):
    sandbox: Sandbox

    def __init__(self, sandbox: Sandbox, budget: Budget | None, journal: Journal, **options: Any) -> None:
        settings = options.pop("settings", None) or Settings.from_sandbox(sandbox)
        super().__init__(settings, budget=budget, journal=journal, **options)
        _prepare(self, sandbox)
        self._http = AsyncHttp(self.settings, async_transport=sandbox.transport())

    async def _perform(self, operation: Operation) -> Any:
        if isinstance(operation, Sleep):
            self.sandbox.advance(max(int(operation.seconds * 1000), 1))
            await anyio.lowlevel.checkpoint()
            return None
        return await super()._perform(operation)


def purchases(sandbox: Sandbox) -> list[dict[str, Any]]:
    return list(sandbox.ledger()["purchases"])


def sent(sandbox: Sandbox) -> list[str]:
    """The requests so far, as "POST /start_job"."""
    return [f"{seen.method} {seen.path.split('?')[0]}" for seen in sandbox.requests]
