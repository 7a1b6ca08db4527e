"""Every recorded input schema of a real service is read as its row says."""

from __future__ import annotations

import pytest

from masumi_tools.inputs import read_input_schema
from tests.inputs.report import judge
from tests.shared import shared_json

WILD = "protocol/wild/input-schemas.json"


def test_every_recorded_schema_is_read_as_its_row_says():
    rows = shared_json(WILD)

    assert {row["id"]: fault for row in rows if (fault := judge(row)) is not None} == {}
    assert len(rows) >= 64


@pytest.mark.parametrize(
    ("row_id", "words"),
    [
        ("mip-9e1240a-no-id", "field 1 (Email) has no id"),
        ("mip-daeb3c9-base64-file", "field 1 (Document Upload) has no id"),
        ("utxo-range-strings", "field 1 (Priority Level) has no id"),
        ("soko-string-all-formats", "test-id: has to be a URL and an e-mail address at once"),
        ("ref-dashboard-500", "Internal Server Error"),
        ("pip-int-rule-value", "Input should be a valid string"),
    ],
)
def test_a_recorded_schema_that_cannot_be_used_is_refused_with_its_reason(row_id, words):
    served = next(row["served_as"] for row in shared_json(WILD) if row["id"] == row_id)

    assert words in read_input_schema(served).refusal
