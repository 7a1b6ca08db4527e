"""The seller's requests to its payment node: ask for payment, hand in results, register agents.

`api` is the node's URL up to and with /api/v1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from masumi_tools.calls.call import Call, encode
from masumi_tools.calls.node import MOST_ROWS, PURCHASE_S
from masumi_tools.models import JobTimes
from masumi_tools.money import Amount, as_wire

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def payment(
    api: str,
    *,
    network: str,
    agent_identifier: str,
    input_hash: str,
    identifier_from_purchaser: str,
    times: JobTimes,
    requested_funds: Sequence[Amount] = (),
    source_type: str | None = None,
    source_index: int | None = None,
    seller_return_address: str | None = None,
) -> Call:
    """Ask the node for a payment, whose values the buyer is given. Not to be repeated: each makes a new one.

    `requested_funds` only for a dynamic price, `source_index` only (and always) for Web3CardanoV2
    (protocol N3). All four times are said: the node's own defaults are broken.
    """
    body: dict[str, Any] = {
        "network": network,
        "agentIdentifier": agent_identifier,
        "inputHash": input_hash,
        "identifierFromPurchaser": identifier_from_purchaser,
        **{name: iso(int(ms)) for name, ms in times.as_wire().items()},
    }
    if requested_funds:
        body["RequestedFunds"] = as_wire(requested_funds)
    if source_type is not None:
        body["paymentSourceType"] = source_type
    if source_index is not None:
        body["supportedPaymentSourceIndex"] = source_index
    if seller_return_address is not None:
        body["sellerReturnAddress"] = seller_return_address
    return Call("POST /payment", "node", f"{api}/payment", encode(body), PURCHASE_S)


def iso(ms: int) -> str:
    """A time in ms as the node reads dates: UTC with "Z"; it refuses "+00:00" (protocol N3)."""
    return f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=64)
def _second(s: int) -> str:
    """The times of all jobs that begin in one second lie in the same four."""
    return (_EPOCH + timedelta(seconds=s)).isoformat().removesuffix("+00:00")


def resolve_payment(api: str, blockchain_identifier: str, network: str) -> Call:
    """The payment of this identifier."""
    return _action(api, "/payment/resolve-blockchain-identifier", blockchain_identifier, network)


def submit_result(api: str, blockchain_identifier: str, network: str, result_hash: str) -> Call:
    """Hand in the hash of the result, 64 hex digits. A repeat is 404: the payment's state tells."""
    path = "/payment/submit-result"
    return _action(api, path, blockchain_identifier, network, submitResultHash=result_hash.lower())


def authorize_refund(api: str, blockchain_identifier: str, network: str) -> Call:
    """Give the money back, where the buyer asked for it or disputes."""
    return _action(api, "/payment/authorize-refund", blockchain_identifier, network)


def payment_diff(
    api: str, network: str, *, source_type: str, last_update_ms: int | None = None, cursor: str | None = None,
    limit: int = MOST_ROWS,
) -> Call:  # fmt: skip
    """Payments whose state changed since `last_update_ms`, oldest change first; as the purchases' `diff`."""
    values = {
        "network": network,
        "limit": limit,
        "lastUpdate": iso(last_update_ms) if last_update_ms is not None else None,
        "cursorId": cursor,
        "filterPaymentSourceType": source_type,
    }
    query = urlencode({name: value for name, value in values.items() if value is not None})
    return Call("GET /payment/diff", "node", f"{api}/payment/diff?{query}")


def register(api: str, body: Mapping[str, Any]) -> Call:
    """Register an agent (mints its NFT; minutes). `registration_body` makes the body."""
    return Call("POST /registry", "node", f"{api}/registry", encode(body), PURCHASE_S)


def registration_body(
    *,
    network: str,
    selling_wallet_vkey: str,
    name: str,
    description: str,
    api_base_url: str,
    tags: Sequence[str],
    capability: tuple[str, str],
    author: str,
    pricing: Mapping[str, Any] | None = None,
    contact_email: str | None = None,
    organization: str | None = None,
    example_outputs: Sequence[Mapping[str, str]] = (),
    legal: Mapping[str, str] | None = None,
    payment_sources: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The body that registers an agent: for Web3CardanoV1 with `pricing`, for Web3CardanoV2 with
    `payment_sources`, each of which has its own price. The node refuses the other's (protocol N13).

    `pricing` from `fixed_pricing`, {"pricingType": "Free"} or {"pricingType": "Dynamic"}.
    """
    known = {"name": author, "contactEmail": contact_email, "organization": organization}
    body: dict[str, Any] = {
        "network": network,
        "sellingWalletVkey": selling_wallet_vkey,
        "name": name,
        "description": description,
        "apiBaseUrl": api_base_url,
        "Tags": list(tags),
        "Capability": {"name": capability[0], "version": capability[1]},
        "Author": {field: value for field, value in known.items() if value},
        "ExampleOutputs": [dict(example) for example in example_outputs],
    }
    if pricing is not None:
        body["AgentPricing"] = dict(pricing)
    if legal:
        body["Legal"] = dict(legal)
    if payment_sources:
        body["supportedPaymentSources"] = [dict(source) for source in payment_sources]
    return body


def fixed_pricing(amounts: Sequence[Amount]) -> dict[str, Any]:
    """The pricing of a fixed price; ADA is "lovelace" in the registry's metadata."""
    rows = [{"unit": row["unit"] or "lovelace", "amount": row["amount"]} for row in as_wire(amounts)]
    return {"pricingType": "Fixed", "Pricing": rows}


def deregister(api: str, agent_identifier: str, network: str) -> Call:
    """Take an agent off the registry (burns its NFT)."""
    body = {"agentIdentifier": agent_identifier, "network": network}
    return Call("POST /registry/deregister", "node", f"{api}/registry/deregister", encode(body), PURCHASE_S)


def update(api: str, agent_identifier: str, body: Mapping[str, Any]) -> Call:
    """Change an agent of Web3CardanoV2: burns and mints anew, so that its identifier changes."""
    # The wallet is the one that holds the agent, and the price stands in each payment source (protocol N13).
    full = {name: value for name, value in body.items() if name not in ("sellingWalletVkey", "AgentPricing")}
    full["agentIdentifier"] = agent_identifier
    return Call("POST /registry/update", "node", f"{api}/registry/update", encode(full), PURCHASE_S)


def registrations(
    api: str,
    network: str,
    *,
    agent_identifier: str | None = None,
    source_type: str | None = None,
    cursor: str | None = None,
    limit: int = MOST_ROWS,
) -> Call:
    """The agents that were registered through this node; without `source_type` only those of one kind."""
    values = {
        "network": network,
        "limit": limit,
        "cursorId": cursor,
        "filterAgentIdentifier": agent_identifier,
        "filterPaymentSourceType": source_type,
    }
    query = urlencode({name: value for name, value in values.items() if value is not None})
    return Call("GET /registry", "node", f"{api}/registry?{query}")


def _action(api: str, path: str, blockchain_identifier: str, network: str, **more: str) -> Call:
    body = {"blockchainIdentifier": blockchain_identifier, "network": network, **more}
    return Call(f"POST {path}", "node", f"{api}{path}", encode(body))
