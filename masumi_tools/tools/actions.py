"""What the tools of every framework do, written once: an action yields wishes to a buyer and ends in a Said.

    Actions.hire(...) ──yields──▶ Wish("hire", ...) ──▶ done by run (plainly) or arun (awaiting)

No action raises: whatever happens is in the Said, in words for the model, with the receipt for the caller.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from masumi_tools.budget import Budget
from masumi_tools.buyer import AsyncBuyer, Buyer
from masumi_tools.errors import InputError, MasumiError
from masumi_tools.flows import Progress
from masumi_tools.receipt import Receipt
from masumi_tools.search import Quote
from masumi_tools.settings import Settings
from masumi_tools.tools import wording
from masumi_tools.tools.arguments import read_arguments
from masumi_tools.tools.buyers import Buyers

log = logging.getLogger("masumi_tools.tools")


@dataclass(frozen=True, slots=True)
class Said:
    """What an action came to: words for the model, the receipt or data for the caller.

    `failed` says that what was asked for did not happen; `code` is the receipt's outcome, "invalid_input"
    or "error".
    """

    text: str
    failed: bool = False
    code: str = ""
    receipt: Receipt | None = None
    data: Any = None


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls: the scope within which equal hires are one, and the framework's id of this call."""

    scope: str = ""
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """One method of a buyer to be called."""

    method: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


Talk = Generator[Wish, Any, Said]


class Actions:
    """The actions of one tool or toolkit over its buyers. Safe to share among threads and event loops."""

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        budget: Budget | None = None,
        buyer: Buyer | AsyncBuyer | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        patience_s: float = 600,
        reuse_within_s: float = 600,
        result_limit: int = wording.RESULT_LIMIT,
    ) -> None:
        self.buyers = Buyers(settings=settings, budget=budget, buyer=buyer, on_progress=on_progress)
        self.follow = wording.ALONE
        self._patience_s = patience_s
        self._reuse_within_s = reuse_within_s
        self._result_limit = result_limit
        self._quotes: dict[str, Quote] = {}
        self._lock = threading.Lock()

    # Driving ---------------------------------------------------------------------------------

    def run(self, talk: Talk) -> Said:
        """Do the wishes of an action plainly; never raises an Exception."""
        answer: Any = None
        error: Exception | None = None
        try:
            while True:
                wish = talk.throw(error) if error is not None else talk.send(answer)
                answer, error = None, None
                try:
                    answer = getattr(self.buyers.plain(), wish.method)(*wish.args, **wish.options)
                except Exception as caught:
                    error = caught
        except StopIteration as end:
            said: Said = end.value
            return said
        except Exception as caught:
            return _broken(caught)

    async def arun(self, talk: Talk) -> Said:
        """Do the wishes of an action, awaiting; never raises an Exception. Cancelling detaches from a hire."""
        answer: Any = None
        error: Exception | None = None
        try:
            while True:
                wish = talk.throw(error) if error is not None else talk.send(answer)
                answer, error = None, None
                try:
                    answer = await getattr(self.buyers.awaiting(), wish.method)(*wish.args, **wish.options)
                except Exception as caught:
                    error = caught
        except StopIteration as end:
            said: Said = end.value
            return said
        except Exception as caught:
            return _broken(caught)

    # Quotes ----------------------------------------------------------------------------------

    def keep(self, quote: Quote) -> None:
        """Remember a quote for as long as it holds."""
        with self._lock:
            self._quotes[_plain(quote.target)] = quote

    def quoted(self, target: str) -> Quote | None:
        """The quote that still holds for this target, or None."""
        with self._lock:
            return self._quotes.get(_plain(target))

    # Actions ---------------------------------------------------------------------------------

    def hire(self, target: str, payload: object, call: Call = Call()) -> Talk:
        """Hire the service with what a model sent as its input."""
        quote = self.quoted(target)
        if quote is None:
            quote = yield Wish("quote", (target,))
            self.keep(quote)
        try:
            data = read_arguments(quote.spec, payload)
        except InputError as error:
            return Said(wording.error_told(error), True, "invalid_input", data=error.field_errors)
        options = {
            "quote": quote,
            "patience_s": self._patience_s,
            "reuse_within_s": self._reuse_within_s,
            "scope": call.scope,
            "call_id": call.call_id,
        }
        receipt = yield Wish("hire", (target, data), options)
        return self.said(receipt)

    def said(self, receipt: Receipt) -> Said:
        """A receipt as what the tool says."""
        text = wording.told(receipt, receipt.changed_ms, self.follow, self._result_limit)
        return Said(text, not (receipt.ok or receipt.open), receipt.outcome, receipt)


def _broken(error: Exception) -> Said:
    if not isinstance(error, MasumiError):
        log.exception("an action of a tool broke", exc_info=error)
    return Said(wording.error_told(error), True, "error")


def _plain(target: str) -> str:
    return target.strip().rstrip("/").lower()
