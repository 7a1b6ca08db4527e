"""Bug reports of the field, each as a test of its id's name: locked files, event loops, pools, blocked servers."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from masumi_tools.calls import service
from masumi_tools.cli import doctor
from masumi_tools.errors import JournalBusy
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import Buyer
from masumi_tools.journal import database
from masumi_tools.journal.row import Row
from masumi_tools.journal.store import Journal
from masumi_tools.net import exchange, http
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings

HELLO = {"text": "hello"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def settings_for(sandbox: Sandbox, file: Path) -> Settings:
    return Settings.from_sandbox(sandbox, database_url=f"sqlite:///{file}")


def bought(sandbox: Sandbox) -> int:
    return len(sandbox.ledger()["purchases"])


# ---- the journal ----------------------------------------------------------------------------------------


def test_locked_read_is_terminal(sandbox: Sandbox, tmp_path: Path) -> None:
    """Another connection holds the file for some seconds in the middle of a hire: it waits and goes on."""
    file = tmp_path / "journal.sqlite3"
    before = bought(sandbox)
    assert database.BUSY_TIMEOUT_S > 6
    locked = threading.Event()

    def hold(progress: Any) -> None:
        if progress.state.value == "reserved" and not locked.is_set():
            threading.Thread(target=lock, daemon=True).start()
            locked.wait(5)

    def lock() -> None:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        locked.set()
        time.sleep(3)
        other.execute("ROLLBACK")
        other.close()

    with Buyer(settings_for(sandbox, file), budget=Budget("20 ADA"), on_progress=hold) as buyer:
        began = time.monotonic()
        receipt = buyer.hire(sandbox.service("echo").agent_identifier, HELLO)

    assert receipt.outcome == "completed"
    assert time.monotonic() - began > 2.5
    assert bought(sandbox) - before == 1


def test_locked_read_is_terminal_and_a_step_that_cannot_be_saved_is_not_taken(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.2)
    file = tmp_path / "journal.sqlite3"
    before = bought(sandbox)
    others: list[sqlite3.Connection] = []

    def lock(progress: Any) -> None:
        if progress.state.value == "reserved":
            other = sqlite3.connect(file, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            others.append(other)

    with Buyer(settings_for(sandbox, file), budget=Budget("20 ADA"), on_progress=lock) as buyer:
        with pytest.raises(JournalBusy, match="another process has locked the journal"):
            buyer.hire(sandbox.service("echo").agent_identifier, HELLO, patience_s=2)
        assert bought(sandbox) == before
        others[0].close()

        receipt = buyer.hire(sandbox.service("echo").agent_identifier, HELLO)

    assert receipt.outcome in ("completed", "refused")
    assert bought(sandbox) - before <= 1


def test_orphan_holds_lock(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead run's child still holds the file: said so, nothing spent, and the check command sees it."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.3)
    file = tmp_path / "journal.sqlite3"
    settings = settings_for(sandbox, file)
    Journal(settings.database_url).close()
    before = bought(sandbox)
    script = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "db.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"
    )
    orphan = subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert orphan.stdin is not None and orphan.stdout is not None
    try:
        assert orphan.stdout.readline() == "locked\n"
        with Buyer(settings, budget=Budget("20 ADA")) as buyer, pytest.raises(JournalBusy) as told:
            buyer.hire(sandbox.service("echo").agent_identifier, HELLO, patience_s=1)
        finding = next(one for one in doctor.examine(settings) if one.name == "journal")
    finally:
        orphan.communicate("", timeout=10)

    assert "another process has locked the journal" in str(told.value) and "damaged" not in str(told.value)
    assert (finding.ok, "another process has locked the journal" in finding.words) == (False, True)
    assert bought(sandbox) == before
    assert next(one for one in doctor.examine(settings) if one.name == "journal").ok is True


def test_no_rollback_after_error(sandbox: Sandbox, tmp_path: Path) -> None:
    settings = settings_for(sandbox, tmp_path / "journal.sqlite3")
    journal = Journal(settings.database_url)
    broken: Any = object()
    row = Row("a", "k", "reserved", True, True, "default", "s", 1, 1, "reserved", broken)

    with pytest.raises(Exception, match=r".+"):
        journal.add(row)
    with Buyer(settings, budget=Budget("20 ADA"), journal=journal) as buyer:
        receipt = buyer.hire(sandbox.service("echo").agent_identifier, HELLO)

    journal.close()
    assert receipt.outcome == "completed"


# ---- event loops and pools ------------------------------------------------------------------------------


@pytest.fixture
def tool(sandbox: Sandbox, tmp_path: Path) -> Iterator[Any]:
    pytest.importorskip("langchain_core")
    from masumi_tools.langchain import MasumiAgentTool

    settings = settings_for(sandbox, tmp_path / "journal.sqlite3")
    tool = MasumiAgentTool.for_agent(
        sandbox.service("echo").agent_identifier, settings=settings, budget=Budget("20 ADA")
    )
    yield tool
    tool.close()


def test_loop_is_closed(tool: Any) -> None:
    told = [asyncio.run(tool.ainvoke({"text": f"loop {n}"})) for n in range(3)]

    assert all(f"LOOP {n}" in text for n, text in enumerate(told))


async def test_two_loops_two_threads(tool: Any) -> None:
    def elsewhere(n: int) -> str:
        return str(asyncio.run(tool.ainvoke({"text": f"thread {n}"})))

    with ThreadPoolExecutor(3) as pool:
        running = [asyncio.get_running_loop().run_in_executor(pool, elsewhere, n) for n in range(3)]
        here = await tool.ainvoke({"text": "here"})
        there = await asyncio.gather(*running)

    assert "HERE" in here
    assert all(f"THREAD {n}" in text for n, text in enumerate(there))


def test_cached_client_garbage(sandbox: Sandbox, tmp_path: Path) -> None:
    pytest.importorskip("langchain_core")
    from masumi_tools.langchain import MasumiAgentTool

    unraisable: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append

    def once(n: int) -> str:
        tool = MasumiAgentTool.for_agent(
            sandbox.service("echo").agent_identifier,
            settings=settings_for(sandbox, tmp_path / f"journal{n}.sqlite3"),
            budget=Budget("20 ADA"),
        )
        return str(asyncio.run(tool.ainvoke({"text": f"number {n}"})))

    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            told = []
            for n in range(2):
                told.append(once(n))
                gc.collect()
    finally:
        sys.unraisablehook = hook

    assert all(f"NUMBER {n}" in text for n, text in enumerate(told))
    assert unraisable == []
    assert [w for w in warned if "loop" in str(w.message) or "unclosed" in str(w.message)] == []


class SlowStatus(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(0.3)
        content = json.dumps({"status": "running"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def slow_url() -> Iterator[str]:
    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    server = Server(("127.0.0.1", 0), SlowStatus)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(10)


async def test_pool_timeout_in_gather(slow_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More polls than connections, longer than a connect may take: who waits for a slot waits."""
    monkeypatch.setattr(http, "_MOST_CONNECTIONS", 10)
    monkeypatch.setattr(exchange, "CONNECT_S", 1.0)
    client = http.AsyncHttp(Settings(node_url="http://127.0.0.1:9", sandbox=True))

    replies = await asyncio.gather(*(client.send(service.status(slow_url, f"job {n}")) for n in range(100)))
    await client.close()

    assert {(reply.status, reply.fault) for reply in replies} == {(200, None)}


