"""Servers and clients of both generations of the official SDK: a hire, and a person who is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")

from tests.layers import REPO
from tests.mcp.wire import command
from tests.tools.market import Counter

NEWER = REPO / ".envs" / "mcp" / "bin" / "python"
PYTHONS = {"1": sys.executable, "2": str(NEWER)}
PAIRS = [("1", "1"), ("2", "1"), ("1", "2"), ("2", "2")]


@pytest.fixture(
    params=PAIRS, ids=["server 1, client 1", "server 2, client 1", "server 1, client 2", "server 2, client 2"]
)
def ask(request, env, forged, tmp_path: Path) -> Any:
    """Lets a client of one generation hire from a server of one generation."""
    server, client = request.param
    if "2" in request.param and not NEWER.exists():
        pytest.skip("the second generation is not installed: make .envs/mcp/.made")

    def run(
        agent: str,
        text: str | list[str],
        *flags: str,
        person: str | None = None,
        replies: list[dict[str, Any]] | None = None,
        more: tuple[dict[str, Any], ...] = (),
    ) -> dict[str, Any]:
        texts = [text] if isinstance(text, str) else text
        wishes = [
            {"name": "masumi_hire", "args": {"agent": agent, "input_data": json.dumps({"text": one})}}
            for one in texts
        ]
        plan = {
            "command": command("--budget", "20 ADA", *flags, python=forged(PYTHONS[server])),
            "env": env,
            "stderr": str(tmp_path / "stderr"),
            "calls": [*wishes, *more],
            "person": person,
            "replies": replies,
        }
        (tmp_path / "plan.json").write_text(json.dumps(plan))
        done = subprocess.run(
            [*forged(PYTHONS[client]), "-m", "tests.mcp.client", tmp_path / "plan.json"],
            cwd=REPO,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        made: dict[str, Any] = json.loads(done.stdout)
        assert made["newer"] == (client == "2")
        return made

    return run


def test_both_generations_hire_and_see_every_step(ask, sandbox):
    made = ask(sandbox.service("echo").agent_identifier, "both")

    (answer,) = made["answers"]
    assert answer["content"]["hire"]["result"] == "BOTH" and answer["content"]["hire"]["verified"]
    numbers = [number for number, _ in answer["progress"]]
    assert numbers == sorted(set(numbers)) and len(numbers) >= 5


@pytest.mark.parametrize("person", ["yes", "no", "decline", "cancel", None])
def test_only_a_clear_yes_of_the_person_pays(ask, sandbox, person):
    seen = Counter(sandbox)
    agent = sandbox.service("echo").agent_identifier
    made = ask(agent, f"say {person}", "--approve-above", "0.5 ADA", "--wait", "3", person=person)

    (answer,) = made["answers"]
    assert len(made["asked"]) == (person is not None)
    if person == "yes":
        assert answer["content"]["code"] == "completed" and seen.purchases == 1
        assert "1 ADA" in made["asked"][0]
    elif person is None:  # nobody can be asked here: the question waits in the journal
        assert seen.both == (0, 0)
        assert answer["content"]["code"] == "needs_approval" and answer["content"]["hire"]["open"]
        assert f"masumi-tools approve {answer['content']['hire']['hire_id']}" in answer["text"]
    else:
        assert seen.both == (0, 0)
        assert answer["content"]["code"] == "refused" and "approv" in answer["text"]


def test_below_the_threshold_nobody_is_asked(ask, sandbox):
    made = ask(sandbox.service("echo").agent_identifier, "cheap", "--approve-above", "1 ADA", person="no")

    assert made["asked"] == [] and made["answers"][0]["content"]["code"] == "completed"
