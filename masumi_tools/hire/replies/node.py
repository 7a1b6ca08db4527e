"""Whether the node would pay at all: asked once in a while, before a service is troubled."""

from __future__ import annotations

from masumi_tools.calls.call import Reply
from masumi_tools.errors import WireError
from masumi_tools.hire.purchase import Purchase
from masumi_tools.hire.replies.envelope import is_nodes
from masumi_tools.hire.replies.words import said
from masumi_tools.models import read_key_status


def readiness(reply: Reply, network: str) -> str | None:
    """Why the node will not pay, from its answer to api-key-status; None when it may, or does not say."""
    if reply.status is None:
        return f"the payment node does not answer ({said(reply)}); check MASUMI_NODE_URL, or run masumi-tools doctor"
    if reply.status in (401, 403) and not is_nodes(reply):
        return (
            f"something before the payment node answers in its place ({said(reply)}): a gateway or proxy that "
            "wants to be passed; check MASUMI_NODE_URL, or run masumi-tools doctor"
        )
    if reply.status in (401, 403):
        return f"the payment node refuses the API key ({said(reply)}); check MASUMI_NODE_TOKEN"
    try:
        key = read_key_status(reply.body) if reply.ok else None
    except WireError:
        key = None
    if key is None:
        return None
    if not key.active:
        return "the payment node's API key is revoked; make a new one"
    if not key.can_pay:
        return "the payment node's API key may only read; hiring needs one with pay scope (ReadAndPay)"
    if key.networks and network not in key.networks and not key.can_admin:
        return f"the payment node's API key is for {', '.join(key.networks)}, not for {network}"
    return None


MOST_IDS = 20


def node_ids(reply: Reply) -> tuple[str, ...]:
    """Which node this is: the ids of its payment sources, which outlive every change of host and key.

    Empty where it does not say.
    """
    data = reply.body.get("data") if is_nodes(reply) and reply.ok else None
    rows = data.get("PaymentSources") if isinstance(data, dict) else None
    found = [row.get("id") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return tuple(sorted({name for name in found if isinstance(name, str) and 0 < len(name) <= 100}))[
        :MOST_IDS
    ]


def elsewhere(p: Purchase, network: str, url: str, ids: tuple[str, ...]) -> str | None:
    """Why this hire does not belong to this node and network, and which settings it needs; None when it does."""
    if p.network != network:
        return f"the hire is on {p.network}, and the settings say {network}: go on with MASUMI_NETWORK={p.network}"
    if not p.node_url or (p.node_ids and set(p.node_ids) & set(ids)):
        return None
    if p.node_ids and ids:
        return (
            f"the hire belongs to another payment node, which was reached at {p.node_url}; the one at {url} is not "
            "it: go on with the MASUMI_NODE_URL of that node"
        )
    if p.node_url == url:
        return None
    return (
        f"the hire belongs to the payment node at {p.node_url}, and whether {url} is the same one is not known: "
        f"go on with MASUMI_NODE_URL={p.node_url}"
    )
