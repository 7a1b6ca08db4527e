"""The code in README and docs runs offline and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

import pytest

from tests.docs.pages import EXAMPLES, REPO, blocks, commands, fits, name_of, pages, plain
from tests.docs.terminal import Terminal

# What a page shows to set up is run by CI itself, and needs what a test must not touch.
SETTING_UP = ("make ", "git clone ", "source ", "pip install ", "export ", "cd ")


def with_blocks(kind: str) -> list[object]:
    found = []
    for page in pages():
        ours = [block for block in blocks(page) if block.kind == kind and block.why_not is None]
        if ours:
            crewai = any("crew" in block.text for block in ours)
            marks = [pytest.mark.timeout(300), pytest.mark.slow, *([pytest.mark.crewai] if crewai else [])]
            found.append(pytest.param(page, id=name_of(page), marks=marks))
    return found


@pytest.mark.parametrize("page", with_blocks("python"))
def test_python_of_a_page_runs_and_prints_what_the_page_says(
    page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page):
        if block.kind != "python" or block.why_not is not None:
            continue
        printed = io.StringIO()
        code = compile("\n" * block.line + block.text, name_of(page), "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        if block.output is not None:
            compare(block.output, printed.getvalue(), f"line {block.line}")
    for name in ("scripted", "sell_crew"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("page", with_blocks("console"))
def test_commands_of_a_page_print_what_the_page_says(page: Path, tmp_path: Path):
    pytest.importorskip("typer")
    with Terminal(tmp_path) as terminal:
        for block in blocks(page):
            if block.kind != "console" or block.why_not is not None:
                continue
            for command in commands(block):
                if command.line.startswith(SETTING_UP):
                    assert not command.output.strip(), f"{command.line} is not run, so nothing can be shown"
                    continue
                printed = terminal.type(command.line, command.output)
                compare(command.output, printed, command.line)


def compare(said: str, printed: str, what: str) -> None:
    if not fits(said, printed):
        pytest.fail(
            f"{what}\n--- the page says\n{plain(said)}\n--- it prints\n{plain(printed)}\n---", pytrace=False
        )


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_python_that_is_not_run_can_at_least_be_read(page: Path):
    for block in blocks(page):
        if block.kind == "python":
            compile(block.text, name_of(page), "exec")


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_target_of_make_that_a_page_names_is_there(page: Path):
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*(?: [a-z-]+)*):", makefile, re.MULTILINE))
    known = {name for line in targets for name in line.split()}

    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))

    assert named - known == set()


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_link_to_a_file_leads_to_one(page: Path):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    files = [link for link in links if "://" not in link and not link.startswith("mailto:")]

    assert [link for link in files if not (page.parent / link).exists()] == []
