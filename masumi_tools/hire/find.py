"""Finding services in the registry: what is asked of it, what is done here, and what is left out and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypedDict

from masumi_tools.calls import registry
from masumi_tools.calls.call import Call, Reply
from masumi_tools.errors import InputError, MasumiError, SettingsError, WireError
from masumi_tools.hire.acceptance import above
from masumi_tools.hire.budget import AmountsLike
from masumi_tools.hire.operations import LOOK_S, Flow, Patience, TimeIsUp
from masumi_tools.hire.replies.words import said
from masumi_tools.hire.steps import Ways
from masumi_tools.models import Listing, PricingType, read_registry_entries
from masumi_tools.models.reach import STANDARD
from masumi_tools.money import ADA, Amount, parse_amounts
from masumi_tools.text import storable

MOST_PAGES: Final = 40
MOST_READ: Final = MOST_PAGES * registry.MOST_ENTRIES
REMEMBERED_MS: Final = 3_600_000
SortBy = Literal["uptime", "price", "recency", "score"]
SORTS: Final = ("uptime", "price", "recency", "score")


class FindOptions(TypedDict, total=False):
    """What a search can be narrowed by; every one may be left out."""

    tags: Sequence[str]
    capability: str | None
    min_price: AmountsLike | None
    max_price: AmountsLike | None
    min_uptime: float | None
    checked_within_s: float | None
    sort_by: SortBy | None
    all_kinds: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search: words, and what its hits must keep. InputError for what no service could keep."""

    words: str = ""
    limit: int = 20
    tags: tuple[str, ...] = ()
    capability: str | None = None
    min_price: tuple[Amount, ...] | None = None
    max_price: tuple[Amount, ...] | None = None
    min_uptime: float | None = None
    checked_within_s: float | None = None
    sort_by: SortBy | None = None
    all_kinds: bool = False

    def __post_init__(self) -> None:
        if self.sort_by is not None and self.sort_by not in SORTS:
            raise InputError(f"sort_by is one of {', '.join(SORTS)}, not {self.sort_by!r}", phase="find")
        if self.min_uptime is not None and not 0 <= self.min_uptime <= 100:
            raise InputError(f"min_uptime is a percentage from 0 to 100, not {self.min_uptime}", phase="find")
        if self.checked_within_s is not None and self.checked_within_s <= 0:
            raise InputError("checked_within_s is a number of seconds above 0", phase="find")
        low, high = self.min_price, self.max_price
        if low and high and above(low, high):
            raise InputError("min_price is above max_price, so nothing fits", phase="find")

    @classmethod
    def read(cls, words: str, limit: int, options: FindOptions) -> Wanted:
        """A search as a caller writes it; TypeError for an option that there is not."""
        given: dict[str, Any] = dict(options)
        for name in ("min_price", "max_price"):
            if given.get(name) is not None:
                given[name] = parse_amounts(given[name])
        given["tags"] = tuple(map(storable, given.get("tags") or ()))
        if given.get("capability") is not None:
            given["capability"] = storable(given["capability"])
        return cls(words=storable(words).strip()[:120], limit=limit, **given)


class Found(list[Listing]):
    """The services that fit, and how many were left out because nobody can hire them from here.

    `other_kinds` are reached by another protocol, `superseded` have a newer version, `unusable` have an
    entry that cannot be used (address, price, state). `offline` match, but did not answer the registry's last
    check; they are only looked for where nothing else fits. `complete` says whether the registry's list was read
    to its end.
    """

    def __init__(
        self,
        hits: Iterable[Listing],
        hidden: Iterable[str] = (),
        offline: int = 0,
        *,
        complete: bool = True,
    ) -> None:
        super().__init__(hits)
        self.complete = complete
        counted = list(hidden)
        self.offline = offline
        self.other_kinds = counted.count("kind")
        self.superseded = counted.count("superseded")
        self.unusable = counted.count("unusable")

    @property
    def hidden(self) -> int:
        """How many `all_kinds` would show."""
        return self.other_kinds + self.superseded + self.unusable

    @property
    def left_out(self) -> str:
        """What is not shown, in words; empty where nothing is left out."""
        parts = (
            (self.other_kinds, "of other kinds (OpenApi, X402, A2A)"),
            (self.superseded, "superseded by a newer version"),
            (self.unusable, "with an entry that cannot be used"),
        )
        told = [f"{count} {words}" for count, words in parts if count]
        sentences = [f"Not shown: {'; '.join(told)}."] if told else []
        if self.offline:
            sentences.append(
                f"{self.offline} {'matches but is' if self.offline == 1 else 'match but are'} offline."
            )
        return " ".join(sentences)


