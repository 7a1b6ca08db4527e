"""Reading rows: resolve, lists, counts and the six diff feeds (protocol N5, N7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..chain.moves import ON_CHAIN_STATES
from ..chain.objects import payment_json, purchase_json, row_json
from ..chain.rows import V1, Row
from ..timetext import read_js
from ..wire import Refusal
from . import schema as s
from .context import IDENTIFIER, NETWORK, SOURCE_TYPE, Context
from .search import fits

LIMIT = s.query_number(1, 100, 10)
STATE = s.choice(ON_CHAIN_STATES, optional=True)
CONTRACT = s.nullable(s.text())

RESOLVE = s.Schema(
    {
        "blockchainIdentifier": IDENTIFIER,
        "network": NETWORK,
        "filterSmartContractAddress": CONTRACT,
        "includeHistory": s.flag_text(),
    }
)
LIST = s.Schema(
    {
        "limit": LIMIT,
        "cursorId": s.text(optional=True),
        "network": NETWORK,
        "filterSmartContractAddress": CONTRACT,
        "filterOnChainState": STATE,
        "filterPaymentSourceType": SOURCE_TYPE,
        "filterNeedsManualAction": s.flag_text(),
        "searchQuery": s.text(optional=True),
        "includeHistory": s.flag_text(),
    }
)
SEED_LIST = s.Schema(dict(LIST.fields) | {"blockchainIdentifier": s.text(most=8000, optional=True)})
COUNT = s.Schema(
    {
        "network": NETWORK,
        "filterNeedsManualAction": s.flag_text(),
        "filterSmartContractAddress": CONTRACT,
        "filterPaymentSourceType": SOURCE_TYPE,
    }
)


def _any_date(value: Any, path: str, issues: list[str]) -> Any:
    if value is s.MISSING:
        return 0
    if not isinstance(value, str):
        return s.text()(value, path, issues)
    found = read_js(value)
    if found is None:
        issues.append(f"{path}: {path} must be a valid ISO date string")
    return found


PURCHASE_DIFF = s.Schema(
    {
        "limit": LIMIT,
        "cursorId": s.text(optional=True),
        "lastUpdate": _any_date,
        "network": NETWORK,
        "filterSmartContractAddress": CONTRACT,
        "filterPaymentSourceType": SOURCE_TYPE,
        "includeHistory": s.flag_text(),
    }
)
PAYMENT_DIFF = s.Schema(
    {
        "limit": LIMIT,
        "cursorId": s.text(optional=True),
        "lastUpdate": s.iso_time(default_ms=0),
        "network": NETWORK,
        "filterSmartContractAddress": CONTRACT,
        "filterPaymentSourceType": SOURCE_TYPE,
        "includeHistory": s.flag_text(),
    }
)

KEYS: dict[str, Callable[[Row], int]] = {
    "any": lambda row: row.changed_ms,
    "action": lambda row: row.action_changed_ms,
    "state": lambda row: row.state_changed_ms,
}


def resolve_purchase(ctx: Context) -> dict[str, Any]:
    """The purchase with exactly this identifier text; 404 is no proof of absence for a scoped key."""
    row = ctx.world.purchase(ctx.need_network(), ctx.data["blockchainIdentifier"])
    if row is None or not _resolved(ctx, row):
        raise Refusal(404, "Purchase not found")
    return purchase_json(row, history=ctx.data["includeHistory"])


def resolve_payment(ctx: Context) -> dict[str, Any]:
    """The payment with exactly this identifier text."""
    row = ctx.world.payment(ctx.need_network(), ctx.data["blockchainIdentifier"])
    if row is None or not _resolved(ctx, row):
        raise Refusal(404, "Payment not found")
    return payment_json(row, history=ctx.data["includeHistory"])


def list_purchases(ctx: Context) -> dict[str, Any]:
    return {"Purchases": _page(ctx, ctx.world.purchases)}


def list_payments(ctx: Context) -> dict[str, Any]:
    return {"Payments": _page(ctx, ctx.world.payments)}


def count_purchases(ctx: Context) -> dict[str, Any]:
    return {"total": sum(1 for _ in _chosen(ctx, ctx.world.purchases))}


def count_payments(ctx: Context) -> dict[str, Any]:
    return {"total": sum(1 for _ in _chosen(ctx, ctx.world.payments))}


def diff_purchases(by: str) -> Callable[[Context], dict[str, Any]]:
    return lambda ctx: {"Purchases": _changes(ctx, ctx.world.recent_purchases, KEYS[by])}


def diff_payments(by: str) -> Callable[[Context], dict[str, Any]]:
    return lambda ctx: {"Payments": _changes(ctx, ctx.world.recent_payments, KEYS[by])}


def _resolved(ctx: Context, row: Row) -> bool:
    contract = ctx.data["filterSmartContractAddress"]
    return ctx.sees(row) and contract in (None, row.source.contract_address)


def _chosen(ctx: Context, rows: Iterable[Row]) -> Iterable[Row]:
    """Rows that fit the filters. Without a filter of source or contract only V1 ones (fact 7)."""
    data = ctx.data
    network, contract = ctx.need_network(), data["filterSmartContractAddress"]
    source_type = data["filterPaymentSourceType"] or (V1 if contract is None else None)
    state, manual = data.get("filterOnChainState"), data.get("filterNeedsManualAction")
    query, identifier = data.get("searchQuery"), data.get("blockchainIdentifier")
    if identifier:
        source_type = data["filterPaymentSourceType"]
    for row in rows:
        source = row.source
        if source.network != network or contract not in (None, source.contract_address):
            continue
        if source_type not in (None, source.source_type) or state not in (None, row.on_chain):
            continue
        if identifier and row.identifier != identifier:
            continue
        if manual and not _needs_a_person(row):
            continue
        if ctx.sees(row) and (not query or fits(row, query)):
            yield row


def _needs_a_person(row: Row) -> bool:
    return row.action.requested == "WaitingForManualAction" or row.action.error_type is not None


def _page(ctx: Context, rows: list[Any]) -> list[dict[str, Any]]:
    """Newest first; the cursor's own row comes again; a cursor that does not fit gives nothing (22)."""
    limit, cursor = ctx.data["limit"], ctx.data["cursorId"] or None
    page: list[dict[str, Any]] = []
    started = cursor is None
    for row in _chosen(ctx, reversed(rows)):
        started = started or row.id == cursor
        if started:
            page.append(row_json(row, history=ctx.data["includeHistory"]))
            if len(page) == limit:
                break
    return page


def _changes(ctx: Context, recent: dict[str, Any], key: Callable[[Row], int]) -> list[dict[str, Any]]:
    """Rows changed since ``lastUpdate``, oldest change first, ties by id; the cursor's row comes again."""
    since, cursor = ctx.data["lastUpdate"], ctx.data["cursorId"] or None
    found = []
    for row in _chosen(ctx, _from_newest(recent, since)):
        at = key(row)
        if at > since or (at == since and (cursor is None or row.id >= cursor)):
            found.append(row)
    found.sort(key=lambda row: (key(row), row.id))
    history = ctx.data["includeHistory"]
    return [row_json(row, history=history) for row in found[: ctx.data["limit"]]]


def _from_newest(recent: dict[str, Any], since: int) -> Iterable[Any]:
    for row in reversed(recent.values()):
        if row.changed_ms < since:
            return
        yield row
