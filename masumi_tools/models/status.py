"""The state of a job and its result, out of every answer that sellers give to GET /status."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from masumi_tools.models.wire import Names, joined, layers, read_error, short


class JobState(StrEnum):
    """Where a job stands, as its seller says. COMPLETED, FAILED and REFUNDED are the seller's last word."""

    AWAITING_PAYMENT = "awaiting_payment"
    PENDING = "pending"
    RUNNING = "running"
    AWAITING_INPUT = "awaiting_input"
    COMPLETED = "completed"
    FAILED = "failed"
    REFUNDED = "refunded"
    NOT_FOUND = "not_found"
    ERROR = "error"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        """Whether the seller will not go on with the job."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.REFUNDED)


_WORDS: Final[Mapping[str, JobState]] = {
    word: state
    for state, words in {
        JobState.AWAITING_PAYMENT: "awaiting_payment payment_pending pending_payment waiting_for_payment"
        " waiting_payment awaiting_funds payment_required unpaid",
        JobState.PENDING: "pending queued accepted submitted created scheduled enqueued received initialized"
        " paid payment_received payment_confirmed payment_completed waiting not_started in_queue initializing"
        " preparing",
        JobState.RUNNING: "running processing started starting working in_progress active executing ongoing"
        " input_received resumed resuming busy generating analyzing analysing thinking",
        JobState.AWAITING_INPUT: "awaiting_input waiting_for_input input_required waiting_input needs_input"
        " requires_input awaiting_user_input awaiting_approval requires_action pending_input",
        JobState.COMPLETED: "completed complete success successful succeeded finished done ok",
        JobState.FAILED: "failed failure error errored payment_failed cancelled canceled rejected aborted"
        " timeout timed_out expired payment_timeout crashed killed",
        JobState.REFUNDED: "refunded refund_withdrawn",
    }.items()
    for word in words.split()
}
# Words behind a known one that change what it says.
_TAKEN_BACK: Final = frozenset(
    [
        "not",
        "no",
        "error",
        "errors",
        "failed",
        "failure",
        "fail",
        "partial",
        "partially",
        "pending",
        "cancelled",
        "canceled",
        "aborted",
        "refund",
        "refunded",
        "but",
        "without",
        "soon",
        "almost",
        "nearly",
        "unless",
        "review",
        "approval",
        "payment",
        "input",
    ]
)
# Behind "failed" a reason is usual; these words say that it is not over.
_NOT_FAILED: Final = frozenset(
    ["not", "no", "retry", "retrying", "retried", "recovering", "recovered", "resuming", "but", "partially"]
)
# "pending" is said before the payment and after it: what stands beside it tells which.
_IS_PAID: Final = re.compile(r"paid|complete|confirm|success|received|locked|settled", re.IGNORECASE)
_NOT_PAID: Final = re.compile(
    r"unpaid|not[ _]|pending|await|waiting|required|unconfirmed|incomplete", re.IGNORECASE
)
_SAYS_PAID: Final = re.compile(
    r"\bpayment (?:(?:was|is|has been) )?(?:received|confirmed|complete|completed|successful)\b",
    re.IGNORECASE,
)
# A service that lost its memory says "failed" of a job that it does not know; that is no word about the job.
_FORGOTTEN: Final = re.compile(
    r"^\W*(?:not[ _-]?found|unknown job|no such job)\W*$"
    r"|\b(?:job|task|execution|run|session|workflow)\b[^.]{0,60}\b(?:not found|unknown|does not exist|no longer exists|not exist)"
    r"|\b(?:unknown|no such|no|invalid) (?:job|task|execution)(?: id)?\b",
    re.IGNORECASE,
)
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PARTING: Final = re.compile(r"[\s_\-.]+")

_RESULT_NAMES: Final = ("result", "output")
_ENVELOPE_WORDS: Final = ("success", "successful", "ok")
# What str(), json.dumps() and JavaScript make of "nothing" where a service meant to hand out a result.
_NOTHING: Final = frozenset({"", "null", "None", "undefined", "[object Object]"})


def state_of(word: str | None) -> JobState:
    """The state that a status word means, whatever its case and separators; UNKNOWN for other words."""
    if not isinstance(word, str):
        return JobState.UNKNOWN
    parted = _PARTING.sub("_", _CAMEL.sub("_", word.strip())).strip("_").lower()
    if (known := _WORDS.get(parted)) is not None:
        return known
    # "running (step 2 of 5)", "completed: all good": a known word first, and then nothing that takes it back.
    words = re.findall(r"[a-z0-9]+", parted)[:12]
    for length in range(min(3, len(words)), 0, -1):
        known = _WORDS.get("_".join(words[:length]))
        if known is not None:
            takes_back = _NOT_FAILED if known is JobState.FAILED else _TAKEN_BACK
            return JobState.UNKNOWN if takes_back.intersection(words[length:]) else known
    return JobState.UNKNOWN


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What one answer to GET /status says.

    `state` is NOT_FOUND and ERROR where the answer says nothing about the job itself (404; 5xx, no JSON):
    both can pass, so polling goes on. `result` is the answer as text, only when COMPLETED: exact, since
    its hash is on chain; the text of a crew's dump or of kodosumi's Markdown is taken out, other JSON is
    written as JSON. `result_value` is the JSON value as received. `error` is the seller's sentence for
    FAILED, REFUNDED and ERROR. `progress` is what the seller says meanwhile, which is never a result.
    `input_schema` is there when input is asked for. `notes` name what a reader of the result should know.
    """

    state: JobState
    word: str | None = None
    result: str | None = None
    result_value: Any = field(default=None, repr=False)
    error: str | None = None
    progress: str | None = None
    input_schema: Any = field(default=None, repr=False)
    status_id: str | None = None
    job_id: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def has_answer(self) -> bool:
        """Whether there is a result that says something: not missing, not blank, not the word "null"."""
        return self.result is not None and self.result.strip() not in _NOTHING


