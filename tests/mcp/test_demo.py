"""`masumi-tools demo --mcp`: the scene by MCP, with the official client of both generations."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("mcp")
pytest.importorskip("langchain")

from tests import fresh
from tests.layers import REPO
from tests.mcp.test_generations import NEWER, PYTHONS

FIRST_THREE = ["completed", "never-answers", "over-budget"]


@pytest.fixture
def demo(tmp_path, env) -> Any:
    """Runs the demo in a process of its own, with a home of its own."""

    def run(*flags: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
        home = {
            "PATH": env["PATH"],
            "PYTHONPATH": str(REPO),
            "XDG_DATA_HOME": str(tmp_path),
            "COLUMNS": "120",
        }
        return subprocess.run(
            [python, "-m", "masumi_tools", "demo", *flags],
            cwd=REPO,
            env=home | {"HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=55,
        )

    return run


@pytest.mark.parametrize("generation", ["1", "2"])
def test_the_fourth_scene_hires_by_mcp_from_the_budget_of_the_others(demo, generation):
    if generation == "2" and not NEWER.exists():
        pytest.skip("the second generation is not installed: make .envs/mcp/.made")
    done = demo("--mcp", "--json", python=PYTHONS[generation])

    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    *others, scene = made["scenarios"]
    assert [one["name"] for one in others] == FIRST_THREE
    assert (scene["name"], scene["outcome"], scene["paid"]) == ("by-mcp", "completed", "1 ADA")
    assert scene["result"] == "HELLO FROM AN MCP HOST" and scene["verified"]
    assert made["budget"]["left"] == "18 ADA"  # the first scene and this one took 1 ADA each


def test_the_story_tells_that_the_host_asks_its_user_before_anything_is_reserved(demo):
    done = demo("--mcp")

    assert done.returncode == 0, done.stderr
    story = done.stdout[done.stdout.index("by-mcp") : done.stdout.index("Receipts")]
    asked, yes, reserved = (
        story.index(words) for words in ('Hire "Echo" for 1 ADA?', "Yes, pay.", "is reserved in the budget")
    )
    assert asked < yes < reserved
    assert 'masumi-tools mcp --budget "20 ADA"' in story and "masumi_hire" in story


def test_without_mcp_the_demo_has_its_three_scenes(demo):
    done = demo("--json")

    assert [one["name"] for one in json.loads(done.stdout)["scenarios"]] == FIRST_THREE


def test_without_the_sdk_it_says_what_to_install_before_anything_is_played():
    said = fresh.run(
        """
        import contextlib, io, json
        from masumi_tools.cli.run import run
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            status = run(["demo", "--mcp"])
        print(json.dumps([status, out.getvalue(), errors.getvalue()]))
        """,
        hidden=["mcp"],
    )

    assert said[:2] == [2, ""] and "pip install 'masumi_tools[mcp]'" in said[2]
