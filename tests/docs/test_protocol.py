"""docs/protocol.md holds every rule that the code cites, and the code cites nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import REPO

PAGE = (REPO / "docs" / "protocol.md").read_text(encoding="utf-8")
RULES = re.findall(r"^#{3,4} ([A-Z]\d+(?:\.\d+)?) ", PAGE, re.MULTILINE)
CITED = re.compile(r"protocol ((?:[A-Z]\d+(?:\.\d+)?(?:, | and )?)+)")
CODE = sorted({*(REPO / "masumi_tools").rglob("*.py"), *(REPO / "tests").rglob("*.py")} - {Path(__file__)})


def cited_in(text: str) -> list[str]:
    return [rule for found in CITED.findall(text) for rule in re.findall(r"[A-Z]\d+(?:\.\d+)?", found)]


def test_every_rule_has_a_number_of_its_own():
    assert len(RULES) > 30
    assert sorted(set(RULES)) == sorted(RULES)


def test_every_rule_that_the_code_cites_is_on_the_page():
    cited = {rule for path in CODE for rule in cited_in(path.read_text(encoding="utf-8"))}

    assert len(cited) > 30
    assert cited - set(RULES) == set()


@pytest.mark.parametrize("strange", [r"node-api", r"field-notes", r"\bshared/", r"design\.md"])
def test_the_package_cites_no_document_that_is_not_in_the_repository(strange):
    citing = [
        path.relative_to(REPO).as_posix()
        for path in CODE
        if path.is_relative_to(REPO / "masumi_tools") and re.search(strange, path.read_text(encoding="utf-8"))
    ]

    assert citing == []


def test_a_rule_that_is_not_there_would_be_found():
    assert cited_in("as protocol N4, N99 and S5 say") == ["N4", "N99", "S5"]
