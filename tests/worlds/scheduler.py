"""The scheduler: one thread, one clock, one source of chance. It runs many calls step by step and lets things go wrong.

Each step of a flow is an event in one queue, ordered by time. What a request meets on its way (a lost reply, a
500 before or after its effect, a straggler that arrives after its sender gave up, a dead sender) is drawn
from the seed, so that the same seed always gives the same history.
"""

from __future__ import annotations

import heapq
import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from masumi_tools.calls.call import Call, Reply
from masumi_tools.errors import MasumiError
from masumi_tools.hire.callbacks import decide, judge
from masumi_tools.hire.operations import Approve, Decide, Do, Fetch, Hear, Operation, Quiet, Sleep
from masumi_tools.sandbox.faults import DEEDS, Answer, Fault, Place, spoilt, without_service
from masumi_tools.sandbox.wire import Response
from tests.worlds.checks import Checks
from tests.worlds.life import Life, Task
from tests.worlds.more import NONE, TODAYS, cursed, of_a_later_version, of_an_older_replica, spoil
from tests.worlds.plan import Chaos, Wish
from tests.worlds.stage import Stage
from tests.worlds.wire import hostile, lost, reply_of, unsent

# What may become of a request, and how often among those that meet trouble.
TROUBLES: tuple[tuple[str, int], ...] = (
    ("drop-reply", 6),
    ("error-500-after-commit", 4),
    ("straggler", 4),
    ("drop-request", 2),
    ("error-500", 2),
    ("unsent", 2),
    ("delay", 2),
    ("html-502", 1),
    ("rate-limit", 1),
    ("garbage", 1),
    ("wrong-content-type", 1),
    ("conflict-500", 2),
    ("answer", 4),
)
# What gateways say in the place of an answer, after the work was done.
PAGES: tuple[tuple[int, Any], ...] = (
    (200, {"ok": True}),
    (400, "<html><h1>Bad Request</h1></html>"),
    (401, {"error": "unauthorized"}),
    (403, "<html><h1>Forbidden</h1></html>"),
    (404, "<html><h1>Not Found</h1></html>"),
    (405, "<html><h1>Method Not Allowed</h1></html>"),
    (413, {"message": "too large"}),
    (451, {"status": "error", "error": {"message": "Blocked by policy"}}),
)
_NAMES = [name for name, _ in TROUBLES]
_WEIGHTS = [weight for _, weight in TROUBLES]
# A request of which the connection broke may still be inside the node for so long (protocol N21.2).
STRAGGLER_MS = 14_000
# And behind a gateway that answers in its place for as long as an order may take.
LATE_S = 58.0
# Twice a second; an equal hire that goes on for longer is not waited for.
MOST_LOOKS = 1_200
# How long people think.
PEOPLE_MS = (5, 2_000, 200_000)
_ANYWHERE = Place("node", "node", "/")


