"""A sandbox that has ended is named, and one with a seed comes again with all that people keep of it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools import Budget, Buyer, MasumiAgentTool, Settings
from masumi_tools.errors import MasumiError
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import environment

pytest.importorskip("typer")
from masumi_tools.cli.run import run
from tests.tools.market import environment_of

ENDED = "this sandbox has ended: run `masumi-tools sandbox` again"
SEED = 10_000 - os.getpid() % 5_000  # a port of its own for each test run


@contextlib.contextmanager
def process(*options: str, module: str = "masumi_tools") -> Iterator[list[str]]:
    """A sandbox as a process of its own; the lines that it prints, down to where it is ready."""
    words = [sys.executable, "-m", module, *(["sandbox"] if module == "masumi_tools" else []), *options]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None and running.stderr is not None
    lines = []
    try:
        for line in running.stdout:
            lines.append(line.rstrip())
            if line.startswith("End it"):
                break
        else:
            raise AssertionError(running.stderr.read())
        yield lines
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=20)


def env_file(lines: list[str], place: Path) -> Path:
    """The `export` lines as an env file, as people copy them."""
    place.write_text("\n".join(line.strip() for line in lines if "export " in line) + "\n")
    return place


@pytest.fixture
def dead(sqlite_url: str) -> dict[str, str]:
    """The settings of a sandbox that has ended."""
    with Sandbox() as sandbox:
        return environment_of(sandbox, sqlite_url)


@pytest.mark.parametrize(
    "words",
    [
        ("find",),
        ("quote", "echo"),
        ("hire", "echo", "text=x", "--max-price", "1 ADA"),
        ("hire", "ab" * 40, "text=x", "--max-price", "1 ADA"),
        ("doctor",),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("where", ["environment", "env file"])
def test_every_command_says_that_the_sandbox_has_ended(
    dead: dict[str, str],
    words: tuple[str, ...],
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if where == "environment":
        for name, value in dead.items():
            monkeypatch.setenv(name, value)
    else:
        Path(".env").write_text("".join(f"{name}={value}\n" for name, value in dead.items()))

    assert run(list(words)) == 1

    captured = capsys.readouterr()
    text = " ".join((captured.out + captured.err).split())
    assert ENDED in text and "refused]" not in text and "Errno" not in text


def test_a_hire_and_a_tool_say_it_too(dead: dict[str, str]) -> None:
    settings = Settings.from_env(dead)
    with pytest.raises(MasumiError, match=re.escape(ENDED)):
        MasumiAgentTool.for_agent("echo", budget=Budget("2 ADA"), settings=settings)
    with Buyer(settings, budget=Budget("2 ADA")) as buyer:
        made = buyer.hire("ab" * 40, {"text": "x"}, patience_s=0)
    assert made.outcome == "refused" and ENDED in made.reason


def test_a_real_node_on_this_machine_is_not_called_a_sandbox(dead: dict[str, str]) -> None:
    settings = Settings.from_env(dead | {"MASUMI_SANDBOX": "0"})
    with Buyer(settings) as buyer, pytest.raises(MasumiError) as told:
        buyer.find("echo")
    assert "sandbox" not in str(told.value) and "no connection" in str(told.value)


@pytest.mark.parametrize("module", ["masumi_tools", "masumi_tools.sandbox"])
def test_with_a_seed_an_env_file_survives_a_restart(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with process("--seed", str(SEED), module=module) as first:
        kept = env_file(first, tmp_path / "kept.env")
        settings = Settings.from_env(environment(kept))
        with Buyer(settings, budget=Budget("2 ADA")) as buyer:
            before = buyer.hire("echo", {"text": "once"})

    with (
        process("--seed", str(SEED), module=module) as second,
        Buyer(settings, budget=Budget("2 ADA")) as buyer,
    ):
        after = buyer.hire(before.agent_identifier, {"text": "once"})
        hires = buyer.hires()

    assert second == first
    assert (before.outcome, after.outcome) == ("completed", "completed"), "its hires are not those of before"
    assert len(hires) == 1 and after.hire_id != before.hire_id
    assert before.terms is not None and after.terms is not None
    assert after.terms.seller_vkey == before.terms.seller_vkey
    assert not list((tmp_path / "cache").rglob("*.sqlite3"))


def test_another_seed_and_no_seed_are_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tokens = set()
    for options in (("--seed", str(SEED)), ("--seed", str(SEED + 1)), (), ()):
        with process(*options) as lines:
            tokens.update(line for line in lines if "NODE_TOKEN" in line)
    assert len(tokens) == 4


@pytest.mark.parametrize("seed", ["-1", "seven", "1.5"])
def test_a_seed_that_is_none_is_refused_in_words(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sandbox", "--seed", seed]) == 2
    assert "--seed" in capsys.readouterr().err


def test_two_sandboxes_of_one_seed_do_not_share_a_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with process("--seed", str(SEED)) as lines:
        journal = Path(next(line for line in lines if "DATABASE_URL" in line).partition("sqlite:///")[2])
        done = subprocess.run(
            [sys.executable, "-m", "masumi_tools", "sandbox", "--seed", str(SEED)],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 1
        assert "The sandbox cannot start: Address already in use" in done.stderr and "--port" in done.stderr
        assert journal.parent.is_dir(), "the one that runs keeps its journal"
