"""A service that gave nothing in its time is asked once more: for days perhaps nobody looked."""

from __future__ import annotations

import pytest

from masumi_tools.hire.purchase import State
from masumi_tools.hire.receipt import Receipt
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, sent

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
LOST = {"on": "GET /status", "do": "error-500", "times": 10_000}
RESULTS = {"echo": "HELLO", "free": "The weather in hello is simulated: 21 degrees and dry."}


def hire(buyer: ClockedBuyer, name: str) -> Receipt:
    """A hire whose service has done its work and has its money, which nobody has looked at yet."""
    agent = buyer.sandbox.service(name).agent_identifier
    made = buyer.hire(agent, {"text": "hello"}, patience_s=0)
    buyer.sandbox.advance(12 * HOUR_MS)
    return made


def sweep(buyer: ClockedBuyer, times: int) -> Receipt:
    """What the last of so many sweeps, a quarter of an hour apart, tells of the hire."""
    told: list[Receipt] = []
    for _sweep in range(times):
        buyer.sandbox.advance(15 * MINUTE_MS)
        told = buyer.sweep() or told
    return told[0]


def asked(sandbox: Sandbox) -> int:
    return sent(sandbox).count("GET /status")


@pytest.mark.parametrize("name", RESULTS)
def test_a_service_that_nobody_asked_for_a_day_is_asked_first(buyer: ClockedBuyer, name: str) -> None:
    """Seed 29302: a process died as it asked; the next one came a day later and asked no more."""
    hire(buyer, name)
    buyer.sandbox.arm(LOST)
    assert sweep(buyer, 1).open
    buyer.sandbox.faults.clear()
    buyer.sandbox.advance(DAY_MS)

    told = sweep(buyer, 2)

    assert (told.state, told.result) == (State.SETTLED, RESULTS[name]), told.reason


@pytest.mark.parametrize("name", RESULTS)
def test_a_service_that_is_gone_is_given_up(buyer: ClockedBuyer, name: str) -> None:
    """However seldom somebody looks: what was asked is in the journal."""
    made = hire(buyer, name)
    buyer.sandbox.arm(LOST)
    sweep(buyer, 1)
    buyer.sandbox.advance(DAY_MS)
    before = asked(buyer.sandbox)

    assert sweep(buyer, 2).open and asked(buyer.sandbox) == before + 2
    sweep(buyer, 2)

    told = buyer.receipt(made.hire_id)
    assert (told.state, told.outcome) == (State.FAILED, "failed"), told.reason
    assert asked(buyer.sandbox) == before + 3


def test_one_answer_that_is_lost_after_a_day_makes_no_liar(buyer: ClockedBuyer) -> None:
    spoilt = {"status": "completed", "result": "HELL\ufffd"}
    made = hire(buyer, "echo")
    buyer.sandbox.arm({"on": "GET /status", "do": "answer", "status": 200, "body": spoilt})
    buyer.sandbox.arm(LOST)
    sweep(buyer, 2)
    told = buyer.receipt(made.hire_id)
    assert (told.result, told.verified) == (spoilt["result"], None)
    buyer.sandbox.faults.clear()
    buyer.sandbox.arm(LOST | {"times": 1})
    buyer.sandbox.advance(DAY_MS)

    sweep(buyer, 2)

    told = buyer.receipt(made.hire_id)
    assert (told.state, told.result, told.verified) == (State.SETTLED, "HELLO", True), told.reason
