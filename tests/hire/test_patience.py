"""Every call is back when its patience is over, whatever node and service do, and nothing spins meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.calls.call import Reply
from masumi_tools.hire.budget import Asked, Budget
from masumi_tools.hire.operations import GRACE_S, LOOK_S
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedAsyncBuyer, purchases
from tests.hire.patient import PatientBuyer, timed
from tests.hire.test_faults import ENDPOINTS

LATENCIES = (0.7, 3.0)  # benchmarks/patience.py has them all


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=5) as sandbox:
        yield sandbox


def journal_in(folder: Path) -> Journal:
    return Journal(f"sqlite:///{folder / 'journal.sqlite3'}")


def overruns(endpoint: str, deed: str, latency_s: float, folder: Path) -> dict[str, float]:
    """By how many seconds each public call outlives its patience while `endpoint` never does but `deed`."""
    service, dialect = ENDPOINTS[endpoint]
    options: Any = {"dialect": dialect}
    found: dict[str, float] = {}
    with Sandbox(manual_clock=True, listen=False, seed=3, **options) as sandbox:
        journal = journal_in(folder)
        buyer = PatientBuyer(sandbox, journal, latency_s)
        if deed == "hang":
            buyer.never.add(endpoint)
        else:
            sandbox.arm({"on": endpoint, "do": deed, "times": 10_000})
        agent = sandbox.service(service).agent_identifier
        _, took = timed(buyer, lambda: buyer.quote(agent))
        found["quote"] = took - LOOK_S
        made, took = timed(buyer, lambda: buyer.hire(agent, {"text": "hello"}, patience_s=20))
        found["hire"] = took - 20
        _, took = timed(buyer, lambda: buyer.resume(made.hire_id, patience_s=0))
        found["resume"] = took
        _, took = timed(buyer, lambda: buyer.refund(made.hire_id, patience_s=5))
        found["refund"] = took - 5
        _, took = timed(buyer, buyer.sweep)
        found["sweep"] = took - LOOK_S
        assert len(purchases(sandbox)) <= 1
        journal.close()
    return found


@pytest.mark.parametrize("latency_s", LATENCIES)
@pytest.mark.parametrize("deed", ["hang", "error-500"])
@pytest.mark.parametrize("endpoint", sorted(ENDPOINTS))
def test_no_call_outlives_its_patience(endpoint: str, deed: str, latency_s: float, tmp_path: Path) -> None:
    late = {name: by for name, by in overruns(endpoint, deed, latency_s, tmp_path).items() if by > GRACE_S}

    assert late == {}


def test_a_refund_that_the_node_does_not_take_is_asked_for_less_and_less(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    buyer = PatientBuyer(sandbox, journal_in(tmp_path), latency_s=0.5)
    made = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=120)
    assert made.outcome == "open" and made.money == "locked"
    no = {"status": "error", "error": {"message": "Purchase not found or in invalid state"}}
    buyer.instead["POST /purchase/request-refund"] = Reply(404, no)

    first, took = timed(buyer, lambda: buyer.refund(made.hire_id, patience_s=5))
    before = len(buyer.asked)
    later = buyer.resume(made.hire_id, patience_s=600)

    assert took <= 5 + GRACE_S
    assert "has not accepted the refund request yet" in first.reason
    refunds = buyer.asked[before:].count("POST /purchase/request-refund")
    assert 8 <= refunds <= 20, "pauses grow to a minute"
    assert len(buyer.asked) - before < 120
    assert "its operator has to look at it" in later.reason
    assert "Purchase not found" in later.reason


def test_a_node_that_only_gives_errors_is_asked_less_and_less_and_its_operator_is_named(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    buyer = PatientBuyer(sandbox, journal_in(tmp_path))
    agent = sandbox.service("slow").agent_identifier
    made = buyer.hire(agent, {"text": "hello", "seconds": 3000}, patience_s=60)
    assert made.money == "locked"
    buyer.instead["POST /purchase/resolve-blockchain-identifier"] = Reply(
        502, None, "<html>", fault="not-json"
    )
    sandbox.advance(120_000)

    before = len(buyer.asked)
    told = buyer.resume(made.hire_id, patience_s=900)
    reads = buyer.asked[before:].count("POST /purchase/resolve-blockchain-identifier")
    del buyer.instead["POST /purchase/resolve-blockchain-identifier"]
    well = buyer.resume(made.hire_id, patience_s=120)

    assert 8 <= reads <= 25
    assert "the node gives no usable answer" in told.reason and "operator" in told.reason
    assert "no usable answer" not in well.reason


def test_a_look_that_our_own_patience_cut_short_refuses_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """Whether the registry knows the agent is not known; the next call asks on, and hires."""
    buyer = PatientBuyer(sandbox, journal_in(tmp_path))
    buyer.never.add("GET /payment-information")
    agent = sandbox.service("echo").agent_identifier

    made = buyer.hire(agent, {"text": "hello"}, patience_s=3)
    buyer.never.clear()
    again = buyer.hire(agent, {"text": "hello"}, patience_s=60)

    assert made.outcome == "open" and made.money == "none"
    assert again.outcome == "completed"
    assert again.hire_id == made.hire_id


def test_what_a_person_takes_to_approve_does_not_count(sandbox: Sandbox, tmp_path: Path) -> None:
    buyer = PatientBuyer(sandbox, journal_in(tmp_path))

    def thinks(asked: Asked) -> bool:
        sandbox.advance(300_000)
        return True

    buyer.budget = buyer._flows.budget = Budget("20 ADA", approve_above="0 ADA", approve=thinks)
    made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=60)

    assert made.outcome == "completed"


@pytest.mark.parametrize("shape", ["plain", "awaitable", "async", "object"])
async def test_a_person_who_is_asked_stops_no_event_loop(
    sandbox: Sandbox, tmp_path: Path, shape: str
) -> None:
    loop, here = asyncio.get_running_loop(), threading.get_ident()
    asked, agreed, goes_on = asyncio.Event(), asyncio.Event(), threading.Event()
    threads: list[int] = []

    def plain(asked_for: Asked) -> bool:
        threads.append(threading.get_ident())
        loop.call_soon_threadsafe(asked.set)
        return goes_on.wait(20)

    async def slow(asked_for: Asked) -> bool:
        asked.set()
        return await agreed.wait()

    class Person:
        async def __call__(self, asked_for: Asked) -> bool:
            return await slow(asked_for)

    approve: Any = {"plain": plain, "awaitable": lambda a: slow(a), "async": slow, "object": Person()}[shape]
    journal = journal_in(tmp_path)
    buyer = ClockedAsyncBuyer(sandbox, Budget("20 ADA", approve_above="0 ADA", approve=approve), journal)
    hiring = asyncio.create_task(buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}))
    await asked.wait()  # the loop that runs this goes on all the time
    goes_on.set()
    agreed.set()
    made = await hiring

    assert made.outcome == "completed"
    assert here not in threads
    await buyer.aclose()


async def test_a_function_that_judges_a_result_stops_no_event_loop(sandbox: Sandbox, tmp_path: Path) -> None:
    loop, seen = threading.get_ident(), []

    def judge(made: Receipt) -> Any:
        seen.append(threading.get_ident())
        return "keep"

    buyer = ClockedAsyncBuyer(sandbox, Budget("20 ADA"), journal_in(tmp_path))
    agent = sandbox.service("liar").agent_identifier
    made = await buyer.hire(agent, {"text": "hello"}, on_mismatch=judge)

    assert made.verified is False and len(seen) == 1 and loop not in seen
    await buyer.aclose()


async def test_who_cancels_is_not_kept_by_a_person_who_does_not_answer(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    loop, asked, never = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def sleeps(asked_for: Asked) -> bool:
        loop.call_soon_threadsafe(asked.set)
        return never.wait(30)

    budget = Budget("20 ADA", approve_above="0 ADA", approve=sleeps)
    buyer = ClockedAsyncBuyer(sandbox, budget, journal_in(tmp_path))
    hiring = asyncio.create_task(buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}))
    await asked.wait()
    began = time.monotonic()
    hiring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hiring
    took = time.monotonic() - began
    never.set()

    assert took < 5
    await buyer.aclose()


WHO = {
    "GET /payment-information": "the registry",  # asked in the service's place where there is one
    "GET /input_schema": "the service",
    "GET /status": "the service",
    "POST /purchase/resolve-blockchain-identifier": "the payment node",
    "GET /purchase": "the payment node",
}


@pytest.mark.parametrize("broke_off", [False, True], ids=["silent", "drips"])
@pytest.mark.parametrize("endpoint", sorted(WHO))
def test_who_kept_silent_is_named(endpoint: str, broke_off: bool, tmp_path: Path) -> None:
    service, dialect = ENDPOINTS[endpoint]
    options: Any = {"dialect": dialect}
    with Sandbox(manual_clock=True, listen=False, seed=1, **options) as sandbox:
        buyer = PatientBuyer(sandbox, journal_in(tmp_path))
        buyer.never = {endpoint}
        if broke_off:
            buyer.lost = Reply(200, None, "{", fault="not-json", detail="the answer broke off")
        made = buyer.hire(sandbox.service(service).agent_identifier, {"text": "hello"}, patience_s=5)
        buyer.never = set()
        well = buyer.resume(made.hire_id, patience_s=600)

        assert [note for note in made.notes if note.startswith(f"{WHO[endpoint]} did not answer within")]
        assert not [note for note in well.notes if "did not answer within" in note]


def test_a_quote_names_who_kept_silent(sandbox: Sandbox, tmp_path: Path) -> None:
    buyer = PatientBuyer(sandbox, journal_in(tmp_path))
    echo = sandbox.service("echo")
    buyer.never = {"GET /payment-information"}
    assert buyer.quote(echo.agent_identifier).refusal == "the registry did not answer within 60 s"
    buyer.never = {"GET /availability", "GET /input_schema"}
    assert str(buyer.quote(echo.agent_identifier).refusal).startswith("the service did not answer")
