"""The official conformance runner of the MCP project against the server over HTTP, in both generations of the SDK."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("mcp")

from tests.layers import REPO
from tests.mcp.test_generations import NEWER, PYTHONS
from tests.mcp.wire import over_http_at

FOLDER = REPO / ".envs" / "conformance"
NODE = FOLDER / "bin" / "node"
RUNNER = FOLDER / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
HERE = Path(__file__).parent

# What has to pass, whatever else the baseline lets fail.
PASS = {
    "server-initialize",
    "ping",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-error",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
}


@pytest.mark.parametrize("generation", ["1", "2"])
def test_the_server_conforms_in_all_that_it_declares(env, tmp_path, generation):
    if not (NODE.exists() and RUNNER.exists()):
        pytest.skip("the conformance runner is not installed: make mcp-conformance")
    if generation == "2" and not NEWER.exists():
        pytest.skip("the second generation is not installed: make .envs/mcp/.made")
    asked = ["--suite", "all", "--expected-failures", HERE / "conformance.yml"]
    token, errors = tmp_path / "token", tmp_path / "stderr"
    with over_http_at(token, ["--budget", "20 ADA"], env, errors, PYTHONS[generation]) as url:
        done = subprocess.run(
            [NODE, "--import", HERE / "bearer.mjs", RUNNER, "server", *asked, "--url", url],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "MASUMI_TEST_TOKEN": token.read_text().strip()},
            capture_output=True,
            text=True,
            timeout=50,
        )

    assert done.returncode == 0, f"{done.stdout[-4_000:]}\n{done.stderr[-2_000:]}"
    assert set(re.findall(r"^✓ ([\w-]+): [1-9]", done.stdout, re.MULTILINE)) == PASS
