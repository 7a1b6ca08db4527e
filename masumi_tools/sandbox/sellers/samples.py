"""The sample services of the sandbox: one for each thing that a seller may do to a buyer."""

from __future__ import annotations

from typing import Any

from .mip003 import MINUTE_MS, Failed, Job, Sample

Field = dict[str, Any]

TEXT: Field = {
    "id": "text",
    "type": "text",
    "name": "Text",
    "data": {"description": "The text to work on", "placeholder": "hello world"},
    "validations": [{"validation": "min", "value": "1"}, {"validation": "max", "value": "20000"}],
}
SECONDS: Field = {
    "id": "seconds",
    "type": "number",
    "name": "Seconds",
    "data": {"description": "How long the work takes; 3 when left out"},
    "validations": [{"validation": "optional", "value": "true"}],
}
APPROVE: Field = {
    "id": "approve",
    "type": "boolean",
    "name": "Approve",
    "data": {"description": "May the text be shouted?"},
}
COMMENT: Field = {
    "id": "comment",
    "type": "text",
    "name": "Comment",
    "data": {"description": "What to say with it"},
    "validations": [{"validation": "optional", "value": "true"}],
}


def _shout(job: Job) -> str:
    return str(job.data["text"]).upper()


def _shout_if_approved(job: Job) -> str:
    answered = job.answered or {}
    said = f"\n{answered['comment']}" if answered.get("comment") else ""
    return (_shout(job) if answered.get("approve") else f"Left as it was: {job.data['text']}") + said


def _fail(job: Job) -> str:
    raise Failed("This service always fails; it is made that way.")


def _seconds_asked_for(job: Job) -> int:
    seconds = job.data.get("seconds")
    return 3000 if seconds is None else int(seconds * 1000)


def _weather(job: Job) -> str:
    return f"The weather in {job.data['text']} is simulated: 21 degrees and dry."


def _sample(name: str, title: str, description: str, price: str, **more: Any) -> Sample:
    more.setdefault("fields", (TEXT,))
    more.setdefault("example", {"text": "hello world"})
    more.setdefault("work", _shout)
    more.setdefault("tags", ("sandbox", "text"))
    return Sample(name=name, title=title, description=description, price=price, **more)


SAMPLES: tuple[Sample, ...] = (
    _sample("echo", "Echo", "Returns the text in capitals, at once.", "1 ADA"),
    _sample("echo-v2", "Echo V2", "Echo on the V2 escrow contract.", "1 ADA", metadata_version=2),
    _sample(
        "slow",
        "Slow",
        "Returns the text in capitals after a while.",
        "1 ADA",
        fields=(TEXT, SECONDS),
        takes_ms=_seconds_asked_for,
        tags=("sandbox", "text", "slow"),
    ),
    _sample(
        "human",
        "Human",
        "Asks for approval before it returns the text in capitals.",
        "2 ADA",
        work=_shout_if_approved,
        asks={"input_data": [APPROVE, COMMENT]},
        tags=("sandbox", "text", "human-in-the-loop"),
    ),
    _sample("failing", "Failing", "Takes the job and reports that it failed.", "1 ADA", work=_fail),
    _sample(
        "silent",
        "Silent",
        "Is paid into escrow and never answers.",
        "3 ADA",
        answers=False,
        submit_result_ms=30 * MINUTE_MS,
    ),
    _sample("liar", "Liar", "Its result is not the one whose hash it submits.", "1 ADA", lies=True),
    _sample(
        "greedy",
        "Greedy",
        "Is listed at one price and asks five times as much when the job starts.",
        "2 ADA",
        demands=((10_000_000, ""),),
    ),
    _sample(
        "free",
        "Free",
        "Tells the weather of a place for nothing.",
        "free",
        pricing_type="Free",
        work=_weather,
        example={"text": "Lisbon"},
        tags=("sandbox", "weather"),
    ),
)
"""``silent`` has the shortest result time that the node allows with some room: its refund comes soon."""
