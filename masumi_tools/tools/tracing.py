"""One OpenTelemetry span a hire, through the API package where it is installed; nothing is configured here.

The span is called "masumi.hire", carries identifiers, amounts and the outcome, and an event for each state.
What was sent and what came back is in it only when `content` is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from masumi_tools.hire.budget import text_of
from masumi_tools.hire.flows import Progress
from masumi_tools.hire.receipt import Receipt
from masumi_tools.text import redact

MOST_CONTENT = 20_000


class Trace:
    """The span of one hire; does nothing where OpenTelemetry is not installed."""

    def __init__(self, span: Any = None, content: bool = False) -> None:
        self._span = span
        self._content = content

    def tell(self, progress: Progress) -> None:
        """One state of the hire, as an event of the span."""
        if self._span is not None:
            left = {} if progress.ms_left is None else {"masumi.ms_left": progress.ms_left}
            self._span.add_event(progress.state.value, {"masumi.hire_id": progress.hire_id, **left})

    def end(self, code: str, receipt: Receipt | None) -> None:
        """How it ended."""
        if self._span is None:
            return
        self._span.set_attribute("masumi.outcome", code)
        if receipt is not None:
            self._span.set_attributes(_attributes(receipt))
            if self._content:
                self._span.set_attribute("masumi.input", json.dumps(receipt.input_data)[:MOST_CONTENT])
                self._span.set_attribute("masumi.result", (receipt.result or "")[:MOST_CONTENT])


@contextmanager
def hiring(target: str, content: bool = False) -> Iterator[Trace]:
    """The span of a hire, current while it lasts."""
    try:
        from opentelemetry import trace
    except ImportError:
        yield Trace()
        return
    tracer = trace.get_tracer("masumi_tools")
    with tracer.start_as_current_span(
        "masumi.hire", kind=trace.SpanKind.CLIENT, attributes={"masumi.target": redact(target, 512)}
    ) as span:
        yield Trace(span, content)


def _attributes(receipt: Receipt) -> dict[str, Any]:
    values = {
        "masumi.hire_id": receipt.hire_id,
        "masumi.service": redact(receipt.service),
        "masumi.agent_identifier": receipt.agent_identifier,
        "masumi.network": receipt.network,
        "masumi.budget": receipt.budget,
        "masumi.price": text_of(receipt.price),
        "masumi.paid": receipt.paid_text,
        "masumi.refunded": receipt.refunded_text,
        "masumi.money": receipt.money,
        "masumi.reused": receipt.reused,
        "masumi.verified": receipt.verified,
        "masumi.job_id": receipt.job_id,
        "masumi.blockchain_identifier": receipt.blockchain_identifier,
    }
    return {name: value for name, value in values.items() if value is not None}
