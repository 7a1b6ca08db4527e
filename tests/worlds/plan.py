"""What a history is made of, drawn from its seed: node, sellers, buyers, budgets, calls, and how much goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, Literal

from masumi_tools.sandbox.chain.network import TUSDM
from masumi_tools.sandbox.sellers.mip003 import MINUTE_MS
from tests.worlds.more import BLACKOUT_MS, NONE, More, more_of
from tests.worlds.vendors import RARE, TEMPERS, Deadlines, Temper

HOUR_MS = 60 * MINUTE_MS
PLENTY = ("50 ADA", "50 tUSDM")
# A Monday noon; histories begin up to a day later, so that some of them see midnight.
BEGINNING_MS = 1_800_014_400_000

Action = Literal["hire", "sweep", "refund", "resume"]


@dataclass(frozen=True, slots=True)
class Seller:
    """One seller of the history: its temper, its listed price in base units, its contract and its pace."""

    temper: Temper
    price: tuple[tuple[str, int], ...]
    version: Literal[1, 2]
    deadlines: Deadlines
    work_ms: int


@dataclass(frozen=True, slots=True)
class Limits:
    """A budget, as the arguments of `Budget`."""

    total: tuple[str, ...]
    per_hire: tuple[str, ...] | None = None
    per_day: tuple[str, ...] | None = None
    per_service: tuple[str, ...] | None = None
    per_month: tuple[str, ...] | None = None
    per_new_service: tuple[str, ...] | None = None
    approve_above: str | None = None
    answers: Literal["yes", "no", "fails", "later"] = "yes"
    name: str = "default"


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing that a user asks a process to do, `after_ms` after the beginning."""

    action: Action
    after_ms: int
    process: int
    seller: int = 0
    text: str = ""
    by_url: bool = False
    max_price: tuple[str, ...] | None = None
    patience_s: float = 600
    call_id: str | None = None
    again: bool = False
    reuse_within_s: float = 600
    on_mismatch: Literal["keep", "refund", "ask"] = "keep"
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Chaos:
    """How likely it is that something goes wrong at one request, save or step; 0 for never."""

    node: float = 0.0
    service: float = 0.0
    registry: float = 0.0
    crash: float = 0.0
    most_crashes: int = 4
    freeze: float = 0.0
    journal: float = 0.0
    crossed: float = 0.0
    lost_tx: int = 0
    outage_ms: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is decided before a history begins; the rest of its chance comes from the same seed."""

    seed: int
    start_ms: int
    dialect: Literal["today", "seed"]
    realistic: bool
    registry: bool
    scoped_key: bool
    poor: bool
    crowd: int
    sellers: tuple[Seller, ...]
    limits: tuple[Limits | None, ...]
    wishes: tuple[Wish, ...]
    chaos: Chaos
    patience_of_answers: float
    splits_permille: int
    rest_ms: int
    more: More = NONE

    @property
    def processes(self) -> int:
        return len(self.limits)


def plan_of(seed: int) -> Plan:
    """The plan of this seed, always the same."""
    plan = _plan_of(seed)
    if plan.more.regulars == "joined":
        dear = replace(plan.sellers[0], temper=TEMPERS[0], price=(("", 3_000_000),))
        plan = replace(plan, sellers=(dear,), limits=(Limits(PLENTY),) * plan.processes)
    return replace(plan, wishes=_regular(seed, plan.more, plan.processes) or plan.wishes)


def _plan_of(seed: int) -> Plan:
    rng = random.Random(f"plan {seed}")
    sellers = tuple(_seller(rng) for _ in range(rng.choice((1, 1, 2, 2, 3))))
    processes = rng.choice((1, 1, 2, 2, 3))
    shared = _limits(rng, "default")
    limits = tuple(_of_process(rng, shared) for _ in range(processes))
    people = random.Random(f"people {seed}")
    if people.random() < 0.5:  # nobody is at hand: a person answers later
        asks = "1 ADA" if people.random() < 0.5 else None
        later = {
            one: replace(one, answers="later", approve_above=asks or one.approve_above)
            for one in limits
            if one
        }
        limits = tuple(later[one] if one else None for one in limits)

    more = more_of(seed, processes)
    if more.skews:  # whose day it is depends on a clock that is wrong until the node's was heard
        limits = tuple(one and replace(one, per_day=None) for one in limits)
    if more.newcomers:
        limits = tuple(one and replace(one, per_new_service=("2 ADA", "2 tUSDM")) for one in limits)
    return Plan(
        seed=seed,
        start_ms=BEGINNING_MS
        + (rng.randrange(24 * HOUR_MS) if rng.random() < 0.7 else 12 * HOUR_MS - 60_000),
        dialect="seed" if rng.random() < 0.15 else "today",
        realistic=rng.random() < 0.5,
        registry=rng.random() < 0.9,
        scoped_key=rng.random() < 0.15,
        poor=rng.random() < 0.07,
        crowd=rng.choice((0, 1, 4)),
        sellers=tuple(replace(one, temper=_temper(more) or one.temper) for one in sellers),
        limits=limits,
        wishes=_wishes(rng, processes, len(sellers), more),
        chaos=_troubled(_chaos(rng), more),
        patience_of_answers=rng.choice((0.0, 0.5, 0.9)),
        splits_permille=rng.choice((0, 0, 300, 1000)),
        rest_ms=rng.choice((5, 10, 18)) * MINUTE_MS,
        more=more,
    )


def _temper(more: More) -> Temper | None:
    """The temper that all sellers have, where there is one."""
    return TEMPERS[0] if more.between else RARE.get(more.temper)


def _seller(rng: random.Random) -> Seller:
    # The tempers stand in the order of how usual they are; those that break a rule before they are paid last.
    if rng.random() < 0.25:
        temper = rng.choice(TEMPERS)
    else:
        temper = TEMPERS[min(int(rng.expovariate(1 / 9)), rng.randrange(len(TEMPERS)))]
    ada = rng.choice((1_000_000, 1_000_000, 1_000_000, 1_500_000, 2_000_000, 3_000_000))
    price: tuple[tuple[str, int], ...] = (("", ada),)
    if rng.random() < 0.15:
        price = rng.choice((((TUSDM, 2_000_000),), (("", ada), (TUSDM, 1_000_000))))
    version: Literal[1, 2] = 2 if rng.random() < 0.25 or temper.offer == "no-index" else 1
    submit = rng.choice((17, 20, 30, 60))
    unlock = submit + rng.choice((16, 35, 60, 180))
    deadlines = Deadlines(
        pay_by=rng.choice((3, 6, 10, submit - 5)) * MINUTE_MS,
        submit=submit * MINUTE_MS,
        unlock=unlock * MINUTE_MS,
        dispute=(unlock + rng.choice((16, 60, 240))) * MINUTE_MS,
    )
    return Seller(temper, price, version, deadlines, rng.choice((100, 5_000, 60_000)))


def _limits(rng: random.Random, name: str) -> Limits:
    def some(*values: str) -> tuple[str, ...] | None:
        return (rng.choice(values), "3 tUSDM") if rng.random() < 0.35 else None

    ask = rng.random() < 0.2
    total = rng.choice(("2 ADA", "3 ADA", "5 ADA", "30 ADA"))
    return Limits(
        total=(total, "6 tUSDM"),
        per_month=("4 ADA", "6 tUSDM") if total == "30 ADA" and not ask else None,
        per_hire=some("1 ADA", "2 ADA", "4 ADA"),
        per_day=some("2 ADA", "3 ADA", "5 ADA"),
        per_service=some("2 ADA", "3 ADA"),
        approve_above="1 ADA" if ask else None,
        answers=rng.choice(("yes", "yes", "no", "fails")),
        name=name,
    )


def _of_process(rng: random.Random, shared: Limits) -> Limits | None:
    kind = rng.random()
    if kind < 0.08:
        return None
    return shared if kind < 0.85 else _limits(rng, "other")


def _wishes(rng: random.Random, processes: int, sellers: int, more: More) -> tuple[Wish, ...]:
    found: list[Wish] = []
    at = 0
    burst = rng.random() < 0.2  # many at the same instant
    for number in range(rng.choice((3, 4, 5)) if burst else rng.choice((1, 2, 2, 3, 3, 4, 6))):
        at += 0 if burst else rng.choice((0, 0, 5, 300, 20_000, 15 * MINUTE_MS))
        action: Action = "hire" if number == 0 else rng.choice(("hire",) * 6 + ("sweep", "refund", "resume"))
        options: dict[str, Any] = {}
        if rng.random() < 0.3:
            options["max_price"] = (rng.choice(("1 ADA", "3 ADA", "20 ADA")), "2 tUSDM")
        if rng.random() < 0.25:
            options["call_id"] = rng.choice(("call-1", "call-2"))
        found.append(
            Wish(
                action=action,
                after_ms=at,
                process=rng.randrange(processes),
                seller=rng.randrange(sellers),
                text=rng.choice("abcde" if burst else "aab"),
                by_url=rng.random() < 0.2,
                patience_s=rng.choice((0.0, 10, 120, 600, 4 * 3600)),
                again=rng.random() < 0.1,
                reuse_within_s=rng.choice((0, 600)),
                on_mismatch=rng.choice(("keep", "refund", "refund", "ask")),
                quoted=rng.random() < 0.15,
                **options,
            )
        )
    if more.between:  # whoever wants the same gets the same
        return tuple(replace(wish, reuse_within_s=600, again=False) for wish in found)
    return tuple(found)


def _regular(seed: int, more: More, processes: int) -> tuple[Wish, ...]:
    """Calls of people who want the same of one seller, again and again; () where everybody wants something."""
    rng = random.Random(f"regulars {seed}")

    def wish(number: int, at: int, **options: Any) -> Wish:
        action: Action = "hire" if number % 2 == 0 else "sweep"
        return Wish(action, at, rng.randrange(processes), 0, "a", **options)

    match more.regulars:
        case "told":  # nobody waits, and nobody wants what was before
            gap = rng.choice((20_000, 15 * MINUTE_MS))
            return tuple(wish(n, n * gap, patience_s=0.0, reuse_within_s=0) for n in range(10))
        case "undone":  # after the end comes the same call
            times = [0, *range(5 * MINUTE_MS, 3 * HOUR_MS, 4 * MINUTE_MS)]
            return tuple(wish(n, at, patience_s=60, max_price=PLENTY) for n, at in enumerate(times))
        case "joined":  # of a hire that somebody else began, and pays less for
            caps = (None, ("1 ADA", "1 tUSDM"), PLENTY)
            gaps = [rng.choice((0, 300, 2_000, 60_000)) for _ in range(8)]
            return tuple(wish(0, sum(gaps[:n]), patience_s=60, max_price=rng.choice(caps)) for n in range(8))
    return ()


def _troubled(chaos: Chaos, more: More) -> Chaos:
    if more.blackout:
        return replace(chaos, outage_ms=BLACKOUT_MS)
    return replace(chaos, crash=0.08, most_crashes=6) if more.regulars == "joined" else chaos


def _chaos(rng: random.Random) -> Chaos:
    mood = rng.random()
    if mood < 0.1:
        return Chaos()
    rate = rng.choice((0.02, 0.08, 0.25))
    crash = rng.choice((0.0, 0.01, 0.04)) if mood < 0.8 else 0.12
    outage = None
    if rng.random() < 0.15:
        begins = rng.randrange(30 * MINUTE_MS)
        outage = (begins, begins + rng.choice((2, 20, 60)) * MINUTE_MS)
    return Chaos(
        node=rate if rng.random() < 0.7 else 0.0,
        service=rate if rng.random() < 0.6 else 0.0,
        registry=rate if rng.random() < 0.3 else 0.0,
        crash=crash,
        most_crashes=rng.choice((1, 2, 4)),
        freeze=rng.choice((0.004, 0.03)) if rng.random() < 0.35 else 0.0,
        journal=0.01 if rng.random() < 0.2 else 0.0,
        crossed=0.15 if rng.random() < 0.2 else 0.0,
        lost_tx=1 if rng.random() < 0.06 else 0,
        outage_ms=outage,
    )
