"""One run of the work, without a node, a payment or a server: what a buyer would get for this input."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputSpec, check
from masumi_tools.seller.service import Service
from masumi_tools.seller.work.inherit import at_work, carry_jobs_into_threads

Ask = Callable[[InputSpec, str], dict[str, Any]]


class _Alone:
    """The surroundings of work that nobody hired."""

    def __init__(self, ask: Ask, say: Callable[[str], None]) -> None:
        self.job_id = f"try-{uuid4()}"  # nothing that work keeps by its job is found by the next try
        self._ask = ask
        self.progress = say
        self.ended = threading.Event()

    def ask(self, spec: InputSpec, message: str, key: str = "", resumed: bool = False) -> dict[str, Any]:
        return self._ask(spec, message)


def try_once(
    service: Service,
    data: Mapping[str, Any],
    *,
    ask: Ask,
    say: Callable[[str], None] = lambda _: None,
) -> str:
    """The text that a buyer of `service` would get for `data`. Nothing is paid, sent or kept.

    `ask` answers the questions of the work, `say` hears its progress. InputError where the input would be
    refused before payment, WorkFailed where the job would fail; what the work itself raises passes through.
    """
    values = check(service.offer.spec, dict(data))
    if missing := service.offering.work.missing(values):
        words = "; ".join(f"{name}: {', '.join(what)}" for name, what in missing.items())
        raise InputError(f"the input is incomplete: {words}", field_errors=missing, phase="try")
    carry_jobs_into_threads()
    context = _Alone(ask, say)
    with at_work(context):
        text: str = service.offering.work.run(values, context)
    return text
