"""Troubles that became known later: clocks that are wrong, nodes that are others or have forgotten, spoilt answers.

They are drawn from a chance of their own, so that a history without them is what it was before them.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from masumi_tools.calls.call import Call, Reply
from masumi_tools.sandbox.wire import Response

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
# What people, batteries and virtual machines do to a clock: ms ahead of the node's.
AHEADS = (2 * HOUR_MS, -2 * HOUR_MS, 45_000, -45_000, 26 * HOUR_MS, 400 * 24 * HOUR_MS)
# What a stranger may send instead of a value.
NASTY: tuple[Any, ...] = (
    None, True, -1, 10**30, "", "\x00", "x" * 5_000, [], {}, [[]], "2026-99-99T99:99:99Z", "NaN", 1.5, [1, "a", None],
    "https://xn--0/", {"a": [{"a": []}]},
)  # fmt: skip
SPOILT_RESULT, SPOILT_ERROR = "SPOILT ON ITS WAY", "spoilt on its way"
# Without its name a job cannot be found again, and nothing that a buyer could do would help.
_NAMES_OF_JOBS = ("job_id", "jobId", "id")


@dataclass(frozen=True, slots=True)
class More:
    """Which of them a history has. `skews`: by process, (from so many ms on, so many ms ahead)."""

    skews: tuple[tuple[tuple[int, int], ...], ...] = ()
    spoilt: float = 0.0
    late_page: float = 0.0
    away_ms: tuple[int, int] | None = None
    away: Literal["elsewhere", "restored", "network"] = "elsewhere"
    shrinks_ms: int | None = None
    between: bool = (
        False  # who wants an equal hire stands still between look and record until the first has ended
    )
    denials: tuple[
        tuple[int, bool], ...
    ] = ()  # so many ms on, and whether the wallet's policy denies for good
    strange: float = 0.0  # how often the node shows a state and an action of a later version
    shuts: bool = False  # while an order is late, the node's payment source is turned off and on again
    replica: float = 0.0  # how often an older version behind the same address answers, which lacks routes
    hostile: float = 0.0  # how often an answer has a head or an end that no client should believe
    cursed: float = 0.0  # how often an answer of a stranger makes whoever reads it raise, once each
    keyless: bool = False  # when a refund is asked for, the node refuses the key, until that is replaced
    blackout: bool = False  # while the node is away everything is begun anew, with clocks that are wrong
    temper: str = ""  # all sellers are of this one
    newcomers: bool = False  # budgets bound what a service gets that has never delivered
    regulars: Literal["", "told", "undone", "joined"] = ""  # everybody wants the same, again and again

    def ahead(self, process: int, since_ms: int) -> int:
        """How far the clock of this process is ahead of the node's, so long after the beginning."""
        ahead = 0
        for begins, by in self.skews[process] if process < len(self.skews) else ():
            if since_ms >= begins:
                ahead = by
        return ahead


NONE = More()


def more_of(seed: int, processes: int) -> More:
    """The later troubles of this seed: none in a half of all, and the newest of them in some."""
    rng = random.Random(f"world {seed}")
    kind = int(rng.random() / SHARE_OF_NEWEST * len(NEWEST))
    found = _newer_of(seed, processes)
    wire = random.Random(f"wire {seed}")
    if wire.random() < 0.1:
        found = replace(found, hostile=wire.choice((0.05, 0.3)))
    return replace(found, **NEWEST[kind](rng)) if kind < len(NEWEST) else found


# A node that is away, and the clocks of whoever is begun anew meanwhile.
BLACKOUT_MS = (25_000, 25_000 + 20 * MINUTE_MS)
WRONG = ((BLACKOUT_MS[0], 26 * HOUR_MS), (BLACKOUT_MS[1], 0))


def _apart(rng: random.Random) -> tuple[int, int]:
    begins = rng.choice((2_000, 20_000, 5 * MINUTE_MS))
    return begins, begins + rng.choice((2, 12, 45)) * MINUTE_MS


SHARE_OF_NEWEST = 0.4
NEWEST: tuple[Callable[[random.Random], dict[str, Any]], ...] = (
    lambda rng: {"shuts": True, "late_page": 0.7},
    lambda rng: {"replica": rng.choice((0.1, 0.4))},
    lambda rng: {"cursed": 0.1},
    lambda rng: {"keyless": True, "temper": "mute"},
    lambda rng: {"away_ms": _apart(rng), "away": "network"},
    lambda rng: {"temper": "binding"},
    lambda rng: {"temper": "amnesiac"},
    lambda rng: {"newcomers": True},
    lambda rng: {"temper": "flipper"},
    lambda rng: {"blackout": True, "skews": (WRONG,) * 3},
    lambda rng: {"regulars": "told"},
    lambda rng: {"regulars": "undone", "temper": rng.choice(("failing", "silent"))},
    lambda rng: {"regulars": "joined"},
)