def read_status(body: Any, http_status: int = 200) -> JobStatus:
    """The state of a job out of an answer to GET /status, in any dialect (protocol S5). Never raises."""
    if http_status in (404, 410):
        return JobStatus(JobState.NOT_FOUND, notes=_sentence(body))
    found = layers(body)
    if 400 <= http_status < 500:  # the service refused the question: what it says is no word about the job
        return JobStatus(JobState.ERROR, error=read_error(body), notes=(f"HTTP {http_status}",))
    if not 200 <= http_status < 300 or not found:
        return JobStatus(JobState.ERROR, notes=_sentence(body) or (f"HTTP {http_status} without JSON",))
    names = _said(found)
    word = _word(names)
    if word is None and names.get("success") is True and names.get(*_RESULT_NAMES) is not None:
        word = "success"
    state = state_of(word)
    if word is None or _is_envelope(names, word):
        error = read_error(names.raw) if any(names.all("error", "errors", "detail", "message")) else None
        return JobStatus(JobState.ERROR if error else JobState.UNKNOWN, word, error=error)
    value = names.get(*_RESULT_NAMES)
    status_id, job_id = _id(names, "status_id", "id"), _id(names, "job_id")
    if state is JobState.COMPLETED:
        if value is None and not any(name in names for name in _RESULT_NAMES):
            if word.strip().lower() in _ENVELOPE_WORDS:
                return JobStatus(JobState.UNKNOWN, word, notes=("an answer without state and result",))
            value = names.get("data")
        text, notes = result_text(value)
        return JobStatus(state, word, text, value, notes=notes, status_id=status_id, job_id=job_id)
    if state in (JobState.FAILED, JobState.REFUNDED):
        error = (
            read_error({k: v for k, v in names.raw.items() if k != "status"})
            or joined(value)
            or read_error(value)
        )
        if state is JobState.FAILED and value is None and error and _FORGOTTEN.search(error[:300]):
            return JobStatus(JobState.NOT_FOUND, word, notes=(error,), status_id=status_id, job_id=job_id)
        return JobStatus(state, word, error=error, status_id=status_id, job_id=job_id)
    if state is JobState.PENDING:
        state = _pending(names)
    schema = _input_schema(names) if state is JobState.AWAITING_INPUT else None
    return JobStatus(
        state, word, progress=_progress(names, value), input_schema=schema, status_id=status_id, job_id=job_id
    )


def _pending(names: Names) -> JobState:
    """Whether "pending" waits for the payment, or for the work after it."""
    beside = names.text("payment_status", "payment_state") or ""
    if _NOT_PAID.search(beside):
        return JobState.AWAITING_PAYMENT
    if _IS_PAID.search(beside) or names.get("paid", "is_paid") is True:
        return JobState.RUNNING
    return JobState.RUNNING if _SAYS_PAID.search(names.text("message") or "") else JobState.PENDING


