"""What a checkpoint or a pickle keeps of a tool, and the tool's actions made anew from it.

Kept are names and limits: the budget, where node, registry and journal are, the options. Never a secret:
tokens come from the environment of the process that restores, which has to name the same places. A limit
that cannot be written down (a function that approves, a journal in memory) is kept as what it was, and
restoring such a tool raises: there is no tool without its limits.
"""

from __future__ import annotations

import copyreg
import dataclasses
import json
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from masumi_tools.errors import MasumiError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import AsyncBuyer, Buyer
from masumi_tools.hire.quote import spoken
from masumi_tools.hire.request import Judge
from masumi_tools.settings import VARIABLES, Settings
from masumi_tools.text import redact
from masumi_tools.tools.actions import Actions
from masumi_tools.tools.toolset import Card, agent_card, cards
from masumi_tools.tools.wording import Follow

__all__ = ["KEPT", "card_again", "keep", "keep_tool", "restored", "restoring"]

KEPT: Final = "masumi"  # the name under which a framework's own form of a tool holds it
_FORM: Final = 1
_OPTIONS: Final = ("patience_s", "reuse_within_s", "result_limit", "trace_content")
_PARTS: Final = (
    *_OPTIONS,
    "budget",
    "places",
    "allow",
    "max_price",
    "on_mismatch",
    "asks_first",
    "follow",
    "cannot_be_kept",
)
_PLACES: Final = ("node_url", "registry_url", "network", "database_url", "sandbox")
_AGAIN: Final = "make the tools again in code and give them to a new run; open hires are in the journal, and equal calls join them"


# Keeping -------------------------------------------------------------------------------------


def keep(actions: Actions) -> dict[str, Any]:
    """The actions as plain JSON values, without a secret."""
    lost: list[str] = []
    buyers, options = actions.buyers, actions.options
    judged = not isinstance(options["on_mismatch"], str)
    if judged:
        lost.append("on_mismatch, a function,")
    if buyers.budget is not None and buyers.budget.approve is not None:
        lost.append("approve, a function,")
    if ":memory:" in buyers.journal_url or buyers.journal_url in ("sqlite://", "sqlite:///"):
        lost.append("a journal in memory")
    return {
        "form": _FORM,
        "budget": buyers.budget.as_json() if buyers.budget else None,
        "places": {**_places(buyers.settings), "database_url": redact(buyers.journal_url, 1_000)},
        "allow": None if actions.allow is None else sorted(map(str, actions.allow)),
        "max_price": None if options["max_price"] is None else [*map(str, options["max_price"])],
        "on_mismatch": "asks" if judged else options["on_mismatch"],
        "asks_first": actions.asks_first,
        "follow": dataclasses.asdict(actions.follow),
        "cannot_be_kept": lost,
        **{name: options[name] for name in _OPTIONS},
    }


def keep_tool(actions: Actions, card: Card) -> dict[str, Any]:
    """One tool: its actions, and what makes its card."""
    fallback = [spoken(one) for one in card.fallback]
    return {**keep(actions), "card": card.name, "words": card.own_words, "fallback": fallback}


def _places(settings: Settings) -> dict[str, Any]:
    given = {name: getattr(settings, name) for name in _PLACES}
    return {name: redact(value, 1_000) if isinstance(value, str) else value for name, value in given.items()}


# Restoring -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Given:
    buyer: Buyer | AsyncBuyer
    on_mismatch: Judge | None


_given: ContextVar[_Given | None] = ContextVar("masumi_restoring", default=None)


@contextmanager
def restoring(buyer: Buyer | AsyncBuyer, *, on_mismatch: Judge | None = None) -> Iterator[None]:
    """Inside, tools that a checkpoint or a pickle holds are restored with this buyer.

        with restoring(Buyer(settings, budget=budget)):
            crew = Crew.from_checkpoint(config)

    For settings that are not in the environment, and for limits that are functions (`approve`, `on_mismatch`).
    MasumiError where the buyer's budget, node or journal are not those that the tool had.
    """
    token = _given.set(_Given(buyer, on_mismatch))
    try:
        yield
    finally:
        _given.reset(token)


