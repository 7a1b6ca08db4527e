"""The tools as cards: name, words, argument model and action. A framework's tool is a skin over one card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from masumi_tools.errors import InputError, MasumiError
from masumi_tools.hire.find import SORTS
from masumi_tools.hire.quote import Hireable, Quote
from masumi_tools.inputs import InputField, args_model
from masumi_tools.target import Target
from masumi_tools.tools import wording
from masumi_tools.tools.actions import Actions
from masumi_tools.tools.arguments import Reader
from masumi_tools.tools.forms import AGENT, HIRE_ID, carrier, form, optional
from masumi_tools.tools.talk import Call, Talk

Act = Callable[[Mapping[str, Any], Call], Talk]

FIND: Final = "masumi_find"
QUOTE: Final = "masumi_quote"
HIRE: Final = "masumi_hire"
CHECK: Final = "masumi_check"
ANSWER: Final = "masumi_answer"
REFUND: Final = "masumi_refund"
BUDGET: Final = "masumi_budget"
SEVEN: Final = (FIND, QUOTE, HIRE, CHECK, ANSWER, REFUND, BUDGET)
FOLLOW: Final = wording.Follow(CHECK, ANSWER, REFUND)


@dataclass(frozen=True, slots=True)
class Card:
    """One tool without a framework. The tool of one service knows the `quote` that it was made from."""

    name: str
    description: str
    args: type[BaseModel]
    act: Act
    quote: Quote | None = None
    own_words: str | None = None
    fallback: tuple[Hireable, ...] = ()


class Names:
    """The names that a toolkit has given out: a model that is given two of one name hires the wrong service."""

    def __init__(self) -> None:
        self._taken: dict[str, Target | None] = dict.fromkeys(SEVEN)

    def own(self, quote: Quote, name: str | None, description: str | None, scope: str) -> dict[str, Any]:
        """The keywords of the tool of one service; InputError where another tool has its name."""
        chosen, whom = name or wording.tool_name(quote), Target.kept(quote.target)
        if self._taken.setdefault(chosen, whom) != whom:
            raise InputError(
                f"two tools would be named {chosen!r}, and the wrong service could be hired: give one of them a name="
            )
        return {"name": chosen, "description": description, "scope": scope}


def distinct(names: Sequence[str]) -> None:
    """InputError where two tools that one agent is given have one name."""
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"two tools are named {name!r}, and the wrong service could be hired: give one of them a name="
            )


def agent_card(
    actions: Actions,
    quote: Quote,
    name: str | None,
    description: str | None,
    fallback: Sequence[Hireable] = (),
) -> Card:
    """The tool of one service. MasumiError when no input for it could be formed."""
    if not _usable(quote):
        raise MasumiError(
            f"{quote.target} cannot be hired: {quote.spec.refusal or quote.refusal}",
            phase="quote",
            fault="service",
            repeatable=True,
        )
    actions.keep(quote)
    actions.falls_back = actions.falls_back or bool(fallback)
    name, reader = name or wording.tool_name(quote), Reader(quote.spec)
    return Card(
        name,
        description or wording.tool_description(quote, actions.reuse_within_s),
        args_model(quote.spec, name, reader=reader, quoting=True)[0],
        lambda given, call: actions.hire(quote.target, dict(given), call, fallback=fallback, reader=reader),
        quote,
        description,
        tuple(fallback),
    )


def renewed(actions: Actions, card: Card) -> Card | None:
    """The tool of a service with price and fields as they are known now; None where nothing has changed."""
    before = card.quote
    known = actions.known(before.target) if before else None
    if before is None or known is None or not _usable(known):
        return None
    if (known.price_text, known.spec) == (before.price_text, before.spec):
        return None
    return agent_card(actions, known, card.name, card.own_words, card.fallback)


def _usable(quote: Quote) -> bool:
    return quote.listing is not None and not quote.spec.refusal and (quote.reached or not quote.refusal)


def cards(actions: Actions) -> list[Card]:
    """The seven tools of a toolkit. A service's input is shown as JSON text: no object of free form."""
    actions.follow = FOLLOW
    return [*_before(actions), _hiring(actions), *_after(actions)]


