"""What people copy from is typed: mypy and pyright, both strict, over every example script and the recipes.

Ten programs that new users write first are among them; each also runs in a test, offline.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import EXAMPLES, REPO, blocks

RECIPES = REPO / "docs" / "recipes.md"
# A script of examples/ (run by test_scripts.py), or a heading of the recipes (run by tests/docs).
PROGRAMS = {
    "create_agent with two services": "hire_two_services.py",
    "LangGraph approval by interrupt": "hire_langgraph_interrupt.py",
    "parallel hires and the best": "Several services at once, and the best result",
    "FastAPI endpoint": "An endpoint of FastAPI",
    "crew with toolkit": "hire_crew_toolkit.py",
    "budget per user": "One budget for each user",
    "monthly budget": "A budget for each month",
    "notification": "A notice when a long hire ends",
    "CSV": "A table for the accountant",
    "fallback": "Another service when the first does not work",
}
# LangChain, CrewAI and starlette leave some of their own types unknown, which is no fault of an example.
UNKNOWN = ("reportUnknownMemberType", "reportUnknownVariableType", "reportUnknownArgumentType")
FRAMEWORKS = ("langchain", "crewai", "langgraph")
PYRIGHT = REPO / ".envs" / "pyright" / "bin" / "pyright"

pytestmark = [pytest.mark.slow, pytest.mark.crewai, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with the scripts and the recipes as one program, away from our files."""
    for library in ("crewai", "langchain", "fastapi"):
        pytest.importorskip(library)
    made = tmp_path_factory.mktemp("programs")
    for script in EXAMPLES.glob("[a-z]*.py"):
        shutil.copy(script, made)
    written = [block for block in blocks(RECIPES) if block.kind == "python" and block.why_not is None]
    (made / "recipes.py").write_text("\n".join(block.text for block in written), encoding="utf-8")
    return made


def test_the_ten_programs_are_there() -> None:
    headings = {line.removeprefix("## ") for line in RECIPES.read_text(encoding="utf-8").splitlines()}
    scripts = {path.name for path in EXAMPLES.glob("*.py")}

    assert [name for name, place in PROGRAMS.items() if place not in headings | scripts] == []


def test_mypy_strict_has_nothing_to_say(folder: Path) -> None:
    pytest.importorskip("mypy")
    # From the repository, as `make types` does: what that has read of the libraries is not read again.
    said = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *sorted(folder.glob("*.py"))],
        cwd=REPO,
        capture_output=True,
        text=True,
    )

    assert (said.returncode, said.stderr) == (0, ""), said.stdout


def test_pyright_strict_has_nothing_to_say(folder: Path) -> None:
    if not PYRIGHT.exists():
        pytest.skip("pyright is not here: make pyright")
    config = {
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": [str(REPO)],
        "include": ["."],
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    said = subprocess.run(
        [PYRIGHT, "--project", ".", "--outputjson", "--pythonpath", sys.executable],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    found = json.loads(said.stdout)

    assert found["summary"]["filesAnalyzed"] == len(list(folder.glob("*.py")))
    assert [_told(one) for one in found["generalDiagnostics"] if not _of_a_framework(one)] == []


def _of_a_framework(one: dict[str, Any]) -> bool:
    return one.get("rule") in UNKNOWN and any(
        name in Path(one["file"]).read_text(encoding="utf-8") for name in FRAMEWORKS
    )


def _told(one: dict[str, Any]) -> str:
    line = one["range"]["start"]["line"] + 1
    return f"{Path(one['file']).name}:{line}: {one['message']} ({one.get('rule')})"
