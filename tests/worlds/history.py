"""One history: a world from a seed, what users want of it, what goes wrong, and a quiet end."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Literal
from unittest import mock

from masumi_tools.hire import rows as ledger
from masumi_tools.hire.approvals import Decision, PendingApproval, pending
from masumi_tools.hire.budget import Asked, Budget
from masumi_tools.hire.purchase import BEFORE_PAYING, Purchase, State
from masumi_tools.hire.quote import Quote
from masumi_tools.hire.receipt import Receipt
from masumi_tools.hire.request import Policy, order_of
from masumi_tools.hire.steps import LAPSE_MS, NO_TEXT_MS, NODE_SLACK_MS, Ways
from masumi_tools.journal.store import Journal
from masumi_tools.settings import Network, Secret, Settings
from tests.worlds.checks import Checks, Violation
from tests.worlds.ending import check_ending
from tests.worlds.journal import MemoryJournal
from tests.worlds.life import PACE, Door, Life, Task
from tests.worlds.more import BLACKOUT_MS
from tests.worlds.plan import Limits, Plan, Wish, plan_of
from tests.worlds.scheduler import Scheduler
from tests.worlds.stage import Stage, tend
from tests.worlds.wire import NODE, REGISTRY

MINUTE_MS = 60_000
MOST_SWEEPS = 400
SHRUNK = ("0.5 ADA", "0.5 tUSDM")
MakeJournal = Callable[[Callable[[], int]], Journal]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a history came to: how much happened in it, how its hires ended, and the violation, if there was one."""

    seed: int
    violation: str | None
    steps: int
    crashes: int
    purchases: int
    ends: tuple[str, ...]


def run(
    seed: int,
    *,
    trace: Callable[[str], None] | None = None,
    journal: MakeJournal = MemoryJournal,
    plan: Plan | None = None,
) -> Outcome:
    """Run the history of this seed to its end and say what came of it; a violation does not raise."""
    history = History(plan or plan_of(seed), trace, journal)
    violation: str | None = None
    try:
        with _read_once():
            history.play()
    except Violation as found:
        violation = str(found)
    except Exception as error:  # whatever broke, the seed has to be told
        if trace is not None:
            raise
        violation = f"the simulation broke with {type(error).__name__}: {error}"
    outcome = history.outcome(violation)
    history.journal.close()
    return outcome


@contextlib.contextmanager
def _read_once() -> Iterator[None]:
    """Equal records are read once: what is read never changes, and one in four seconds went into it."""
    read = lru_cache(maxsize=512)(Purchase.model_validate_json)
    with mock.patch.object(Purchase, "model_validate_json", read):
        yield


