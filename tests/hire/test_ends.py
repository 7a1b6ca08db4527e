"""A hire that its caller was told is open, and that ends later: its end is told once, whoever brings it about."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from masumi_tools.hire import ends
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import AsyncBuyer, Buyer
from masumi_tools.hire.purchase import State
from masumi_tools.hire.receipt import _OUTCOMES, Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Secret, Settings
from tests.hire.inbox import Inbox
from tests.tools.market import environment_of

HOUR_MS = 3_600_000
BUDGET = Budget("20 ADA")
INPUT = {"text": "a private letter", "seconds": 60}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def settings(sandbox: Sandbox, database_url: str) -> Settings:
    return replace(
        Settings.from_sandbox(sandbox, database_url=database_url), notify_key=Secret("very-secret")
    )


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    yield made
    made.shutdown()
    made.server_close()


def told_open(sandbox: Sandbox, settings: Settings, service: str = "slow") -> str:
    """The id of a hire whose caller was told that it goes on; the caller's process is gone."""
    data = INPUT if service == "slow" else {"text": INPUT["text"]}
    with Buyer(settings, budget=BUDGET) as caller:
        made = caller.hire(sandbox.service(service).agent_identifier, data, patience_s=0)
        for _ in range(20):
            if made.money == "locked" or made.outcome == "needs_approval":
                break
            sandbox.advance(20_000)
            made = caller.hire(sandbox.service(service).agent_identifier, data, patience_s=0)
    assert made.open
    return made.hire_id


def sweep(settings: Settings, inbox: Inbox | None = None, heard: list[Receipt] | None = None) -> None:
    """A round of another process."""
    on_change = heard.append if heard is not None else None
    with Buyer(settings, notify=inbox.url if inbox else None, on_change=on_change) as sweeper:
        sweeper.sweep()


