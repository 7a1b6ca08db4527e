"""What a process leaves to the next: pickles, copies, forks and reloads. No secret goes along, and one hire is paid once."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from masumi_tools import AsyncBuyer, Budget, MasumiAgentTool, MasumiToolkit, Receipt
from masumi_tools.errors import MasumiError
from masumi_tools.langchain import approval, restoring
from masumi_tools.tools import kept

ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def env(sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in {
        "NODE_URL": sandbox.node_url,
        "NODE_TOKEN": sandbox.token,
        "REGISTRY_URL": sandbox.registry_url,
        "REGISTRY_TOKEN": sandbox.token,
        "DATABASE_URL": f"sqlite:///{tmp_path}/env.sqlite3",
        "SANDBOX": "1",
    }.items():
        monkeypatch.setenv(f"MASUMI_{name}", value)
    return {**os.environ, "PYTHONPATH": ROOT}


def unpickled(data: bytes) -> Any:
    """As in a process that knows nothing but the pickle."""
    kept._live.clear()
    return pickle.loads(data)


def test_tools_are_pickled_without_secrets_and_come_back_with_their_limits(env, sandbox, counter):
    echo = sandbox.service("echo").agent_identifier
    budget = Budget("20 ADA", per_hire="2 ADA", deny=["https://bad.example"], name="p")
    tool = MasumiAgentTool(echo, budget=budget, scope="s", tags=["t"], name="shout", max_price="2 ADA")
    kit = MasumiToolkit(budget=budget, allow=[echo], scope="s")
    data = pickle.dumps((tool, kit, kit.for_agent(echo)))
    assert sandbox.token.encode() not in data

    again, kit_again, one = unpickled(data)
    assert (again.name, again.tags, again.scope, again.args) == (tool.name, tool.tags, tool.scope, tool.args)
    assert again.buyer.budget == budget and again._actions.options == tool._actions.options
    assert {made._actions for made in (*kit_again.get_tools(), one)} == {kit_again._actions}
    slow = {"agent": sandbox.service("slow").agent_identifier, "input_data": "{}"}
    assert "is not on the allow list" in kit_again.get_tools()[2].invoke(slow)
    assert "Done: the service" in again.invoke({"text": "x"})
    assert "Not charged again" in tool.invoke({"text": "x"})
    assert counter.both == (1, 1)


def test_a_pickle_is_not_restored_without_its_limits(env, sandbox, settings, buyer, monkeypatch):
    echo = sandbox.service("echo").agent_identifier
    for tool in (
        MasumiAgentTool(echo, budget=Budget("2 ADA", approve_above="0 ADA", approve=lambda one: True)),
        MasumiAgentTool(echo, budget=Budget("2 ADA"), on_mismatch=lambda receipt: "keep"),
        MasumiAgentTool(echo, buyer=buyer),  # its journal is another one
    ):
        with pytest.raises(MasumiError, match="cannot be restored with its limits"):
            unpickled(pickle.dumps(tool))
    with restoring(buyer):
        assert unpickled(pickle.dumps(MasumiAgentTool(echo, buyer=buyer))).buyer is buyer


def test_a_restored_tool_asks_its_person_or_refuses(env, sandbox, counter):
    tool = MasumiAgentTool(sandbox.service("echo").agent_identifier, budget=Budget("20 ADA"))
    approval(tool)
    again = unpickled(pickle.dumps(tool))
    assert "call approval(...) for the restored tools first" in again.invoke({"text": "x"})
    assert counter.tried == 0


def test_copies_share_budget_and_journal(sandbox, buyer):
    tool = MasumiAgentTool(sandbox.service("echo").agent_identifier, buyer=buyer)
    for made in (copy.deepcopy(tool), copy.copy(tool), tool.model_copy(deep=True)):
        assert made.buyer is buyer and made.args == tool.args
    assert all(one.buyer is buyer for one in copy.deepcopy(MasumiToolkit(buyer=buyer)).get_tools())


def test_a_dump_of_a_tool_holds_no_secret(sandbox, buyer):
    tool = MasumiAgentTool(sandbox.service("echo").agent_identifier, buyer=buyer)
    assert sandbox.token not in f"{tool.model_dump()}{tool!r}{MasumiToolkit(buyer=buyer).model_dump()}"


def test_a_buyer_is_not_pickled_and_says_so(buyer, settings):
    for one in (buyer, AsyncBuyer(settings)):
        with pytest.raises(TypeError, match="make a new one over the same journal"):
            pickle.dumps(one)


def test_receipts_go_through_pickle_copy_and_json_as_they_are(sandbox, buyer):
    echo, human = (sandbox.service(name).agent_identifier for name in ("echo", "human"))
    for receipt in (
        buyer.hire(echo, {"text": "x"}),
        buyer.hire(human, {"text": "x"}),
        buyer.hire(echo, {"no": "x"}),
    ):
        for made in (
            pickle.loads(pickle.dumps(receipt)),
            copy.deepcopy(receipt),
            Receipt.model_validate(receipt.model_dump()),
            Receipt.model_validate_json(receipt.model_dump_json()),
        ):
            assert made.model_dump() == receipt.model_dump()
            assert made.where_the_money_is == receipt.where_the_money_is
        assert pickle.loads(pickle.dumps(receipt)) == copy.deepcopy(receipt) == receipt
        assert sandbox.token not in receipt.model_dump_json()


FORKS = """
import os, sys
from masumi_tools import Budget, MasumiAgentTool, MasumiToolkit

