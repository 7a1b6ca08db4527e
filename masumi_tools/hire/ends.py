"""The end of a hire that somebody waits for: when it is one, and what the user's own address is told of it. Pure."""

from __future__ import annotations

from masumi_tools.calls import notice as notices
from masumi_tools.calls.call import Call
from masumi_tools.hire.purchase import State
from masumi_tools.hire.receipt import Receipt
from masumi_tools.text import Secret, plain_text

# In which states there may be an end to tell; the receipt says whether there is.
STATES = tuple(
    state.value
    for state in (
        State.DELIVERED,
        State.SETTLED,
        State.REFUNDED,
        State.REFUSED,
        State.LAPSED,
        State.FAILED,
        State.WRITTEN_OFF,
    )
)
# An end of longer ago is no news: nobody had an address or a function for it at that time.
NEWS_MS = 24 * 3_600_000


def is_end(made: Receipt) -> bool:
    """Whether nothing more comes that the caller waits for: neither a result nor its check nor a refund."""
    return not made.open and not made.owed


def notice(made: Receipt, url: str, key: Secret | None, at_s: int, page: str | None) -> Call:
    """What is sent when a hire has ended: outcome and money. Never the input, the result or a service's reasons."""
    name = plain_text(made.service or made.agent_identifier or made.url, 80)
    return notices.post(
        url,
        key,
        kind="hire.ended",
        notice_id=f"{made.hire_id}.end.{made.state.value}",
        at_s=at_s,
        title=f"Hire {made.outcome}: {name}",
        text=f'The hire of "{name}" ended: {made.outcome}. {made.where_the_money_is}',
        link=f"{page.rstrip('/')}/hires/{made.hire_id}" if page else "",
        facts={
            "hire_id": made.hire_id,
            "outcome": made.outcome,
            "service": name,
            "paid": made.paid_text,
            "refunded": made.refunded_text,
        },
    )
