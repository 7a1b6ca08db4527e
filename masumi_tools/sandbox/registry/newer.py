"""Questions that registries know since July 2026: price, health and order of a list (protocol N18)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .listings import Entry

IN_FILTER = ("pricing", "health")
BESIDE = ("sortBy", "excludeStatus", "registeredAfter", "registeredBefore", "resolveToLatestVersion")


def questions(given: dict[str, Any]) -> dict[str, Any]:
    """The newer questions that a request asks."""
    bounds = given.get("filter")
    asked = {name: bounds[name] for name in IN_FILTER if isinstance(bounds, dict) and name in bounds}
    return asked | {name: given[name] for name in BESIDE if name in given}


def chosen(entries: list[Entry], asked: dict[str, Any]) -> list[Entry]:
    """The entries that keep the bounds, in the order that is asked for."""
    health, pricing = asked.get("health") or {}, asked.get("pricing") or {}
    found = [entry for entry in entries if _healthy(entry, health) and _priced(entry, pricing)]
    order = _ORDERS.get(asked.get("sortBy", ""))
    return found if order is None else sorted(found, key=order, reverse=True)


def _percent(entry: Entry) -> float:
    checks = entry["uptimeCheckCount"]
    return 100 * float(entry["uptimeCount"]) / checks if checks else -1.0


def _healthy(entry: Entry, health: dict[str, Any]) -> bool:
    if _percent(entry) < float(health.get("minUptimePercent", -1)):
        return False
    after = health.get("lastCheckedAfter")
    return after is None or str(entry["lastUptimeCheck"] or "") >= str(after)


def _priced(entry: Entry, pricing: dict[str, Any]) -> bool:
    if not pricing:
        return True
    listed = entry["AgentPricing"] or {}
    if pricing.get("pricingType") not in (None, listed.get("pricingType")):
        return False
    unit = pricing.get("unit")
    amounts = [
        int(row["amount"])
        for row in (listed.get("FixedPricing") or {}).get("Amounts", [])
        if unit in (None, row["unit"])
    ]
    least, most = int(pricing.get("minAmount", 0)), pricing.get("maxAmount")
    return bool(amounts) and sum(amounts) >= least and (most is None or sum(amounts) <= int(most))


def _price(entry: Entry) -> float:
    rows = ((entry["AgentPricing"] or {}).get("FixedPricing") or {}).get("Amounts", [])
    return -float(sum(int(row["amount"]) for row in rows))


_ORDERS: dict[str, Callable[[Entry], Any]] = {
    "uptime": _percent,
    "price": _price,
    "recency": lambda entry: str(entry["createdAt"]),
    "score": lambda entry: float((entry.get("ranking") or {}).get("score", 0)),
}
