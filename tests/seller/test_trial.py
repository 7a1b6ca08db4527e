"""A service on trial: listed by a sandbox, served, and hired at once; the same from the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from masumi_tools import Buyer, Settings
from masumi_tools.errors import SettingsError
from masumi_tools.sandbox import Sandbox
from masumi_tools.seller import sell
from masumi_tools.seller.trial import listed
from tests.ports import free_port

SHOP = """
from masumi_tools.seller import sell

def shout(text: str) -> str:
    "Puts a text in capitals."
    return text.upper()

service = sell(shout, name="Shout", price="1 ADA")
"""


def shout(text: str) -> str:
    """Puts a text in capitals."""
    return text.upper()


def test_a_service_on_trial_is_hired_and_paid(sandbox: Sandbox):
    settings = Settings.from_sandbox(sandbox)

    with sell(shout, name="Shout", price="1 ADA").trial(settings) as agent, Buyer(settings) as buyer:
        receipt = buyer.hire(agent, {"text": "hello"}, max_price="1 ADA")

    assert (receipt.outcome, receipt.result, receipt.verified) == ("completed", "HELLO", True)


def test_a_free_service_on_trial_is_hired_without_a_payment(sandbox: Sandbox):
    settings = Settings.from_sandbox(sandbox)

    with sell(shout, name="Shout", price="free").trial(settings) as agent, Buyer(settings) as buyer:
        receipt = buyer.hire(agent, {"text": "hello"}, max_price="1 ADA")

    assert (receipt.outcome, receipt.result) == ("completed", "HELLO")
    assert sandbox.ledger()["purchases"] == []


def test_a_trial_needs_a_sandbox():
    real = Settings(node_url="http://127.0.0.1:9", node_token="x")

    with pytest.raises(SettingsError, match="from_sandbox"), sell(shout, name="S", price="1 ADA").trial(real):
        pass


def test_one_service_is_listed_once_and_two_of_one_name_apart(sandbox: Sandbox):
    settings = Settings.from_sandbox(sandbox)
    offer = sell(shout, name="Shout", price="1 ADA").offer

    agents = [
        listed(offer, settings, f"http://127.0.0.1:{port}").agent_identifier for port in (9001, 9001, 9002)
    ]

    assert agents[0] == agents[1] != agents[2]


def test_serve_lists_the_service_in_the_sandbox_and_says_where_it_is(sandbox: Sandbox, tmp_path: Path):
    (tmp_path / "shop.py").write_text(SHOP)
    env = {
        **os.environ,
        "MASUMI_NODE_URL": sandbox.node_url,
        "MASUMI_NODE_TOKEN": sandbox.token,
        "MASUMI_SANDBOX": "1",
        "MASUMI_DATABASE_URL": f"sqlite:///{tmp_path}/jobs.sqlite",
    }
    masumi_tools = Path(sys.executable).with_name("masumi-tools")
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [masumi_tools, "serve", tmp_path / "shop.py", "--port", str(port)]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    try:
        said = [process.stderr.readline(), process.stderr.readline()]  # type: ignore[union-attr]
        agent = re.fullmatch(r"listed in the sandbox as ([0-9a-f]+)\n", said[0])
        assert agent, said
        assert said[1].startswith(f"Shout accepts jobs at {url}")
        settings = Settings.from_sandbox(sandbox)
        with Buyer(settings) as buyer:
            receipt = buyer.hire(agent[1], {"text": "hello"}, max_price="1 ADA")
    finally:
        process.terminate()
        process.wait(20)
        process.stderr.close()  # type: ignore[union-attr]

    assert (receipt.outcome, receipt.result) == ("completed", "HELLO")
    assert receipt.url == url


def test_serve_on_a_port_that_is_taken_ends_and_says_so(sandbox: Sandbox, tmp_path: Path):
    (tmp_path / "shop.py").write_text(SHOP)
    tools = Path(sys.executable).with_name("masumi-tools")
    env = {**os.environ, "MASUMI_NODE_URL": sandbox.node_url, "MASUMI_NODE_TOKEN": sandbox.token}
    port = sandbox.node_url.split(":")[2].split("/")[0]

    done = subprocess.run(
        [tools, "serve", tmp_path / "shop.py", "--port", port],
        env={**env, "MASUMI_DATABASE_URL": f"sqlite:///{tmp_path}/jobs.sqlite"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "takes jobs" not in done.stderr
