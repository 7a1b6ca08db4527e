"""Every recorded answer of a real service is read as its row says it is meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.field.judges import JUDGES
from tests.field.report import judge_of, main, verdicts
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


SAMPLE = {
    "start-job-responses": {
        "id": "free", "family": "own", "http_status": 200, "body": {"id": "j"},
        "means": {"started": True, "job_id": "j", "payable": False, "why": "free", "terms": None},
    },
    "availability-responses": {
        "id": "up", "family": "own", "http_status": 200, "body": {"status": "available"},
        "means": {"available": True, "why": None},
    },
}  # fmt: skip


def test_the_report_counts_names_and_fails_when_too_much_is_wrong(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, row in SAMPLE.items():
        (tmp_path / f"{kind}-2.json").write_text(json.dumps([row]), encoding="utf-8")
    (tmp_path / "crews.json").write_text("[]", encoding="utf-8")
    assert main(tmp_path) == 0
    said = capsys.readouterr().out
    assert "2 of 2 rows right (100.0%)" in said and "not judged by reading: crews.json" in said
    wrong = {**SAMPLE["availability-responses"], "body": {"status": "unavailable"}}
    (tmp_path / "availability-responses-2.json").write_text(json.dumps([wrong]), encoding="utf-8")
    assert main(tmp_path) == 1
    assert "available: False instead of True" in capsys.readouterr().out


def test_a_reader_that_raises_is_a_wrong_row(tmp_path: Any) -> None:
    file = tmp_path / "status-responses.json"
    file.write_text(json.dumps([{"id": "x", "family": "own", "means": {}}]), encoding="utf-8")
    judge = judge_of(file.name)
    assert judge is not None
    assert [verdict.wrong for verdict in verdicts(file, judge)] == ["raises KeyError: 'body'"]