@dataclass(slots=True)
class Memory:
    """Which registries did not know the newer questions, for an hour each."""

    plain_until_ms: dict[str, int] = field(default_factory=dict)


def find(ways: Ways, patience: Patience, wanted: Wanted, now: int, memory: Memory) -> Flow[Found]:
    """The services that are online and fit, paged through to the end or until `limit` are found.

    Every bound is kept here too: older registries ignore questions that they do not know. A list that is
    to be sorted is read to its end first.
    """
    if ways.registry is None:
        raise SettingsError("finding services needs a registry: give registry_url, or MASUMI_REGISTRY_URL")
    found: dict[str, Listing] = {}
    cursor: str | None = None
    complete = False
    for _page in range(MOST_PAGES):
        reply = yield from _asked(ways, patience, (wanted, cursor), now, memory)
        page = _entries(reply, ways.network)
        new = [entry for entry in page if entry.agent_identifier not in found]
        for entry in new:
            found[entry.agent_identifier] = entry
        last = page[-1].entry_id if page else None
        enough = wanted.sort_by is None and len(_chosen(found.values(), wanted, ways, now)) >= wanted.limit
        complete = not new or last is None or len(page) < registry.MOST_ENTRIES
        if enough or complete:
            break
        cursor = last
    hits = _chosen(found.values(), wanted, ways, now)
    if wanted.sort_by is not None:
        hits.sort(key=_order(wanted))
    hidden = (why for entry in found.values() if (why := hidden_as(entry, ways)))
    offline = 0 if hits else (yield from _offline(ways, patience, wanted, now))
    return Found(hits[: wanted.limit], () if wanted.all_kinds else hidden, offline, complete=complete)


def _offline(ways: Ways, patience: Patience, wanted: Wanted, now: int) -> Flow[int]:
    """How many of the registry's first page would fit, and are offline; 0 where it does not say."""
    call = _call(ways, ways.registry or "", wanted, None, {}, status=("Offline",))
    reply = yield from _read(patience, call, ways.pace.repeat_ms / 1000)
    try:
        entries = read_registry_entries(reply.body, ways.network) if reply.ok else []
    except WireError:
        return 0
    away = [replace(entry, status="Online") for entry in entries if entry.status.lower() == "offline"]
    return len(_chosen(away, wanted, ways, now))


def hidden_as(entry: Listing, ways: Ways) -> str | None:
    """Why a listing is not shown by default: "kind", "superseded" or "unusable"; None for one that is."""
    if entry.status.lower() not in ("online", ""):
        return None  # the registry's own filter; not a fault of the entry
    if entry.kind != STANDARD:
        return "kind"
    if entry.superseded_by and entry.superseded_by != entry.agent_identifier.lower():
        return "superseded"
    return "unusable" if entry.obstacle(sandbox=ways.sandbox) else None


def _asked(
    ways: Ways, patience: Patience, page: tuple[Wanted, str | None], now: int, memory: Memory
) -> Flow[Reply]:
    """One page, asked with the newer questions unless this registry refused them within the last hour."""
    api, pause_s = ways.registry or "", ways.pace.repeat_ms / 1000
    wanted, cursor = page
    more = newer_questions(wanted, now)
    if more and memory.plain_until_ms.get(api, 0) <= now:
        reply: Reply = yield from _read(patience, _call(ways, api, wanted, cursor, more), pause_s)
        if reply.status not in (400, 422):
            return reply
        memory.plain_until_ms[api] = now + REMEMBERED_MS
    reply = yield from _read(patience, _call(ways, api, wanted, cursor, {}), pause_s)
    return reply


def _read(patience: Patience, call: Call, pause_s: float) -> Flow[Reply]:
    try:
        reply: Reply = yield from patience.read(call, pause_s)
    except TimeIsUp:
        return Reply(None, fault="lost", detail=f"there was no answer within {LOOK_S:.0f} s")
    return reply


