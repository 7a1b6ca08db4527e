"""What the rooms show, made ready for the templates: words, amounts with their unit, and times. Reads only."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from masumi_tools.hire import rows
from masumi_tools.hire.approvals import PendingApproval, pending
from masumi_tools.hire.budget import text_of
from masumi_tools.hire.purchase import State
from masumi_tools.hire.receipt import Receipt, receipt_of
from masumi_tools.journal.looking import Filter
from masumi_tools.journal.row import Row
from masumi_tools.journal.store import Journal
from masumi_tools.models.times import JobTimes
from masumi_tools.money import Amount, name_of, parse_amounts
from masumi_tools.text import plain_text

PAGE = 50
MOST_ASKED = 50
HOLDING = ("paying", "paid", "locked", "needs_input", "delivered", "refund_requested", "disputed")
# The outcome in words, and the sign that tells it apart without colour.
OUTCOMES = {
    "completed": ("delivered", "✓", "good"),
    "reused": ("delivered", "✓", "good"),
    "refunded": ("refunded", "↩", "calm"),
    "refused": ("refused", "⊘", "calm"),
    "lapsed": ("lapsed", "⊘", "calm"),
    "open": ("in progress", "◔", "busy"),
    "needs_approval": ("waits for approval", "?", "ask"),
    "needs_input": ("asks a question", "?", "ask"),
    "refund_requested": ("refund requested", "↺", "busy"),
    "disputed": ("disputed", "!", "bad"),
    "failed": ("failed", "✕", "bad"),
}
# What a filter of the hires stands for, in states of the journal.
GROUPS = {
    "waiting": ("awaiting_approval", "needs_input"),
    "in progress": ("asked", "listed", "reserved", "started", "paying", "paid", "locked", "running"),
    "delivered": ("delivered", "settled"),
    "refund": ("refund_requested", "disputed", "refunded"),
    "refused": ("refused", "lapsed"),
    "failed": ("failed", "written_off"),
}


def when(ms: int | None) -> str:
    """A time for people, in this machine's zone."""
    if not ms:
        return ""
    try:
        return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).astimezone().strftime("%d %b %Y, %H:%M")
    except (OverflowError, OSError, ValueError):
        return "a time out of range"


def left(ms: int | None, now: int) -> str:
    """How far a time is: "in 3 hours", "20 minutes ago"."""
    if not ms:
        return ""
    minutes = round((ms - now) / 60_000)
    size = abs(minutes)
    if size < 1:
        return "now"
    if size < 120:
        words = f"{size} minute{'' if size == 1 else 's'}"
    elif size < 2880:
        words = f"{size // 60} hours"
    else:
        words = f"{size // 1440} days"
    return f"in {words}" if minutes > 0 else f"{words} ago"


