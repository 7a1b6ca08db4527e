"""What is refused before anything is sent or paid, each with one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from masumi_tools.errors import InputError
from masumi_tools.hire.budget import Asked, Budget
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.hire.clocked import ClockedBuyer, purchases, sent


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def journal(sqlite_url: str) -> Iterator[Journal]:
    journal = Journal(sqlite_url)
    yield journal
    journal.close()


def assert_nothing_happened(sandbox: Sandbox, receipt: Receipt, words: str) -> None:
    assert receipt.outcome == "refused"
    assert words in receipt.reason
    assert receipt.where_the_money_is == "Nothing was paid."
    assert "POST /start_job" not in sent(sandbox)
    assert purchases(sandbox) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "text"),
        ({"text": "hello", "colour": "red"}, "colour: unknown field"),
        ({"text": 5}, "text"),
        ({"text": "x" * 20_001}, "text"),
        ({"text": ""}, "text"),
    ],
    ids=["missing", "extra", "wrong type", "over its limit", "empty"],
)
def test_input_that_does_not_fit_is_named_and_no_job_is_started(
    sandbox: Sandbox, journal: Journal, data: Any, words: str
) -> None:
    receipt = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(
        sandbox.service("echo").agent_identifier, data
    )

    assert_nothing_happened(sandbox, receipt, words)


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget("0.5 ADA"), "0.5 ADA"),
        (Budget("20 ADA", per_hire="0.5 ADA"), "0.5 ADA"),
        (Budget("20 USDM"), "has no ADA"),
        (Budget("20 ADA", allow=["https://elsewhere.example"]), "not on the allow list"),
    ],
)
def test_what_the_budget_does_not_allow_is_refused_before_the_service_hears_of_it(
    sandbox: Sandbox, journal: Journal, budget: Budget, words: str
) -> None:
    target = sandbox.service("echo").agent_identifier

    receipt = ClockedBuyer(sandbox, budget, journal).hire(target, {"text": "hello"})

    assert_nothing_happened(sandbox, receipt, words)
    assert "GET /input_schema" not in sent(sandbox)


def test_without_budget_and_max_price_only_a_free_service_is_hired(
    sandbox: Sandbox, journal: Journal
) -> None:
    buyer = ClockedBuyer(sandbox, None, journal)

    paid = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"})
    free = buyer.hire(sandbox.service("free").agent_identifier, {"text": "hello"})

    assert (paid.outcome, free.outcome) == ("refused", "completed")
    assert "max_price" in paid.reason


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda asked: False, "not approved"),
        (lambda asked: 1 / 0, "ZeroDivisionError"),
        (lambda asked: "yes", "not approved"),
        (lambda asked: None, "not approved"),
    ],
)
def test_anything_but_a_clear_yes_is_a_no(
    sandbox: Sandbox, journal: Journal, answer: Any, words: str
) -> None:
    budget = Budget("20 ADA", approve_above="0.5 ADA", approve=answer)

    receipt = ClockedBuyer(sandbox, budget, journal).hire(
        sandbox.service("echo").agent_identifier, {"text": "hi"}
    )

    assert_nothing_happened(sandbox, receipt, words)


def test_who_approves_sees_service_price_and_input(sandbox: Sandbox, journal: Journal) -> None:
    seen: list[Asked] = []

    async def approve(asked: Asked) -> bool:
        seen.append(asked)
        return True

    budget = Budget("20 ADA", approve_above="0.5 ADA", approve=approve)
    receipt = ClockedBuyer(sandbox, budget, journal).hire(
        sandbox.service("echo").agent_identifier, {"text": "hi"}
    )

    assert receipt.outcome == "completed"
    assert [(asked.name, asked.price_text, asked.input_data) for asked in seen] == [
        ("Echo", "1 ADA", {"text": "hi"})
    ]


def buyer_with(sandbox: Sandbox, journal: Journal, **settings: Any) -> ClockedBuyer:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    changed = replace(buyer.settings, **settings)
    return ClockedBuyer(sandbox, Budget("20 ADA"), journal, settings=changed)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"node_token": "wrong"}, "refuses the API key"),
        ({"node_token": "read"}, "pay scope"),
        ({"node_url": "http://127.0.0.1:9/api/v1"}, "did not answer"),
        ({"network": "Mainnet"}, "Preprod"),
    ],
    ids=["unknown token", "token without pay scope", "node not reachable", "wrong network"],
)
def test_a_node_that_will_not_pay_is_found_out_before_the_service_is_troubled(
    sandbox: Sandbox, journal: Journal, settings: dict[str, Any], words: str
) -> None:
    if settings.get("node_token") == "read":
        settings = {"node_token": read_only_token(sandbox)}

    receipt = buyer_with(sandbox, journal, **settings).hire(
        sandbox.service("echo").agent_identifier, {"text": "hello"}
    )

    assert_nothing_happened(sandbox, receipt, words)


def read_only_token(sandbox: Sandbox) -> str:
    import httpx

    with httpx.Client(transport=sandbox.transport()) as client:
        made = client.post(
            f"{sandbox.node_url}/api-key",
            headers={"token": sandbox.admin_token},
            json={
                "usageLimited": "false",
                "UsageCredits": [],
                "permission": "Read",
                "NetworkLimit": ["Preprod"],
            },
        )
    return str(made.json()["data"]["token"])


def test_an_unknown_agent_is_refused(sandbox: Sandbox, journal: Journal) -> None:
    unknown = sandbox.service("echo").agent_identifier[:56] + "00" * 32

    receipt = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(unknown, {"text": "hello"})

    assert_nothing_happened(sandbox, receipt, "unknown agent")


@pytest.mark.parametrize(
    "arguments",
    [
        {"target": "", "input_data": {}},
        {"target": "https://s.example/?a=b", "input_data": {}},
        {"target": "ab" * 40, "input_data": {"n": float("nan")}},
        {"target": "ab" * 40, "input_data": {"n": 2**53}},
        {"target": "ab" * 40, "input_data": {"s": "\ud800"}},
        {"target": "ab" * 40, "input_data": {}, "max_price": "1,5 ADA"},
        {"target": "ab" * 40, "input_data": {}, "max_price": "-1 ADA"},
    ],
)
def test_arguments_that_no_hire_can_have_are_an_input_error_and_leave_no_trace(
    sandbox: Sandbox, journal: Journal, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InputError):
        ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(**arguments)

    assert sent(sandbox) == [] and journal.rows() == []


def test_settings_without_a_node_are_refused_when_a_buyer_is_made() -> None:
    from masumi_tools.errors import SettingsError
    from masumi_tools.hire.buyer import Buyer

    with pytest.raises(SettingsError, match="MASUMI_NODE_URL"):
        Buyer(Settings())
