"""Asking a person before a hire: whether a price needs it, and what the person is shown."""

from __future__ import annotations

from typing import Any

from masumi_tools.errors import InputError
from masumi_tools.hire.acceptance import above as exceeds
from masumi_tools.hire.budget import AmountsLike
from masumi_tools.money import parse_amounts
from masumi_tools.text import plain_text
from masumi_tools.tools.actions import Actions
from masumi_tools.tools.talk import Call, Said, Shown, Talk
from masumi_tools.tools.wording import named


class Approval:
    """Whether and what to ask before calls of one tool: of a toolkit's hire, or of the tool of one `target`.

    `above` is the price up to which nobody is asked (None: every price but nothing is asked about). Both
    answers are the same whenever they are asked for again, in this process or another: the first offer
    that was shown for a call is kept in the journal, and the hire of that call is held to its price.
    """

    def __init__(self, actions: Actions, target: str | None, above: AmountsLike | None) -> None:
        if actions.falls_back:
            raise InputError(
                "a tool with fallback= may hire services that the person was not asked about: leave fallback= out, "
                "or set approve_above= in its budget"
            )
        actions.asks_first, actions.unasked = True, False
        self._actions = actions
        self._target = target
        self._above = () if above is None else parse_amounts(above)

    def asks(self, given: Any, call: Call) -> bool:
        """Whether a person has to say yes to this call. A call without an offer asks nobody: it is refused."""
        shown = self._shown(given, call)
        if shown is None:
            return False
        return shown.dynamic or exceeds(shown.price, self._above) is not None

    def question(self, given: Any, call: Call) -> str:
        """What the person is shown: the service, its price, and the input."""
        shown = self._shown(given, call)
        if shown is None:
            return "No quote is available for this service: the call will be refused."
        price = shown.price_text
        if shown.dynamic:
            most = plain_text(_part(given, "max_price"), 100) or "what the budget allows"
            price = f"a price that is set when it is hired, at most {most}"
        return (
            f"Hire {named(shown.name)} for {price}? If the price changes, nothing is paid.\n"
            f"Agent: {shown.agent_identifier}\n"
            f"Service: {plain_text(shown.url, 300)}\n"
            f"Input: {plain_text(str(self._payload(given)), 2_000)}"
        )

    def vouch(self, given: Any, call: Call, by: str) -> None:
        """A person said yes to this call in the framework `by`: the hire that it makes is approved for its price."""
        target = self._target or _part(given, "agent")
        if isinstance(target, str):
            self._actions.run(self._actions.vouch(target, self._payload(given), call, by))

    def _payload(self, given: Any) -> Any:
        return given if self._target is not None else _part(given, "input_data")

    def _shown(self, given: Any, call: Call) -> Shown | None:
        target = self._target or _part(given, "agent")
        if not isinstance(target, str):
            return None
        found: list[Shown | None] = []

        def talk() -> Talk:
            found.append((yield from self._actions.show(target, self._payload(given), call)))
            return Said("")

        self._actions.run(talk())
        return found[0] if found else None


def _part(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, dict) else None
