"""The MCP server as a process: its wire, its tools, hosts that give up, kills, and HTTP."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import jsonschema
import pytest

pytest.importorskip("mcp")

from masumi_tools import Budget, Settings
from masumi_tools.mcp.answers import OUTPUT
from masumi_tools.mcp.session import Session
from masumi_tools.mcp.tools import McpTools
from masumi_tools.tools.actions import Actions
from tests.layers import REPO
from tests.mcp import client
from tests.mcp.wire import Wire, command, over_http_at
from tests.tools.market import Counter

BUDGET = ["--budget", "20 ADA", "--per-hire", "5 ADA"]


@pytest.fixture
def errors(tmp_path: Path) -> Path:
    return tmp_path / "stderr"


@pytest.fixture
def plan(env, errors, forged) -> Any:
    """Runs calls through the official client that is installed here."""

    def run(*calls: dict[str, Any], flags: list[str] = BUDGET, person: str | None = None) -> dict[str, Any]:
        asked = {
            "command": command(*flags, python=forged()),
            "env": env,
            "stderr": str(errors),
            "calls": calls,
            "person": person,
        }
        return asyncio.run(client.run(asked))

    return run


def call(name: str, /, limit_s: float = 60, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args, "limit_s": limit_s}


def hire(agent: str, text: str, **more: Any) -> dict[str, Any]:
    return call("masumi_hire", agent=agent, input_data=json.dumps({"text": text}), **more)


def test_the_tools_of_the_toolkit_and_one_for_each_service_are_listed(plan, sandbox):
    made = plan(flags=[*BUDGET, "--service", sandbox.service("echo").agent_identifier])

    tools = {tool["name"]: tool for tool in made["tools"]}
    assert len(tools) == 8
    assert {name for name, tool in tools.items() if tool["annotations"]["readOnlyHint"]} == {
        "masumi_find",
        "masumi_quote",
        "masumi_check",
        "masumi_budget",
    }
    hiring = tools["masumi_hire"]["annotations"]
    assert hiring["destructiveHint"] and hiring["idempotentHint"] and hiring["openWorldHint"]
    (typed,) = set(tools) - {name for name in tools if name.startswith("masumi_")} or {"masumi_echo"}
    assert "text" in tools[typed]["inputSchema"]["properties"]
    for tool in tools.values():
        jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
        assert tool["outputSchema"] == OUTPUT


def test_every_answer_fits_the_output_schema_and_says_the_same_as_its_text(plan, sandbox):
    agent = sandbox.service("echo").agent_identifier
    made = plan(
        call("masumi_find", query="text"),
        call("masumi_quote", agent=agent),
        hire(agent, "hello"),
        hire(agent, "hello"),
        call("masumi_check"),
        call("masumi_budget"),
        call("masumi_hire", agent=agent),
        call("masumi_check", hire_id="none"),
        call("masumi_refund", hire_id="none"),
        call("no_such_tool"),
    )

    for answer in made["answers"]:
        jsonschema.validate(answer["content"], OUTPUT)
        assert answer["failed"] == answer["content"]["failed"]
    find, quote, first, again, _, budget, *wrong = made["answers"]
    assert find["content"]["services"] and quote["content"]["quote"]["price"] == "1 ADA"
    assert first["content"]["hire"]["result"] == "HELLO" and "HELLO" in first["text"]
    assert again["content"]["hire"]["hire_id"] == first["content"]["hire"]["hire_id"]
    assert again["content"]["code"] == "reused"
    assert "19 ADA of 20 ADA" in budget["text"]
    assert all(answer["failed"] for answer in wrong)


async def test_a_model_that_is_shown_the_structured_content_alone_reads_why_and_what_is_next(env, sandbox):
    """pydantic-ai shows its model no text where there is structured content."""
    budget = Budget("20 ADA", per_hire="3 ADA")
    tools = McpTools(Actions(settings=Settings.from_env(env), budget=budget, patience_s=2), wait_s=2)
    nobody = Session(SimpleNamespace(session=None, meta=None))

    async def told(name: str, **given: Any) -> Any:
        made = await tools.call(name, given, nobody)
        return made["structuredContent"]

    ids = [sandbox.service(name).agent_identifier for name in ("echo", "silent", "human")]
    done, still, asks = [await told("masumi_hire", agent=one, input_data='{"text": "alone"}') for one in ids]
    refused = await told("masumi_hire", agent=ids[0], input_data='{"text": "dear"}', max_price="0.5 ADA")
    await tools.actions.buyers.awaiting().aclose()
    tools.actions.buyers.close()

    assert "Do not hire again" in done["text"] and "ALONE" not in done["text"]  # the result is beside it
    assert still["code"] == "open" and "masumi_check" in still["text"]
    assert "masumi_answer" in asks["text"] and "approve" in asks["text"]
    assert refused["failed"] and "0.5 ADA" in refused["text"]


def test_progress_rises_with_every_step(plan, sandbox):
    (made,) = plan(hire(sandbox.service("echo").agent_identifier, "steps"))["answers"]

    numbers = [number for number, _ in made["progress"]]
    assert numbers == sorted(set(numbers)) and len(numbers) >= 5
    assert any("the money is locked" in words for _, words in made["progress"])


def test_a_call_waits_no_longer_than_it_was_told_and_then_says_open(plan, sandbox):
    begun = time.monotonic()
    flags = [*BUDGET, "--wait", "2"]
    made, listed = plan(
        hire(sandbox.service("silent").agent_identifier, "wait"), call("masumi_budget"), flags=flags
    )["answers"]

    assert time.monotonic() - begun < 30
    assert made["content"]["code"] == "open" and not made["failed"]
    assert made["content"]["hire"]["open"] and made["content"]["hire"]["next_deadline_ms"] > 0
    assert made["content"]["hire"]["hire_id"] in made["text"] and "masumi_check" in made["text"]
    assert "17 ADA of 20 ADA" in listed["text"]


def test_a_host_that_gives_up_pays_once_and_the_next_equal_call_joins(plan, sandbox):
    seen = Counter(sandbox)
    agent = sandbox.service("slow").agent_identifier
    gave_up, joined = plan(hire(agent, "patience", limit_s=0.5), hire(agent, "patience"))["answers"]

    assert "error" in gave_up
    assert joined["content"]["hire"]["result"] == "PATIENCE"
    assert seen.both == (1, 1)


@pytest.mark.parametrize(
    "step", ["reserved", "offer is checked", "ordering", "until the money", "service is working"]
)
def test_a_server_that_is_killed_at_any_step_pays_once(sandbox, env, errors, step):
    seen = Counter(sandbox)
    agent = sandbox.service("echo").agent_identifier
    wish = {"agent": agent, "input_data": json.dumps({"text": step})}
    with Wire(BUDGET, env, errors) as first:
        first.call("masumi_hire", wish)
        for message in first.told():
            if step in message.get("params", {}).get("message", ""):
                break
        first.process.kill()
    with Wire(BUDGET, env, errors) as second:
        made = second.answer_to(second.call("masumi_hire", wish))

    assert made["structuredContent"]["hire"]["result"] == step.upper()
    assert seen.both[1] == 1


def test_the_end_of_input_ends_the_server_and_not_the_hire(sandbox, env, errors, books, forged):
    with Wire(BUDGET, env, errors, python=forged()) as server:
        server.call(
            "masumi_hire",
            {"agent": sandbox.service("slow").agent_identifier, "input_data": '{"text": "later"}'},
        )
        for message in server.told():
            if "until the money" in message.get("params", {}).get("message", ""):
                break
        assert server.end_of_input() == 0

    (row,) = books.journal.rows(only_open=True)
    assert books.resume(row.hire_id).result == "LATER"


NOISY = """
from masumi_tools.tools.actions import Actions
find = Actions.find
def noisy(self, *given, **more):
    print("a listener prints")
    return find(self, *given, **more)
