"""The small answers of a service: availability, what became of provide_input, its demo."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from masumi_tools.models.status import JobState, state_of
from masumi_tools.models.wire import as_object, is_refusal, layers, read_error, read_error_code

_UP: Final = frozenset(
    [
        "available",
        "online",
        "up",
        "ok",
        "ready",
        "operational",
        "healthy",
        "active",
        "running",
        "alive",
        "true",
        "success",
        "idle",
        "degraded",
    ]
)
_DOWN: Final = frozenset(
    [
        "unavailable",
        "offline",
        "down",
        "error",
        "failed",
        "failure",
        "unhealthy",
        "maintenance",
        "busy",
        "overloaded",
        "inactive",
        "disabled",
        "false",
        "not_available",
        "stopped",
        "paused",
    ]
)
_TAKEN: Final = frozenset(
    ["success", "ok", "accepted", "received", "input_received", "done", "resumed", "resuming"]
)
_NEGATIVE: Final = re.compile(
    r"\b(not|no|error|failed|failure|invalid|unknown|already|expired|missing|denied|refused|rejected|cannot)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether the service says that it takes jobs: True, False (stop before start_job), or None (go on).

    "Available" is never a promise: many services say it whatever happens behind them.
    """

    available: bool | None
    why: str = ""


def read_availability(body: Any, http_status: int = 200) -> Availability:
    """The answer to GET /availability, in any dialect (protocol S1). Never raises.

    A 2xx answer that says nothing clear is None, and so are 429, 405 and redirects; other codes are False.
    """
    found = layers(body)
    if not 200 <= http_status < 300:
        said = read_error(body) or f"HTTP {http_status}"
        return Availability(None if http_status in (405, 408, 429) or http_status < 400 else False, said)
    for names in reversed(found):
        value = names.get("available", "is_available")
        word = str(value).strip().lower() if isinstance(value, bool | str) else None
        for text in (word, (names.text("status", "state") or "").strip().lower().replace(" ", "_")):
            if text in _DOWN:
                return Availability(False, read_error(names.raw) or f"it says {text}")
            if text in _UP:
                return Availability(True, names.text("message") or "")
    return Availability(None, "the answer does not say whether the service is available")


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of provide_input: taken (True), not taken (False), or not known (None).

    False after a lost reply can mean that the first one was taken; in each case but True the next
    GET /status tells, before anything is sent again. `state` is the job's state where the answer says it.
    """

    accepted: bool | None
    why: str = ""
    input_hash: str | None = None
    signature: str | None = None
    state: JobState | None = None
    code: str | None = None


def read_ack(body: Any, http_status: int = 200) -> Ack:
    """The answer to POST /provide_input, in any dialect (protocol S6). Never raises.

    4xx was not taken, nor was 500 or 501 with a sentence (sellers answer every refusal so); redirects,
    other 5xx and 2xx without hash, status or sentence say nothing.
    """
    found = layers(body)
    said = read_error(body) or f"HTTP {http_status}"
    code = read_error_code(body)
    if not 200 <= http_status < 300:
        clear = is_refusal(body, http_status) or (http_status in (500, 501) and as_object(body) is not None)
        return Ack(False if clear else None, said, code=code)
    if not found:
        return Ack(None, "the answer is not a JSON object")
    names = next((n for n in found if n.get("input_hash", "signature", "status") is not None), found[0])
    digest, word = names.text("input_hash"), names.text("status", "state")
    state = state_of(word) if word else None
    signature = names.text("signature")
    if digest:
        return Ack(True, "", digest, signature, state, code)
    if state is JobState.FAILED or any(names.get(n) is not None for n in ("error", "errors")):
        return Ack(False, said, state=state, code=code)
    if names.get("success", "accepted", "ok") is False:
        return Ack(False, said)
    if (
        state not in (None, JobState.UNKNOWN)
        or (word or "").strip().lower() in _TAKEN
        or names.get("success") is True
    ):
        return Ack(True, "", None, signature, state)
    message = names.text("message", "detail")
    if message:
        return Ack(not _NEGATIVE.search(message), message, None, signature)
    return Ack(None, "the answer has neither hash nor status nor message", None, signature)


@dataclass(frozen=True, slots=True)
class Demo:
    """The example input and output that a service shows at GET /demo."""

    input_data: Mapping[str, Any] = field(default_factory=dict)
    output: str = ""


def read_demo(body: Any, http_status: int = 200) -> Demo | None:
    """The demo, or None: most services have none and say so with 404, 501 or nothing (protocol S7)."""
    if not 200 <= http_status < 300:
        return None
    for names in layers(body):
        output, given = names.get("output"), names.get("input", "input_data")
        text = output
        if isinstance(output, Mapping):
            text = output.get("result", next(iter(output.values()), None))
        if isinstance(text, str) and isinstance(given, Mapping):
            whole = given.get("input_data")  # some show the whole body of start_job
            return Demo(dict(whole if isinstance(whole, Mapping) and len(given) == 1 else given), text)
    return None