def _wanted() -> type[BaseModel]:
    """What a search may ask for; everything may be left out."""
    return form(
        "FindServices",
        optional("query", "What the service should do, in a few words"),
        optional("tags", "Tags that it must have", "list", item=InputField("tag")),
        optional("capability", "The exact name of a capability"),
        optional("min_price", "The least that it may cost, such as 1 ADA"),
        optional("max_price", "The most that it may cost, such as 2 ADA"),
        optional(
            "min_uptime",
            "The least share of the registry's checks that it answered, 0 to 100 percent",
            "number",
        ),
        optional("checked_within_hours", "Only if the registry checked it within so many hours", "number"),
        optional(
            "sort_by",
            "Order of the list: uptime, price (lowest first), recency (newest first) or score (the registry's ranking)",
            "radio",
            values=SORTS,
            labels=SORTS,
        ),
        optional("everything", "true also shows services that the budget cannot pay", "boolean"),
    )


def _before(actions: Actions) -> list[Card]:
    """What a model looks at before it hires."""

    def find(given: Mapping[str, Any], call: Call) -> Talk:
        hours = given.get("checked_within_hours")  # strict modes make a model send something: 0 is any time
        return actions.find(
            given.get("query") or "",
            given.get("tags") or (),
            given.get("capability"),
            given.get("max_price"),
            bool(given.get("everything")),
            min_price=given.get("min_price"),
            min_uptime=given.get("min_uptime"),
            checked_within_s=hours * 3600 if hours else None,
            sort_by=given.get("sort_by"),
        )

    return [
        Card(
            FIND,
            "Search the registry for agentic services to hire. Costs nothing. Describe the task in a few words; the "
            "result lists services with price and agent identifier. "
            f"Next: call {QUOTE} with one agent identifier.",
            _wanted(),
            find,
        ),
        Card(
            QUOTE,
            "Get one service's price and input fields, and whether the budget covers it. Costs nothing. "
            f"Next: call {HIRE} with the same agent.",
            form("QuoteService", AGENT),
            lambda given, call: actions.quote(given["agent"]),
        ),
    ]


def _hiring(actions: Actions) -> Card:
    def hire(given: Mapping[str, Any], call: Call) -> Talk:
        return actions.hire(given["agent"], given["input_data"], call, max_price=given.get("max_price"))

    return Card(
        HIRE,
        "Hire one service, pay it from the budget through an escrow, wait, and return its result. Costs the "
        f"quoted price. Call {QUOTE} for the input fields first. To wait for an open hire use {CHECK}, never "
        "this tool. The same agent with the same input is not charged again while the hire is open and for "
        f"{actions.reuse_within_s / 60:.0f} minutes after it has ended; later it is a new hire.",
        carrier(
            "HireService",
            {"agent": AGENT.description},
            {"max_price": "The most that may be paid, such as 2 ADA; required where the price is not fixed."},
            "input_data",
            "The service's input fields, by the names that the quote gave.",
        ),
        hire,
    )


def _after(actions: Actions) -> list[Card]:
    """What it does with a hire, and with what is left."""
    return [
        Card(
            CHECK,
            "Wait for an open hire and return its result or how it stands. Costs nothing. "
            "Without hire_id, list the open hires and those that ended lately.",
            form(
                "CheckHire",
                optional("hire_id", HIRE_ID.description),
                optional("wait_seconds", "How long to wait at most, in seconds", "number"),
            ),
            lambda given, call: actions.check(given.get("hire_id"), call, given.get("wait_seconds")),
        ),
        Card(
            ANSWER,
            "Answer the question of a service that you hired, then wait for its result. No extra cost. Never "
            "decide for the user: what the user has not said, ask the user.",
            carrier(
                "AnswerHire",
                {"hire_id": HIRE_ID.description},
                {},
                "answer",
                "The fields that the service asked for, by the names in its question.",
            ),
            lambda given, call: actions.answer(given["hire_id"], given["answer"], call),
        ),
        Card(
            REFUND,
            "Request a refund of a hire, for example because its result is useless. Costs nothing; the service may "
            "dispute it. A result that does not come is refunded without this.",
            form("RefundHire", HIRE_ID),
            lambda given, call: actions.refund(given["hire_id"], call),
        ),
        Card(
            BUDGET,
            "Show how much of the budget is left, reserved, locked and spent. Costs nothing.",
            form("ShowBudget"),
            lambda given, call: actions.budget(),
        ),
    ]
