"""A quote: price and input fields of a service, as a flow that sends nothing that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial

from masumi_tools import inputs
from masumi_tools.calls import service
from masumi_tools.calls.call import CALLED, Reply
from masumi_tools.errors import InputError
from masumi_tools.hire.acceptance import above
from masumi_tools.hire.budget import AmountsLike, text_of
from masumi_tools.hire.find import Found
from masumi_tools.hire.known import NEVER, Known
from masumi_tools.hire.notebook import facts
from masumi_tools.hire.operations import LOOK_S, Flow, Patience, TimeIsUp
from masumi_tools.hire.purchase import Purchase, State
from masumi_tools.hire.replies import learn
from masumi_tools.hire.replies.offer import unavailable
from masumi_tools.hire.replies.words import said
from masumi_tools.hire.steps import Send, Ways, next_step
from masumi_tools.inputs import InputSpec
from masumi_tools.models import Listing, PricingType
from masumi_tools.money import Amount, parse_amounts
from masumi_tools.text import Part, parts, plain, plain_text, quoted

QUOTE_MS = 5 * 60_000


@dataclass(frozen=True, slots=True)
class Quote:
    """What a service costs and asks for. `refusal` says why it cannot be hired now, or is None.

    `reached` is False where the service did not answer, so that its input fields are not known. `known` is
    what this journal knows of the service: how often it was hired here, and what came of it.

    `price` is summed per unit in base units, empty for a free service and for a dynamic price, which
    each offer names. A hire with this quote pays this price or is refused; after `until_ms` the price is
    asked for again.
    """

    target: str
    listing: Listing | None
    price: tuple[Amount, ...]
    free: bool
    dynamic: bool
    spec: InputSpec
    made_ms: int
    refusal: str | None
    reached: bool = True
    refusal_parts: tuple[Part, ...] = ()
    known: Known = NEVER

    @property
    def until_ms(self) -> int:
        return self.made_ms + QUOTE_MS

    @property
    def price_text(self) -> str:
        """The price for people: "2 ADA", "free", or "set by each offer"."""
        if self.free:
            return "free"
        return "set by each offer" if self.dynamic else text_of(self.price)

    def _repr_html_(self) -> str:
        return facts(f"quote: {self.listing.name if self.listing else self.target}", _rows(self))


def _rows(quote: Quote) -> list[tuple[str, str]]:
    listing = quote.listing
    return [
        ("price", quote.price_text),
        ("does", listing.description if listing else ""),
        ("agent", listing.agent_identifier if listing else quote.target),
        ("url", listing.api_base_url if listing else ""),
        ("input", inputs.describe(quote.spec)),
        ("known", str(quote.known) if quote.listing else ""),
        ("cannot be hired now", quote.refusal or ""),
    ]


Hireable = str | Listing | Quote
"""Whom to hire: an agent identifier, a URL, a name in the registry, or what `find` and `quote` gave."""


def spoken(wanted: Hireable) -> str:
    """The identifier, URL or name that stands for it."""
    if isinstance(wanted, Quote):
        return wanted.target
    return wanted.agent_identifier or wanted.api_base_url if isinstance(wanted, Listing) else wanted


def of_name(name: str, entries: Sequence[Listing]) -> str:
    """The agent identifier of the one service of this name; InputError with the candidates otherwise, nearest first."""
    wanted = name.strip().casefold()
    exact = [entry for entry in entries if entry.name.strip().casefold() == wanted]
    unread = isinstance(entries, Found) and not entries.complete
    if len(exact) == 1 and not unread:
        return exact[0].agent_identifier
    candidates = "; ".join(
        f'"{plain_text(entry.name, 60)}", {price_of(entry)}, {entry.status or "status unknown"}: {entry.agent_identifier}'
        for entry in (exact or sorted(entries, key=partial(_distance, wanted)))[:5]
    )
    shown = f'"{plain_text(name, 60)}"'
    if unread:
        raise InputError(
            f"more than {len(entries)} services match {shown}, too many to see whether one of them alone has the "
            f"name; choose one by its identifier, such as {candidates}"
        )
    if exact:
        raise InputError(
            f"{len(exact)} services are named {shown}; choose one by its identifier: {candidates}"
        )
    meant = f"; did you mean {candidates}" if candidates else "; look for one with `find`"
    away = f" ({entries.offline} offline)" if isinstance(entries, Found) and entries.offline else ""
    raise InputError(f"no service online is named {shown}{away}; give an agent identifier or a URL{meant}")


def _distance(wanted: str, entry: Listing) -> float:
    """How far this entry's name is from the wanted one: 0 to 1."""
    return 1 - SequenceMatcher(None, wanted[:60], plain_text(entry.name, 60).casefold()).ratio()


def price_of(entry: Listing) -> str:
    """The price of a listing for people."""
    if entry.price.is_free:
        return "free"
    dynamic = entry.price.pricing is PricingType.DYNAMIC
    return "set when hired" if dynamic else text_of(entry.price.amounts)


def agreed(quote: Quote | None, max_price: AmountsLike | None) -> AmountsLike | None:
    """The most that a hire with this quote may cost: its price, or `max_price` where that allows less."""
    if quote is None or quote.free or quote.dynamic:
        return max_price
    if max_price is not None and above(quote.price, most := parse_amounts(max_price)):
        return most
    return quote.price


def quote(p: Purchase, now: int, ways: Ways, patience: Patience) -> Flow[Quote]:
    """Learn price and input fields of `p.target`; `p` is a record that is never saved."""
    pause_s = ways.pace.repeat_ms / 1000
    late = f"there was no answer within {LOOK_S:.0f} s"
    try:
        while p.state is State.ASKED:
            step = next_step(p, now, ways)
            if not isinstance(step, Send):
                break
            reply = yield from patience.read(step.call, pause_s)
            p = learn(p, step.ask, reply, now, ways)
    except TimeIsUp:
        whose = CALLED[patience.silent] if patience.silent else "the service, the registry or the node"
        p = p.but(reason=f"{whose} did not answer within {LOOK_S:.0f} s")
    if p.listing is None:
        return Quote(
            p.target,
            None,
            (),
            False,
            False,
            InputSpec(open_ended=True),
            now,
            plain(p.reason),
            True,
            parts(p.reason),
        )
    url = p.listing.api_base_url
    try:
        why = unavailable((yield from patience.look(service.availability(url))))
        shown = yield from patience.read(service.input_schema(url), pause_s)
    except TimeIsUp:
        why, shown = None, Reply(None, fault="unsent", detail=late)
    reason: str | None = None
    if not shown.sent:
        reason = f"the service did not answer: {said(shown)}"
    elif why is not None:
        reason = f"the service is not accepting jobs: {quoted(why)}"
    spec = inputs.read_input_schema(shown.content if shown.ok else None)
    dynamic = p.listing.price.pricing is PricingType.DYNAMIC
    reason = reason or (quoted(spec.refusal) if spec.refusal else None)
    known = (p.target, p.listing, p.price, p.free, dynamic, spec, now)
    return Quote(*known, plain(reason) if reason else None, shown.sent, parts(reason or ""))
