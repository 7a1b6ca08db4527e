"""The programs of docs/other-frameworks.md, as they stand there, in an environment that has the frameworks."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import Block, blocks, fits, plain
from tests.layers import REPO
from tests.mcp.wire import over_http_at
from tests.tools.market import Counter

PAGE = REPO / "docs" / "other-frameworks.md"
# In the order of the page, each with the environment that has it.
FRAMEWORKS = {
    "pydantic_ai": "frameworks",
    "agents": "frameworks",
    "smolagents": "providers",
    "llama_index": "frameworks",
}
PORT = "127.0.0.1:8750"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def binaries(framework: str) -> Path:
    """Where python and masumi-tools are in the environment that has this framework; skips without it."""
    folder = REPO / ".envs" / FRAMEWORKS[framework]
    if not (folder / ".made").exists():
        pytest.skip(f"{framework} is not installed: make other-frameworks")
    return folder / "bin"


def program(framework: str) -> Block:
    """The one program of the page that imports this framework."""
    found = [block for block in blocks(PAGE) if re.search(rf"^from {framework}\b", block.text, re.MULTILINE)]
    (block,) = found
    return block


def printed(code: str, tools: Path, env: dict[str, str], folder: Path) -> str:
    (folder / "program.py").write_text(code)
    done = subprocess.run(
        [tools / "python", "program.py"],
        cwd=folder,
        env=env | {"PATH": f"{tools}{os.pathsep}{env['PATH']}", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_program_of_the_page_is_run_here():
    programs = [block for block in blocks(PAGE) if block.kind == "python"]

    assert programs == [program(framework) for framework in FRAMEWORKS]
    assert all(block.output for block in programs)


@pytest.mark.parametrize("framework", ["pydantic_ai", "agents", "smolagents"])
def test_an_agent_finds_asks_the_price_and_hires_over_stdio(framework, env, sandbox, tmp_path):
    seen = Counter(sandbox)
    block = program(framework)
    said = printed(block.text, binaries(framework), env, tmp_path)

    assert fits(block.output or "", said), plain(said)
    assert seen.both == (1, 1)


def test_an_agent_finds_asks_the_price_and_hires_over_http(env, sandbox, tmp_path):
    """The server is started with the flags of the page, at another port."""
    seen = Counter(sandbox)
    block = program("llama_index")
    (line,) = [one.text for one in blocks(PAGE) if one.text.startswith("masumi-tools mcp --http")]
    _, _, http, address, file, token, *flags = shlex.split(line)
    assert (http, address, file) == ("--http", PORT, "--token-file")
    tools = binaries("llama_index")
    with over_http_at(tmp_path / token, flags, env, tmp_path / "stderr", str(tools / "python")) as url:
        said = printed(block.text.replace(f"http://{PORT}/mcp", url), tools, env, tmp_path)

    assert fits(block.output or "", said), plain(said)
    assert seen.both == (1, 1)
