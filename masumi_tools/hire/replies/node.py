"""Whether the node would pay at all: asked once in a while, before a service is troubled."""

from __future__ import annotations

from collections.abc import Sequence

from masumi_tools.calls.call import Reply
from masumi_tools.errors import WireError
from masumi_tools.hire.purchase import Purchase
from masumi_tools.hire.replies.envelope import is_nodes
from masumi_tools.hire.replies.words import said
from masumi_tools.models import KeyStatus, read_key_status
from masumi_tools.money import Amount, in_words, name_of, total
from masumi_tools.text import quoted


def readiness(reply: Reply, network: str, price: Sequence[Amount] = ()) -> str | None:
    """Why the node will not pay, from its answer to api-key-status; None when it may, or does not say.

    `price` is compared with what is left of a limited key; () where the price is not known yet.
    """
    if reply.status is None:
        return f"the payment node did not answer ({said(reply)}); check MASUMI_NODE_URL, or run masumi-tools doctor"
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
        return "the payment node's API key is read-only; hiring needs one with pay scope (ReadAndPay)"
    if key.networks and network not in key.networks and not key.can_admin:
        return f"the payment node's API key is for {', '.join(key.networks)}, not for {network}"
    return None if key.can_admin else _without_credits(key, price)


def is_limited(reply: Reply) -> bool:
    """Whether the key's use is limited, so that what it may pay changes with each purchase."""
    try:
        return reply.ok and read_key_status(reply.body).credits is not None
    except WireError:
        return False


def _without_credits(key: KeyStatus, price: Sequence[Amount]) -> str | None:
    left = {amount.unit: amount.quantity for amount in total(key.credits or ())}
    short = [amount for amount in price if left.get(amount.unit, 0) < amount.quantity]
    if key.credits is None or not short:
        return None
    others = f" (and credits in {quoted(', '.join(key.other_credits[:3]))}, which pay by x402 only)"
    return (
        f"the price is {in_words(price)}, and the use of the payment node's API key is limited: "
        f"{in_words(key.credits)} is left{others if key.other_credits else ''}; give the key credits in "
        f"{', '.join(name_of(amount.unit) for amount in short)}, or set MASUMI_NODE_TOKEN to another one"
    )


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
        return f"the hire is on {p.network}, and the settings say {network}: continue with MASUMI_NETWORK={p.network}"
    if not p.node_url or (p.node_ids and set(p.node_ids) & set(ids)):
        return None
    if p.node_ids and ids:
        return (
            f"the hire belongs to another payment node, which was reached at {p.node_url}; the one at {url} is not "
            "it: continue with the MASUMI_NODE_URL of that node"
        )
    if p.node_url == url:
        return None
    return (
        f"the hire belongs to the payment node at {p.node_url}, and whether {url} is the same one is not known: "
        f"continue with MASUMI_NODE_URL={p.node_url}"
    )
