"""Every dialect of input schema is read as it is meant."""

from __future__ import annotations

import pytest

from masumi_tools.inputs import read_input_schema
from tests.inputs.report import judge
from tests.inputs.samples import NAME, ROWS, row


@pytest.mark.parametrize("sample", ROWS, ids=lambda sample: sample["id"])
def test_a_sample_of_every_dialect_is_read_as_it_is_meant(sample):
    assert judge(sample) is None


@pytest.mark.parametrize(
    "wrong",
    [
        row("refuses a right input", [NAME], [{}], []),
        row("takes a wrong input", [NAME], [{"name": "x"}], [{"name": "y"}]),
        row("makes another body", [NAME], [{"name": "x"}], [], body={"input_data": {"name": "x"}, "more": 1}),
        row("reads an error", [NAME], [{"name": "x"}], [], status=500, meant=[NAME]),
    ],
    ids=lambda sample: sample["id"],
)
def test_the_judge_says_what_is_wrong(wrong):
    assert judge(wrong) is not None


def test_what_was_odd_in_a_schema_is_said():
    spec = read_input_schema(
        {
            "input_data": [
                {"id": "x", "type": "sparkle", "name": "X"},
                {"id": "day", "type": "date", "validations": [{"validation": "min", "value": "0"}]},
                {"id": "n", "type": "number", "validations": [{"validation": "min", "value": "few"}]},
                {"id": "o", "type": "option"},
                {"id": "p", "type": "text", "validations": [{"validation": "sorcery", "value": 1}]},
                {"name": "No id", "type": "text", "validations": [{"validation": "optional"}]},
            ]
        }
    )

    assert spec.refusal == ""
    assert [problem.split(":")[0] for problem in spec.problems[:5]] == ["x", "day", "n", "o", "p"]
    assert spec.problems[5] == "field 6 (No id) has no id, so there is no key to send"
    assert [field.id for field in spec.fields] == ["x", "day", "n", "o", "p"]


def test_a_required_field_without_id_makes_the_schema_unusable_and_is_named():
    spec = read_input_schema([NAME, {"type": "text", "name": "E-mail address"}])

    assert spec.refusal == "field 2 (E-mail address) has no id, so there is no key to send"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<html><title>521 Web server is down</title></html>", "521 Web server is down"),
        ("Internal Server Error", "Internal Server Error"),
        ({"error": "NOT_FOUND", "message": "No such agent"}, "No such agent"),
        ({"detail": [{"loc": ["query", "x"], "msg": "field required", "type": "missing"}]}, "field required"),
        ("{", "cut off"),
        (42, "42"),
        ({"hello": "world"}, "hello"),
    ],
)
def test_an_answer_that_is_no_schema_is_refused_with_what_it_says(body, words):
    assert words in read_input_schema(body).refusal


def test_ids_must_be_told_apart():
    twins = read_input_schema([NAME, NAME])
    others = read_input_schema([NAME, {**NAME, "type": "number"}])

    assert [field.id for field in twins.fields] == ["name"]
    assert twins.problems == ("name: listed twice",)
    assert others.refusal == "two different fields have the id 'name'"


def test_notes_may_share_an_id():
    spec = read_input_schema(
        [{"id": "info", "type": "none"}, {"id": "info", "type": "none", "name": "B"}, NAME]
    )

    assert spec.refusal == ""
    assert [field.id for field in spec.asked] == ["name"]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([("min", "5"), ("max", "3")], "smallest is 5"),
        ([("format", "url"), ("format", "email")], "at once"),
    ],
)
def test_a_required_field_that_nothing_satisfies_is_said_before_anybody_tries(rules, words):
    listed = [{"validation": word, "value": value} for word, value in rules]

    assert words in read_input_schema([{**NAME, "validations": listed}]).refusal
    assert read_input_schema([{**NAME, "validations": [*listed, {"validation": "optional"}]}]).refusal == ""
