"""One call of `hire` with its arguments checked, and the key that makes two equal calls one hire."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from masumi_tools.errors import InputError
from masumi_tools.hire.budget import AmountsLike
from masumi_tools.hire.receipt import Receipt
from masumi_tools.money import Amount, parse_amounts
from masumi_tools.proof import hashing

Policy = Literal["keep", "refund"]
Judge = Callable[[Receipt], Policy | Awaitable[Policy]]


@dataclass(frozen=True, slots=True)
class Order:
    """One call of `hire`, checked: what is wanted of whom, and how it is to be driven."""

    target: str
    input_data: Any
    max_price: tuple[Amount, ...] | None
    scope: str
    call_id: str | None
    again: bool
    reuse_within_ms: int
    on_mismatch: Literal["keep", "refund", "ask"]
    judge: Judge | None = None

    @property
    def key(self) -> str:
        """One open hire per key: scope, agent and canonical input."""
        return hashing.input_hash(f"{self.scope}\x00{_plain(self.target)}", self.input_data)

    def fits(self, target: str, input_data: Any) -> bool:
        """Whether a hire of this target with this input is what is asked for."""
        return _plain(target) == _plain(self.target) and input_data == self.input_data


def order_of(
    target: str,
    input_data: Any,
    *,
    max_price: AmountsLike | None = None,
    scope: str = "",
    call_id: str | None = None,
    again: bool = False,
    reuse_within_s: float = 600,
    on_mismatch: Policy | Judge = "keep",
) -> Order:
    """The arguments of `hire`, checked before anything is sent; InputError says what is wrong."""
    judge = on_mismatch if callable(on_mismatch) else None
    if judge is None and on_mismatch not in ("keep", "refund"):
        raise InputError(
            "on_mismatch is 'keep', 'refund', or a function that takes the receipt and answers one of them"
        )
    if not str(target).strip():
        raise InputError("say whom to hire: an agent identifier, or the https URL of a service")
    target = str(target).strip()
    if not target.startswith(("http://", "https://")):
        if not _is_agent_identifier(target):
            raise InputError(
                f"{target[:80]!r} is neither an agent identifier (57 to 250 hex digits) nor an https URL"
            )
        target = target.lower()  # as it stands on chain, and as registry and node compare it
    if any(mark in target for mark in "?#"):
        raise InputError(f"a service's URL has no query or fragment: {target[:80]!r}")
    data = hashing.normalise({} if input_data is None else input_data)
    return Order(
        target=target,
        input_data=data,
        max_price=None if max_price is None else parse_amounts(max_price),
        scope=scope,
        call_id=None if call_id is None else call_key(call_id, scope),
        again=again,
        reuse_within_ms=int(reuse_within_s * 1000),
        on_mismatch="ask" if callable(on_mismatch) else on_mismatch,
        judge=judge,
    )


def check_orders(orders: Iterable[tuple[str, Any]], options: Mapping[str, Any]) -> None:
    """InputError when one of several orders is none, before anything of the others is sent."""
    checked = {name: value for name, value in options.items() if name not in ("patience_s", "quote")}
    for target, input_data in orders:
        order_of(target, input_data, **checked)


def call_key(call_id: str, scope: str) -> str:
    """Under which name the journal remembers a framework's tool call; ids are only unique within a scope."""
    return hashing.input_hash(f"call\x00{scope}", call_id)


def within(scope: str, outer: str) -> bool:
    """Whether a scope is `outer` or one inside it: thread "1" is not in thread "10". Everything is in ""."""
    return not outer or scope == outer or scope.startswith(f"{outer}\x00")


def _plain(target: str) -> str:
    return target.rstrip("/").lower()


def _is_agent_identifier(text: str) -> bool:
    return 57 <= len(text) <= 250 and all(c in "0123456789abcdefABCDEF" for c in text)
