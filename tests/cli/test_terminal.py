"""What people see: at a terminal of 80 columns identifiers can be copied, into a pipe all is plain text."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools import Budget, Buyer, Settings
from masumi_tools.sandbox import Sandbox

pytest.importorskip("typer")
from masumi_tools.cli.run import run
from masumi_tools.seller.jobs.job import JobState, Rules
from masumi_tools.seller.jobs.table import JobTable
from tests.seller.test_jobs import LOCKED, NOW, job
from tests.tools.market import environment_of

BIN = Path(sys.executable).parent
FRAMES = re.compile("[\x1b\u2500-\u259f]")  # colours, lines, blocks
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
JOB = "0f6c1b1e-7c55-4b7e-9c7e-1d3f5a7b9c01"


class Filled:
    """A sandbox, and a journal with hires of several ends; each identifier that a person may want to copy."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/hires.sqlite3"
        self.env = {**environment_of(sandbox, self.url), "COLUMNS": "80", "TERM": "xterm-256color"}
        settings = Settings.from_sandbox(sandbox, database_url=self.url)
        self.agents = [
            sandbox.service(name).agent_identifier for name in ("echo", "silent", "greedy", "human")
        ]
        with Buyer(settings, budget=Budget("20 ADA", name="a budget with a name that is long")) as buyer:
            self.done = buyer.hire(self.agents[0], {"text": "a"}).hire_id
            for agent in self.agents[1:3]:
                buyer.hire(agent, {"text": "a"}, patience_s=0)
        with Buyer(settings, budget=Budget("20 ADA", approve_above="1 ADA")) as buyer:
            self.asked = buyer.hire(self.agents[3], {"text": "a"}, patience_s=0).hire_id
            self.hires = [made.hire_id for made in buyer.hires()]
        _add_job(self.url)


def _add_job(url: str) -> None:
    table = JobTable(url, Rules(), "Shop of many words")
    error = "it did not work, and that takes many words to say"
    table.add([job(JobState.FAILED, job_id=JOB, chain=LOCKED, error=error)], NOW)
    table.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with Sandbox() as sandbox:
        yield Filled(sandbox, tmp_path_factory.mktemp("journal"))


@pytest.fixture
def env(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in filled.env.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return {**os.environ, **filled.env}


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """What a real terminal of 80 columns gets to show."""
    ours, theirs = pty.openpty()
    seen = bytearray()

    def read() -> None:
        try:
            while data := os.read(ours, 65_536):
                seen.extend(data)
        except OSError:  # the other side was closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(theirs, "w", encoding="utf-8") as screen, monkeypatch.context() as here:
        here.setattr(sys, "stdout", screen)
        run([*words])
    reader.join(10)
    os.close(ours)
    return seen.decode().replace("\r\n", "\n")


def piped(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    run([*words])
    return capsys.readouterr().out


COPIED = {
    "find": ("find",),
    "hires": ("hires",),
    "approvals": ("approvals",),
    "jobs": ("jobs",),
    "receipt": ("receipt", "{done}"),
    "receipt of a question": ("receipt", "{asked}"),
    "budget": ("budget",),
}


def expected(filled: Filled, name: str) -> list[str]:
    return {
        "find": filled.agents,
        "hires": filled.hires,
        "approvals": [filled.asked],
        "jobs": [JOB],
        "receipt": [filled.done, filled.agents[0]],
        "receipt of a question": [filled.agents[3], f"masumi-tools approve {filled.asked}"],
        "budget": ["a budget with a name that is long"],
    }[name]


@pytest.mark.parametrize("name", COPIED)
def test_identifiers_are_whole_at_80_columns(
    filled: Filled, env: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    words = [word.format(asked=filled.asked, done=filled.done) for word in COPIED[name]]

    shown = typed(monkeypatch, *words)

    assert expected(filled, name) and all(one in COLOURS.sub("", shown) for one in expected(filled, name)), (
        shown
    )
    assert "\x1b[" in shown, "a terminal has colours"
    long = [line for line in COLOURS.sub("", shown).splitlines() if len(line.rstrip()) > 80]
    assert all(re.fullmatch(r"(agent)? *[0-9a-f]{57,250}", line.rstrip()) for line in long), long


@pytest.mark.parametrize("name", COPIED)
def test_into_a_pipe_all_is_plain_text_with_whole_identifiers(
    filled: Filled, env: dict[str, str], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words = [word.format(asked=filled.asked, done=filled.done) for word in COPIED[name]]

    shown = piped(capsys, *words)

    assert FRAMES.search(shown) is None, shown
    assert all(one in shown for one in expected(filled, name)), shown
    if name in ("hires", "approvals", "jobs"):
        assert len([line for line in shown.splitlines() if line[:1].strip()]) >= 2
        assert not any(line.startswith("  ") for line in shown.splitlines()), "a row is a line"


def test_help_has_no_frames_in_a_pipe(env: dict[str, str]) -> None:
    done = subprocess.run(
        [BIN / "masumi-tools", "hire", "--help"],
        env=env,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )

    assert "--max-price" in done.stdout and FRAMES.search(done.stdout) is None, done.stdout


def test_bash_completes_commands_and_options_after_the_installation(
    tmp_path: Path, env: dict[str, str]
) -> None:
    asking = """
    masumi-tools --install-completion >/dev/null && source ~/.bashrc
    for words in "masumi-tools hir" "masumi-tools jobs --a"; do
        COMP_WORDS=($words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _masumi_tools_completion masumi-tools
        echo "${COMPREPLY[@]}"
    done
    """
    shell = {**env, "HOME": str(tmp_path), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    done = subprocess.run(
        ["bash", "-c", asking], env=shell, capture_output=True, text=True, timeout=50, check=False
    )

    assert done.stdout.splitlines() == ["hire hires", "--all --again --archive"], done