def test_the_end_of_an_open_hire_is_posted_once_signed_and_given_to_the_function(
    sandbox: Sandbox, settings: Settings, inbox: Inbox
) -> None:
    heard: list[Receipt] = []
    hire_id = told_open(sandbox, settings)
    sweep(settings, inbox, heard)
    assert (inbox.got, heard) == ([], []), "it goes on"

    for _ in range(4):
        sandbox.advance(5 * 60_000)
        sweep(settings, inbox, heard)

    ((headers, body),) = inbox.got
    document = json.loads(body)
    assert (document["type"], document["hire_id"], document["outcome"]) == (
        "hire.ended",
        hire_id,
        "completed",
    )
    assert (document["service"], document["paid"], document["title"]) == (
        "Slow",
        "1 ADA",
        "Hire completed: Slow",
    )
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = hmac.new(b"very-secret", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
    ((receipt),) = heard
    assert (receipt.hire_id, receipt.ok, receipt.result) == (hire_id, True, INPUT["text"].upper())


def test_a_notice_has_no_secret_no_input_and_no_result(
    sandbox: Sandbox, settings: Settings, inbox: Inbox
) -> None:
    told_open(sandbox, settings)
    sandbox.advance(5 * 60_000)
    sweep(settings, inbox)

    ((headers, body),) = inbox.got
    sent = f"{headers} {body.decode()}".lower()
    for secret in (sandbox.token, sandbox.admin_token, "very-secret", "private letter"):
        assert secret.lower() not in sent
    assert "token" not in headers


def test_a_receiver_that_fails_is_tried_again_later_with_the_same_id(
    sandbox: Sandbox, settings: Settings, inbox: Inbox
) -> None:
    inbox.failing = 2
    told_open(sandbox, settings)
    sandbox.advance(5 * 60_000)
    sweep(settings, inbox)
    sweep(settings, inbox)
    assert len(inbox.got) == 1, "not at once again"

    for _ in range(5):
        sandbox.advance(2 * 60_000 + 1)
        sweep(settings, inbox)

    assert len(inbox.got) == 3
    assert len({headers["webhook-id"] for headers, _ in inbox.got}) == 1
    assert len({body for _, body in inbox.got}) == 1


def test_a_function_that_raises_is_called_again(sandbox: Sandbox, settings: Settings) -> None:
    calls: list[str] = []

    def failing(receipt: Receipt) -> None:
        calls.append(receipt.hire_id)
        if len(calls) == 1:
            raise RuntimeError("no mail today")

    hire_id = told_open(sandbox, settings)
    for _ in range(4):
        sandbox.advance(5 * 60_000)
        with Buyer(settings, on_change=failing) as buyer:
            buyer.sweep()

    assert calls == [hire_id, hire_id]


@pytest.mark.parametrize("function", ["plain", "async"])
async def test_the_other_buyer_tells_it_too(
    sandbox: Sandbox, settings: Settings, inbox: Inbox, function: str
) -> None:
    heard: list[str] = []

    async def later(receipt: Receipt) -> None:
        await asyncio.sleep(0)
        heard.append(receipt.hire_id)

    hire_id = await asyncio.to_thread(told_open, sandbox, settings)
    sandbox.advance(5 * 60_000)
    listener = later if function == "async" else lambda receipt: heard.append(receipt.hire_id)
    async with AsyncBuyer(settings, notify=inbox.url, on_change=listener) as sweeper:
        await sweeper.sweep()
        await sweeper.sweep()

    assert heard == [hire_id] and len(inbox.got) == 1


def test_who_hears_the_end_by_the_same_call_is_not_told_again(
    sandbox: Sandbox, settings: Settings, inbox: Inbox
) -> None:
    told_open(sandbox, settings)
    sandbox.advance(5 * 60_000)
    with Buyer(settings, budget=BUDGET, notify=inbox.url) as caller:
        made = caller.hire(sandbox.service("slow").agent_identifier, INPUT, patience_s=5)
        assert made.outcome == "completed"
        caller.sweep()
    sandbox.advance(HOUR_MS)
    sweep(settings, inbox)

    assert inbox.got == []


def test_a_hire_that_ends_within_its_call_is_no_news(
    sandbox: Sandbox, settings: Settings, inbox: Inbox
) -> None:
    with Buyer(settings, budget=BUDGET, notify=inbox.url) as caller:
        made = caller.hire("greedy", {"text": "x"}, patience_s=0)
        caller.sweep()
    assert not made.open and inbox.got == []


def test_a_refund_is_told_when_the_money_is_here(sandbox: Sandbox, settings: Settings, inbox: Inbox) -> None:
    hire_id = told_open(sandbox, settings, "silent")
    with Buyer(settings, budget=BUDGET) as caller:
        asked = caller.refund(hire_id, patience_s=5)
    assert asked.open
    for _ in range(30):
        sandbox.advance(6 * HOUR_MS)
        sweep(settings, inbox)
        if inbox.got:
            break

    documents = [json.loads(body) for _, body in inbox.got]
    assert [one["outcome"] for one in documents] == ["refunded"]
    assert documents[0]["refunded"] == "3 ADA"


def test_an_approval_in_another_process_tells_the_end_at_once(
    sandbox: Sandbox, settings: Settings, inbox: Inbox
) -> None:
    asking = Budget("20 ADA", approve_above="0.5 ADA")
    with Buyer(settings, budget=asking) as caller:
        asked = caller.hire("echo", {"text": "x"})
    assert asked.outcome == "needs_approval"
    with Buyer(settings, notify=inbox.url) as person:
        denied = person.deny(asked.hire_id, "not now", by="ann")

    assert denied.outcome == "refused"
    assert [json.loads(body)["outcome"] for _, body in inbox.got] == ["refused"]


def test_ends_of_long_ago_are_not_posted_when_an_address_is_set(
    sandbox: Sandbox, settings: Settings, inbox: Inbox
) -> None:
    told_open(sandbox, settings)
    sandbox.advance(5 * 60_000)
    for _ in range(20):
        sweep(settings)
        sandbox.advance(12 * HOUR_MS)
    with Buyer(settings) as buyer:
        assert buyer.hires()[0].state is State.SETTLED
    sandbox.advance(ends.NEWS_MS)
    sweep(settings, inbox)

    assert inbox.got == []


def test_an_address_that_is_gone_stops_no_sweep(sandbox: Sandbox, settings: Settings) -> None:
    hire_id = told_open(sandbox, settings)
    sandbox.advance(5 * 60_000)
    with Buyer(settings, notify="http://127.0.0.1:9/") as sweeper:
        (swept,) = sweeper.sweep()

    assert (swept.hire_id, swept.outcome) == (hire_id, "completed")


SWEEPER = """
import os, signal, sys
from masumi_tools.hire.buyer import Buyer
from masumi_tools.journal.store import Journal
from masumi_tools.settings import Settings
from tests.tools.market import environment_of

at, name = sys.argv[1].split()
real = getattr(Journal, name)
def dying(self, *args):
    if at == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, *args)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(Journal, name, dying)
with Buyer(Settings.from_env()) as sweeper:
    sweeper.sweep()
"""


@pytest.mark.parametrize(
    ("dies", "posts"),
    [("before to_tell", 1), ("after to_tell", 1), ("before told", 2), ("after told", 1)],
)
def test_a_sweep_that_is_killed_between_loses_no_notice(
    sandbox: Sandbox, sqlite_url: str, inbox: Inbox, dies: str, posts: int
) -> None:
    """Only a death between the post and the note of it posts twice, and then under the same id."""
    settings = Settings.from_sandbox(sandbox, database_url=sqlite_url)
    told_open(sandbox, settings)
    sandbox.advance(5 * 60_000)
    environment = {
        **os.environ,
        **environment_of(sandbox, sqlite_url),
        "MASUMI_NOTIFY_URL": inbox.url,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run([sys.executable, "-c", SWEEPER, dies], env=environment, timeout=60)
    assert done.returncode == -signal.SIGKILL

    for _ in range(4):
        sandbox.advance(5 * 60_000)
        sweep(settings, inbox)

    assert len(inbox.got) == posts
    assert len({headers["webhook-id"] for headers, _ in inbox.got}) == 1


def test_the_states_that_may_be_an_end_are_those_that_a_receipt_calls_closed() -> None:
    opened = {"open", "needs_approval", "needs_input", "refund_requested", "disputed"}
    closed = {state.value for state, outcome in _OUTCOMES.items() if outcome not in opened}

    assert closed == set(ends.STATES)


def test_a_question_to_a_person_is_never_one_of_the_ends(sqlite_url: str) -> None:
    with contextlib.closing(Journal(sqlite_url)) as journal:
        journal.await_end("h1")

        assert journal.question("h1") is None
        assert journal.unanswered("awaiting_approval") == []
