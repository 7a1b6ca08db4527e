"""Times in every form, and the rules that they must keep among themselves."""

from __future__ import annotations

from typing import Any

import pytest

from masumi_tools.models import JobTimes, read_time


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (1785388352123, 1785388352123),
        ("1785388352123", 1785388352123),
        (" 1785388352123 ", 1785388352123),
        (1785388352000.0, 1785388352000),
        ("1785388352000.0", 1785388352000),
        ("2026-07-30T05:12:32.123Z", 1785388352123),
        ("2026-07-30T05:12:32.123456Z", 1785388352123),
        ("2026-07-30t07:12:32+02:00", 1785388352000),
        ("2026-07-30 05:12:32", 1785388352000),
        (1785388352, 1785388352000),
        ("1785388352", 1785388352000),
        (1785388352.5, 1785388352500),
        (10000086399, 10000086399000),
    ],
)
def test_a_time_is_read_to_the_millisecond(value: Any, ms: int) -> None:
    read = read_time(value)
    assert read.ms == ms and read.problem is None
    sent_as_ms = not isinstance(value, str) and value > 1e11
    assert (read.note is None) == (sent_as_ms or str(value).strip().split(".")[0] == str(ms))


@pytest.mark.parametrize(
    "value",
    [None, "", 0, -1, 1, 4, True, "soon", "1e12", float("nan"), float("inf"), 1785388352123000, [], {}, 10**400,
     1785388352123.5, "1785388352.1234567", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-07"],
)  # fmt: skip
def test_what_is_no_time_is_a_problem_and_never_a_guess(value: Any) -> None:
    read = read_time(value)
    assert read.ms is None and read.problem


MINUTE = 60_000
RIGHT = JobTimes(0, 5 * MINUTE, 20 * MINUTE, 35 * MINUTE)


def test_the_shortest_gaps_that_the_node_takes_are_right() -> None:
    assert RIGHT.problems() == ()


@pytest.mark.parametrize(
    ("times", "field"),
    [
        (JobTimes(1, 5 * MINUTE, 20 * MINUTE, 35 * MINUTE), "payByTime"),
        (JobTimes(0, 5 * MINUTE, 20 * MINUTE - 1, 35 * MINUTE), "unlockTime"),
        (JobTimes(0, 5 * MINUTE, 20 * MINUTE, 35 * MINUTE - 1), "externalDisputeUnlockTime"),
    ],
)
def test_a_gap_that_is_a_millisecond_short_names_its_field(times: JobTimes, field: str) -> None:
    assert [problem.split(":")[0] for problem in times.problems()] == [field]


def test_the_wire_form_is_decimal_text() -> None:
    assert JobTimes(1, 2, 3, 4).as_wire() == {
        "payByTime": "1",
        "submitResultTime": "2",
        "unlockTime": "3",
        "externalDisputeUnlockTime": "4",
    }
