"""The repository itself: one version everywhere, nothing of the machine it was written on."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import masumi_tools

REPO = Path(__file__).resolve().parents[1]
# In parts, so that this file does not hold what it looks for.
INDEXES = ["py" + "pi.org", "python" + "hosted.org", "registry." + "npmjs", "index" + "-url"]
FOLDERS = ["/" + "work/", "/" + "root/", f"{REPO}/"]
UNFINISHED = ["TO" + "DO", "FIX" + "ME", "X" * 3]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git work tree")
    files = [REPO / name for name in listed.stdout.decode().split("\0") if name]
    return [file for file in files if file.is_file()]


def lines_with(pattern: str, files: list[Path]) -> list[str]:
    found = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(pattern, line):
                found.append(f"{file.relative_to(REPO)}:{number} {line.strip()[:120]}")
    return found


def project() -> dict[str, object]:
    return tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize("index", INDEXES)
def test_no_file_names_a_package_index(index):
    assert lines_with(re.escape(index), tracked()) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_names_a_folder_of_the_machine_it_was_written_on(folder):
    assert lines_with(rf"(?<![\w.-]){re.escape(folder)}", tracked()) == []


@pytest.mark.parametrize("word", UNFINISHED)
def test_nothing_is_left_for_later_in_a_comment(word):
    written = [file for file in tracked() if file.suffix in {".py", ".md", ".toml"}]

    assert lines_with(rf"\b{word}\b", written) == []


def test_the_version_is_the_same_everywhere():
    changelog = (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)[0]

    assert project()["version"] == masumi_tools.__version__ == newest


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-core.txt", "constraints-lowest.txt"])
def test_every_dependency_is_locked_to_one_version_a_line(name):
    lines = (REPO / name).read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.startswith("#")]

    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", line)] == []
    locked = {line.partition("==")[0] for line in lines}
    assert {name_of(requirement) for requirement in project()["dependencies"]} <= locked


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=;! ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_the_oldest_versions_are_the_lower_bounds():
    lowest = (REPO / "constraints-lowest.txt").read_text(encoding="utf-8")
    bounds = [
        (name_of(requirement), re.search(r">=([\d.]+)", requirement).group(1))
        for requirements in [project()["dependencies"], *project()["optional-dependencies"].values()]
        for requirement in requirements
        if not requirement.startswith("masumi_tools[")
    ]

    above = [
        (name, bound, version)
        for name, bound in bounds
        for version in re.findall(rf"^{re.escape(name)}==([\w.]+)", lowest, re.MULTILINE)[:1]
        if [*map(int, version.split("."))][: bound.count(".") + 1] != [*map(int, bound.split("."))]
    ]

    assert above == []


def test_every_extra_is_in_all():
    extras = project()["optional-dependencies"]
    (everything,) = extras["all"]

    assert set(re.search(r"\[(.*)\]", everything).group(1).split(",")) == set(extras) - {"all"}