Actions.find = noisy
from masumi_tools.cli import main
main()
"""


def test_stdout_carries_json_rpc_alone_and_stderr_no_secret(sandbox, env, errors, forged):
    with Wire(BUDGET, env, errors, code=NOISY, python=forged()) as server:
        server.answer_to(server.call("masumi_find", {"query": "echo"}))
        assert server.end_of_input() == 0

    assert [json.loads(line)["jsonrpc"] for line in server.lines] == ["2.0"] * len(server.lines)
    told = errors.read_text()
    assert "a listener prints" in told
    assert sandbox.token not in told


def test_no_argument_of_a_tool_raises_a_limit(plan, sandbox):
    seen = Counter(sandbox)
    agent = sandbox.service("silent").agent_identifier
    flags = ["--budget", "20 ADA", "--per-hire", "2 ADA"]
    made, free = plan(
        hire(agent, "dear") | {"args": {"agent": agent, "input_data": '{"text": "x"}', "max_price": "9 ADA"}},
        hire(sandbox.service("human").agent_identifier, "x"),
        flags=flags,
    )["answers"][:2]

    assert made["content"]["code"] == "refused" and "2 ADA" in made["text"]
    assert seen.both[1] <= 1 and free["content"]["code"] == "needs_input"


def test_where_the_host_cannot_ask_the_hire_waits_for_a_person_and_is_paid_once(plan, sandbox, books):
    seen = Counter(sandbox)
    agent = sandbox.service("echo").agent_identifier
    flags = [*BUDGET, "--approve-above", "0.5 ADA", "--wait", "2"]
    made = plan(hire(agent, "dear"), hire(agent, "dear"), call("masumi_check"), flags=flags)

    assert [answer["content"]["code"] for answer in made["answers"]] == ["needs_approval"] * 3
    assert not [tool["name"] for tool in made["tools"] if "approve" in tool["name"]]  # a model cannot say yes
    (waiting,) = books.approvals()
    assert waiting.price_text == "1 ADA" and seen.both == (0, 0)
    assert f"masumi-tools approve {waiting.hire_id}" in made["answers"][0]["text"]

    assert books.approve(waiting.hire_id, by="ann").outcome == "completed"
    (answer,) = plan(hire(agent, "dear"), flags=flags)["answers"]
    assert answer["content"]["hire"]["result"] == "DEAR" and seen.both == (1, 1)


def test_only_the_services_that_are_allowed_are_hired(plan, sandbox):
    echo, slow = (sandbox.service(name).agent_identifier for name in ("echo", "slow"))
    refused, made = plan(hire(slow, "x"), hire(echo, "x"), flags=[*BUDGET, "--allow", echo])["answers"]

    assert refused["content"]["code"] == "refused"
    assert made["content"]["code"] == "completed"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--per-hire", "2 ADA"], "--budget"),
        (["--http", "127.0.0.1:0"], "--token-file"),
        (["--token-file", "x"], "--http"),
        (["--wait", "0"], "wait_s"),
    ],
)
def test_flags_that_do_nothing_are_refused(env, forged, flags, words):
    asked = command(*flags, python=forged())
    done = subprocess.run(asked, env=env, cwd=REPO, capture_output=True, text=True, timeout=60)

    assert done.returncode == 2 and words in done.stderr


# HTTP --------------------------------------------------------------------------------------------


@pytest.fixture
def over_http(env, errors, tmp_path) -> Any:
    with over_http_at(tmp_path / "token", BUDGET, env, errors) as url:
        yield url, tmp_path / "token"


def test_over_http_the_official_client_hires_with_the_token(over_http, sandbox):
    url, file = over_http
    token = file.read_text().strip()
    agent = sandbox.service("echo").agent_identifier
    made = asyncio.run(client.run({"url": url, "token": token, "calls": [hire(agent, "by http")]}))

    assert file.stat().st_mode & 0o077 == 0
    assert made["answers"][0]["content"]["hire"]["result"] == "BY HTTP"
    assert made["answers"][0]["progress"]


def test_over_http_strangers_are_turned_away(over_http):
    url, file = over_http
    own = {"authorization": f"Bearer {file.read_text().strip()}"}

    assert httpx.post(url, json={}).status_code == 401
    assert httpx.post(url, json={}, headers={"authorization": "Bearer no"}).status_code == 401
    assert httpx.post(url, json={}, headers=own | {"host": "evil.example"}).status_code == 421
    assert httpx.post(url, json={}, headers=own | {"origin": "https://evil.example"}).status_code == 403
    assert httpx.post(url, json={}, headers=own | {"origin": "null"}).status_code == 403
    assert httpx.get(url.replace("/mcp", "/"), headers=own).status_code == 404
