"""Requests to the registry service: who sells what, for how much. `api` is its URL up to and with /api/v1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from masumi_tools.calls.call import Call, encode

MOST_ENTRIES = 50  # the registry's own limit (protocol N18)
_MOST_QUERY = 120
_MOST_TAG = 150


def payment_information(api: str, agent_identifier: str) -> Call:
    """An agent's entry with its price and its seller's key, which the registry reads from chain."""
    query = urlencode({"agentIdentifier": agent_identifier})
    return Call("GET /payment-information", "registry", f"{api}/payment-information?{query}")


def search(
    api: str,
    network: str,
    query: str,
    *,
    limit: int = MOST_ENTRIES,
    cursor: str | None = None,
    status: Sequence[str] = (),
    tags: Sequence[str] = (),
    capability: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> Call:
    """Entries that have the text in name, description, author, URL, identifier or tags.

    Without `status` only agents that are Online. `cursor` is the id of the last entry of the page
    before, which comes again as the first. `more` are questions that only newer registries know.
    """
    body = _body(network, limit, cursor, status, tags, capability, more)
    body["query"] = query[:_MOST_QUERY]
    return Call("POST /registry-entry-search", "registry", f"{api}/registry-entry-search", encode(body))


def entries(
    api: str,
    network: str,
    *,
    limit: int = MOST_ENTRIES,
    cursor: str | None = None,
    status: Sequence[str] = (),
    tags: Sequence[str] = (),
    capability: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> Call:
    """The entries of a network, newest first; parameters as in `search`."""
    body = _body(network, limit, cursor, status, tags, capability, more)
    return Call("POST /registry-entry", "registry", f"{api}/registry-entry", encode(body))


def iso(ms: int) -> str:
    """A time in ms as the registry reads dates."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def key_status(api: str) -> Call:
    """What the registry's token may do."""
    return Call("GET /api-key-status", "registry", f"{api}/api-key-status")


def health(api: str) -> Call:
    """Whether the registry answers; needs no token."""
    return Call("GET /health", "registry", f"{api}/health")


def _body(
    network: str,
    limit: int,
    cursor: str | None,
    status: Sequence[str],
    tags: Sequence[str],
    capability: str | None,
    more: Mapping[str, Any] | None,
) -> dict[str, Any]:
    body: dict[str, Any] = {"network": network, "limit": max(1, min(limit, MOST_ENTRIES))}
    if cursor is not None:
        body["cursorId"] = cursor
    wanted: dict[str, Any] = {}
    if status:
        wanted["status"] = list(status)
    if tags:
        wanted["tags"] = [tag[:_MOST_TAG] for tag in tags]
    if capability:
        wanted["capability"] = {"name": capability[:_MOST_TAG]}
    asked = dict(more or {})
    wanted |= asked.pop("filter", {})
    body |= asked
    if wanted:
        body["filter"] = wanted
    return body