class History:
    """One world and its buyers. `play` raises Violation."""

    def __init__(
        self, plan: Plan, trace: Callable[[str], None] | None = None, journal: MakeJournal = MemoryJournal
    ) -> None:
        self.plan = plan
        self.rng = random.Random(plan.seed)
        self.stage = Stage(plan)
        self.journal = journal(self.stage.now)
        self.budgets = {limits.name: _budget(limits) for limits in plan.limits if limits is not None}
        self.checks = Checks(self.stage, self.journal, self.budgets)
        self.scheduler = Scheduler(self.stage, self.checks, plan.chaos, self.rng, trace)
        self.scheduler.crashed = self._revive
        self._settings = Settings(
            node_url=NODE,
            node_token=Secret(self.stage.token),
            registry_url=REGISTRY if plan.registry else None,
            registry_token=Secret(self.stage.token) if plan.registry else None,
            database_url="sqlite://",
        )
        self._ways = Ways(
            node=f"{NODE}/api/v1",
            registry=f"{REGISTRY}/api/v1" if plan.registry else None,
            network=self._settings.network,
            pace=PACE,
        )
        self._lives: list[Life] = []
        self._dead: dict[str, bool] = {}
        self.receipts: list[Receipt] = []
        self._asked: set[str] = set()

    # Processes -----------------------------------------------------------------------------------------

    def life(self, number: int) -> Life:
        """The present process of this buyer; a new one when the last has died."""
        for life in self._lives:
            if life.number == number and life.alive:
                return life
        ahead = partial(self._ahead, number) if self.plan.more.skews else None
        door = Door(self.journal, self._knows_dead, self._trouble, self.checks.saved, ahead or (lambda: 0))
        life = Life(
            f"p{number}.{len(self._lives)}",
            number,
            replace(self._settings, network=self._network),
            self._budget_now(number),
            door,
            self.stage.now,
            replace(self._ways, network=self._network),
            self.rng,
            self.plan.crowd,
            ahead,
        )
        self._lives.append(life)
        return life

    @property
    def _network(self) -> Network:
        return "Mainnet" if self.stage.away == "network" else self._settings.network

    def _ahead(self, number: int) -> int:
        return self.plan.more.ahead(number, self.stage.now() - self.plan.start_ms)

    def _budget_now(self, number: int) -> Budget | None:
        """The budget that a process of this number has now: people make budgets smaller meanwhile."""
        limits, shrinks_ms = self.plan.limits[number], self.plan.more.shrinks_ms
        if limits is None:
            return None
        if shrinks_ms is not None and self.stage.now() - self.plan.start_ms >= shrinks_ms:
            return _budget(replace(limits, per_hire=SHRUNK))
        return self.budgets[limits.name]

    def _begin_anew(self) -> None:
        """Every process is stopped at once and started again some time later, as at a deploy."""
        for life in self._lives:
            if life.alive:
                self.scheduler.kill(life)

    def _go_away(self) -> None:
        """From now on the node's address leads to another node, or to one from a backup: best before a lock is seen."""
        assert self.plan.more.away_ms is not None
        if self.stage.now() >= self.plan.start_ms + self.plan.more.away_ms[1]:
            return
        paid = any(row.state == State.PAID for row in self.journal.rows(only_open=True))
        if self.plan.more.away == "restored" and not paid:
            self.scheduler.after(500, self._go_away)
            return
        self._begin_anew()
        self.stage.away = self.plan.more.away
        known = [ledger.purchase_of(row) for row in self.journal.rows()]
        self.stage.forgotten = frozenset(
            p.terms.blockchain_identifier
            for p in known
            if p.terms is not None and p.state not in BEFORE_PAYING and p.state is not State.PAYING
        )
        self.scheduler.say(f"the node is {self.stage.away}")

    def _come_back(self) -> None:
        if self.stage.away:
            self._begin_anew()
            self.stage.away = ""
            self.scheduler.say("the node is itself again")

    def _knows_dead(self, owner: str) -> bool:
        """A process on the same machine is known to be dead; one elsewhere is not."""
        return self._dead.get(owner.partition(":")[0], False)

    def _trouble(self) -> str:
        chance = self.scheduler.chaos.journal
        if not chance or self.rng.random() >= chance:
            return ""
        return self.rng.choice(("busy", "full", "late"))

    def _revive(self, life: Life, wishes: list[Wish]) -> None:
        """Some time after a crash a new process goes on: with the same calls, a resume, a sweep, or nothing."""
        self._dead[life.name] = self.rng.random() < 0.6
        after = self.rng.choice((1_000, 60_000, 20 * MINUTE_MS, 5 * 60 * MINUTE_MS))
        mood = self.rng.random()
        if mood < 0.65:
            for wish in wishes:
                self.scheduler.after(after, lambda wish=wish: self._fulfil(wish))  # type: ignore[misc]
        elif mood < 0.9:
            sweep = Wish("sweep", 0, life.number)
            self.scheduler.after(after, lambda: self._fulfil(sweep))

    # Wishes --------------------------------------------------------------------------------------------

    def play(self) -> None:
        """From the first wish to the last line of the ledger."""
        for wish in self.plan.wishes:
            self.scheduler.after(wish.after_ms, lambda wish=wish: self._fulfil(wish))  # type: ignore[misc]
        more = self.plan.more
        if more.away_ms is not None:
            self.scheduler.after(more.away_ms[0], self._go_away)
            self.scheduler.after(more.away_ms[1], self._come_back)
        if more.blackout:
            self.scheduler.after(BLACKOUT_MS[0] + 1_000, self._begin_anew)
            self.scheduler.after(BLACKOUT_MS[1] + 1_000, self._begin_anew)
        if more.shrinks_ms is not None:
            self.scheduler.after(more.shrinks_ms, self._begin_anew)
        for at_ms, lasting in more.denials:
            deny = partial(self.stage.world.guard.deny, "the policy allows no more today", lasting=lasting)
            self.scheduler.after(at_ms, deny)
        self.scheduler.run()
        self._rest()
        check_ending(self.checks, attended_from_ms=self._attended_from_ms)

    def _fulfil(self, wish: Wish) -> None:
        life = self.life(wish.process)
        match wish.action:
            case "sweep":
                self._begin(life, "sweep", life.flows.sweep(life.turn()), wish)
            case "refund" | "resume":
                rows = self.journal.rows()
                if not rows:
                    return
                hire_id = rows[self.rng.randrange(len(rows))].hire_id
                if wish.action == "refund":
                    flow: Any = life.flows.refund(hire_id, wish.patience_s, life.turn())
                else:
                    flow = life.flows.resume(hire_id, wish.patience_s, life.turn())
                self._begin(life, f"{wish.action} {hire_id}", flow, wish)
            case "hire":
                self._begin(
                    life, f"hire {self.plan.sellers[wish.seller].temper.name}", self._hire(life, wish), wish
                )

    def _hire(self, life: Life, wish: Wish) -> Any:
        agent = self.stage.vendors[wish.seller].agent
        target = agent.url if wish.by_url else agent.agent_identifier
        quote: Quote | None = None
        if wish.quoted:
            quote = yield from life.flows.quote(target)
        max_price: Any = wish.max_price
        if quote is not None and not quote.free and not quote.dynamic:
            max_price = quote.price
        order = order_of(
            target,
            {"text": wish.text},
            budget=life.flows.budget.name if life.flows.budget else "",
            max_price=max_price,
            call_id=wish.call_id,
            again=wish.again,
            reuse_within_s=wish.reuse_within_s,
            on_mismatch=self._judge if wish.on_mismatch == "ask" else wish.on_mismatch,
        )
        return (yield from life.flows.hire(order, wish.patience_s, life.turn(), quote))

    def _judge(self, receipt: Receipt) -> Policy:
        """What a user says about a result that does not match; some know nothing to say."""
        answer = self.rng.choice(("keep", "refund", "refund", ""))
        if not answer:
            raise RuntimeError("nobody is there")
        return "refund" if answer == "refund" else "keep"

    def _begin(self, life: Life, label: str, flow: Any, wish: Wish | None) -> None:
        self.scheduler.begin(Task(life, f"{life.name} {label}", [flow], self._ended, wish))

    def _ended(self, task: Task, value: Any) -> None:
        receipts = value if isinstance(value, list) else [value]
        for receipt in receipts:
            if not isinstance(receipt, Receipt):
                continue
            self.scheduler.say(
                f"{task.label} ends: {receipt.hire_id} {receipt.outcome} {receipt.reason}".rstrip()
            )
            if receipt.outcome == "needs_input" and self.rng.random() < self.plan.patience_of_answers:
                self._answer(task.life, receipt)
            if receipt.outcome == "needs_approval" and receipt.hire_id not in self._asked:
                self._asked.add(receipt.hire_id)
                self._person(receipt)

    def _person(self, receipt: Receipt) -> None:
        """Somebody sees the question some time later and answers, or nobody does; two may at the same moment."""
        after = self.rng.choice((0, 100, 30_000, 10 * MINUTE_MS, 5 * 60 * MINUTE_MS, 30 * 60 * MINUTE_MS))
        for _person in range(self.rng.choice((0, 1, 1, 1, 1, 2))):
            answer: Literal["yes", "no"] = "yes" if self.rng.random() < 0.8 else "no"

            def decide(answer: Literal["yes", "no"] = answer) -> None:
                seen = self._seen(receipt.hire_id)
                if self.rng.random() < 0.5:
                    self.stage.raise_price(receipt.agent_identifier)
                if seen is not None and answer == "yes":
                    self.checks.yes.add((receipt.hire_id, seen.price))
                life = self.life(self.rng.randrange(self.plan.processes))
                said = Decision(answer, "ann", "", seen.digest if seen is not None else "")
                flow = life.flows.decide(receipt.hire_id, said, 600, life.turn())
                self._begin(life, f"{answer} to {receipt.hire_id}", flow, Wish("resume", 0, life.number))
                self._asked.discard(receipt.hire_id)  # another price may be asked about again

            self.scheduler.after(after, decide)

    def _seen(self, hire_id: str) -> PendingApproval | None:
        question, row = self.journal.question(hire_id), self.journal.get(hire_id)
        return pending(question, row) if question is not None and row is not None else None

    def _answer(self, life: Life, receipt: Receipt) -> None:
        data = {"approve": True} if self.rng.random() < 0.9 else {"approve": "perhaps"}
        after = self.rng.choice((100, 30_000, 10 * MINUTE_MS))

        def answer() -> None:
            fresh = self.life(life.number)
            flow = fresh.flows.answer(receipt.hire_id, data, 120, fresh.turn(), seen=receipt.question)
            self._begin(fresh, f"answer {receipt.hire_id}", flow, Wish("resume", 0, fresh.number))

        self.scheduler.after(after, answer)

    # The end -------------------------------------------------------------------------------------------

    def _rest(self) -> None:
        """No more trouble and no more wishes: sweeps, until nothing is open any more."""
        self.scheduler.calm()
        self._come_back()
        self.scheduler.say("from now on all is calm")
        self._attended_from_ms = self.stage.now()
        for _ in range(MOST_SWEEPS):
            rows = self.journal.rows(only_open=True)
            if not rows:
                self.scheduler.run()  # who answers now is too late
                return
            tend(self.stage.world, self.plan.splits_permille)
            life = self.life(0)
            self._begin(life, "sweep", life.flows.sweep(life.turn()), None)
            self._wait(MINUTE_MS)
            self._sleep()

    def _sleep(self) -> None:
        """Until somebody has to look again, also because a person has answered meanwhile."""
        left = self.journal.rows(only_open=True)
        until_ms = (
            self.stage.now() + self._until_next([ledger.purchase_of(row) for row in left]) if left else 0
        )
        states = [row.state for row in left]
        while self.stage.now() < until_ms and states == [
            one.state for one in self.journal.rows(only_open=True)
        ]:
            self._wait(min(self.plan.rest_ms, until_ms - self.stage.now()))

    def _wait(self, ms: int) -> None:
        """So long and no longer: whatever a person does hours later, whoever sweeps does not wait for it."""
        until_ms = self.stage.now() + ms
        self.scheduler.after(ms, lambda: None)
        self.scheduler.run(until_ms)

    def _until_next(self, hires: list[Purchase]) -> int:
        """How long the one who sweeps may sleep: to the next deadline of an open hire, at least a minute."""
        now, rest = self.stage.now(), self.plan.rest_ms
        quiet = all(
            p.state in (State.AWAITING, State.DELIVERED, State.REFUND_REQUESTED, State.DISPUTED)
            for p in hires
        )
        dues = []
        for p in hires:
            if p.terms is not None:
                times = p.terms.times
                dues += [
                    times.pay_by_time + LAPSE_MS,
                    times.submit_result_time + NODE_SLACK_MS,
                    times.unlock_time - NO_TEXT_MS,
                    times.unlock_time + NODE_SLACK_MS,
                    times.external_dispute_unlock_time,
                ]
        ahead = [due + MINUTE_MS - now for due in dues if due + MINUTE_MS > now]
        longest = 180 * MINUTE_MS if quiet else rest
        return max(min([*ahead, longest]), MINUTE_MS)

    def outcome(self, violation: str | None) -> Outcome:
        scheduler, purchases = self.scheduler, len(self.stage.world.purchases)
        ends = tuple(sorted(row.state for row in self.journal.rows()))
        return Outcome(self.plan.seed, violation, scheduler.steps, scheduler.crashes, purchases, ends)


def _budget(limits: Limits) -> Budget:
    def approve(asked: Asked) -> bool:
        if limits.answers == "fails":
            raise RuntimeError("nobody is there")
        return limits.answers == "yes"

    return Budget(
        limits.total,
        limits.per_hire,
        limits.per_day,
        limits.per_service,
        approve_above=limits.approve_above,
        approve=approve if limits.approve_above and limits.answers != "later" else None,
        name=limits.name,
        time_zone=dt.UTC,
        per_month=limits.per_month,
        per_new_service=limits.per_new_service,
    )
