"""The address guard where every inner address is at hand and answers (see namespace.py)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]


@cache
def _unshare() -> list[str]:
    """The command that gives a network namespace of its own, or nothing where there is none to have."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return []
    for command in (["unshare", "-n"], ["unshare", "-r", "-n"]):
        done = subprocess.run([*command, "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
        if done.returncode == 0:
            return command
    return []


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    if not _unshare():
        pytest.skip("no network namespace can be made here (Linux, unshare and ip are needed)")
    done = subprocess.run(
        [*_unshare(), sys.executable, "-m", "tests.http.namespace"],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_no_connection_is_made_inside(found: dict[str, Any], colour: str) -> None:
    assert len(found["bad"]) + len(found["redirected"]) >= 20
    for url in found["bad"]:
        row = found["report"][url]
        assert (row[colour], row[f"{colour}_reply"]) == ([], [None, "refused-address"]), url


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_no_redirect_leads_inside(found: dict[str, Any], colour: str) -> None:
    for url in found["redirected"]:
        row = found["report"][url]
        assert set(row[colour]) == {"93.184.215.14"} and row[f"{colour}_reply"][1] == "refused-address", url
        assert len(row[colour]) < len(row["httpx"]), url


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_public_services_are_reached(found: dict[str, Any], colour: str) -> None:
    for url in [*found["good"], found["hidden"]]:
        row = found["report"][url]
        assert row[f"{colour}_reply"] == [200, None], url
        assert set(row[colour]) <= {"93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"}, url


def test_the_bad_urls_do_lead_inside_without_a_guard(found: dict[str, Any]) -> None:
    """Else the table would prove nothing."""
    harmless = [url for url in found["bad"] if not found["report"][url]["httpx"]]
    assert len(harmless) <= 2, harmless
