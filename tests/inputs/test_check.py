"""What fits a field and what does not, by type; what becomes of blanks, nulls and keys nobody declared."""

from __future__ import annotations

import pytest

from masumi_tools.errors import InputError
from masumi_tools.inputs import check, read_input_schema


def spec_of(kind, *rules, required=True, **data):
    listed = [{"validation": word, "value": value} for word, value in rules]
    if not required:
        listed.append({"validation": "optional", "value": "true"})
    return read_input_schema([{"id": "x", "type": kind, "name": "X", "data": data, "validations": listed}])


CHOICES = {"values": ["a", "b", "c"]}
FITS = [
    (spec_of("text"), "é\n", "é\n"),
    (spec_of("text", ("min", 2), ("max", "3")), "abc", "abc"),
    (spec_of("text", ("format", "number"), ("pattern", "x")), "y", "y"),
    (spec_of("string", ("format", "integer")), "-12", "-12"),
    (spec_of("number"), 0, 0),
    (spec_of("number"), 3.0, 3),
    (spec_of("number", ("min", "0.5"), ("max", "1")), 0.5, 0.5),
    (spec_of("integer"), 7.0, 7),
    (spec_of("range", min=1, max=10, step=3), 7, 7),
    (spec_of("boolean"), False, False),
    (spec_of("checkbox"), True, True),
    (spec_of("email"), "a.b+c@mail.example.org", "a.b+c@mail.example.org"),
    (spec_of("url"), "https://github.com/a-b/~c/%20?x=1&y=a-b#z", "https://github.com/a-b/~c/%20?x=1&y=a-b#z"),
    (spec_of("url"), "http://localhost:8080", "http://localhost:8080"),
    (spec_of("tel"), "anything", "anything"),
    (spec_of("tel", ("format", "tel_pattern")), "+49 (30) 1-2", "+49 (30) 1-2"),
    (spec_of("color"), "#A1b2C3", "#A1b2C3"),
    (spec_of("date", ("min", "2024-02-28")), "2024-02-29", "2024-02-29"),
    (spec_of("date", ("min", "0"), ("max", "17")), "2024-02-29", "2024-02-29"),
    (spec_of("datetime-local", ("min", "2024-01-01")), "2024-01-01T00:00", "2024-01-01T00:00"),
    (spec_of("datetime"), "2024-01-01T10:00:00+02:00", "2024-01-01T10:00:00+02:00"),
    (spec_of("time", ("max", "17:00")), "17:00", "17:00"),
    (spec_of("month"), "2024-12", "2024-12"),
    (spec_of("week"), "2026-W53", "2026-W53"),
    (spec_of("option", **CHOICES), "b", "b"),
    (spec_of("option", **CHOICES), ["a", "c"], ["a", "c"]),
    (spec_of("option", **CHOICES), [2], ["c"]),
    (spec_of("option", values=[1, 2]), [1], [1]),
    (spec_of("option", values=[1, 2]), "2", 2),
    (spec_of("radio", **CHOICES), [0], "a"),
    (spec_of("multiselect", **CHOICES), ["a"], ["a"]),
    (spec_of("option"), "free", "free"),
    (spec_of("file"), "https://f.example/a.PDF", "https://f.example/a.PDF"),
    (spec_of("file"), ["https://f.example/a"], "https://f.example/a"),
    (spec_of("file", ("accept", "image/*,.pdf")), "https://f.example/a.png?x=.exe", "https://f.example/a.png?x=.exe"),
    (spec_of("file", ("max", 2)), ["https://f.example/a", "https://f.example/b"], ["https://f.example/a", "https://f.example/b"]),
    (spec_of("file", outputFormat="base64"), "JVBERi0xLjQK", "JVBERi0xLjQK"),
    (spec_of("object"), {"a": [1, {"b": 2.0}]}, {"a": [1, {"b": 2}]}),
    (spec_of("mystery"), 5, 5),
]  # fmt: skip
UNFIT = [
    (spec_of("text"), 5, "a number was given where text is expected"),
    (spec_of("text"), {"description": "x", "type": "str"}, "an object was given"),
    (spec_of("text", ("min", "3")), "ab", "too short"),
    (spec_of("text", ("max", 3)), "abcd", "too long"),
    (spec_of("text", ("format", "nonempty")), " ", "required"),
    (spec_of("text"), "\ud800", "lone surrogate"),
    (spec_of("string", ("format", "integer")), "1.5", "whole number"),
    (spec_of("number"), True, "not a number"),
    (spec_of("number"), "12", "not a number"),
    (spec_of("number"), float("nan"), "finite"),
    (spec_of("number"), 2**53, "beyond 2^53-1"),
    (spec_of("number", ("min", "0.5")), 0.1, "at least 0.5"),
    (spec_of("number", ("format", "integer")), 3.5, "whole number"),
    (spec_of("range", min=1, max=10, step=3), 6, "steps of 3 from 1"),
    (spec_of("boolean"), "true", "true or false"),
    (spec_of("boolean"), 1, "true or false"),
    (spec_of("email"), "a@b", "e-mail"),
    (spec_of("email"), "a@b.co\n", "e-mail"),
    (spec_of("url"), "ftp://a.example", "http"),
    (spec_of("url"), "https://a.example, https://b.example", "http"),
    (spec_of("url"), "https://[bad", "http"),
    (spec_of("tel", ("format", "tel-pattern")), "+", "telephone"),
    (spec_of("color"), "red", "colour"),
    (spec_of("date"), "2024-2-3", "2026-01-31"),
    (spec_of("date"), "2023-02-29", "2026-01-31"),
    (spec_of("date", ("max", "2024-01-01")), "2024-01-02", "not after 2024-01-01"),
    (spec_of("datetime-local"), "2024-01-01T10:00Z", "datetime-local"),
    (spec_of("time"), "9:5", "13:45"),
    (spec_of("month"), "2024-13", "month"),
    (spec_of("week"), "2024-W53", "week"),
    (spec_of("option", **CHOICES), "A", "not one of the choices: a, b, c"),
    (spec_of("option", **CHOICES), 1, "not one of"),
    (spec_of("option", **CHOICES), [-1], "position -1"),
    (spec_of("option", **CHOICES), [], "at least one"),
    (spec_of("option", ("max", "1"), **CHOICES), ["a", "b"], "only one choice"),
    (spec_of("option", values=["1", "2"]), [1], "could be the choice or its position"),
    (spec_of("option", values=["", "a"]), [0], "the empty one"),
    (spec_of("radio", **CHOICES), ["a"], "no list"),
    (spec_of("file"), "cv.pdf", "URL of a file"),
    (spec_of("file"), ["https://f.example/a", "https://f.example/b"], "one file"),
    (spec_of("file", ("accept", ".pdf")), "https://f.example/a.exe", "accepted: .pdf"),
    (spec_of("file", multiple=True), [{"url": "https://f.example/a"}], "an object was given"),
    (spec_of("object"), "{}", "where an object is expected"),
    (spec_of("mystery"), {"a": 1}, "single value"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "value", "clean"), FITS)
