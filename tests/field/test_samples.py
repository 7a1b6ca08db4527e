"""Answers, schemas and arguments of our own making, each with an oddity or two that the field could have.

The files of samples/ have the format of the recorded ones: `make field WILD=tests/field/samples` and
`make arguments SHAPES=tests/field/samples/argument-shapes.json` judge them too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.field.judges import JUDGES
from tests.field.report import ELSEWHERE, judge_of, main

SAMPLES = Path(__file__).parent / "samples"
KINDS = (*JUDGES, *ELSEWHERE)


def rows() -> list[Any]:
    found = []
    for kind in KINDS:
        for file in sorted(SAMPLES.glob(f"{kind}*.json")):
            content = json.loads(file.read_text(encoding="utf-8"))
            found.extend(pytest.param(kind, row, id=f"{kind}-{row['id']}") for row in content)
    return found


@pytest.mark.parametrize(("kind", "row"), rows())
def test_the_sample_comes_out_as_it_says(kind: str, row: Any) -> None:
    judge = judge_of(kind)
    assert judge is not None and judge(row) is None


SPARSE: dict[str, list[dict[str, Any]]] = {
    "start-job-responses": [
        {"body": {"job_id": "j"}, "means": {"started": True}},
        {"http_status": 502, "body": None, "means": {"started": "unknown", "payable": False}},
    ],
    "status-responses": [
        {"body": {"status": "completed", "result": False}, "means": {"state": "completed", "result": False}},
        {"body": {"status": "failed", "error": "a\nb"}, "means": {"state": "failed", "error": "a\nb"}},
    ],
    "availability-responses": [{"body": {}, "means": {"available": "unknown"}}],
    "provide-input-exchanges": [{"http_status": None, "body": {}, "means": {"accepted": None}}],
    "payment-information": [{"http_status": 404, "body": None, "means": {"usable_for_payment": False}}],
    "registry-entries": [{"body": {"data": {"entries": []}}, "means": {"usable_for_payment": False}}],
    "input-schemas": [
        {"served_as": [{"id": "x", "type": "text"}], "valid_inputs": [{"x": "y"}]},
        {
            "served_as": {"input_data": [{"key": "x", "value": "string"}]},
            "invalid_inputs": [{"input": {}}],
            "start_job_body": {"input_data": [{"key": "x", "value": "y"}]},
        },
    ],
    "argument-shapes": [
        {"payload": {}, "target_schema": [{"id": "x", "type": "text"}], "expected": {"verdict": "refuse"}}
    ],
}


def test_a_row_that_says_little_is_judged_by_what_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, sparse in SPARSE.items():
        (tmp_path / f"{kind}-sparse.json").write_text(json.dumps(sparse), encoding="utf-8")
    assert main(tmp_path) == 0
    assert "11 of 11 rows right" in capsys.readouterr().out
