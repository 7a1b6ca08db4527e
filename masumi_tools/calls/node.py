"""Requests to the buyer's or seller's payment node. `api` is its URL up to and with /api/v1.

Today's routes, and for nodes of the older kind the two that the seed names: GET /purchase to find a
purchase in a list and PATCH /purchase to ask for the money back (protocol N19). The seller's routes are
in `masumi_tools.calls.selling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from masumi_tools.calls.call import Call, encode
from masumi_tools.models import Terms
from masumi_tools.money import Amount, as_wire
from masumi_tools.proof import identifier

MOST_ROWS = 100  # the node's own limit for lists (protocol N1)
# A purchase reads the chain before it answers, and its node may sit behind a slow provider.
PURCHASE_S = 60.0
_V2 = "Web3CardanoV2"


def purchase_body(terms: Terms, *, network: str, nonce: str, amounts: Sequence[Amount]) -> bytes:
    """The body that orders the escrow: made once, stored, and sent byte for byte at each repeat.

    `nonce` is our identifier_from_purchaser. `amounts` are always said, so that the node refuses another
    price than the one agreed (protocol N4). What only the second kind of escrow signs (source index,
    return address) is left out for the first, whose node refuses it. IdentifierError when the terms'
    identifier does not decode.
    """
    source_type = identifier.decode(terms.blockchain_identifier).source_type
    body: dict[str, Any] = {
        "blockchainIdentifier": terms.blockchain_identifier,
        "network": network,
        "inputHash": terms.input_hash,
        "sellerVkey": terms.seller_vkey,
        "agentIdentifier": terms.agent_identifier,
        "identifierFromPurchaser": nonce,
        **terms.times.as_wire(),
        "Amounts": as_wire(amounts),
        "paymentSourceType": source_type,
    }
    if source_type == _V2:
        if terms.source_index is not None:
            body["supportedPaymentSourceIndex"] = terms.source_index
        if terms.seller_return_address is not None:
            body["sellerReturnAddress"] = terms.seller_return_address
    return encode(body)


def purchase(api: str, body: bytes) -> Call:
    """Order the escrow. 200 and 409 both mean that it is stored; 5xx and silence mean that nobody knows."""
    return Call("POST /purchase", "node", f"{api}/purchase", body, PURCHASE_S)


def resolve(api: str, blockchain_identifier: str, network: str, *, history: bool = False) -> Call:
    """The purchase of this identifier. 404 is no proof that there is none (protocol N5)."""
    body = {"blockchainIdentifier": blockchain_identifier, "network": network}
    if history:
        body["includeHistory"] = "true"  # the node wants text here
    path = "/purchase/resolve-blockchain-identifier"
    return Call(f"POST {path}", "node", f"{api}{path}", encode(body))


def request_refund(api: str, blockchain_identifier: str, network: str) -> Call:
    """Ask for the money back. 404 also means "not yet" and "asked already": the purchase's state tells."""
    path = "/purchase/request-refund"
    body = {"blockchainIdentifier": blockchain_identifier, "network": network}
    return Call(f"POST {path}", "node", f"{api}{path}", encode(body))


def cancel_refund_request(api: str, blockchain_identifier: str, network: str) -> Call:
    """Take the wish for a refund back. In the second kind of escrow this releases the money to the seller."""
    path = "/purchase/cancel-refund-request"
    body = {"blockchainIdentifier": blockchain_identifier, "network": network}
    return Call(f"POST {path}", "node", f"{api}{path}", encode(body))


def payment_sources(api: str) -> Call:
    """The escrow contracts that the node knows. Their ids are the node's own, whatever its host is called."""
    return Call("GET /payment-source", "node", f"{api}/payment-source?take={MOST_ROWS}")


def list_purchases(
    api: str,
    network: str,
    *,
    source_type: str | None = None,
    cursor: str | None = None,
    limit: int = MOST_ROWS,
) -> Call:
    """Purchases, newest first. Only Web3CardanoV1 without `source_type`; the cursor's row comes again."""
    query = _query(network=network, limit=limit, cursorId=cursor, filterPaymentSourceType=source_type)
    return Call("GET /purchase", "node", f"{api}/purchase?{query}")


def find_purchase(
    api: str,
    blockchain_identifier: str,
    network: str,
    *,
    source_type: str | None = None,
    cursor: str | None = None,
) -> Call:
    """The seed's way to the state of one purchase: GET /purchase, in whose list it is looked up.

    The node of that kind finds it by its identifier; a node that ignores the filter gives its newest rows,
    and further ones after `cursor`, whose row comes again. Only Web3CardanoV1 without `source_type`.
    """
    query = _query(
        network=network,
        limit=MOST_ROWS,
        cursorId=cursor,
        filterPaymentSourceType=source_type,
        blockchainIdentifier=blockchain_identifier,
    )
    return Call("GET /purchase", "node", f"{api}/purchase?{query}")


def patch_refund(api: str, blockchain_identifier: str, network: str) -> Call:
    """The seed's way to ask for the money back; nodes of today answer 405 (protocol N19)."""
    body = {"blockchainIdentifier": blockchain_identifier, "network": network}
    return Call("PATCH /purchase", "node", f"{api}/purchase", encode(body))


def diff(
    api: str, network: str, *, source_type: str, last_update: str | None = None, cursor: str | None = None,
    limit: int = MOST_ROWS,
) -> Call:  # fmt: skip
    """Purchases whose state changed at or after `last_update`, oldest change first (protocol N7).

    To go on, pass the `changed_at` and the id of the last row; it comes again and is dropped.
    """
    query = _query(
        network=network,
        limit=limit,
        lastUpdate=last_update,
        cursorId=cursor,
        filterPaymentSourceType=source_type,
    )
    return Call("GET /purchase/diff", "node", f"{api}/purchase/diff?{query}")


def agent(api: str, agent_identifier: str, network: str) -> Call:
    """What the chain says of an agent, read by the node itself: for when the registry is down."""
    query = _query(agentIdentifier=agent_identifier, network=network)
    path = "/registry/agent-identifier"
    return Call(f"GET {path}", "node", f"{api}{path}?{query}")


def key_status(api: str) -> Call:
    """What the node's token may do; proves the token at start-up."""
    return Call("GET /api-key-status", "node", f"{api}/api-key-status")


def rail_readiness(api: str) -> Call:
    """Whether each way to pay of the node works; a node that has no such route answers 404."""
    return Call("GET /rail-readiness", "node", f"{api}/rail-readiness")


def health(api: str) -> Call:
    """Whether the node answers; needs no token."""
    return Call("GET /health", "node", f"{api}/health")


def _query(**values: Any) -> str:
    return urlencode({name: value for name, value in values.items() if value is not None})
