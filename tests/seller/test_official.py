"""Both ways with the official package: it hires our service, and our buyer hires its server.

It lives in an environment of its own, which `make official` makes.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest

from masumi_tools import Budget, Buyer
from masumi_tools.seller import ask_human
from masumi_tools.settings import Settings
from tests.seller.support import Market, free_port, until

REPO = Path(__file__).resolve().parents[2]
PYTHON = REPO / ".envs/official/bin/python"
HERE = Path(__file__).parent / "official"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(150),
    pytest.mark.skipif(not PYTHON.exists(), reason="the official package is not there: make official"),
]


def careful(text: str, n: int = 1) -> str:
    return f"{text.upper()} {n} {ask_human('sure?')['answer']}"


def test_the_official_purchase_hires_our_service_and_its_models_read_every_answer(market: Market):
    with market.shop(careful) as buying:
        agent = buying.service.settings.agent_identifier
        done = subprocess.run(
            [PYTHON, HERE / "hire.py", buying.url, market.sandbox.node_url, market.sandbox.token],
            capture_output=True,
            text=True,
            timeout=100,
            env={
                **os.environ,
                "PAYMENT_SERVICE_URL": market.sandbox.node_url,
                "PAYMENT_API_KEY": market.sandbox.token,
                "SELLER_VKEY": "ab" * 28,
                "AGENT_IDENTIFIER": agent,
            },
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        said = json.loads(done.stdout.splitlines()[-1])
        job = {"blockchainIdentifier": said["blockchain_identifier"]}
        until(lambda: buying.payment(job)["resultHash"], "the hash on the chain")

        assert (said["availability"], said["status"]) == ("available", "completed")
        assert said["result"] == "LINE 1\nLINE 2 2 yes"
        assert said["asked"] == 1
        assert said["hash"] == buying.payment(job)["resultHash"]  # its own verification of our hash
        assert said["node_is_reachable"]
        assert all(found["passed"] for found in said["environment"]), said["environment"]


def test_our_buyer_hires_the_official_server(market: Market, tmp_path: Path):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    listed = market.sandbox.register_service("official", url, "1 ADA")
    log = (tmp_path / "log").open("wb")
    with subprocess.Popen(
        [
            PYTHON, HERE / "serve.py", str(port), market.sandbox.node_url, market.sandbox.token,
            listed.agent_identifier, listed.seller_vkey,
        ],
        stdout=log,
        stderr=log,
    ) as server:  # fmt: skip
        try:

            def up() -> bool:
                try:
                    return httpx.get(f"{url}/availability", timeout=1).status_code == 200
                except httpx.HTTPError:
                    return False

            until(up, "the official server's start", 30)
            settings = Settings.from_sandbox(
                market.sandbox, database_url=f"sqlite:///{tmp_path}/buyer.sqlite"
            )
            with Buyer(settings, budget=Budget("20 ADA")) as buyer:
                receipt = buyer.hire(listed.agent_identifier, {"text": "hello"}, patience_s=90)
        finally:
            server.kill()
            log.close()

    assert (receipt.outcome, receipt.result) == ("completed", "official\nHELLO"), receipt
    assert receipt.verified is True