def test_a_value_that_fits_comes_out_clean(spec, value, clean):
    found = check(spec, {"x": value})["x"]

    assert (found, type(found)) == (clean, type(clean))
    assert check(spec, {"x": found}) == {"x": clean}, "a clean value is clean"


@pytest.mark.parametrize(("spec", "value", "words"), UNFIT)
def test_a_value_that_does_not_fit_is_refused_at_its_field(spec, value, words):
    with pytest.raises(InputError) as caught:
        check(spec, {"x": value})
    assert words in caught.value.field_errors["x"][0]


def test_every_field_that_does_not_fit_is_named_at_once():
    spec = read_input_schema([{"id": name, "type": "number", "name": name} for name in "abc"])

    with pytest.raises(InputError) as caught:
        check(spec, {"a": "x", "b": 1})
    assert caught.value.field_errors == {
        "a": ["is not a number: text was given"],
        "c": ["is required"],
    }
    assert str(caught.value) == "The input does not fit: a: is not a number: text was given; c: is required."


@pytest.mark.parametrize("kind", ["text", "number", "date", "url", "option"])
def test_an_optional_field_that_says_nothing_is_left_out(kind):
    spec = spec_of(kind, required=False, **(CHOICES if kind == "option" else {}))

    assert check(spec, {}) == check(spec, {"x": None}) == check(spec, {"x": ""}) == {}


def test_a_blank_that_must_not_be_blank_is_named_also_when_optional():
    with pytest.raises(InputError, match="leave it out"):
        check(spec_of("text", ("format", "nonempty"), required=False), {"x": ""})


def test_the_last_answer_of_a_conversation_may_be_blank():
    spec = read_input_schema(
        [
            {"id": "message", "type": "string", "name": "Reply"},
            {
                "id": "finish",
                "type": "boolean",
                "name": "Finish",
                "validations": [{"validation": "optional"}],
            },
        ]
    )

    assert check(spec, {"message": "", "finish": True}) == {"message": "", "finish": True}
    for blank in ({"message": "", "finish": False}, {"message": ""}, {"finish": True}):
        with pytest.raises(InputError):
            check(spec, blank)


def test_keys_that_the_schema_does_not_declare_are_kept_unless_they_look_misspelt():
    spec = read_input_schema(
        [
            {"id": "text", "type": "text", "name": "T"},
            {"id": "analysisType", "type": "text", "name": "A", "validations": [{"validation": "optional"}]},
        ]
    )

    assert check(spec, {"text": "x", "source": "s", "n": 2.0}) == {"text": "x", "source": "s", "n": 2}
    for key in ("analysistype", "analysis_type", "analysisTyp"):
        with pytest.raises(InputError) as caught:
            check(spec, {"text": "x", key: "y"})
        assert caught.value.field_errors == {key: ["unknown field, did you mean analysisType?"]}


def test_a_closed_schema_keeps_no_other_keys():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}

    with pytest.raises(InputError) as caught:
        check(read_input_schema(schema), {"a": "x", "source": "y"})
    assert caught.value.field_errors == {"source": ["unknown field"]}


@pytest.mark.parametrize("data", [None, [], "text", 5])
def test_the_input_is_an_object(data):
    with pytest.raises(InputError, match="an object with the fields is needed"):
        check(spec_of("text"), data)


def test_a_null_that_json_schema_asks_for_stays_null():
    schema = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]}
    spec = read_input_schema(schema)

    assert check(spec, {"a": None}) == {"a": None}
    with pytest.raises(InputError):
        check(spec, {})


def test_a_flood_of_unknown_keys_is_refused_as_one():
    flood = {f"key{number}": number for number in range(5_000)}

    with pytest.raises(InputError) as caught:
        check(spec_of("text"), {"x": "y", **flood})
    assert caught.value.field_errors == {"": ["has 5000 fields that the schema does not declare"]}
