"""What a service answered to start_job: is there a job, and what are the terms of its payment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from masumi_tools.models.status import JobState, JobStatus, read_status, state_of
from masumi_tools.models.terms import Terms, place_of, read_terms
from masumi_tools.models.wire import Names, field_errors, is_refusal, joined, layers, read_error

_MAX_JOB_ID: Final = 500
# Words that say that start_job went well; as the state of a job they would mean that it is done.
_STARTED_WELL: Final = ("success", "successful", "ok", "created", "started_successfully")
_TOKENS: Final = ("continuationToken", "input_token", "job_token")


@dataclass(frozen=True, slots=True)
class Started:
    """What became of start_job.

    `started` is True when the service gave a job id, or at once the finished `result` without one (as free
    services do; `result_value` is its JSON value), False when it said or showed that there is no job,
    None when nobody knows (5xx, no JSON): then nothing is paid and nothing is sent again blindly.
    `terms` is None where no payment is asked, which is a free job only if the registry says Free, and
    where `problems` (each led by the field, in words for the seller's owner) say why it cannot be paid.
    `notes` tell what was repaired. `error` is the service's own sentence, `field_errors` what it says
    about single input fields, `continuation_token` is a secret of the hire for provide_input.
    """

    started: bool | None
    job_id: str | None = None
    status: JobState = JobState.UNKNOWN
    terms: Terms | None = None
    error: str | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    field_errors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    continuation_token: str | None = field(default=None, repr=False)
    result: str | None = None
    result_value: Any = field(default=None, repr=False)

    @property
    def payable(self) -> bool:
        """Whether there are terms and nothing is wrong with their form."""
        return bool(self.started and self.job_id and self.terms is not None and not self.problems)


def read_started(body: Any, http_status: int = 200, *, sent: str | None = None) -> Started:
    """The job and its terms out of an answer to start_job, in any dialect (protocol S0, S4).

    `body` is the JSON value, None or text where it was no JSON; `sent` is the identifier_from_purchaser
    of the request, with which the echo must agree. Never raises.
    """
    found = layers(body)
    if not 200 <= http_status < 300:
        return _refused(body, http_status, found)
    if not found:
        return Started(None, error=read_error(body) or "the answer is not a JSON object")
    outer = found[0]
    job_id = _job_id(found)
    word = next((w for names in reversed(found) if (w := names.text("status", "state"))), "")
    state = state_of(word)
    waits = place_of(found) is not None
    failed = state is JobState.FAILED or outer.get("success") is False
    told_only = not waits and state is JobState.UNKNOWN and any(outer.all("error", "errors"))
    if job_id is None and not failed and not told_only and not waits:
        done = _at_once(body, found)
        if done is not None and done.has_answer:
            return Started(True, None, done.state, result=done.result, result_value=done.result_value)
    if job_id is None or failed or told_only:
        error = read_error(outer.raw) or joined(outer.get("result")) if failed else read_error(outer.raw)
        error = error or "the service named no job"
        return Started(False, job_id, state, error=error, field_errors=field_errors(outer.raw))
    read = read_terms(found, waits=state is JobState.AWAITING_PAYMENT, sent=sent)
    if word.strip().lower() in _STARTED_WELL:
        state = JobState.AWAITING_PAYMENT if waits else JobState.PENDING
    token = next((text for names in found if (text := names.text(*_TOKENS))), None)
    return Started(
        True,
        job_id,
        state,
        read.terms,
        problems=read.problems,
        notes=read.notes,
        continuation_token=token,
    )


def _at_once(body: Any, found: list[Names]) -> JobStatus | None:
    """The finished work, where the answer has a result and nothing that says otherwise."""
    read = read_status(body)
    if read.state is JobState.COMPLETED:
        return read
    outer = found[0]
    silent = not any(names.text("status", "state") for names in found) and not any(
        outer.all("error", "errors")
    )
    value = next((v for names in reversed(found) if (v := names.get("result", "output")) is not None), None)
    word = value if isinstance(value, str) else None
    if silent and value is not None and state_of(word) is JobState.UNKNOWN:
        return read_status({**found[-1].raw, "status": "completed"})
    return None


def _refused(body: Any, http_status: int, found: list[Names]) -> Started:
    """An answer that is no 2xx. 4xx says that nothing was started; the rest says nothing (protocol S0)."""
    error = read_error(body) or f"HTTP {http_status}"
    if http_status == 402:
        job_id = _job_id(found) if found else None
        problems = ("accepts: payment by x402, which is not the escrow",)
        return Started(job_id is not None, job_id, error=error, problems=problems)
    return Started(
        False if is_refusal(body, http_status) else None, error=error, field_errors=field_errors(body)
    )


def _job_id(found: list[Names]) -> str | None:
    """job_id, else id: the first published answers have both and mean job_id (they differ there)."""
    for spelling in ("job_id", "id"):
        for names in found:
            if spelling == "id" and ("SmartContractWallet" in names or "RequestedFunds" in names):
                continue  # a payment of the seller's node, passed through: its id is no job
            value = names.get(spelling)
            if isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            if isinstance(value, str) and value.strip() and len(value) <= _MAX_JOB_ID:
                return value
    return None
