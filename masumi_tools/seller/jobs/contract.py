"""What a job was sold under: a deploy may change the fields, and jobs that were paid before are still owed."""

from __future__ import annotations

import json
import logging
from hashlib import sha256
from typing import Any

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputSpec, check, read_input_schema, served
from masumi_tools.seller.jobs.job import Job
from masumi_tools.seller.jobs.table import JobTable
from masumi_tools.seller.offering import Offer
from masumi_tools.seller.work.base import Work, WorkFailed

log = logging.getLogger("masumi_tools.seller")

_NOW = "contract"
_CHANGED = "contract changed"


class Contracts:
    """The contract of today, kept in the database under a short key that every job carries, and those before."""

    def __init__(self, table: JobTable, offer: Offer) -> None:
        self._table = table
        self._spec = offer.spec
        self._text = json.dumps(
            {
                "version": offer.capability[1],
                "fields": served(offer.spec),
                "price": offer.pricing(),
                "deliver_within_s": offer.deadlines.deliver_within_s,
            },
            ensure_ascii=False,
            sort_keys=True,
        )
        self.key = sha256(self._text.encode()).hexdigest()[:16]
        self.changed: dict[str, Any] | None = None  # the last change: `at_ms`, and `what` in words

    def keep(self, now_ms: int) -> None:
        """Save today's contract; what changed since the last start is told in the log, and remembered."""
        before = self._table.fact(_NOW)
        if before != self.key:
            self._table.set_fact(f"{_NOW} {self.key}", self._text)
            self._table.set_fact(_NOW, self.key)
            if before is not None and (old := self._table.fact(f"{_NOW} {before}")) is not None:
                changed = ", ".join(_changes(json.loads(old), json.loads(self._text)))
                log.warning(
                    "what is sold has changed: %s; jobs that were sold before keep their terms", changed
                )
                self._table.set_fact(_CHANGED, json.dumps({"at_ms": now_ms, "what": changed}))
        kept = self._table.fact(_CHANGED)
        self.changed = json.loads(kept) if kept is not None else None

    def values(self, job: Job, work: Work) -> dict[str, Any]:
        """A job's input, checked by today's fields or by those that it was sold under.

        WorkFailed where the work of today cannot take it any more.
        """
        if job.contract in ("", self.key):
            return check(self._spec, job.input_sent)
        for spec in (self._spec, self._spec_of(job.contract)):
            try:
                values = check(spec, job.input_sent) if spec is not None else {}
            except InputError:
                continue
            if spec is not None and not work.missing(values):
                return values
        log.error(
            "job %s was sold with other fields, which today's work does not take: before such a deploy let a "
            "worker of the version before finish its jobs",
            job.job_id,
        )
        raise WorkFailed("the service was changed after this job was sold and can no longer do it")

    def _spec_of(self, key: str) -> InputSpec | None:
        kept = self._table.fact(f"{_NOW} {key}")
        return read_input_schema(json.loads(kept)["fields"]) if kept is not None else None


def _changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What is different, in words."""
    said = [f"{name} {old.get(name)} -> {new.get(name)}" for name in ("version", "deliver_within_s")]
    said = [
        words
        for words, name in zip(said, ("version", "deliver_within_s"), strict=True)
        if old.get(name) != new.get(name)
    ]
    if old.get("price") != new.get("price"):
        said.append("the price")
    before, after = ({field["id"] for field in one["fields"]["input_data"]} for one in (old, new))
    said += [f"field {name} is new" for name in sorted(after - before)]
    said += [f"field {name} is gone" for name in sorted(before - after)]
    if before == after and old["fields"] != new["fields"]:
        said.append("the rules of fields")
    return said or ["its terms"]
