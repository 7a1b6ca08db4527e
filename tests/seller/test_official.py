"""The official package hires our service. Its server as a seller is in tests/gallery/test_official.py.

It lives in an environment of its own, which `make official` makes.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from masumi_tools.seller import ask_human
from tests.seller.support import Market, until

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
