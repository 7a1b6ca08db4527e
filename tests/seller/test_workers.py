"""A shop in an ASGI server of somebody else's, with more than one process on one SQLite file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from masumi_tools import Budget, Buyer, Settings
from masumi_tools.sandbox import Sandbox
from tests.ports import free_port
from tests.seller.support import until
from tests.tools.market import environment_of

ROOT = Path(__file__).parents[2]
SHOP = """
import os
from masumi_tools.seller import sell

def shout(text: str) -> str:
    \"""Says it aloud.\"""
    return f"{text.upper()} {os.getpid()}"

app = sell(shout, name="Shout", price="1 ADA").app
"""


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_two_workers_of_a_server_sell_from_one_database_while_others_look_into_it(
    sandbox: Sandbox, sqlite_url: str, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    url = f"http://127.0.0.1:{(port := free_port())}"
    agent = sandbox.register_service("shout", url, "1 ADA").agent_identifier
    env = {**os.environ, **environment_of(sandbox, sqlite_url), "MASUMI_AGENT_IDENTIFIER": agent}
    env["PYTHONPATH"] = str(ROOT)
    words = ["uvicorn", "shop:app", "--workers", "2", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen([sys.executable, "-m", *words], cwd=tmp_path, env=env)
    try:
        until(lambda: is_ready(url), "the start", 60)
        with Buyer(Settings.from_env(environment_of(sandbox, sqlite_url)), budget=Budget("9 ADA")) as buyer:
            for round_ in range(2):
                orders = [(agent, {"text": f"{round_} {number}"}) for number in range(4)]
                made = buyer.hire_many(orders, max_price="1 ADA", patience_s=60)
                assert [receipt.outcome for receipt in made] == ["completed"] * 4, made
                listed = subprocess.run(
                    [sys.executable, "-m", "masumi_tools", "jobs"],
                    cwd=tmp_path,
                    env=env,
                    capture_output=True,
                    text=True,
                    timeout=50,
                )
                assert listed.stdout.count("completed") == 4 * (round_ + 1), listed.stdout + listed.stderr
        assert is_ready(url)
    finally:
        server.terminate()
        server.wait(30)