tool = MasumiAgentTool.for_agent(sys.argv[1], budget=Budget("20 ADA"))
kit = MasumiToolkit(budget=Budget("20 ADA")).get_tools()
kit[6].invoke({})  # the journal is open, and connections are kept
children = []
for _ in range(3):
    if not (child := os.fork()):
        text = tool.invoke({"text": "fork"}) + kit[6].invoke({})
        os.write(1, (text.replace(chr(10), " ") + chr(10)).encode())
        os._exit(0)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_workers_hire_once_with_a_tool_that_was_made_before(env, sandbox, counter, tmp_path):
    (tmp_path / "forks.py").write_text(FORKS)
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "forks.py"), sandbox.service("echo").agent_identifier],
        env=env,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (ran.returncode, ran.stdout.count("FORK")) == (0, 3), ran.stdout + ran.stderr
    assert ran.stdout.count("19 ADA of 20 ADA left") == 3
    assert counter.both == (1, 1)


APP = """
import os
from fastapi import FastAPI
from masumi_tools import Budget, MasumiAgentTool

tool = MasumiAgentTool.for_agent(os.environ["SLOW"], budget=Budget("20 ADA"))
app = FastAPI()

@app.get("/")
async def hire() -> str:
    return f"{os.getpid()} {await tool.ainvoke({'text': 'reload'})}"
"""


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_server_that_is_reloaded_in_the_middle_of_a_hire_pays_once(env, sandbox, counter, tmp_path):
    pytest.importorskip("uvicorn")
    (tmp_path / "app.py").write_text(APP)
    words = [
        sys.executable,
        "-m",
        "uvicorn",
        "app:app",
        "--reload",
        "--port",
        "0",
        "--reload-dir",
        str(tmp_path),
    ]
    server = subprocess.Popen(
        [*words, "--timeout-graceful-shutdown", "1"],
        cwd=tmp_path,
        env={**env, "SLOW": sandbox.service("slow").agent_identifier},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        lines, url, begun = [], "", 0
        first = threading.Thread(target=lambda: _asked(url))
        for line in server.stderr:
            lines.append(line)
            if found := re.search(r"running on (http://127.0.0.1:\d+)", line):
                url = found[1]
            begun += "Application startup complete" in line
            if begun == 1 and not first.ident:
                first.start()
                _until(lambda: counter.purchases == 1)
                (tmp_path / "app.py").write_text(APP + "# changed\n")
            if begun == 2:
                break
        assert begun == 2, "".join(lines)
        text = httpx.get(url, timeout=40).text
        first.join(20)
        assert "Done: the service" in text or "Not charged again" in text, text
        assert counter.both == (1, 1)
    finally:
        server.terminate()
        server.communicate(timeout=20)


def _asked(url: str) -> None:
    """One request that arrives: a server says that its application has started before it listens."""
    refused = True
    while refused:
        with contextlib.suppress(httpx.HTTPError):  # the server was reloaded
            try:
                httpx.get(url, timeout=30)
            except httpx.ConnectError:
                _gate.wait(0.05)
                continue
        refused = False


_gate = threading.Event()


def _until(done: Any) -> None:
    for _ in range(1_200):
        if done():
            return
        _gate.wait(0.05)
    raise AssertionError("the hire did not begin")
