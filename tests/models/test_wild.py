"""Every recorded answer of a real service is read as its row says it is meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.field.judges import JUDGES
from tests.field.report import judge_of, verdicts
from tests.shared import SHARED, shared

WILD = "protocol/wild"


def rows() -> list[Any]:
    if SHARED is None:
        return []
    found = []
    for kind in JUDGES:
        for file in sorted((SHARED / WILD).glob(f"{kind}*.json")):
            content = json.loads(file.read_text(encoding="utf-8"))
            found.extend(pytest.param(kind, row, id=f"{kind}-{row['id']}") for row in content)
    return found


@pytest.mark.parametrize(("kind", "row"), rows())
def test_the_row_is_read_as_it_is_meant(kind: str, row: Any) -> None:
    assert JUDGES[kind](row) is None


def test_every_kind_of_answer_is_there_and_judged() -> None:
    folder = shared(WILD)
    for kind in JUDGES:
        assert list(folder.glob(f"{kind}*.json")), kind


def test_a_reader_that_raises_is_a_wrong_row(tmp_path: Any) -> None:
    file = tmp_path / "status-responses.json"
    file.write_text(json.dumps([{"id": "x", "family": "own", "means": {}}]), encoding="utf-8")
    judge = judge_of(file.name)
    assert judge is not None
    assert [verdict.wrong for verdict in verdicts(file, judge)] == ["raises KeyError: 'body'"]