def _newer_of(seed: int, processes: int) -> More:
    newer = random.Random(f"newer {seed}")
    kind = newer.choice(("between", "denials", "strange", *[""] * 5))
    found = replace(_more_of(seed, processes), between=kind == "between")
    if kind == "denials":
        begins = newer.choice((0, 2_000, 20_000, 5 * MINUTE_MS))
        lasting = newer.random() < 0.3
        return replace(found, denials=tuple((begins, lasting) for _ in range(newer.choice((1, 2, 8)))))
    return replace(found, strange=newer.choice((0.1, 0.5))) if kind == "strange" else found


def _more_of(seed: int, processes: int) -> More:
    rng = random.Random(f"more {seed}")
    if rng.random() < 0.5:
        return NONE
    kinds = {rng.choice(("skews", "spoilt", "late", "away", "shrinks")) for _ in range(rng.choice((1, 1, 2)))}
    skews = tuple(_skew(rng) for _ in range(processes)) if "skews" in kinds else ()
    begins = rng.choice((2_000, 20_000, 5 * MINUTE_MS, 20 * MINUTE_MS))
    return More(
        skews=skews,
        spoilt=rng.choice((0.05, 0.2)) if "spoilt" in kinds else 0.0,
        late_page=0.08 if "late" in kinds else 0.0,
        away_ms=(begins, begins + rng.choice((1, 12, 45)) * MINUTE_MS) if "away" in kinds else None,
        away=rng.choice(("elsewhere", "restored")),
        shrinks_ms=rng.choice((1_500, 4_000, 20_000)) if "shrinks" in kinds else None,
    )


def _skew(rng: random.Random) -> tuple[tuple[int, int], ...]:
    """A clock that is right or wrong, and is set forth and back a few times."""
    at, found = 0, []
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        found.append((at, rng.choice((0, *AHEADS))))
        at += rng.choice((3_000, 60_000, 10 * MINUTE_MS))
    return tuple(found)


def spoil(response: Response, is_status: bool, rng: random.Random) -> Response:
    """The answer of a stranger with something else at one place of it."""
    if is_status and rng.random() < 0.6:
        word = rng.choice(("completed", "failed"))
        said = {"result": SPOILT_RESULT} if word == "completed" else {"error": SPOILT_ERROR}
        value: Any = {"status": word, **said}
    else:
        try:
            value = _spoilt(json.loads(response.body), rng)
        except ValueError:
            return response
    return Response(response.status, dict(response.headers), json.dumps(value).encode())


class Cursed(Reply):
    """An answer that nobody foresaw: whoever looks into it raises."""

    @property
    def content(self) -> Any:
        raise RuntimeError("nobody foresaw this")


def cursed(reply: Reply) -> Reply:
    """The same answer for whoever does not look into it."""
    return Cursed(reply.status, reply.body, reply.text, reply.headers, reply.fault, reply.detail)


TODAYS = ("/resolve-blockchain-identifier", "/request-refund", "/cancel-refund-request")


def of_an_older_replica(call: Call) -> Response:
    """What a node says that has no such route."""
    said = f"Can not {call.method} {urlsplit(call.url).path}"
    body = json.dumps({"status": "error", "error": {"message": said}}).encode()
    return Response(404, {"content-type": "application/json"}, body)


def of_a_later_version(response: Response) -> Response:
    """The node's answer with words for state and action that nobody here has heard of."""
    text = response.body.decode()
    text = re.sub(r'("onChainState": ?)"\w+"', r'\1"MoonLocked"', text)
    text = re.sub(r'("requestedAction": ?)"\w+"', r'\1"MoonAction"', text)
    return Response(response.status, dict(response.headers), text.encode())


def _spoilt(value: Any, rng: random.Random) -> Any:
    if not (isinstance(value, dict | list) and value and rng.random() < 0.85):
        return rng.choice(NASTY)
    if isinstance(value, list):
        place = rng.randrange(len(value))
        return [*value[:place], _spoilt(value[place], rng), *value[place + 1 :]]
    names = sorted(name for name in value if name not in _NAMES_OF_JOBS)
    if not names:
        return value
    name = rng.choice(names)
    return {**value, name: _spoilt(value[name], rng)}