def pretty(value: Any) -> str:
    """A foreign value as text, as it is and at most 20,000 characters of it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return text if len(text) <= 20_000 else f"{text[:20_000]} ... (cut here; the receipt has it whole)"


@dataclass(frozen=True)
class BudgetView:
    """One budget: its name and a line per unit, with the share that is used of its limit (0 to 1000)."""

    name: str
    lines: list[tuple[rows.BudgetLine, dict[str, str], int]]


def budgets(journal: Journal) -> list[BudgetView]:
    """Every budget, as `masumi-tools budget` has it."""
    found = []
    for name, limits in journal.budgets().items():
        bounds = parse_amounts(limits.split(" + ")) if limits else ()
        lines = []
        for line in rows.budget_lines(journal.used(name), bounds):
            shown = {
                part: str(Amount(getattr(line, part), line.unit))
                for part in ("limit", "left", "used", "reserved", "locked", "spent", "refunded")
                if getattr(line, part) is not None
            }
            share = min(1000, round(1000 * line.used / line.limit)) if line.limit else 0
            lines.append((line, shown, share))
        if name or lines:
            found.append(BudgetView(name, lines))
    return found


@dataclass(frozen=True)
class Bar:
    """One bar of a picture: what it is of, the amount in words, and its length out of 1000."""

    label: str
    text: str
    length: int


def by_day(journal: Journal, unit: str, days: int = 30) -> list[Bar]:
    """What was spent or is bound per day (UTC) in one unit, the last `days` that had any."""
    sums = sorted(journal.sums_by_day(unit, days).items())
    most = max((total for _, total in sums), default=0)
    return [
        Bar(
            dt.datetime.fromtimestamp(day / 1000, dt.UTC).strftime("%d %b"),
            str(Amount(total, unit)),
            round(1000 * total / most) if most else 0,
        )
        for day, total in sums
    ]


def by_service(journal: Journal, unit: str, most: int = 20) -> list[Bar]:
    """What each service got or holds in one unit, the largest first."""
    sums = list(journal.sums_by_service(unit, most).items())
    top = max((total for _, total in sums), default=0)
    names = service_names(journal, [service for service, _ in sums])
    return [
        Bar(names[service], str(Amount(total, unit)), round(1000 * total / top) if top else 0)
        for service, total in sums
    ]


def units(journal: Journal) -> list[tuple[str, str]]:
    """The units in which anything was spent, with their names."""
    return [(unit, name_of(unit)) for unit in journal.units()]


def service_names(journal: Journal, services: Sequence[str]) -> dict[str, str]:
    """The name of each service as its newest hire has it; otherwise its identifier or address, cut."""
    names = {service: plain_text(service, 60) for service in services}
    for row in journal.newest_of(services):
        listing = rows.purchase_of(row).listing
        if listing is not None and listing.name:
            names[row.service] = plain_text(listing.name, 60)
    return names


def grouped(states: dict[str, int]) -> dict[str, int]:
    """What hires came to, in our words, from how many of them are in each state."""
    counts: dict[str, int] = {}
    for state, number in states.items():
        group = next((name for name, states in GROUPS.items() if state in states), state)
        counts[group] = counts.get(group, 0) + number
    counts.pop("waiting", None)
    return counts


def receipts(journal: Journal, wanted: Filter, limit: int = PAGE) -> list[Receipt]:
    """The receipts of the newest hires of these."""
    return [receipt_of(rows.purchase_of(row)) for row in journal.search(wanted, limit)]


def receipts_of(journal: Journal, hire_ids: Sequence[str]) -> list[Receipt]:
    """The receipts of these hires."""
    return [receipt_of(rows.purchase_of(row)) for row in journal.records(hire_ids)]


def asked(journal: Journal) -> list[tuple[PendingApproval, dict[str, int]]]:
    """The hires that wait for a yes, the oldest first, each with what its service did before."""
    questions = journal.unanswered(State.AWAITING.value, MOST_ASKED)
    known = {row.hire_id: row for row in journal.records([question.hire_id for question in questions])}
    shown = [pending(one, known[one.hire_id]) for one in questions if one.hire_id in known]
    waiting = [(one, known[one.hire_id].service) for one in shown if one is not None]
    before = journal.states_of({service for _, service in waiting})
    return [(one, grouped(before.get(service, {}))) for one, service in waiting]


def mark(question: Any) -> str:
    """What a form says that it answers."""
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


def waits(journal: Journal, row: Row) -> PendingApproval | None:
    """What is asked about this hire; None where nothing is any more."""
    question = journal.question(row.hire_id)
    return pending(question, row) if question is not None and not question.answer else None


def deadlines(journal: Journal) -> list[tuple[Receipt, str, int]]:
    """The oldest open hires that hold money: what happens next and when, the nearest first."""
    found = []
    for row in journal.search(Filter(states=HOLDING), PAGE, oldest=True):
        made = receipt_of(rows.purchase_of(row))
        if made.times is not None:
            found.append((made, *_what_is_next(made, made.times)))
    return sorted(found, key=lambda item: item[2])


def _what_is_next(made: Receipt, times: JobTimes) -> tuple[str, int]:
    if made.outcome in ("refund_requested", "disputed"):
        return "the refund or the dispute is over at the latest", times.external_dispute_unlock_time
    if made.result is not None:
        return "paid out to the service", times.unlock_time
    return "the result is due; otherwise a refund is requested", times.submit_result_time


def amount_cells(made: Receipt) -> dict[str, str]:
    """The money of a hire in words; nothing is a dash."""
    return {
        "price": text_of(made.price) if made.price else "–",
        "paid": made.paid_text if made.paid else "–",
        "refunded": made.refunded_text if made.refunded else "–",
    }
