"""What nodes say since the autumn of 2026: denials by policy, ways to pay that are not ready, limited keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.net.http import Http
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.hire.clocked import ClockedBuyer, purchases, sent

HELLO = {"text": "hello"}
MINUTE = 60_000


class Rows(httpx.BaseTransport):
    """The sandbox, whose node shows a purchase otherwise for as long as `change` gives something."""

    def __init__(self, sandbox: Sandbox, change: Callable[[dict[str, Any]], None]) -> None:
        self._inner, self.change = sandbox.transport(), change

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        if not request.url.path.endswith("/purchase/resolve-blockchain-identifier"):
            return answer
        body = json.loads(answer.read())
        if answer.status_code == 200:
            self.change(body["data"])
        return httpx.Response(answer.status_code, json=body)


@pytest.fixture
def buyer(sandbox: Sandbox, journal: Journal) -> Iterator[ClockedBuyer]:
    yield ClockedBuyer(sandbox, Budget("20 ADA"), journal)


def hire(buyer: ClockedBuyer, sandbox: Sandbox, patience_s: float = 30) -> Receipt:
    return buyer.hire(sandbox.service("echo").agent_identifier, HELLO, patience_s=patience_s)


def test_a_denial_for_the_time_being_is_told_and_the_hire_goes_on(
    sandbox: Sandbox, buyer: ClockedBuyer
) -> None:
    sandbox.deny_locks("daily limit of the wallet reached", lasting=False, times=2_000)
    told = hire(buyer, sandbox)
    assert (told.outcome, told.paid) == ("open", ())
    assert "has not sent the lock yet" in told.reason and "daily limit" in told.reason
    assert "nothing is locked" in told.where_the_money_is
    sandbox.world.guard.answers.clear()
    done = buyer.resume(told.hire_id, patience_s=120)
    assert (done.outcome, done.result, len(purchases(sandbox))) == ("completed", "HELLO", 1), done.reason


def test_a_denial_for_good_waits_for_the_operator_and_lapses_unpaid(
    sandbox: Sandbox, buyer: ClockedBuyer
) -> None:
    sandbox.deny_locks("the seller is not on the allow list", lasting=True)
    told = hire(buyer, sandbox)
    assert told.outcome == "open", "what the operator may still allow is not final"
    assert "its wallet denied the payment (the seller is not on the allow list)" in told.reason
    assert "nothing is locked" in told.reason
    assert sent(sandbox).count("POST /purchase") == 1
    for _ in range(3):
        sandbox.advance(30 * MINUTE)
        buyer.sweep()
    done = buyer.receipt(told.hire_id)
    assert (done.outcome, done.paid) == ("lapsed", ()), done.reason
    assert done.where_the_money_is == "Nothing was paid." and buyer.budget_lines()[0].used == 0


ODD = {"requestedAction": "WaitingForOracle", "errorType": "OracleSilent", "errorNote": None}


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        ({"onChainState": "LockPendingReview"}, "LockPendingReview"),
        (
            {"onChainState": None, "resultHash": None, "NextAction": ODD},
            "OracleSilent",
        ),
    ],
    ids=["state", "error type"],
)
def test_what_nobody_knows_is_not_final_and_told_in_the_nodes_words(
    sandbox: Sandbox, buyer: ClockedBuyer, shown: dict[str, Any], words: str
) -> None:
    strange = Rows(sandbox, lambda row: row.update(shown))
    buyer._http = Http(buyer.settings, transport=strange)
    told = hire(buyer, sandbox)
    assert told.outcome == "open" and words in told.reason
    for _ in range(30):
        sandbox.advance(60 * MINUTE)
        buyer.sweep()
    assert buyer.receipt(told.hire_id).open, buyer.receipt(told.hire_id).reason
    strange.change = lambda row: None
    for _ in range(4):
        sandbox.advance(24 * 60 * MINUTE)
        buyer.sweep()
    assert buyer.receipt(told.hire_id).outcome in ("completed", "refunded", "failed")


def test_an_unknown_next_action_alone_stops_nothing(sandbox: Sandbox, buyer: ClockedBuyer) -> None:
    odd = Rows(sandbox, lambda row: row["NextAction"].update(requestedAction="WaitingForOracle"))
    buyer._http = Http(buyer.settings, transport=odd)
    done = hire(buyer, sandbox, 120)
    assert (done.outcome, done.result) == ("completed", "HELLO"), done.reason


def limited(sandbox: Sandbox, *credits: tuple[str, str]) -> Settings:
    with httpx.Client(transport=sandbox.transport()) as client:
        made = client.post(
            f"{sandbox.node_url}/api-key",
            headers={"token": sandbox.admin_token},
            json={
                "usageLimited": "true",
                "UsageCredits": [{"unit": unit, "amount": amount} for unit, amount in credits],
                "permission": "ReadAndPay",
                "NetworkLimit": ["Preprod"],
            },
        )
    token = made.json()["data"]["token"]
    return replace(Settings.from_sandbox(sandbox), node_token=token)


EVM = ("eip155:8453:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913", "5000000")


@pytest.mark.parametrize(
    ("credits", "words"),
    [
        ([], "nothing is left"),
        ([("", "999999")], "0.999999 ADA is left"),
        ([EVM], "pay by x402 only"),
    ],
    ids=["none", "too little", "of another rail"],
)
def test_a_limited_key_without_credits_of_the_price_is_told_before_a_service_is_troubled(
    sandbox: Sandbox, journal: Journal, credits: list[tuple[str, str]], words: str
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal, settings=limited(sandbox, *credits))
    told = hire(buyer, sandbox)
    assert told.outcome == "refused" and words in told.reason and "credits in ADA" in told.reason
    assert "POST /start_job" not in sent(sandbox) and told.where_the_money_is == "Nothing was paid."


def test_a_limited_key_is_asked_for_each_hire_since_a_purchase_takes_all_it_has(
    sandbox: Sandbox, journal: Journal
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal, settings=limited(sandbox, ("", "50000000")))
    assert hire(buyer, sandbox, 120).outcome == "completed"
    again = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "more"}, patience_s=30)
    assert again.outcome == "refused" and "nothing is left" in again.reason
    assert sent(sandbox).count("POST /start_job") == 1


RAILS: list[tuple[Any, list[tuple[bool | None, str]]]] = [
    (
        [{"rail": "cardano", "network": "Preprod", "ready": True}],
        [(True, "cardano Preprod is ready")],
    ),
    (
        [
            {"rail": "cardano", "network": "Preprod", "ready": False, "reasons": ["no purchasing wallet"]},
            {"rail": "x402", "network": "eip155:8453", "ready": False, "reason": "no budget"},
        ],
        [
            (False, "cardano Preprod is not ready: no purchasing wallet"),
            (None, "x402 eip155:8453 is not ready: no budget"),
        ],
    ),
    (
        [{"rail": "cardano", "network": "Mainnet", "status": "unavailable"}],
        [(None, "cardano Mainnet is not ready")],
    ),
    ([], [(None, "in a form that is not known here")]),
]


@pytest.mark.parametrize(("rails", "findings"), RAILS)
def test_doctor_tells_which_way_to_pay_works(
    sandbox: Sandbox, sqlite_url: str, rails: Any, findings: list[tuple[bool | None, str]]
) -> None:
    told = list(_rails(sandbox, rails))
    assert len(told) == len(findings)
    for (ok, words), (wanted, text) in zip(told, findings, strict=True):
        assert ok is wanted and text in words


def test_a_node_without_that_route_is_told_nothing_about(sandbox: Sandbox) -> None:
    assert list(_rails(sandbox, None)) == []


def _rails(sandbox: Sandbox, rails: Any) -> Iterator[tuple[bool | None, str]]:
    pytest.importorskip("typer")
    from masumi_tools.cli.doctor import _rails as look

    sandbox.world.rails = rails
    settings = Settings.from_sandbox(sandbox)
    http = Http(settings, transport=sandbox.transport())
    for finding in look(settings, http):
        yield finding.ok, finding.words


def test_rails_are_read_from_any_list_or_object() -> None:
    from masumi_tools.models import Rail, read_rails

    assert read_rails({"data": {"cardano": {"ready": True}, "x402": {"status": "not_configured"}}}) == [
        Rail("cardano", True),
        Rail("x402", False),
    ]
    assert read_rails({"data": [{"name": "V2", "isReady": False, "issues": [{"message": "no funds"}]}]}) == [
        Rail("V2", False, "no funds")
    ]
    assert read_rails("nothing") == [] and read_rails({"data": {"cardano": True}}) == [Rail("cardano", True)]
