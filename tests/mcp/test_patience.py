"""Hosts that wait, cancel and vanish; the server tells that it lives, and goes on with what others left open."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest

pytest.importorskip("mcp")

from masumi_tools import Budget, Settings
from masumi_tools.mcp.session import HEARTBEAT_S, Reply, Session, heartbeat_s
from masumi_tools.mcp.tools import McpTools
from masumi_tools.tools.actions import Actions
from tests.layers import REPO
from tests.mcp.test_generations import NEWER, PYTHONS
from tests.mcp.wire import Wire, over_http_at
from tests.tools.market import Counter

BUDGET = ["--budget", "20 ADA", "--per-hire", "5 ADA"]


@pytest.fixture(params=["1", "2"])
def python(request, forged) -> list[str]:
    """What stands for a Python with this generation of the SDK."""
    if request.param == "2" and not NEWER.exists():
        pytest.skip("the second generation is not installed: make .envs/mcp/.made")
    return forged(PYTHONS[request.param])


@pytest.fixture
def errors(tmp_path: Path) -> Path:
    return tmp_path / "stderr"


def wish(sandbox: Any, name: str, text: str) -> dict[str, Any]:
    return {"agent": sandbox.service(name).agent_identifier, "input_data": json.dumps({"text": text})}


def until(done: Callable[[], bool], within_s: float = 40) -> None:
    end, gate = time.monotonic() + within_s, threading.Event()
    while not done():
        assert time.monotonic() < end, "it did not come to pass"
        gate.wait(0.05)


# Signs of life -----------------------------------------------------------------------------------


def test_no_host_is_left_in_silence_for_more_than_ten_seconds():
    assert HEARTBEAT_S == heartbeat_s(45) == heartbeat_s(3_600) == 10
    assert heartbeat_s(2) == 0.5  # at least three signs within one call, however short it is


async def test_the_numbers_rise_from_beat_to_beat_and_from_step_to_step():
    told: list[tuple[float, str]] = []
    three = anyio.Event()

    async def report(number: float, total: None, words: str) -> None:
        told.append((number, words))
        if len(told) == 3:
            three.set()

    session = Session(SimpleNamespace(session=SimpleNamespace(report_progress=report), meta=None))
    async with session.telling(0.01):
        await three.wait()

    assert [number for number, _ in told[:3]] == [1, 2, 3]
    assert {words for _, words in told[:3]} == {"working"}


def test_a_call_that_waits_tells_again_and_again_that_it_lives(sandbox, env, errors, python):
    with Wire([*BUDGET, "--wait", "2"], env, errors, python=python) as server:
        server.answer_to(server.call("masumi_hire", wish(sandbox, "silent", "alive")))
        told = [json.loads(line) for line in server.lines]

    steps = [one["params"] for one in told if one.get("method") == "notifications/progress"]
    numbers = [step["progress"] for step in steps]
    assert numbers == sorted(set(numbers))
    last = [step for step in steps if step["message"] == steps[-1]["message"]]
    assert len(last) >= 3, steps  # one is the step itself


def test_a_host_whose_user_is_asked_hears_that_the_call_lives(sandbox, env, errors, forged):
    """A host counts its minute while its user thinks, too."""
    flags = [*BUDGET, "--approve-above", "0.5 ADA", "--wait", "1"]
    with Wire(flags, env, errors, python=forged(), can={"elicitation": {}}) as server:
        server.call("masumi_hire", wish(sandbox, "echo", "thinking"))
        server.until("elicitation/create")
        assert server.until("working")["method"] == "notifications/progress"


async def test_the_time_of_a_person_who_approves_counts_as_waiting(sandbox, env):
    """A host gives up after a minute: one call does not wait for a person and then as long again for a hire."""
    patience: list[float] = []

    class Thinking(Session):
        async def ask(self, question: str, schema: dict[str, Any]) -> Reply:
            await anyio.sleep(0.3)
            return Reply("accept", {"approve": True})

    budget = Budget("20 ADA", approve_above="0.5 ADA")
    tools = McpTools(Actions(settings=Settings.from_env(env), budget=budget, patience_s=20), "0.5 ADA", 20)
    buyer = tools.actions.buyers.awaiting()
    hire = buyer.hire

    async def watched(*given: Any, **options: Any) -> Any:
        patience.append(options["patience_s"])
        return await hire(*given, **options)

    buyer.hire = watched  # type: ignore[method-assign]
    session = Thinking(SimpleNamespace(session=None, meta=None))
    session.can_ask = True
    made = await tools.call("masumi_hire", wish(sandbox, "echo", "thought"), session)
    await buyer.aclose()
    tools.actions.buyers.close()

    assert made["structuredContent"]["code"] == "completed"
    assert len(patience) == 1 and 5 <= patience[0] <= 19.7


# Hosts that cancel and vanish --------------------------------------------------------------------


def test_a_call_that_is_cancelled_pays_once_and_the_next_equal_call_joins(sandbox, env, errors, python):
    seen = Counter(sandbox)
    with Wire(BUDGET, env, errors, python=python) as server:
        first = server.call("masumi_hire", wish(sandbox, "slow", "cancelled"))
        server.until("until the money")
        server.notify("notifications/cancelled", {"requestId": first, "reason": "the user pressed stop"})
        made = server.answer_to(server.call("masumi_hire", wish(sandbox, "slow", "cancelled")))

    assert made["structuredContent"]["hire"]["result"] == "CANCELLED"
    assert seen.both == (1, 1)


def test_a_host_that_vanishes_while_its_user_is_asked_pays_nothing(sandbox, env, errors, books, python):
    seen = Counter(sandbox)
    flags = [*BUDGET, "--approve-above", "0.5 ADA"]
    with Wire(flags, env, errors, python=python, can={"elicitation": {}}) as server:
        server.call("masumi_hire", wish(sandbox, "echo", "vanished"))
        server.until("elicitation/create")
        assert server.end_of_input() == 0

    assert seen.both == (0, 0) and books.hires() == []


def test_a_host_whose_form_is_broken_pays_nothing(sandbox, env, errors, books, python):
    seen = Counter(sandbox)
    flags = [*BUDGET, "--approve-above", "0.5 ADA"]
    with Wire(flags, env, errors, python=python, can={"elicitation": {}}) as server:
        called = server.call("masumi_hire", wish(sandbox, "echo", "broken"))
        server.refuse(server.until("elicitation/create")["id"])
        made = server.answer_to(called)

    assert made["structuredContent"]["code"] == "refused" and made["isError"]
    assert seen.both == (0, 0) and books.hires() == []


HASTY = """
import logging
import masumi_tools.mcp.session as session
session.PERSON_S = 1
logging.basicConfig(level=logging.INFO)
from masumi_tools.cli import main
main()
"""


def test_over_http_a_client_that_is_killed_while_its_user_is_asked_pays_nothing(
    sandbox, env, errors, books, tmp_path
):
    """The official client dies at the question; the server gives it up and serves the next."""
    seen = Counter(sandbox)
    token = tmp_path / "token"
    with over_http_at(token, [*BUDGET, "--approve-above", "0.5 ADA"], env, errors, code=HASTY) as url:
        plan = {"url": url, "token": token.read_text().strip(), "person": "vanishes"}
        hire = {"name": "masumi_hire", "args": wish(sandbox, "echo", "killed")}
        budget = {"name": "masumi_budget", "args": {}}
        died = client(env, tmp_path, {**plan, "calls": [hire]})
        until(lambda: "could not ask its person" in errors.read_text())
        after = client(env, tmp_path, {**plan, "calls": [budget]})

    assert died.returncode == 9, died.stderr
    assert "20 ADA of 20 ADA" in json.loads(after.stdout)["answers"][0]["text"]
    assert seen.both == (0, 0) and books.hires() == []


def client(env: dict[str, str], folder: Path, plan: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    (folder / "plan.json").write_text(json.dumps(plan))
    words = [sys.executable, "-m", "tests.mcp.client", str(folder / "plan.json")]
    return subprocess.run(words, cwd=REPO, env=env, capture_output=True, text=True, timeout=50)


# What others left open ---------------------------------------------------------------------------

OFTEN = """
import masumi_tools.mcp.transports as transports
transports.SWEEP_EVERY_S = 0.2
from masumi_tools.cli import main
main()
"""


def test_a_hire_that_another_process_leaves_open_is_ended_by_the_server_that_serves(
    sandbox, env, errors, books, forged
):
    """It was begun after the server had swept for the first time, and nobody calls a tool."""
    seen = Counter(sandbox)
    with Wire(BUDGET, env, errors, code=OFTEN, python=forged()) as server:
        agent = sandbox.service("slow").agent_identifier
        left = books.hire(agent, {"text": "left"}, max_price="5 ADA", patience_s=0)
        assert left.open
        until(lambda: not books.receipt(left.hire_id).open)
        assert server.end_of_input() == 0

    assert books.receipt(left.hire_id).result == "LEFT" and seen.both == (1, 1)


# Names and addresses -----------------------------------------------------------------------------


def test_an_agent_names_the_service_and_is_given_candidates_where_that_is_not_one(
    sandbox, env, errors, forged
):
    seen = Counter(sandbox)
    with Wire(BUDGET, env, errors, python=forged()) as server:
        quote = server.answer_to(server.call("masumi_quote", {"agent": "echo"}))
        made = server.answer_to(
            server.call("masumi_hire", {"agent": "Echo", "input_data": '{"text": "named"}'})
        )
        stray = server.answer_to(
            server.call("masumi_hire", {"agent": "ech", "input_data": '{"text": "stray"}'})
        )

    agent = sandbox.service("echo").agent_identifier
    assert quote["structuredContent"]["quote"]["agent_identifier"] == agent
    assert made["structuredContent"]["hire"]["result"] == "NAMED"
    assert stray["isError"] and agent in stray["content"][0]["text"]
    assert seen.both == (1, 1)


@pytest.mark.parametrize("host", ["", ":"])
def test_a_port_alone_is_one_of_loopback_and_no_other_host_is_answered(env, errors, tmp_path, host):
    token = tmp_path / "token"
    with over_http_at(token, BUDGET, env, errors, host=host) as url:
        own = {"authorization": f"Bearer {token.read_text().strip()}"}
        port = httpx.URL(url).port
        foreign = [f"192.168.1.7:{port}", f"0.0.0.0:{port}", f"127.0.0.1.example:{port}", "127.0.0.1:1"]
        refused = [httpx.post(url, json={}, headers=own | {"host": one}).status_code for one in foreign]
        listening = listened_on(port)

    assert refused == [421] * len(foreign)
    assert listening in ({"127.0.0.1"}, set())  # empty where this system does not tell


def listened_on(port: int) -> set[str]:
    """The addresses at which this port is open for all that come."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    open_at = {
        row[1].rpartition(":")[0] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"
    }
    return {"127.0.0.1" if one == "0100007F" else one for one in open_at}
