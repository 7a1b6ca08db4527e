"""What a reply means for a hire: pure functions from record, reply and time to the next record.

offer.py     before the money: listing, input schema, start_job
payment.py   the money: purchase, reads of the node, refund
proof.py     the result: does it match the hash on the chain
job.py       the work: status, answers
"""

from __future__ import annotations

from masumi_tools.calls.call import Reply
from masumi_tools.hire.purchase import Purchase
from masumi_tools.hire.replies import job, offer, payment
from masumi_tools.hire.steps import Ask, Ways

_LEARN = {
    Ask.LISTING: offer.listing,
    Ask.NODE_LISTING: offer.node_listing,
    Ask.SEARCH: offer.search,
    Ask.AVAILABILITY: offer.availability,
    Ask.SCHEMA: offer.schema,
    Ask.START: offer.started,
    Ask.PAY: payment.paid,
    Ask.READ: payment.read,
    Ask.REFUND: payment.refund_asked,
    Ask.CANCEL: payment.cancelled,
    Ask.STATUS: job.status,
    Ask.ANSWER: job.answered,
}


def learn(p: Purchase, ask: Ask, reply: Reply, now: int, ways: Ways) -> Purchase:
    """The record after this reply. Never raises for what the other side said; it is kept in the record."""
    return _LEARN[ask](p.but(looked_ms=now), reply, now, ways)
