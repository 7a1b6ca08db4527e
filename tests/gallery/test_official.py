"""The official package's own server as a seller, as real code: a function, a crew, and a question to people.

It lives in an environment of its own, which `make official` makes.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from masumi_tools.cli.inspection import inspect
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import Buyer
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.ports import free_port
from tests.seller.support import until

REPO = Path(__file__).resolve().parents[2]
PYTHON = REPO / ".envs/official/bin/python"
SERVE = REPO / "tests/seller/official/serve.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not PYTHON.exists(), reason="the official package is not there: make official"),
    pytest.mark.skipif(importlib.util.find_spec("uvicorn") is None, reason="needs the extra seller"),
]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@contextmanager
def official(sandbox: Sandbox, kind: str, folder: Path) -> Iterator[str]:
    """The agent identifier of the official server doing this kind of work, registered and up."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    listed = sandbox.register_service(f"official {kind}", url, "1 ADA")
    arguments = [
        str(port),
        sandbox.node_url,
        sandbox.token,
        listed.agent_identifier,
        listed.seller_vkey,
        kind,
    ]
    quiet = {
        "CREWAI_DISABLE_TELEMETRY": "true",
        "CREWAI_TRACING_ENABLED": "false",
        "OTEL_SDK_DISABLED": "true",
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [PYTHON, SERVE, *arguments], stdout=log, stderr=log, env={**os.environ, **quiet}
        )
        try:

            def up() -> bool:
                try:
                    return httpx.get(f"{url}/availability", timeout=1).status_code == 200
                except httpx.HTTPError:
                    return False

            until(up, "the official server's start", 60)
            yield listed.agent_identifier
        finally:
            server.kill()
            server.wait(10)


def buyer_of(sandbox: Sandbox, folder: Path) -> Buyer:
    settings = Settings.from_sandbox(sandbox, database_url=f"sqlite:///{folder}/buyer.sqlite3")
    return Buyer(settings, budget=Budget("20 ADA"))


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        ("function", "official\nHELLO"),
        ("crew", '# Report\n\nAll about "tides".'),
        ("blocking", "hello"),
    ],
)
def test_our_buyer_hires_the_official_server(
    sandbox: Sandbox, tmp_path: Path, kind: str, result: str
) -> None:
    with official(sandbox, kind, tmp_path) as agent, buyer_of(sandbox, tmp_path) as buyer:
        receipt = buyer.hire(agent, {"text": "hello"}, patience_s=120)

    assert (receipt.outcome, receipt.result) == ("completed", result), receipt
    assert (receipt.verified, receipt.result_hash_form) == (True, "escaped")
    assert len(sandbox.ledger()["purchases"]) == 1


def test_a_crew_that_fails_after_it_was_paid_for_is_asked_back(sandbox: Sandbox, tmp_path: Path) -> None:
    with official(sandbox, "plain crew", tmp_path) as agent, buyer_of(sandbox, tmp_path) as buyer:
        receipt = buyer.hire(agent, {"text": "hello"}, patience_s=120)

    assert (receipt.outcome, receipt.result) == ("refund_requested", None)
    assert "the service says that the job failed" in receipt.reason


def test_our_buyer_answers_the_question_of_the_official_server(sandbox: Sandbox, tmp_path: Path) -> None:
    with official(sandbox, "question", tmp_path) as agent, buyer_of(sandbox, tmp_path) as buyer:
        asked = buyer.hire(agent, {"text": "hello"}, patience_s=120)
        receipt = buyer.answer(asked.hire_id, {"answer": "yes"}, patience_s=120)

    assert asked.outcome == "needs_input"
    assert (receipt.outcome, receipt.result) == ("completed", 'hello, and you said "yes"')
    assert receipt.verified is True


def test_what_the_official_server_does_otherwise_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    with official(sandbox, "function", tmp_path) as agent:
        found = inspect(Settings.from_sandbox(sandbox), agent, start_job=True, input_data={"text": "hello"})

    assert found.hireable
    assert {finding.what for finding in found.findings} <= {"input_hash: sent as inputHash"}
    assert sandbox.ledger()["purchases"] == []
