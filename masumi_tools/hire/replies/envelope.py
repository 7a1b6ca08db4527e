"""Who is speaking: only the node's own envelope, with a sentence that it is known to say, is a definite no.

Between us and the node stand proxies, gateways and load balancers. Each may answer any request with any
status and any page, also after the node has done its work. What they say is never taken for the node's word.
"""

from __future__ import annotations

import re
from typing import Any

from masumi_tools.calls.call import Reply

# What the node says when it refuses an order after it looked for the row, by how each begins (protocol N4,
# N10). The check for an existing row comes before all of them.
_BUSINESS = re.compile(
    r"Invalid blockchain identifier|Payment source type does not match|V1 Cardano purchases must not"
    r"|Input hash is not a valid hex|No payment source found|No configured V2 payment source"
    r"|No valid purchasing wallets found|Pay by time must be|Submit result time must be"
    r"|External dispute unlock time must be|Agent identifier not found|Invalid seller vkey"
    r"|Agent identifier metadata invalid|Agent metadata does not advertise"
    r"|Agent identifier pricing type not supported|Provided Amounts do not match|For dynamic pricing, Amounts"
    r"|Amounts must be positive|Insufficient funds|Selected Cardano payment source|supportedPaymentSource"
    r"|\w+ must be a Cardano base or enterprise address"
)
# What it says before it looks for the row: nothing was done by this request, and nothing is said of another.
_BEFORE = re.compile(r"Unauthorized, ")
_SCHEMA = re.compile(
    r"(?:blockchainIdentifier|network|inputHash|sellerVkey|agentIdentifier|identifierFromPurchaser|payByTime"
    r"|submitResultTime|unlockTime|externalDisputeUnlockTime|Amounts|metadata|paymentSourceType"
    r"|smartContractAddress|supportedPaymentSourceIndex|buyerReturnAddress|sellerReturnAddress)"
    r"(?:\[\d+\])?(?:\.\w+)*: "
)
_UNKNOWN_PURCHASE = re.compile(r"Purchase not found$")
_NO_ROUTE = re.compile(r"Can not [A-Z]+ /")
_NO_VERB = re.compile(r"[A-Z]+ is not allowed$")


def error_of(reply: Reply) -> str | None:
    """The sentence of an error in the node's own envelope; None for everything else."""
    body: Any = reply.body
    if reply.fault is not None or not isinstance(body, dict) or body.get("status") != "error":
        return None
    error = body.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) and message else None


def is_nodes(reply: Reply) -> bool:
    """Whether the answer has the form of the node's own: its envelope of success or of an error."""
    if error_of(reply) is not None:
        return True
    body: Any = reply.body
    return reply.ok and isinstance(body, dict) and body.get("status") == "success" and "data" in body


def denied(reply: Reply) -> bool:
    """Whether the node itself says no to the order, in any words: worth asking again, not yet believed."""
    text = error_of(reply)
    return text is not None and reply.status in (400, 401, 402, 403, 404, 405, 413, 415, 422)


def refused_order(reply: Reply) -> bool:
    """Whether this answer to POST /purchase says, in the node's own words, that this order did nothing."""
    text = error_of(reply)
    if text is None:
        return False
    if reply.status == 401:
        return _BEFORE.match(text) is not None
    return proves_absence(reply) or (reply.status == 400 and _SCHEMA.match(text) is not None)


def proves_absence(reply: Reply) -> bool:
    """Whether the node looked for the row, found none, and then refused the order (protocol N21.2)."""
    text = error_of(reply)
    return text is not None and reply.status in (400, 404) and _BUSINESS.match(text) is not None


def says_unknown(reply: Reply) -> bool:
    """Whether the node itself says that this key sees no such purchase: a sign, no proof (protocol N5)."""
    text = error_of(reply)
    return text is not None and reply.status == 404 and _UNKNOWN_PURCHASE.match(text) is not None


def no_such_route(reply: Reply) -> bool:
    """Whether the node itself says that it has no such route or verb: it may speak the other dialect."""
    text = error_of(reply)
    if text is None:
        return False
    return (reply.status == 404 and _NO_ROUTE.match(text) is not None) or (
        reply.status == 405 and _NO_VERB.match(text) is not None
    )