_lock = threading.Lock()
_live: weakref.WeakValueDictionary[tuple[str, int], Actions] = weakref.WeakValueDictionary()


def restored(kept: Any, name: str = "a tool") -> Actions:
    """The actions that were kept, with all their limits; MasumiError says which of them cannot be had.

    Tools of one toolkit share their actions again. Nothing is sent, and no file is opened.
    """
    if not isinstance(kept, Mapping) or kept.get("form") != _FORM:
        raise _refusal(name, "what was kept holds no limits that this version can read")
    given = _given.get()
    alike = {part: kept.get(part) for part in _PARTS}
    key = (json.dumps(alike, sort_keys=True), id(given.buyer) if given else 0)
    with _lock:
        actions = _live.get(key)
        if actions is None:
            try:
                actions = _anew(kept, given, name)
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise _refusal(name, "what was kept of its limits cannot be read") from error
            _live[key] = actions
    return actions


def card_again(actions: Actions, kept: Mapping[str, Any], target: str | None) -> Card:
    """The card of a tool that was kept; that of one service asks again what it costs and wants."""
    if target is None:
        return {card.name: card for card in cards(actions)}[kept["card"]]
    quote = actions.buyers.plain().quote(target)
    return agent_card(actions, quote, kept["card"], kept["words"], kept["fallback"])


copyreg.pickle(Actions, lambda actions: (restored, (keep(actions),)))


def _anew(kept: Mapping[str, Any], given: _Given | None, name: str) -> Actions:
    options: dict[str, Any] = {option: kept[option] for option in _OPTIONS}
    options["allow"] = kept["allow"]
    options["max_price"] = kept["max_price"]
    options["on_mismatch"] = kept["on_mismatch"]
    if given is not None:
        options["buyer"] = given.buyer
        if kept["on_mismatch"] == "asks" and given.on_mismatch is not None:
            options["on_mismatch"] = given.on_mismatch
    else:
        if kept["cannot_be_kept"]:
            raise _refusal(name, f"{' and '.join(kept['cannot_be_kept'])} cannot be kept")
        options["settings"] = Settings.from_env()
        options["budget"] = _limits(kept["budget"])
    if options["on_mismatch"] == "asks":
        raise _refusal(name, "the function that was its on_mismatch cannot be kept")
    actions = Actions(**options)
    _same(kept, keep(actions), name)
    actions.follow = Follow(**kept["follow"])
    actions.asks_first = actions.unasked = bool(kept["asks_first"])
    return actions


def _limits(kept: Any) -> Budget | None:
    """The budget, if this version knows every limit that it had and it has every limit that this version knows."""
    if kept is None:
        return None
    if set(kept) != set(Budget("0 ADA").as_json()):
        raise KeyError("a limit")
    return Budget.of_json(kept)


def _same(kept: Mapping[str, Any], now: Mapping[str, Any], name: str) -> None:
    """MasumiError where node, journal or budget are others than those of the tool that was kept."""
    for place in _PLACES:
        if kept["places"][place] != now["places"][place]:
            variable = VARIABLES[place][0]
            was, here = (redact(one["places"][place], 200) for one in (kept, now))
            raise _refusal(name, f"its {place} was {was} and is {here} here ({variable})")
    for what in ("budget", "allow", "max_price", "on_mismatch"):
        if kept[what] != now[what]:
            raise _refusal(name, f"its {what} was another one")
    missing = set(kept["cannot_be_kept"]) - set(now["cannot_be_kept"])
    if missing:
        raise _refusal(name, f"{' and '.join(sorted(missing))} is missing here")


def _refusal(name: str, why: str) -> MasumiError:
    return MasumiError(
        f"{redact(name, 100)} cannot be restored with its limits: {why}. Nothing was sent; {_AGAIN}",
        phase="restore",
        fault="caller",
    )
