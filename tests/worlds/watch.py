"""What must hold between calls: equal hires are one, ends are told once, clocks decide nothing, nothing spins."""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass, field

from masumi_tools.calls.call import Call, Reply
from masumi_tools.hire.acceptance import SUBMIT_AHEAD_MS
from masumi_tools.hire.purchase import JOINABLE, Purchase, State
from masumi_tools.hire.receipt import Receipt
from masumi_tools.hire.steps import ABANDON_MS
from masumi_tools.journal.row import Row
from masumi_tools.journal.store import Journal
from tests.worlds.life import Task
from tests.worlds.plan import Wish
from tests.worlds.stage import Stage, named

MINUTE_MS = 60_000
REUSE_S = 600.0
# A little time passes between a decision and its record.
SLACK_MS = 100_000
WRONG_TIMES = re.compile("is too near|minutes ahead|could be bound for")
UNDONE = (State.REFUNDED, State.LAPSED, State.FAILED)
# Requests about one hire that nobody answers, in ten minutes.
MOST_UNHEARD = 60
SPAN_MS = 10 * MINUTE_MS
# A call is back so long after its patience at the latest: its grace, an order that is not cut short, and a look.
LATEST_MS = (10 + 60 + 10) * 1000
QUOTE_MS = 60_000
JUST_MS = 10_000
FAR_MS = 10**15  # later than anything


class Violation(AssertionError):
    """Something happened that must never happen; the text says what."""


@dataclass(slots=True)
class Hire:
    """What the checks know of one hire, beside its record."""

    hire_id: str
    key: str
    budget: str
    same: tuple[str, str, str] | None = (
        None  # what an equal call wants as well; None where it asked for another
    )
    begun_ms: int = 0
    reserved_ms: int = 0
    body: bytes | None = None
    results: list[str] = field(default_factory=list)
    given_ms: int = 0
    undone_ms: int = 0
    told_open: bool = False
    asked_ms: int = 0  # when the node was last asked about it, by anyone: a quiet answer is not saved
    awaited: bool = False  # by the journal, when it was told last that it goes on
    cancelled: bool = False

    def equals(self, other: Hire) -> bool:
        return self.key == other.key or (self.same is not None and self.same == other.same)


