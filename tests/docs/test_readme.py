"""The README on the page of a package index: every link and picture leads somewhere, or is none."""

from __future__ import annotations

import re
import tomllib

import pytest

from scripts import readme
from tests.docs.pages import REPO

TARGETS = re.compile(r"\]\(([^)]*)\)|<(?:img|a)\b[^>]*(?:src|href)=\"([^\"]*)\"")
SOURCE = "https://code.example/masumi/tools"
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))


def targets(text: str) -> list[str]:
    return [found[1] or found[2] for found in TARGETS.finditer(text)]


@pytest.mark.parametrize("source", ["", SOURCE])
def test_nothing_on_the_page_of_an_index_leads_to_a_file_beside_it(source: str) -> None:
    text = readme.README.read_text(encoding="utf-8")
    beside = [target for target in targets(text) if not target.startswith("https://")]
    assert len(beside) > 20 and all((REPO / target.partition("#")[0]).exists() for target in beside)

    made = readme.standalone(text, source)

    assert all(target.startswith("https://") for target in targets(made))
    assert ("docs/demo.svg" in made) == bool(source)
    assert source == "" or ("![" in made and f"({SOURCE}/raw/HEAD/docs/demo.svg)" in made)
    assert f"{SOURCE}/blob/HEAD/docs/budgets.md" in made if source else "docs/budgets.md" in made


def test_the_build_takes_the_readme_from_there() -> None:
    assert "readme" in PROJECT["project"]["dynamic"] and "readme" not in PROJECT["project"]
    assert (
        REPO / PROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]["path"] == REPO / "scripts/readme.py"
    )
    assert any(
        place.startswith("/scripts")
        for place in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    )


def test_an_address_of_the_project_is_absolute() -> None:
    assert all(url.startswith("https://") for url in PROJECT["project"].get("urls", {}).values())
