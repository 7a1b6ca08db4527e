"""People in the loop: `ask_human` inside the work, and the context in which one job's work runs."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from masumi_tools.errors import InputError, StateError
from masumi_tools.inputs import InputSpec, fields_from_model, read_input_schema
from masumi_tools.seller.work.loop import work_loop


class Abandoned(BaseException):
    """Ends work that nobody wants any more: its job failed, was taken over, or the process stops.

    Not an Exception, so that no `except Exception` in a stranger's work can swallow it.
    """


class WorkContext(Protocol):
    """What the work of one job may ask of its surroundings."""

    @property
    def job_id(self) -> str: ...

    @property
    def ended(self) -> threading.Event:
        """Set when nobody wants the work any more: it was written off, or the process stops."""

    def ask(self, spec: InputSpec, message: str, key: str = "", resumed: bool = False) -> dict[str, Any]:
        """Wait for people's answer to this question; the same question after a restart keeps its answer.

        Work that goes on where it was names its questions by `key`: with `resumed`, an earlier question of the
        same words is another one.
        """

    def progress(self, text: str) -> None:
        """Show where the work is; a buyer sees it in /status and never as a result."""


_current: ContextVar[WorkContext | None] = ContextVar("masumi_work", default=None)


@contextmanager
def speak_for(context: WorkContext | None) -> Iterator[None]:
    """Inside: `ask_human` and `report_progress` speak for this job, or for none."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def job_here() -> WorkContext | None:
    """The job whose work runs here, or None."""
    return _current.get()


def current() -> WorkContext:
    """The job whose work runs here; StateError outside of a job."""
    context = _current.get()
    if context is None:
        raise StateError("ask_human works only inside the work of a job that is being sold", phase="work")
    return context


def ask_human(fields: Any, message: str = "") -> dict[str, Any]:
    """The answer of the buyer's people, as checked values by field id. Call it inside the work.

    The job's status is `awaiting_input` with these fields until POST /provide_input brings an answer
    that fits them. `fields` are MIP-003 fields, a pydantic model, or one text for a single question
    (its answer is then under "answer"). Waiting holds no worker, and survives a restart: the work is
    then begun again, and the same questions (fields and message) get the answers that came already. No
    answer before the result is due ends the job as failed. It may be called in any thread or task that the
    work started, also inside async functions; questions at the same time are asked one after the other.
    """
    context = current()
    spec = spec_of(fields)
    if not message and isinstance(fields, str):
        message = fields
    if work_loop.is_here():
        return work_loop.without_holding_it(lambda: context.ask(spec, message))
    return context.ask(spec, message)


def report_progress(text: str) -> None:
    """Say where the work is; outside of a job it does nothing."""
    context = _current.get()
    if context is not None:
        context.progress(text)


def spec_of(fields: Any) -> InputSpec:
    """Input fields however a seller gives them; InputError when they are none or faulty."""
    if isinstance(fields, InputSpec):
        spec = fields
    elif isinstance(fields, str):
        name = re.sub(r"\s+", " ", fields).strip()[:120] or "Answer"
        spec = read_input_schema({"input_data": [{"id": "answer", "type": "textarea", "name": name}]})
    elif isinstance(fields, type) and hasattr(fields, "model_fields"):
        spec = fields_from_model(fields)
    elif isinstance(fields, Mapping):
        whole = "input_data" in fields or "input_groups" in fields
        spec = read_input_schema(fields if whole else {"input_data": [fields]})
    elif isinstance(fields, Sequence):
        spec = read_input_schema({"input_data": list(fields)})
    else:
        kind = type(fields).__name__
        raise InputError(f"fields are MIP-003 fields, a pydantic model or a text, not {kind}")
    if spec.refusal:
        raise InputError(f"these input fields cannot be served: {spec.refusal}")
    return spec
