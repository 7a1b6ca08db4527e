"""A fallback is hired when the first service did not do the work, and never while the first may still be paid."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools import Budget, Buyer, Receipt
from masumi_tools.errors import InputError
from masumi_tools.sandbox import Sandbox
from tests.tools.market import settings_of

HOUR_MS = 3_600_000
# Where no money of a purchase can be taken any more.
OVER = {"Withdrawn", "RefundWithdrawn", "DisputedWithdrawn", "FundsOrDatumInvalid"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def buyer(sandbox: Sandbox, tmp_path: Path) -> Iterator[Buyer]:
    with Buyer(settings_of(sandbox, tmp_path), budget=Budget("40 ADA")) as buyer:
        yield buyer


def still_out(sandbox: Sandbox) -> list[str]:
    """The states of the purchases whose money may still be taken, and whose work is not here."""
    rows = sandbox.ledger()["purchases"]
    return [str(row["onChainState"]) for row in rows if row["onChainState"] not in OVER]


def hire(buyer: Buyer, first: str, *others: str, patience_s: float = 20) -> Receipt:
    return buyer.hire(first, {"text": "a"}, fallback=others, patience_s=patience_s)


def test_the_second_is_hired_when_the_first_is_above_a_limit(sandbox, tmp_path):
    with Buyer(settings_of(sandbox, tmp_path), budget=Budget("9 ADA", per_hire="1 ADA")) as buyer:
        made = hire(buyer, "human", "echo")

    assert (made.outcome, made.service, made.result) == ("completed", "Echo", "A")
    assert len(sandbox.ledger()["purchases"]) == 1


def test_the_second_waits_until_the_money_of_the_first_is_back(sandbox, buyer):
    first = hire(buyer, "silent", "echo", patience_s=2)
    again = hire(buyer, "silent", "echo", patience_s=1)
    before = len(sandbox.ledger()["purchases"])
    sandbox.advance(12 * HOUR_MS)
    last = hire(buyer, "silent", "echo")

    assert (first.outcome, again.hire_id, before) == ("open", first.hire_id, 1)
    assert (last.outcome, last.service) == ("completed", "Echo")
    assert buyer.receipt(first.hire_id).outcome == "refunded"
    assert hire(buyer, "silent", "echo").hire_id == last.hire_id


def test_money_that_is_gone_hires_nobody_else(sandbox, buyer, monkeypatch):
    from masumi_tools.hire.flows import gave_nothing

    first = hire(buyer, "echo")
    for outcome in (
        "open",
        "needs_input",
        "needs_approval",
        "refund_requested",
        "disputed",
        "failed",
        "completed",
    ):
        assert not gave_nothing(first.model_copy(update={"outcome": outcome}))
    lost = first.model_copy(update={"outcome": "refunded", "refunded": ()})
    wished = first.model_copy(update={"outcome": "refunded", "refunded": first.price})
    assert not gave_nothing(lost) and gave_nothing(wished)
    assert not gave_nothing(wished.model_copy(update={"reason": "the buyer requested a refund"}))


def test_a_fallback_that_is_open_is_joined_before_the_first_is_tried_again(sandbox, buyer):
    refused = hire(buyer, sandbox.service("silent").agent_identifier, patience_s=1)
    sandbox.advance(12 * HOUR_MS)
    buyer.sweep()
    slow = hire(buyer, "silent", "human", patience_s=20)
    sandbox.advance(HOUR_MS // 4)  # the end of the first answers no equal call any more

    later = hire(buyer, "silent", "human", patience_s=1)

    assert refused.outcome == "open"
    assert (slow.outcome, slow.service) == ("needs_input", "Human")
    assert later.hire_id == slow.hire_id
    assert len(sandbox.ledger()["purchases"]) == 2


def test_a_service_is_not_named_twice(buyer):
    with pytest.raises(InputError, match="twice"):
        hire(buyer, "echo", "echo")


@pytest.mark.parametrize("seed", range(4))
def test_never_two_purchases_are_open_whatever_happens_when(sandbox, tmp_path, seed):
    """Calls of several buyers, sweeps, answers of nobody and time in any order, also without reuse."""
    rng = random.Random(seed)
    buyers = [Buyer(settings_of(sandbox, tmp_path), budget=Budget("90 ADA")) for _ in range(2)]
    services = ["silent", "failing", "human"]

    def call(buyer: Buyer) -> None:
        buyer.hire(
            services[0],
            {"text": "a"},
            fallback=services[1:],
            patience_s=rng.choice((0, 0.3)),
            reuse_within_s=0,
        )

    try:
        for _step in range(12):
            match rng.choice(("call", "both", "sweep", "time")):
                case "call":
                    call(rng.choice(buyers))
                case "both":
                    threads = [threading.Thread(target=call, args=(buyer,)) for buyer in buyers]
                    for thread in threads:
                        thread.start()
                    for thread in threads:
                        thread.join(60)
                case "sweep":
                    rng.choice(buyers).sweep()
                case "time":
                    sandbox.advance(rng.choice((1, 5, 12)) * HOUR_MS)
            assert len(still_out(sandbox)) <= 1
    finally:
        for buyer in buyers:
            buyer.close()
    assert sandbox.ledger()["purchases"]


def test_a_tool_hires_its_fallback_and_a_replayed_call_its_own_hire(sandbox, tmp_path):
    pytest.importorskip("langchain_core")
    from masumi_tools import MasumiAgentTool

    tool = MasumiAgentTool.for_agent(
        sandbox.service("failing").agent_identifier,
        settings=settings_of(sandbox, tmp_path),
        budget=Budget("9 ADA"),
        fallback=["echo"],
        patience_s=20,
    )
    call = {"name": tool.name, "args": {"text": "a"}, "id": "call-1", "type": "tool_call"}

    asked = tool.invoke(call)
    for _ in range(5):  # the money comes back first, on the sandbox's chain
        sandbox.advance(12 * HOUR_MS)
        told = tool.invoke(call)
        if told.artifact.ok:
            break
    replayed = tool.invoke(call)
    tool.close()

    assert asked.artifact.outcome in ("open", "refund_requested")
    assert "Do not hire again" in asked.text
    assert told.artifact.ok and told.artifact.service == "Echo"
    assert replayed.artifact.hire_id == told.artifact.hire_id
    assert len(sandbox.ledger()["purchases"]) == 2


def test_a_person_who_is_asked_about_one_service_approves_no_other(sandbox, tmp_path):
    pytest.importorskip("langchain_core")
    from masumi_tools import langchain

    tool = langchain.MasumiAgentTool.for_agent(
        sandbox.service("echo").agent_identifier,
        settings=settings_of(sandbox, tmp_path),
        budget=Budget("9 ADA"),
        fallback=["human"],
    )
    with pytest.raises(InputError, match="was not asked about"):
        langchain.approval(tool)
    tool.close()
