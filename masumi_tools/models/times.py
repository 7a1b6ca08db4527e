"""The four times of a job: read from every form that sellers use, and checked against each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from masumi_tools.models.wire import quoted

_MINUTE_MS: Final = 60_000
PAY_BEFORE_SUBMIT_MS: Final = 5 * _MINUTE_MS  # protocol N10
SUBMIT_BEFORE_UNLOCK_MS: Final = 15 * _MINUTE_MS
UNLOCK_BEFORE_DISPUTE_MS: Final = 15 * _MINUTE_MS

# The names on the wire, in the order of JobTimes.
TIME_NAMES: Final = ("payByTime", "submitResultTime", "unlockTime", "externalDisputeUnlockTime")

# 1e11 ms is 1973 and 1e11 s is the year 5138: no real time is read wrongly (protocol N20).
_SECONDS: Final = range(10**9, 10**11)
_MILLISECONDS: Final = range(10**11, 10**14)
_NUMBER: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,9})?")
_ISO: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.,]{4,20}(?:Z|[+-][0-9:]{2,5})?)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class JobTimes:
    """The four deadlines of a job in ms since 1970, as the seller signed them (protocol N10)."""

    pay_by_time: int
    submit_result_time: int
    unlock_time: int
    external_dispute_unlock_time: int

    def as_wire(self) -> dict[str, str]:
        """The times by their wire names as decimal text: what the seller signed and what the node takes."""
        values = (
            self.pay_by_time,
            self.submit_result_time,
            self.unlock_time,
            self.external_dispute_unlock_time,
        )
        return {name: str(value) for name, value in zip(TIME_NAMES, values, strict=True)}

    def problems(self) -> tuple[str, ...]:
        """What the node would refuse about the times among themselves, whenever it is asked (protocol N10)."""
        found = []
        if self.pay_by_time > self.submit_result_time - PAY_BEFORE_SUBMIT_MS:
            found.append("payByTime: must be at least 5 minutes before submitResultTime")
        if self.unlock_time < self.submit_result_time + SUBMIT_BEFORE_UNLOCK_MS:
            found.append("unlockTime: must be at least 15 minutes after submitResultTime")
        if self.external_dispute_unlock_time < self.unlock_time + UNLOCK_BEFORE_DISPUTE_MS:
            found.append("externalDisputeUnlockTime: must be at least 15 minutes after unlockTime")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class ReadTime:
    """One time as it was understood: `ms`, or the `problem` in words; `note` says what was repaired."""

    ms: int | None = None
    note: str | None = None
    problem: str | None = None
    in_seconds: bool = False


def read_time(value: Any) -> ReadTime:
    """A time sent as ms, seconds, decimal text or ISO text.

    Milliseconds pass unchanged. An ISO time becomes ms (what a seller's JSON library made of the signed
    value). Seconds are multiplied by 1000, which is right only where the signed ms ended in 000; the
    seller's signature decides. Both leave a note. Anything else is a problem, never a guess.
    """
    if value is None or value == "":
        return ReadTime(problem="missing")
    number = _number(value)
    if number is None:
        return _iso(value)
    if number.as_integer_ratio()[1] == 1 and int(number) in _MILLISECONDS:
        return ReadTime(int(number))
    in_ms = number * 1000
    if int(number) in _SECONDS and in_ms.as_integer_ratio()[1] == 1:
        note = f"{quoted(value)} is in seconds and was read as {int(in_ms)} ms"
        return ReadTime(int(in_ms), note=note, in_seconds=in_ms % 1000 == 0)
    return ReadTime(problem=f"{quoted(value)} is not a time in milliseconds since 1970")


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        value = repr(value) if isinstance(value, float) else str(value)
    elif isinstance(value, str):
        value = value.strip()
        if _NUMBER.fullmatch(value) is None:
            return None
    else:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _iso(value: Any) -> ReadTime:
    text = value.strip() if isinstance(value, str) else ""
    if _ISO.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text.upper().replace(",", "."))
        except ValueError:
            return ReadTime(problem=f"{quoted(value)} is not a date and time")
        zone = "" if moment.tzinfo else ", taken as UTC"
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        ms = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
        if ms in _MILLISECONDS:
            return ReadTime(ms, note=f"{quoted(value)} is an ISO time{zone} and was read as {ms} ms")
    return ReadTime(problem=f"{quoted(value)} is not a time in milliseconds since 1970")


def wire_times(values: Mapping[str, Any]) -> tuple[JobTimes | None, list[str], list[str]]:
    """The four times in a seller's values: (times or None, problems, notes), each led by its field."""
    found: list[int] = []
    in_seconds: list[str] = []
    problems: list[str] = []
    notes: list[str] = []
    for name in TIME_NAMES:
        read = read_time(values.get(name))
        if read.ms is None:
            problems.append(f"{name}: {read.problem}")
            continue
        found.append(read.ms)
        if read.note:
            notes.append(f"{name}: {read.note}")
        if read.in_seconds:
            in_seconds.append(name)
    if len(found) < len(TIME_NAMES):
        return None, problems, notes
    if in_seconds and any(ms % 1000 for ms in found):
        # The body shows that this seller's times have milliseconds: those of the others are lost.
        problems.extend(f"{name}: in seconds, while the signed time has milliseconds" for name in in_seconds)
        return None, problems, notes
    times = JobTimes(*found)
    problems.extend(times.problems())
    return times, problems, notes
