"""What another side said, cut to a sentence that may stand in a message."""

from __future__ import annotations

from masumi_tools.calls.call import Reply
from masumi_tools.models import read_error
from masumi_tools.text import quoted

MOST = 300


def said(reply: Reply) -> str:
    """The error text of a reply, or what became of it, as a quotation; never more than a few lines."""
    return quoted(heard(reply), MOST)


def heard(reply: Reply) -> str:
    """The same as it was said, for rules that look at its words."""
    if reply.fault in ("unsent", "refused-address", "lost"):
        return reply.detail or "no answer"
    text = read_error(reply.content) or reply.detail or (reply.text if "<" not in reply.text else "")
    text = " ".join(text.split())[:MOST]
    return text or f"status {reply.status}"