def _word(names: Names) -> str | None:
    """The status word; agents that speak A2A put it one level deeper."""
    deeper = names.object("status")
    return names.text("status", "state", "job_status") or (deeper.text("state") if deeper else None)


def _is_envelope(names: Names, word: str) -> bool:
    """Whether {status: "error"} speaks of the request and not of a job: then nothing of a job is in it."""
    about_the_error = {"status", "error", "errors", "message", "code", "detail", "success", "statuscode"}
    return word.strip().lower() == "error" and names.folded <= about_the_error


def _said(found: list[Names]) -> Names:
    """The layer that speaks of the job: the innermost with a status, where the outer one is an envelope."""
    outer = found[0]
    for names in reversed(found[1:]):
        if _word(names) is None:
            continue
        envelope = state_of(outer.text("status")) in (JobState.COMPLETED, JobState.UNKNOWN)
        if envelope and outer.get("result") is None:
            return names
    if outer.get(*_RESULT_NAMES) is None and state_of(outer.text("status")) is JobState.COMPLETED:
        inner = next((names for names in found[1:] if names.get(*_RESULT_NAMES) is not None), None)
        if inner is not None:
            return Names({"status": outer.text("status"), **inner.raw})
    return outer


def result_text(value: Any) -> tuple[str | None, tuple[str, ...]]:
    """The text of a result and what to know about it: text unchanged, a dump's own text, else JSON.

    A dump of a CrewAI output has its text in `raw`, kodosumi's in Markdown.body (protocol S5).
    """
    if value is None:
        return None, ("completed without a result",)
    if isinstance(value, str):
        notes = ("the result is empty in fact",) if value.strip() in _NOTHING else ()
        return value, notes
    if isinstance(value, Mapping):
        names = Names(value)
        if names.folded == {"finalresult"} and isinstance(names.get("final_result"), Mapping):
            value = names.get("final_result")
            names = Names(value)
        raw = names.get("raw")
        if isinstance(raw, str) and {"tasksoutput", "tokenusage", "jsondict", "pydantic"} & set(names.folded):
            return raw, ("taken out of a crew's dump",)
        inner = next(iter(value.values())) if len(value) == 1 else None
        if isinstance(inner, Mapping) and names.folded & {"markdown", "html", "text"}:
            body = inner.get("body")
            if isinstance(body, str):
                return body, ("taken out of a Markdown object",)
        if names.get("success") is False or (
            names.get("error") and names.get("success", "result", "output") is None
        ):
            return _as_json(value), (
                f"the result itself says that it failed: {read_error(value) or 'success false'}",
            )
    return _as_json(value), ("the result is an object, written here as JSON",)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _input_schema(names: Names) -> Any:
    """What is asked for: input_schema (object, list, list of locks), else fields at the top level."""
    schema = names.get("input_schema", "input_form")
    if isinstance(schema, Mapping) and all(value is None for value in schema.values()):
        schema = None  # the official kit's two keys, with nothing in either
    if schema:
        return schema
    fields = names.get("input_data")
    groups = names.get("input_groups")
    if isinstance(groups, list) and groups:
        return {"input_groups": groups}
    return {"input_data": fields} if isinstance(fields, list) and fields else None


def _progress(names: Names, value: Any) -> str | None:
    """The seller's word on how far the job is: its message, a sentence put in `result`, its progress."""
    parts = [text for text in (names.text("message"), value if isinstance(value, str) else None) if text]
    said = names.get("progress", "percentage")
    step = names.text("current_step", "step", "stage")
    if isinstance(said, Mapping):
        inner = Names(said)
        step = inner.text("current_step", "step", "stage", "message") or step
        said = inner.get("percentage", "percent", "progress")
    if step:
        parts.append(step)
    if isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said <= 100:
        parts.append(f"{said * 100 if isinstance(said, float) and said <= 1 else said:.0f} %")
    elif isinstance(said, str) and said:
        parts.append(said)
    return short(", ".join(dict.fromkeys(parts)), 300) or None


def _id(names: Names, *spellings: str) -> str | None:
    value = names.get(*spellings)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and 0 < len(value) <= 500 else None


def _sentence(body: Any) -> tuple[str, ...]:
    text = read_error(body)
    return (text,) if text else ()
