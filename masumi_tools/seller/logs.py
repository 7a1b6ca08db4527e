"""What a seller logs: one line for each change of a job, as text for people or JSON for machines."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from masumi_tools.money import Amount
from masumi_tools.seller.jobs.job import Job
from masumi_tools.settings import Serving

log = logging.getLogger("masumi_tools.seller")

_FIELDS = (
    "job_id",
    "service",
    "agent_identifier",
    "state",
    "was",
    "attempt",
    "duration_s",
    "price",
    "money",
    "why",
)


class JobLog:
    """Told of every saved change of a job; says those of its state, of its payment and of its refund."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, before: Job | None, job: Job) -> None:
        if not log.isEnabledFor(logging.INFO):
            return
        was = before.state.value if before is not None else ""
        if before is not None and (before.state, before.money, before.refund) == (
            job.state,
            job.money,
            job.refund,
        ):
            return
        duration_s = round((job.changed_ms - job.created_ms) / 1000, 3)
        price = " + ".join(str(Amount(quantity, unit)) for quantity, unit in job.price) or "free"
        change = f"{was} -> {job.state.value}" if was != job.state.value else job.state.value
        if before is not None and before.money != job.money:
            change += f", money {job.money}"
        if before is not None and before.refund != job.refund:
            change += f", refund {job.refund}"
        log.info(
            "job %s: %s%s", job.job_id, change, f" ({job.error})" if job.error else "",
            extra={
                "job_id": job.job_id, "service": self._service, "agent_identifier": job.agent_identifier,
                "state": job.state.value, "was": was, "attempt": job.attempt, "duration_s": duration_s,
                "price": price, "money": job.money, "why": job.error or "",
            },
        )  # fmt: skip


class AsJson(logging.Formatter):
    """One JSON object a line, with the fields of a job where the line is about one."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: vars(record)[name] for name in _FIELDS if vars(record).get(name) not in (None, "")}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(serving: Serving) -> None:
    """Write this package's log to stderr as the environment says. Where a program set up logging itself, its way stands."""
    ours = logging.getLogger("masumi_tools")
    if ours.handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(
        AsJson() if serving.log == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    )
    ours.addHandler(handler)
    ours.setLevel(serving.log_level)
