"""When an open hire wants to be looked at: pure, of its record and the time.

A hire that somebody drives is looked at as its steps ask; one that nobody waits for is looked at less and
less often while nothing happens, and never later than the next moment at which something may be lost.
"""

from __future__ import annotations

from masumi_tools.hire.acceptance import MINUTE_MS
from masumi_tools.hire.purchase import Purchase
from masumi_tools.hire.steps import (
    LAPSE_MS,
    NO_TEXT_MS,
    NODE_SLACK_MS,
    REFUND_MARGIN_MS,
    Pause,
    Rest,
    Ways,
    next_step,
)

# Nobody waits: a hire without news is looked at after a tenth of its silence, within these bounds.
LONGEST_MS = 10 * MINUTE_MS
SHARE = 10


def due_ms(p: Purchase, now: int, ways: Ways) -> int:
    """When this open hire has its next step, in ms of the node's clock."""
    try:
        step = next_step(p, now, ways)
    except Exception:  # whoever looks at it finds out what is wrong
        return now
    if isinstance(step, Pause):
        return step.until_ms
    return now + LONGEST_MS if isinstance(step, Rest) else now


def unattended_ms(p: Purchase, now: int, ways: Ways) -> int:
    """When a hire that nobody waits for, and that had no news just now, is looked at again."""
    silence = now - p.changed_ms
    pause = min(max(silence // SHARE, ways.pace.job_max_ms), LONGEST_MS)
    return min([now + pause, *(at for at in _moments(p) if at > now)])


def _moments(p: Purchase) -> list[int]:
    """The moments at which a look may save money or a result."""
    moments = [p.refund_due_ms]
    if p.terms is not None:
        times = p.terms.times
        moments += [
            times.pay_by_time,
            times.pay_by_time + LAPSE_MS,
            times.submit_result_time,
            times.submit_result_time + NODE_SLACK_MS,
            times.unlock_time - NO_TEXT_MS,
            times.unlock_time - REFUND_MARGIN_MS - MINUTE_MS,
            times.unlock_time + NODE_SLACK_MS,
            times.external_dispute_unlock_time,
        ]
    return moments
