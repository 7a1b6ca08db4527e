"""How a listed agent is reached, and whether its listing still holds: kind, address, successor, health, claims."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from masumi_tools.models.wire import Names, short

STANDARD: Final = "Standard"
# The registry's words and those on the chain; what is not known counts as Standard (protocol N18).
_KINDS: Final[Mapping[str, str]] = {
    "openapi": "OpenApi",
    "openapiv1": "OpenApi",
    "x402": "X402",
    "x402v1": "X402",
    "a2a": "A2A",
    "a2av1": "A2A",
}
_HOW: Final[Mapping[str, str]] = {
    "OpenApi": "called by its own OpenAPI document",
    "X402": "paid by x402 over HTTP on an EVM chain",
    "A2A": "reached by the A2A protocol",
}
_INNER_NAMES: Final = re.compile(
    r"(?:.*\.)?(?:localhost|local|internal|intranet|lan|home|corp|localdomain|invalid|test|home\.arpa)\.?",
    re.IGNORECASE,
)
_PLACEHOLDER: Final = re.compile(
    r"(?:^|[.-])(?:your-|my-?domain(?:[.-]|$)|your(?:domain|server|host|agent|url|site|company|app|api|service))"
    r"|placeholder|change-?me|replace-?me|url-?here|[<>{}$%*\[\]]|\.\.",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Health:
    """What the registry's own checks saw: how many of how many answered, and when the last one was, ms."""

    up: int = 0
    checks: int = 0
    checked_ms: int | None = None

    @property
    def percent(self) -> float | None:
        """The share of checks that answered; None for an agent that was never checked."""
        return 100 * min(self.up, self.checks) / self.checks if self.checks > 0 else None


def kind_of(names: Names) -> str:
    """The kind of an entry: Standard, OpenApi, X402 or A2A."""
    word = (names.text("type", "agentType", "registrationType") or "").strip().lower()
    if (known := _KINDS.get(re.sub(r"[\s_-]", "", word))) is not None:
        return known
    if names.text("apiBaseUrl", "apiUrl") is None and names.text("agentCardUrl") is not None:
        return "A2A"
    return STANDARD


def kind_problem(kind: str) -> str | None:
    """Why an entry of this kind cannot be hired here; None for one that can."""
    if kind == STANDARD:
        return None
    return f"type: this is an {kind} agent, {_HOW[kind]}; only Standard (MIP-003) services can be hired"


def out_of_reach(url: str) -> str:
    """Why nobody but its own machine or network can reach this address; empty where it can be tried.

    Names are not resolved here; what a name leads to is checked when it is connected to.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return ""
    if not host:
        return ""
    shown = short(host, 80)
    try:
        address = ip_address(host)
    except ValueError:
        if _INNER_NAMES.fullmatch(host) or "." not in host.rstrip("."):
            return f"apiBaseUrl: {shown} is a name inside one machine or network"
        if _PLACEHOLDER.search(host):
            return f"apiBaseUrl: {shown} is a placeholder, no address"
    else:
        if not address.is_global:
            return f"apiBaseUrl: {shown} is a loopback, private or reserved address"
    if parts.scheme == "http":
        return f"apiBaseUrl: {shown} is offered without https"
    return ""


def is_loopback(url: str) -> bool:
    """Whether the address is on this very machine, where a sandbox may run its services."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or host.endswith(".localhost") or ip_address(host).is_loopback
    except ValueError:
        return False


def health(names: Names) -> Health:
    """The registry's health checks in an entry."""
    up, checks = (_count(names.get(name)) for name in ("uptimeCount", "uptimeCheckCount"))
    return Health(up, checks, moment(names.get("lastUptimeCheck")) if checks else None)


def score(names: Names) -> float | None:
    """The registry's own ranking of an entry, which holds within one list of results only."""
    ranking = names.object("ranking")
    value = ranking.get("score") if ranking else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def claims(names: Names) -> Iterator[str]:
    """What an entry claims of its identity. The registry stores these and verifies nothing."""
    for entry in names.list("Verifications")[:10]:
        claim = Names(entry) if isinstance(entry, Mapping) else None
        if claim is not None and (method := claim.text("method")):
            issuer = claim.object("issuer")
            by = issuer.text("aid") if issuer else None
            yield short(f"{method} by {by}" if by else method, 120)


def moment(value: Any) -> int | None:
    """A time as ISO text or as ms, in ms; None where it is neither."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 10**11:
        return value
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _count(value: Any) -> int:
    if isinstance(value, str) and value.isdecimal() and len(value) < 16:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
