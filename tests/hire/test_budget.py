"""A budget says yes, or which limit forbids it and by how much."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from masumi_tools.errors import InputError
from masumi_tools.hire.budget import Budget
from masumi_tools.journal.row import Usage
from masumi_tools.money import parse_amounts

USED = Usage({"": 15_000_000}, {"": 4_000_000}, {"": 9_000_000})


@pytest.mark.parametrize(
    ("budget", "price", "refused"),
    [
        (Budget("20 ADA"), "5 ADA", None),
        (
            Budget("20 ADA"),
            "5.000001 ADA",
            "allows 20 ADA in total, 5 ADA of it is left",
        ),
        (Budget("20 ADA", per_hire="2 ADA"), "3 ADA", "allows 2 ADA per hire"),
        (Budget("20 ADA", per_day="10 ADA"), "1 ADA", None),
        (Budget("20 ADA", per_day="10 ADA"), "1.5 ADA", "1 ADA of it is left"),
        (Budget("20 ADA", per_service="5 ADA"), "2 ADA", "for this service"),
        (Budget("20 ADA"), "1 USDM", "has no USDM"),
        (Budget(["20 ADA", "3 USDM"]), "3 USDM", None),
        (Budget(["20 ADA", "3 USDM"]), ["1 ADA", "4 USDM"], "allows 3 USDM in total"),
        (Budget(["20 ADA", "3 USDM"], per_hire="9 ADA"), "1 USDM", "has no USDM"),
        (Budget("20 ADA", deny=["https://S.example/api/"]), "1 ADA", "on the deny list"),
        (Budget("20 ADA", allow=["ab" * 30]), "1 ADA", "not on the allow list"),
        (Budget("20 ADA", allow=["https://s.example/api"]), "1 ADA", None),
    ],
)
def test_each_limit_is_kept_to_the_last_unit(budget: Budget, price: Any, refused: str | None) -> None:
    reason = budget.refusal(parse_amounts(price), USED, ["AGENT", "https://s.example/api"])

    assert (reason is None) if refused is None else (reason is not None and refused in reason)


def test_a_day_begins_at_midnight_of_the_users_zone() -> None:
    zone = dt.timezone(dt.timedelta(hours=9))
    at = int(dt.datetime(2026, 3, 1, 16, 30, tzinfo=dt.UTC).timestamp() * 1000)

    start = Budget("1 ADA", time_zone=zone).day_start_ms(at)

    assert dt.datetime.fromtimestamp(start / 1000, dt.UTC) == dt.datetime(2026, 3, 1, 15, 0, tzinfo=dt.UTC)


def test_on_the_day_when_the_clocks_change_the_day_of_this_machine_begins_at_its_midnight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = int(dt.datetime(2026, 10, 25, 12, tzinfo=dt.UTC).timestamp() * 1000)  # summer time ended at 1:00 UTC
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        here = Budget("1 ADA").day_start_ms(at)
    time.tzset()

    there = Budget("1 ADA", time_zone=ZoneInfo("Europe/Berlin")).day_start_ms(at)
    assert here == there == int(dt.datetime(2026, 10, 24, 22, tzinfo=dt.UTC).timestamp() * 1000)


def test_approval_is_needed_above_the_threshold_and_for_units_without_one() -> None:
    budget = Budget("20 ADA", approve_above="2 ADA", approve=lambda asked: True)

    assert [budget.needs_approval(parse_amounts(price)) for price in ("2 ADA", "2.1 ADA", "1 USDM")] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("arguments", [{"total": "1,5 ADA"}, {"total": "20 ADA", "approval_within": 0}])
def test_a_budget_that_cannot_be_meant_is_an_input_error(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Budget(**arguments)


def test_a_name_that_a_service_gives_itself_may_get_it_denied_and_never_allowed() -> None:
    url, claimed = "https://s.example/api", "ab" * 40

    allowed = Budget("20 ADA", allow=[claimed]).refusal((), USED, [url], claimed=claimed)
    denied = Budget("20 ADA", deny=[claimed]).refusal((), USED, [url], claimed=claimed)

    assert allowed is not None and "not on the allow list" in allowed
    assert denied is not None and "on the deny list" in denied
