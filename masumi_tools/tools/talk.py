"""The words of actions: who calls, what a buyer is asked to do, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from masumi_tools.hire.quote import Quote
from masumi_tools.hire.receipt import Receipt
from masumi_tools.money import Amount
from masumi_tools.tools.progress import Listener


@dataclass(frozen=True, slots=True)
class Said:
    """What an action came to: words for the model, the receipt or data for the caller.

    `failed` says that what was asked for did not happen; `code` is the receipt's outcome, "ok",
    "invalid_input" or "error".
    """

    text: str
    failed: bool = False
    code: str = "ok"
    receipt: Receipt | None = None
    data: Any = None


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls.

    Within `scope` equal hires are one; `family` is the beginning of the scopes whose open hires this caller
    may see. `call_id` is the framework's id of this call, `listener` is told its progress. A hire is waited for
    `wait_s`, and never longer than the actions themselves wait.
    """

    scope: str = ""
    family: str = ""
    call_id: str | None = None
    listener: Listener | None = None
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """One method of the buyer or of its journal that is to be called."""

    method: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    of: Literal["buyer", "journal"] = "buyer"


Talk = Generator[Wish, Any, Said]


@dataclass(frozen=True, slots=True)
class Shown:
    """The offer of a service as a person was shown it before a call."""

    name: str
    agent_identifier: str
    url: str
    price: tuple[Amount, ...]
    dynamic: bool
    price_text: str
    seller_vkey: str | None = None

    @staticmethod
    def of(quote: Quote) -> str:
        """The quote as a text to keep; it holds no time, so that equal offers are equal texts."""
        listing = quote.listing
        if listing is None:
            return "null"
        price = [[amount.quantity, amount.unit] for amount in quote.price]
        parts = [listing.name, listing.agent_identifier, listing.api_base_url, price]
        return json.dumps([*parts, quote.dynamic, quote.price_text, listing.seller_vkey])

    @classmethod
    def read(cls, text: str) -> Shown | None:
        """The offer in a text that was kept."""
        parts = json.loads(text)
        if parts is None:
            return None
        name, agent, url, price, dynamic, price_text, *vkey = parts
        return cls(name, agent, url, tuple(Amount(*pair) for pair in price), dynamic, price_text, *vkey)

    def same_service(self, quote: Quote) -> bool:
        """Whether the quote is of the agent, the address and the key that the person was shown."""
        listing = quote.listing
        if listing is None:
            return False
        same = (self.agent_identifier, self.url) == (listing.agent_identifier, listing.api_base_url)
        return same and self.seller_vkey in (None, listing.seller_vkey)