def test_pool_timeout_in_threads(slow_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_MOST_CONNECTIONS", 5)
    monkeypatch.setattr(exchange, "CONNECT_S", 1.0)
    client = http.Http(Settings(node_url="http://127.0.0.1:9", sandbox=True))

    with ThreadPoolExecutor(30) as pool:
        replies = list(pool.map(lambda n: client.send(service.status(slow_url, f"job {n}")), range(30)))
    client.close()

    assert {(reply.status, reply.fault) for reply in replies} == {(200, None)}


# ---- our own seller -------------------------------------------------------------------------------------


def test_kickoff_blocks_everything(sandbox: Sandbox, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    from tests.seller.support import Market

    done = threading.Event()

    def blocks(text: str) -> str:
        done.wait(20)
        return text

    with Market(sandbox, tmp_path).shop(blocks) as buying:
        job = buying.buy(HELLO)
        buying.wait(job, "running")

        def available(_: int) -> float:
            began = time.monotonic()
            assert client.get("/availability").status_code == 200
            return time.monotonic() - began

        with httpx.Client(base_url=buying.url, timeout=10) as client, ThreadPoolExecutor(20) as pool:
            took = list(pool.map(available, range(20)))
        done.set()
        buying.wait(job, "completed")

    assert max(took) < 1
