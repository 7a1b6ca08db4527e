"""One call of `hire` with its arguments checked, and the key that makes two equal calls one hire."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from masumi_tools.errors import InputError
from masumi_tools.hire.budget import AmountsLike
from masumi_tools.hire.receipt import Receipt
from masumi_tools.money import Amount, parse_amounts
from masumi_tools.proof import hashing
from masumi_tools.target import Target
from masumi_tools.text import no_text, plain_text

Policy = Literal["keep", "refund"]
Judge = Callable[[Receipt], Policy | Awaitable[Policy]]


@dataclass(frozen=True)
class Order:
    """One call of `hire`, checked: what is wanted of whom, and how it is to be driven."""

    target: Target
    given: str
    input_data: Any
    budget: str
    max_price: tuple[Amount, ...] | None
    scope: str
    call_id: str | None
    older_call_id: str | None
    again: bool
    reuse_within_ms: int
    on_mismatch: Literal["keep", "refund", "ask"]
    judge: Judge | None = None
    approved_by: str = ""  # where a person said yes to the price of the quote before
    rivals: tuple[str, ...] = ()  # the keys of the hires of which one at a time may be open

    @cached_property
    def key(self) -> str:
        """One open hire per key: scope, budget, target and canonical input."""
        whose = json.dumps([self.scope, self.budget, self.target.text])
        return hashing.input_hash(whose, self.input_data)

    @cached_property
    def older_key(self) -> str:
        """The key that journals had before the budget belonged to it and paths kept their case."""
        return hashing.input_hash(f"{self.scope}\x00{self.given.rstrip('/').lower()}", self.input_data)

    def fits(self, target: Target, input_data: Any) -> bool:
        """Whether a hire of this target with this input is what is asked for."""
        return target == self.target and input_data == self.input_data


def order_of(
    target: str,
    input_data: Any,
    *,
    budget: str = "",
    max_price: AmountsLike | None = None,
    scope: str = "",
    call_id: str | None = None,
    again: bool = False,
    reuse_within_s: float = 600,
    on_mismatch: Policy | Judge = "keep",
    approved_by: str = "",
) -> Order:
    """The arguments of `hire`, checked before anything is sent; InputError says what is wrong."""
    policy = checked_policy(on_mismatch)
    check_texts(scope=scope, budget=budget)
    whom = Target.read(target)
    data = hashing.normalise({} if input_data is None else input_data)
    return Order(
        target=whom,
        given=str(target).strip(),
        input_data=data,
        budget=budget,
        max_price=None if max_price is None else parse_amounts(max_price),
        scope=scope,
        call_id=call_key(call_id, scope, budget) if call_id else None,
        older_call_id=call_key(call_id, scope) if call_id else None,
        again=again,
        reuse_within_ms=int(reuse_within_s * 1000),
        on_mismatch="ask" if callable(policy) else policy,
        judge=policy if callable(policy) else None,
        approved_by=approved_by,
    )


def orders_of(
    targets: Sequence[str],
    input_data: Any,
    prices: Sequence[AmountsLike | None],
    *,
    call_id: str | None = None,
    approved_by: str = "",
    **options: Any,
) -> list[Order]:
    """The orders of one call: of the first service, and of those that are hired when it does not do the work.

    Each has its own most price; at most one of their hires is ever open, and only the first was approved
    before. InputError says what is wrong.
    """
    check_texts(approved_by=approved_by)
    approved_by = plain_text(approved_by, 200)
    calls = [f"{call_id}\x00{number}" if number and call_id else call_id for number in range(len(targets))]
    orders = [
        order_of(target, input_data, max_price=most, call_id=call, **options)
        for target, most, call in zip(targets, prices, calls, strict=True)
    ]
    if len({order.target for order in orders}) < len(orders):
        raise InputError("fallback= names a service twice, or the one that is hired first")
    keys = tuple(order.key for order in orders) if len(orders) > 1 else ()
    first, *others = (replace(order, rivals=keys) for order in orders)
    return [replace(first, approved_by=approved_by), *others]


def checked_policy(on_mismatch: Policy | Judge) -> Policy | Judge:
    """What is to become of a result that does not match, or InputError."""
    if not callable(on_mismatch) and on_mismatch not in ("keep", "refund"):
        raise InputError(
            "on_mismatch is 'keep', 'refund', or a function that takes the receipt and answers one of them"
        )
    return on_mismatch


def check_texts(**named: object) -> None:
    """InputError that names the argument which is no text, rather than what would be made of it."""
    name = no_text(named)
    if name is not None:
        what = "has a lone surrogate, which is not text" if isinstance(named[name], str) else "must be text"
        raise InputError(f"{name} {what}.", field_errors={name: [what]})


def check_orders(orders: Iterable[tuple[str, Any]], options: Mapping[str, Any]) -> None:
    """InputError when one of several orders is none, before anything of the others is sent."""
    checked = {name: value for name, value in options.items() if name not in ("patience_s", "quote")}
    for target, input_data in orders:
        order_of(target, input_data, **checked)


def call_key(call_id: str, scope: str, budget: str | None = None) -> str:
    """Under which name the journal remembers a framework's tool call; ids are only unique within a scope.

    Without a budget it is the name that older journals gave it.
    """
    check_texts(call_id=call_id, scope=scope, budget=budget or "")
    whose = f"call\x00{scope}" if budget is None else json.dumps(["call", scope, budget])
    return hashing.input_hash(whose, call_id)


def within(scope: str, outer: str) -> bool:
    """Whether a scope is `outer` or one inside it: thread "1" is not in thread "10". Everything is in ""."""
    return not outer or scope == outer or scope.startswith(f"{outer}\x00")
