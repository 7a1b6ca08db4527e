"""Whether the node would pay at all: asked once in a while, before a service is troubled."""

from __future__ import annotations

from masumi_tools.calls.call import Reply
from masumi_tools.errors import WireError
from masumi_tools.hire.replies.words import said
from masumi_tools.models import read_key_status


def readiness(reply: Reply, network: str) -> str | None:
    """Why the node will not pay, from its answer to api-key-status; None when it may, or does not say."""
    if reply.status is None:
        return f"the payment node does not answer ({said(reply)}); check MASUMI_NODE_URL, or run masumi-tools doctor"
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