class Watch:
    """Remembers what callers wanted and were told. `hires` is shared with the checks."""

    def __init__(self, stage: Stage, journal: Journal, hires: dict[str, Hire]) -> None:
        self.stage = stage
        self.journal = journal
        self.hires = hires
        self._unheard: dict[tuple[str, str], deque[int]] = {}

    @property
    def clear(self) -> bool:
        """Whether the node is heard whenever it is asked, and answers for itself."""
        plan = self.stage.plan
        quiet = not plan.chaos.node and plan.chaos.outage_ms is None
        return quiet and not plan.more.late_page and not plan.more.hostile and plan.more.away_ms is None

    # A record begins and goes on ----------------------------------------------------------------------------

    def begun(self, row: Row, wish: Wish | None) -> Hire:
        """A hire begins: nobody who wants what an equal hire gave or was told of lately pays for it anew."""
        p = Purchase.model_validate_json(row.record)
        asked = wish is not None and wish.action == "hire"
        same = None if wish is None or wish.again else (p.target, json.dumps(p.input_data), p.budget)
        # Its age counts from its record, which a machine that stands still saves later; a wrong clock says nothing.
        begun_ms = self.stage.now() if self.stage.plan.more.skews else p.created_ms
        hire = Hire(row.hire_id, row.key, row.budget, same, begun_ms)
        if asked and wish is not None and not wish.again and not self.stage.plan.more.skews:
            self._is_no_repetition(hire, wish)
        return hire

    def _is_no_repetition(self, hire: Hire, wish: Wish) -> None:
        formers = [former for former in self.hires.values() if former.equals(hire)]
        now = self.stage.now()
        for former in formers:
            ago_s = (now - former.given_ms) / 1000
            if former.given_ms and ago_s < REUSE_S - 100 <= wish.reuse_within_s:
                raise Violation(
                    f"hire {hire.hire_id} is begun anew, {ago_s:.0f} s after {former.hire_id} gave the same work"
                )
        if not formers:
            return
        newest = formers[-1]
        if newest.told_open and self._state(newest) not in (None, *JOINABLE) and not self._handed_out(newest):
            raise Violation(
                f"hire {hire.hire_id} is begun anew, and nobody was told how {newest.hire_id} ended"
            )
        if newest.undone_ms and (now - newest.undone_ms) / 1000 < REUSE_S - 100 <= wish.reuse_within_s:
            raise Violation(
                f"hire {hire.hire_id} is begun anew, shortly after {newest.hire_id} came to nothing"
            )

    def _handed_out(self, hire: Hire) -> bool:
        """Whether a call that stands still just now has taken the end with it, to tell it."""
        return hire.awaited and not self.journal.awaits(hire.hire_id)

    def _state(self, hire: Hire) -> State | None:
        row = self.journal.get(hire.hire_id)
        return State(row.state) if row is not None else None

    def moved(self, hire: Hire, row: Row) -> None:
        """A record has got to another state: what time alone decided is right by the node's clock."""
        now, state = self.stage.now(), State(row.state)
        if state in UNDONE:  # by its record: a machine that stands still saves it later
            hire.undone_ms = Purchase.model_validate_json(row.record).changed_ms
        if state is State.RESERVED:
            hire.reserved_ms = now
        if state is State.REFUSED and self.clear:
            self._is_over(hire, Purchase.model_validate_json(row.record), now)

    def _is_over(self, hire: Hire, p: Purchase, now: int) -> None:
        if WRONG_TIMES.search(p.reason) and self._keeps_times(p):
            raise Violation(f"hire {hire.hire_id} refuses good times by a clock that is wrong: {p.reason}")
        if self.stage.plan.more.skews and self.stage.plan.chaos.freeze:
            return  # whoever stood still before the record was kept began it by another clock
        if (
            p.reason.startswith("it was interrupted before anything")
            and now - hire.begun_ms < ABANDON_MS - SLACK_MS
        ):
            raise Violation(f"hire {hire.hire_id} is given up by a clock that is wrong: {p.reason}")

    def _keeps_times(self, p: Purchase) -> bool:
        """Whether the offer gave enough time, and nobody slept over it."""
        found, plan, now = self.stage.job(p.nonce), self.stage.plan, self.stage.now()
        if p.terms is not None:
            times = p.terms.times
            late = times.submit_result_time < now + SUBMIT_AHEAD_MS + JUST_MS
            if late or times.pay_by_time < now + 2 * SLACK_MS:  # nobody went on with it
                return False
        if found is None or plan.chaos.freeze or plan.more.spoilt:
            return False
        return found[0].temper.offer in ("", "shouts", "drifts", "greedy", "dear", "discount")

    # Requests ------------------------------------------------------------------------------------------------

    def heard(self, call: Call, reply: Reply) -> None:
        """An answer came, or none: what repeats without news gets rarer."""
        about = named(call)
        if call.to != "node" or not about:
            return
        asked = self._unheard.setdefault((about, call.name), deque())
        if reply.ok or reply.status in (304, 409):
            asked.clear()
            return
        now = self.stage.now()
        asked.append(now)
        while asked[0] < now - SPAN_MS:
            asked.popleft()
        if len(asked) > MOST_UNHEARD:
            raise Violation(f"{call.name} was sent {len(asked)} times in ten minutes, without an answer")

    # What users are told -------------------------------------------------------------------------------------

    def returned(self, task: Task, receipt: Receipt) -> None:
        """A call is back, in time; whoever was told that the hire goes on is told of its end."""
        self._in_time(task)
        hire, wish = self.hires[receipt.hire_id], task.wish
        if not receipt.open:
            hire.told_open = False
        elif wish is not None and wish.action == "hire" and not self.stage.plan.chaos.journal:
            hire.told_open = True
        row = self.journal.get(receipt.hire_id)
        if row is None or wish is None or wish.action != "hire":
            return
        p = Purchase.model_validate_json(row.record)
        hire.awaited = self.journal.awaits(p.hire_id)
        slept = task.life.frozen_until_ms or task.excused_ms >= wish.patience_s * 1000
        away = self.stage.away in ("elsewhere", "network")  # another node, or network, cannot be asked for it
        if slept or away or any("journal works again" in note for note in receipt.notes):
            return
        now = self.stage.now()
        by_others = hire.asked_ms > now - JUST_MS
        due = p.next_node_ms < now - 1_000 and p.hire_id not in task.about and not by_others
        owed = p.state is State.DELIVERED and p.verified is None and not p.free and due
        if owed and wish.patience_s > 0 and not self._is_driven(p.hire_id):  # who drives it asks for it
            raise Violation(
                f"{task.label} is over, and the proof of {p.hire_id} is owed still: nobody asked for it"
            )

    def _is_driven(self, hire_id: str) -> bool:
        """Whether somebody's lease of this open hire runs."""
        free = self.journal.due(FAR_MS, (0, ""), lambda _: False, 10_000)
        return hire_id not in {row.hire_id for row in free}

    def _in_time(self, task: Task) -> None:
        wish = task.wish
        if wish is None or wish.action == "sweep" or task.life.frozen_until_ms:
            return
        most = int(wish.patience_s * 1000) + task.excused_ms + LATEST_MS + QUOTE_MS * wish.quoted
        took = self.stage.now() - task.begun_ms
        if took > most:
            raise Violation(f"{task.label} took {took / 1000:.0f} s of its {wish.patience_s:.0f} s")