def newer_questions(wanted: Wanted, now: int) -> dict[str, Any]:
    """What registries since July 2026 can be asked besides (protocol N18)."""
    bounds: dict[str, Any] = {}
    price: dict[str, Any] = {}
    for name, amounts in (("minAmount", wanted.min_price), ("maxAmount", wanted.max_price)):
        if amounts and len(amounts) == 1:  # a registry compares within one unit
            price |= {"unit": amounts[0].unit or "lovelace", name: str(amounts[0].quantity)}
    units = {
        amounts[0].unit for amounts in (wanted.min_price, wanted.max_price) if amounts and len(amounts) == 1
    }
    # With an upper bound alone free and dynamic services fit too, which this filter would leave out.
    if wanted.min_price and len(units) == 1:
        bounds["pricing"] = {"pricingType": "Fixed", **price}
    health: dict[str, Any] = {}
    if wanted.min_uptime:
        health["minUptimePercent"] = wanted.min_uptime
    if wanted.checked_within_s is not None:
        health["lastCheckedAfter"] = registry.iso(now - int(wanted.checked_within_s * 1000))
    if health:
        bounds["health"] = health
    asked: dict[str, Any] = {"filter": bounds} if bounds else {}
    if wanted.sort_by is not None:
        asked["sortBy"] = wanted.sort_by
    return asked


def _call(
    ways: Ways,
    api: str,
    wanted: Wanted,
    cursor: str | None,
    more: Mapping[str, Any],
    status: Sequence[str] = (),
) -> Call:
    options: dict[str, Any] = {
        "cursor": cursor,
        "status": status,
        "tags": wanted.tags,
        "capability": wanted.capability,
        "more": more,
    }
    if wanted.words:
        return registry.search(api, ways.network, wanted.words, **options)
    return registry.entries(api, ways.network, **options)


def _entries(reply: Reply, network: str) -> list[Listing]:
    try:
        if not reply.ok:
            raise WireError(said(reply))
        return read_registry_entries(reply.body, network)
    except WireError as error:
        raise MasumiError(
            f"the registry could not be searched: {error}", phase="find", fault="registry", repeatable=True
        ) from error


def _chosen(entries: Iterable[Listing], wanted: Wanted, ways: Ways, now: int) -> list[Listing]:
    return [entry for entry in entries if _fits(entry, wanted, ways, now)]


def _fits(entry: Listing, wanted: Wanted, ways: Ways, now: int) -> bool:
    if entry.status.lower() not in ("online", ""):
        return False
    if not wanted.all_kinds and hidden_as(entry, ways) is not None:
        return False
    percent = entry.health.percent
    if wanted.min_uptime is not None and (percent is None or percent < wanted.min_uptime):
        return False
    if wanted.checked_within_s is not None:
        after = now - int(wanted.checked_within_s * 1000)
        if entry.health.checked_ms is None or entry.health.checked_ms < after:
            return False
    return _priced(entry, wanted)


def _priced(entry: Listing, wanted: Wanted) -> bool:
    """Whether the price is within the bounds. A dynamic one is not known before the offer."""
    if entry.price.pricing is PricingType.DYNAMIC:
        return True
    amounts = () if entry.price.is_free else entry.price.amounts
    if wanted.min_price:
        held = {amount.unit: amount.quantity for amount in amounts}
        if any(held.get(least.unit, 0) < least.quantity for least in wanted.min_price):
            return False
    return wanted.max_price is None or above(amounts, wanted.max_price) is None


def _order(wanted: Wanted) -> Callable[[Listing], tuple[Any, ...]]:
    """The best first; what does not say stands at the end, in the registry's own order."""
    if wanted.sort_by == "uptime":
        return lambda e: (e.health.percent is None, -(e.health.percent or 0), -e.health.checks)
    if wanted.sort_by == "recency":
        return lambda e: (e.registered_ms is None, -(e.registered_ms or 0))
    if wanted.sort_by == "score":
        return lambda e: (e.score is None, -(e.score or 0))
    bound = wanted.max_price or wanted.min_price
    unit = bound[0].unit if bound else ADA

    def price(entry: Listing) -> tuple[Any, ...]:
        """Within one unit; other units never convert and stand behind it."""
        if entry.price.is_free:
            return (0, 0)
        amounts = entry.price.amounts
        if len(amounts) == 1 and amounts[0].unit == unit:
            return (0, amounts[0].quantity)
        return (1, 0)

    return price