class Scheduler:
    """Runs tasks of several lives against one stage. `calm()` ends the trouble for good."""

    def __init__(
        self,
        stage: Stage,
        checks: Checks,
        chaos: Chaos,
        rng: random.Random,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.stage = stage
        self.chaos = chaos
        self.more = stage.plan.more
        self._rng_of_more = random.Random(f"more of {stage.plan.seed}")
        self._rng_of_wire = random.Random(f"wire of {stage.plan.seed}")
        self._spoilt: set[str] = set()
        self.rng = rng
        self.crashed: Callable[[Life, list[Wish]], None] = lambda life, wishes: None
        self._checks = checks
        self._trace = trace
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self.crashes = 0
        self.steps = 0
        self._start_ms = stage.now()

    # Time --------------------------------------------------------------------------------------------

    def now(self) -> int:
        return self.stage.now()

    def after(self, ms: int, event: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now() + ms, self._order, event))

    def run(self, until_ms: float = math.inf) -> None:
        """Until nothing is left to do, or to this time at most; what is due later stays for the next run."""
        queue = self._queue
        while queue and queue[0][0] <= until_ms:
            at, _, event = heapq.heappop(queue)
            self.stage.move_to(max(at, self.now()))
            event()
            self.steps += 1

    def calm(self) -> None:
        """From now on nothing goes wrong any more."""
        self.chaos, self.more = Chaos(), NONE
        self.stage.calm()

    def say(self, text: str) -> None:
        if self._trace is not None:
            self._trace(f"{(self.now() - self._start_ms) / 1000:10.3f} s  {text}")

    # Lives and tasks ----------------------------------------------------------------------------------

    def begin(self, task: Task) -> None:
        """Run a call to its end; `task.ended` is told its value."""
        task.life.tasks.append(task)
        task.begun_ms = self.now()
        self.say(f"{task.label} begins")
        self._soon(task, 0, lambda: self._go_on(task, None))

    def _soon(self, task: Task, ms: int, event: Callable[[], None]) -> None:
        """Later, unless the process has died by then; a process that stands still does it when it wakes."""

        def run() -> None:
            if not task.life.alive:
                return
            if task.life.frozen_until_ms > self.now():
                self._soon(task, task.life.frozen_until_ms - self.now(), event)
                return
            event()

        self.after(ms, run)

    def _dies(self, task: Task) -> bool:
        """Whether the process ends here, for good."""
        chaos = self.chaos
        if not chaos.crash or self.crashes >= chaos.most_crashes or self.rng.random() >= chaos.crash:
            return False
        self.say(f"{task.life.name} CRASHES in {task.label}")
        self.kill(task.life)
        return True

    def kill(self, life: Life) -> None:
        """The process is gone; whoever looks after it is told."""
        self.crashes += 1
        wishes = [one.wish for one in life.tasks if one.wish is not None]
        life.die()
        self.crashed(life, wishes)

    def _go_on(self, task: Task, value: Any, error: BaseException | None = None) -> None:
        flow = task.stack[-1]
        try:
            operation = flow.send(value) if error is None else flow.throw(error)
        except StopIteration as end:
            task.stack.pop()
            if task.stack:
                task.continuing.pop()(end.value)
            else:
                self._finish(task, end.value)
            return
        except Exception as raised:
            task.stack.clear()
            task.life.tasks.remove(task)
            self.say(f"{task.label} RAISES {type(raised).__name__}: {raised}")
            self._checks.raised(task, raised)
            task.ended(task, raised)
            return
        self._perform(task, operation)

    def _finish(self, task: Task, value: Any) -> None:
        task.life.tasks.remove(task)
        self._checks.returned(task, value)
        task.ended(task, value)

    def _perform(self, task: Task, operation: Operation) -> None:
        if self.chaos.freeze and self.rng.random() < self.chaos.freeze:
            task.life.frozen_until_ms = self.now() + self.rng.choice((10_000, 130_000, 600_000))
            self.say(f"{task.life.name} stands still until {task.life.frozen_until_ms - self._start_ms} ms")
        match operation:
            case Do(work):
                held = self.more.between and getattr(getattr(work, "func", None), "__name__", "") == "add"
                doing = (
                    partial(self._hold_back, task, work, MOST_LOOKS)
                    if held
                    else partial(self._do, task, work)
                )
                self._soon(task, self.rng.randrange(3), doing)
            case Fetch(call, _, within_s):
                if within_s is not None and within_s < call.timeout_s:
                    operation = replace(operation, call=replace(call, timeout_s=max(within_s, 0.0)))
                self._soon(task, self.rng.randrange(3), lambda: self._fetch(task, operation))
            case Hear(count):
                self._soon(task, self.rng.randrange(3), lambda: self._hear(task, count))
            case Quiet(hires, heard):
                if not task.life.feeding:
                    task.life.feed.quiet(hires, heard)
                self._soon(task, 0, lambda: self._go_on(task, None))
            case Sleep(seconds):
                self._soon(task, max(int(seconds * 1000), 1), lambda: self._go_on(task, None))
            case Approve(budget, asked):
                answer = decide(budget, asked)
                self.say(f"{task.label} asks for approval: {answer or 'yes'}")
                self._soon(task, self._thinking(task), lambda: self._go_on(task, answer))
            case Decide(function, receipt):
                policy = judge(function, receipt)
                self.say(f"{task.label} asks about the result: {policy[0]}")
                self._soon(task, self._thinking(task), lambda: self._go_on(task, policy))

    def _thinking(self, task: Task) -> int:
        ms = self.rng.choice(PEOPLE_MS)
        task.excused_ms += ms
        return ms

    def _hold_back(self, task: Task, work: Callable[[], Any], looks: int) -> None:
        """A process stands still between look and record until the equal hire that it saw has ended, or too long."""
        row = work.args[0]  # type: ignore[attr-defined]
        if looks and any(other.key == row.key for other in self._checks.journal.rows(only_open=True)):
            task.excused_ms += 500
            self._soon(task, 500, partial(self._hold_back, task, work, looks - 1))
            return
        if looks < MOST_LOOKS:
            self.say(f"{task.label} stood still before its record")
        self._do(task, work)

    def _do(self, task: Task, work: Callable[[], Any]) -> None:
        if self._dies(task):
            return
        self._checks.at_work = task
        try:
            value = work()
        except MasumiError as error:
            self.say(f"{task.label} journal: {error}")
            task.given = None
            self._go_on(task, None, error)
            return
        if self._dies(task):
            return
        if task.given is not None:
            self._checks.kept(*task.given)
            task.given = None
        self._go_on(task, value)

    # Requests -----------------------------------------------------------------------------------------

    def _fetch(self, task: Task, fetch: Fetch) -> None:
        """A request, or the shared look at the node's feed where many hires are driven at once."""
        life = task.life
        if fetch.watched is not None:
            task.about.add(fetch.watched.hire_id)
        if not life.shares(fetch):
            self._send(task, fetch.call)
            return
        if life.feeding:
            self._soon(task, 5, lambda: self._fetch(task, fetch))
            return

        def look(_: Any = None) -> None:
            life.feeding = False
            assert fetch.watched is not None
            reply = life.feed.reply(fetch.watched)
            if reply is None:
                self._send(task, fetch.call)
            else:
                self.say(f"{task.label} reads the feed: {reply.status}")
                self._checks.fed(fetch.watched)
                self._go_on(task, reply)

        assert fetch.watched is not None
        if not life.feed.due(fetch.watched, self.now()):
            look()
            return
        life.feeding = True
        task.stack.append(life.look())
        task.continuing.append(look)
        self._go_on(task, None)

    def _hear(self, task: Task, count: int) -> None:
        """A sweep's look at the feed for all that is open; where another reads just now, that is the look."""
        life = task.life
        if count <= life.crowd or life.feeding:
            self._go_on(task, 0)
            return

        def heard(as_of_ms: Any) -> None:
            life.feeding = False
            self._go_on(task, as_of_ms)

        life.feeding = True
        task.stack.append(life.look())
        task.continuing.append(heard)
        self._go_on(task, None)

    def _send(self, task: Task, call: Call) -> None:
        if self._dies(task):
            return
        self._checks.sending(task, call)
        trouble = self._trouble(call)
        travel = self.rng.randrange(2, 400)
        if trouble == "unsent":
            self._arrive(task, call, travel, unsent("no connection"), trouble)
            return
        if trouble == "straggler":
            self.after(travel + self.rng.randrange(STRAGGLER_MS), lambda: self._straggle(task.life, call))
            self._arrive(task, call, travel, lost("the connection broke"), trouble)
            return
        if trouble == "late-page":
            status, page = self._rng_of_more.choice(PAGES)
            late_ms = self._rng_of_more.randrange(max(int(min(call.timeout_s, LATE_S) * 1000), 1))
            if self.more.shuts and call.name == "POST /purchase":
                late_ms = max(late_ms, 45_000)
                self.stage.shut_until_ms = self.now() + late_ms
            self.after(travel + late_ms, lambda: self._straggle(task.life, call))
            text = page if isinstance(page, str) else json.dumps(page)
            reply = reply_of(Response(status, {}, text.encode()), call.cap_bytes)
            self._arrive(task, call, travel, reply, trouble)
            return
        self.after(travel, lambda: self._serve(task, call, trouble))
        self._dies(task)

    def _trouble(self, call: Call) -> str:
        """What becomes of this request; "" for nothing out of the ordinary."""
        chaos = self.chaos
        outage = chaos.outage_ms
        if outage and call.to == "node" and outage[0] <= self.now() - self._start_ms < outage[1]:
            return self.rng.choice(("unsent", "html-502"))
        rate: float = getattr(chaos, call.to)
        if rate and self.rng.random() < rate:
            return self.rng.choices(_NAMES, _WEIGHTS)[0]
        return self._later_trouble(call) if self.more is not NONE else ""

    def _later_trouble(self, call: Call) -> str:
        late = not self.more.shuts or call.name == "POST /purchase"
        if late and self.more.late_page and self._rng_of_more.random() < self.more.late_page:
            return "late-page"
        if self.more.replica and call.to == "node" and call.name.endswith(TODAYS):
            return "older-replica" if self._rng_of_more.random() < self.more.replica else ""
        if (
            self.more.cursed
            and call.name in ("GET /status", "POST /start_job")
            and call.url not in self._spoilt
        ):
            self._spoilt.add(call.url)
            return "cursed" if self._rng_of_more.random() < self.more.cursed else ""
        # A stranger's answer is spoilt at any place; that of one job's status only once.
        if call.to == "node" or call.url in self._spoilt or self._rng_of_more.random() >= self.more.spoilt:
            return ""
        if call.name == "GET /status":
            self._spoilt.add(call.url)
        return "spoilt"

    def _straggle(self, life: Life, call: Call) -> None:
        response = self.stage.serve(call, self.stage.token)
        self.say(f"{call.name} of {life.name} arrives late: {response.status}")
        self._checks.look()

    def _serve(self, task: Task, call: Call, trouble: str) -> None:
        """The request arrives where it was sent to; the sender may be dead by now."""
        place = replace(_ANYWHERE, kind=call.to, name=call.to)
        status, page = self.rng.choice(PAGES) if trouble == "answer" else (None, "")
        kept = page if isinstance(page, str) else json.dumps(page)
        fault = (
            Fault(
                "*",
                "*",
                None,
                trouble,
                delay_ms=self.rng.randrange(1_000, 20_000),
                retry_after_s=2,
                status=status,
                body=kept,
            )
            if (trouble in DEEDS)
            else None
        )
        if fault is not None and DEEDS[trouble] == "before":
            answer = without_service(fault, place)
        elif trouble == "older-replica":
            answer = Answer(of_an_older_replica(call))
        else:
            response = self.stage.serve(call, self.stage.token)
            self._checks.look()
            if trouble == "spoilt":
                response = spoil(response, call.name == "GET /status", self._rng_of_more)
            if call.to == "node" and self.more.strange and self._rng_of_more.random() < self.more.strange:
                response = of_a_later_version(response)
            answer = Answer(response)
            if self.chaos.crossed and self.rng.random() < self.chaos.crossed:
                other = self.stage.another_purchase(call)
                if other is not None:
                    answer, trouble = Answer(other), "crossed"
            elif fault is not None and (trouble != "conflict-500" or response.status == 409):
                answer = spoilt(fault, place, response)
        if answer.response is None or answer.wait_ms / 1000 > call.timeout_s:
            reply = lost("no answer")
        elif self.more.hostile and self._rng_of_wire.random() < self.more.hostile:
            reply, trouble = hostile(call, answer.response, self._rng_of_wire), trouble or "hostile"
        else:
            reply = reply_of(answer.response, call.cap_bytes)
        if trouble == "cursed":
            reply = cursed(reply)
        self._arrive(task, call, self.rng.randrange(2, 300) + answer.wait_ms, reply, trouble)

    def _arrive(self, task: Task, call: Call, ms: int, reply: Reply, trouble: str) -> None:
        def learn() -> None:
            if self._dies(task):
                return
            self._checks.watch.heard(call, reply)
            if self._trace is not None:
                what = f"{reply.status}" if reply.status is not None else reply.fault
                self.say(f"{task.label} {call.name} -> {what}{f' ({trouble})' if trouble else ''}")
            task.given = None if trouble in ("spoilt", "cursed") else self._checks.learnt(call, reply)
            self._go_on(task, reply)

        self._soon(task, ms, learn)
