"""Arguments as models really send them: what is read, and what is refused because it could mean two things."""

from __future__ import annotations

import json

import pytest

from masumi_tools.errors import InputError
from masumi_tools.inputs import read_input_schema
from masumi_tools.tools.arguments import Reader, read_arguments
from tests.inputs.arguments_report import judge
from tests.inputs.samples import OPTIONAL
from tests.shared import shared_json

FIELDS = {
    "topic": {"id": "topic", "type": "text", "name": "Topic"},
    "depth": {"id": "depth", "type": "number", "name": "How deep", "validations": [OPTIONAL]},
    "fresh": {"id": "fresh", "type": "boolean", "name": "Fresh", "validations": [OPTIONAL]},
    "tone": {"id": "tone", "type": "radio", "name": "Tone", "data": {"values": ["Dry", "Warm", "none"]}, "validations": [OPTIONAL]},
    "tags": {"id": "tags", "type": "option", "name": "Tags", "data": {"values": ["a", "b", "c"]}, "validations": [OPTIONAL, {"validation": "max", "value": "3"}]},
    "model": {"id": "model", "type": "option", "name": "Model", "data": {"options": [{"value": "s", "label": "Small"}, {"value": "l", "label": "Large"}]}, "validations": [OPTIONAL, {"validation": "max", "value": "1"}]},
    "day": {"id": "day", "type": "date", "name": "Day", "validations": [OPTIONAL]},
    "at": {"id": "at", "type": "datetime-local", "name": "At", "validations": [OPTIONAL]},
    "page": {"id": "page", "type": "url", "name": "Page", "validations": [OPTIONAL]},
    "note": {"id": "note", "type": "textarea", "name": "Note", "validations": [OPTIONAL]},
    "extra": {"id": "extra", "type": "object", "name": "Extra", "validations": [OPTIONAL]},
}  # fmt: skip
SPEC = read_input_schema(list(FIELDS.values()))
ONE = read_input_schema([FIELDS["topic"]])
TWO = read_input_schema([FIELDS["topic"], {"id": "place", "type": "text", "name": "Place"}])

ACCEPTED = [
    # the object, in whatever it is wrapped
    ({"topic": "tides"}, {"topic": "tides"}),
    ('{"topic": "tides"}', {"topic": "tides"}),
    ('"{\\"topic\\": \\"tides\\"}"', {"topic": "tides"}),
    ('```json\n{"topic": "tides"}\n```', {"topic": "tides"}),
    ('Sure, here it is:\n```\n{"topic": "tides"}\n```\nAnything else?', {"topic": "tides"}),
    ('Action: hire\nAction Input: {"topic": "tides"}\nObservation:', {"topic": "tides"}),
    ('{"topic": "tides"}\n\nThought: now I wait for {the answer}.', {"topic": "tides"}),
    ('{"topic": "tides"}}', {"topic": "tides"}),
    ('{"topic": "tides"} {"topic": "tides"}', {"topic": "tides"}),
    ("{'topic': \"the sea's tides\", 'fresh': True, 'note': None}", {"topic": "the sea's tides", "fresh": True}),
    ('{"topic": "a, b,", "tags": ["a",],}', {"topic": "a, b,", "tags": ["a"]}),
    ('{"topic": "first\nsecond"}', {"topic": "first\nsecond"}),
    ('{"topic": "\\ud83c\\udf0a ```{}```"}', {"topic": "🌊 ```{}```"}),
    ([{"topic": "tides"}], {"topic": "tides"}),
    ({"input_data": {"topic": "tides"}}, {"topic": "tides"}),
    ({"input_data": '{"topic": "tides"}'}, {"topic": "tides"}),
    ({"params": {"kwargs": {"topic": "tides"}}}, {"topic": "tides"}),
    ({"type": "object", "properties": {"topic": "tides"}, "required": ["topic"]}, {"topic": "tides"}),
    ({"name": "hire", "arguments": '{"topic": "tides"}'}, {"topic": "tides"}),
    ({"tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": {"topic": "t"}}}]}, {"topic": "t"}),
    ({"hire_agent": {"topic": "tides", "depth": 2}}, {"topic": "tides", "depth": 2}),
    ({"input_data": {"topic": "tides"}, "depth": 2}, {"topic": "tides", "depth": 2}),
    ({"input_data": None, "topic": "tides"}, {"topic": "tides"}),
    ([{"key": "topic", "value": "tides"}, {"key": "tags", "value": "a"}, {"key": "tags", "value": "b"}], {"topic": "tides", "tags": ["a", "b"]}),
    # keys
    ({"Topic": "tides", "HOW_DEEP": 2}, {"topic": "tides", "depth": 2}),
    ({"topic_": "tides", "Depth ": 2, "none_such": None}, {"topic": "tides", "depth": 2}),
    ({"topic": "tides", "TOPIC": "tides"}, {"topic": "tides"}),
    # values
    ({"topic": 2662}, {"topic": "2662"}),
    ({"topic": 1.5}, {"topic": "1.5"}),
    ({"topic": "x", "depth": " 12 "}, {"topic": "x", "depth": 12}),
    ({"topic": "x", "depth": "-1.50"}, {"topic": "x", "depth": -1.5}),
    ({"topic": "x", "depth": "1e2"}, {"topic": "x", "depth": 100}),
    ({"topic": "x", "fresh": "False"}, {"topic": "x", "fresh": False}),
    ({"topic": "x", "tone": "warm"}, {"topic": "x", "tone": "Warm"}),
    ({"topic": "x", "tone": ["Dry"]}, {"topic": "x", "tone": "Dry"}),
    ({"topic": "x", "tone": "none"}, {"topic": "x", "tone": "none"}),
    ({"topic": "x", "model": "Large"}, {"topic": "x", "model": "l"}),
    ({"topic": "x", "tags": "b"}, {"topic": "x", "tags": ["b"]}),
    ({"topic": "x", "tags": '["b", "c"]'}, {"topic": "x", "tags": ["b", "c"]}),
    ({"topic": "x", "tags": "b, c"}, {"topic": "x", "tags": ["b", "c"]}),
    ({"topic": "x", "at": "2026-01-31 10:00"}, {"topic": "x", "at": "2026-01-31T10:00"}),
    ({"topic": "x", "extra": '{"a": [1]}'}, {"topic": "x", "extra": {"a": [1]}}),
    ({"topic": '{"a": 1}'}, {"topic": '{"a": 1}'}),
    ({"topic": " x "}, {"topic": " x "}),
    # nothing meant
    ({"topic": "x", "depth": None, "note": None}, {"topic": "x"}),
    ({"topic": "x", "depth": "null", "day": "None", "page": "", "tone": "NULL"}, {"topic": "x"}),
    ({"topic": "x", "note": "NULL"}, {"topic": "x"}),
    ({"topic": "x", "note": "", "depth": "n/a"}, {"topic": "x"}),
    ({"topic": "x", "note": "none"}, {"topic": "x", "note": "none"}),
]  # fmt: skip
REFUSED = [
    # no object
    (None, "topic", "no arguments"),
    ("", "topic", "no arguments"),
    ("null", "topic", "no arguments"),
    ({}, "topic", "required"),
    (42, "topic", "an object with the field topic is expected, but"),
    ("true", "topic", "an object with the field topic is expected, but"),
    ('"tides"', "topic", "an object with the field topic is expected, but"),
    (["tides"], "topic", "an object with the field topic is expected, but"),
    ([["topic", "tides"]], "topic", "an object"),
    (["topic", "depth"], "topic", "without values"),
    ("topic", "topic", "without a value"),
    ([{"topic": "a"}, {"topic": "b"}], "topic", "two different objects"),
    # text that is broken or more than one
    ('{"topic": "tides"', "topic", "cut off"),
    ('{"topic": "tides", "depth": 1', "topic", "cut off"),
    ('{"topic": "tides", "note": "and the', "note", "cut off"),
    ('{"topic": "tides", "tags": ["a"', "tags", "cut off"),
    ('{"topic": "say "hi""}', "topic", "cannot be read"),
    ('{"topic": tides}', "topic", "cannot be read"),
    ('{topic: "tides"}', "topic", "cannot be read"),
    ('{"topic": "a\\q"}', "topic", "cannot be read"),
    ('{"topic": "tides"}, "depth": 2}', "topic", "cannot be read"),
    ('{"topic": "a"} {"topic": "b"}', "topic", "two different objects"),
    ('{"topic": "a", "topic": "b"}', "topic", "given twice"),
    ('{"topic": ' * 100, "topic", "deeper"),
    ('so {"topic": "x"} ' * 50_000, "topic", "too many objects"),
    ('topic = "tides"', "topic", "an object"),
    ("topic: tides", "topic", "an object"),
    ('hire(topic="tides")', "topic", "an object"),
    ("<topic>tides</topic>", "topic", "an object"),
    # keys
    ({"subject": "tides"}, "topic", "required; subject is unknown"),
    ({"topic": "x", "style": "y"}, "style", "unknown"),
    ({"topic": "a", "Topic": "b"}, "topic", "twice"),
    ({"input_data": {"topic": "a"}, "topic": "b"}, "topic", "twice"),
    # values
    ({"topic": {"description": "tides", "type": "str"}}, "topic", "an object was given where text is expected"),
    ({"properties": {"topic": {"type": "string"}}}, "topic", "an object was given"),
    ({"topic": "string"}, "topic", "name of a type"),
    ({"topic": True}, "topic", "text is expected"),
    ({"topic": 2.0}, "topic", "could be 2 or 2.0"),
    ({"topic": ["tides"]}, "topic", "a list was given"),
    ({"topic": None}, "topic", "required"),
    ({"topic": "  "}, "topic", "required"),
    ({"topic": "None"}, "topic", "may be a text or mean nothing"),
    ({"topic": "x", "depth": "5 km"}, "depth", "not a number"),
    ({"topic": "x", "depth": "1,000"}, "depth", "not a number"),
    ({"topic": "x", "depth": True}, "depth", "not a number"),
    ({"topic": "x", "depth": 2**60}, "depth", "beyond 2^53-1"),
    ({"topic": "x", "depth": "9" * 5_000}, "depth", "number"),
    ({"topic": "x", "depth": float("inf")}, "depth", "finite"),
    ({"topic": "x", "fresh": "yes"}, "fresh", "true or false"),
    ({"topic": "x", "fresh": 1}, "fresh", "true or false"),
    ({"topic": "x", "tone": "cold"}, "tone", "not one of the choices: Dry, Warm, none"),
    ({"topic": "x", "tone": 0}, "tone", "give the choice as text"),
    ({"topic": "x", "tone": ["Dry", "Warm"]}, "tone", "one choice"),
    ({"topic": "x", "tags": "a, z"}, "tags", "not one of"),
    ({"topic": "x", "model": ["s", "l"]}, "model", "only one choice"),
    ({"topic": "x", "day": "31.01.2026"}, "day", "2026-01-31"),
    ({"topic": "x", "page": "example.org"}, "page", "http"),
    ({"topic": "x", "extra": "a word"}, "extra", "JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("payload", "meant"), ACCEPTED)
def test_what_can_mean_only_one_thing_is_read(payload, meant):
    got = read_arguments(SPEC, payload)

    assert json.dumps(got) == json.dumps({key: meant[key] for key in FIELDS if key in meant})
    assert read_arguments(SPEC, got) == got, "what was read is read the same again"


@pytest.mark.parametrize(("payload", "meant"), ACCEPTED)
def test_a_call_that_is_shown_again_is_answered_as_it_was_read(payload, meant):
    reader, once, again = Reader(SPEC), [], []
    first = reader(payload, once)
    kept = json.dumps(first)
    first["topic"] = "changed by who got it"

    assert json.dumps(reader(payload, again)) == kept == json.dumps(read_arguments(SPEC, payload))
    assert again == once


def test_a_call_that_differs_only_in_the_kind_of_a_value_is_another_call():
    reader = Reader(SPEC)
    reader({"topic": "x", "fresh": True})

    with pytest.raises(InputError, match="true or false"):
        reader({"topic": "x", "fresh": 1})
    with pytest.raises(InputError, match="true or false"):
        reader({"topic": "x", "fresh": 1})


@pytest.mark.parametrize(("payload", "field", "words"), REFUSED)
def test_what_cannot_be_told_is_refused_at_its_field(payload, field, words):
    with pytest.raises(InputError) as caught:
        read_arguments(SPEC, payload)
    errors = caught.value.field_errors

    assert next(iter(errors)) == field
    assert words in errors[field][0]
    assert errors[field][0] in str(caught.value)
    assert "topic (text, required)" in str(caught.value)
    assert len(str(caught.value)) < 3_000


@pytest.mark.parametrize("text", ["What makes the tides?", "Write about {x} and 'y'", "Say: hi", "12 tides"])
def test_plain_text_is_the_value_of_the_only_required_text_field(text):
    assert read_arguments(SPEC, text) == read_arguments(SPEC, {"input": text}) == {"topic": text}


@pytest.mark.parametrize(
    "spec",
    [TWO, read_input_schema([FIELDS["depth"]]), read_input_schema([{**FIELDS["page"], "validations": []}])],
)
def test_plain_text_is_refused_where_it_could_be_anything_else(spec):
    with pytest.raises(InputError, match="is expected, but text was given"):
        read_arguments(spec, "What makes the tides?")


def test_a_field_with_a_wrappers_name_is_a_field():
    spec = read_input_schema([{"id": "input", "type": "text", "name": "I"}, {**FIELDS["note"], "id": "data"}])

    assert read_arguments(spec, {"input": "x", "data": "y"}) == {"input": "x", "data": "y"}
    assert read_arguments(spec, {"input": {"input": "x"}}) == {"input": "x"}
    assert read_arguments(spec, {"params": {"input": "{}"}}) == {"input": "{}"}
    with pytest.raises(InputError):
        read_arguments(spec, {"input": {"text": "x"}})


def test_the_name_of_the_call_is_not_taken_for_a_field_called_name():
    spec = read_input_schema([{"id": "name", "type": "text", "name": "N"}, FIELDS["note"]])

    assert read_arguments(spec, {"input_data": {"note": "x"}, "name": "Ada"}) == {"name": "Ada", "note": "x"}
    with pytest.raises(InputError, match="is ambiguous: put the fields at the top level"):
        read_arguments(spec, {"name": "hire_agent", "arguments": {"note": "x"}})


def test_keys_that_could_be_two_fields_are_refused():
    spec = read_input_schema([{"id": name, "type": "text", "name": name} for name in ("style_id", "styleId")])

    assert read_arguments(spec, {"style_id": "a", "styleId": "b"}) == {"style_id": "a", "styleId": "b"}
    with pytest.raises(InputError) as caught:
        read_arguments(spec, {"StyleID": "a"})
    assert caught.value.field_errors["StyleID"] == ["could be style_id or styleId"]


def test_ids_with_a_prefix_are_found_by_their_own_part():
    spec = read_input_schema(
        [{"lock_id": "L", "input_data": [{"id": "9d9c-1f:reply", "type": "text", "name": "R"}]}]
    )

    assert read_arguments(spec, {"reply": "yes"}) == {"9d9c-1f:reply": "yes"}


def test_nested_fields_are_read_like_the_others():
    place = {"type": "object", "properties": {"zipCode": {"type": "string"}, "floor": {"type": "integer"}}}
    spec = read_input_schema(
        {
            "type": "object",
            "properties": {"place": place, "ids": {"type": "array", "items": {"type": "integer"}}},
        }
    )

    assert read_arguments(spec, {"place": {"zip_code": 8001, "floor": "3"}, "ids": "[1, 2]"}) == {
        "place": {"zipCode": "8001", "floor": 3},
        "ids": [1, 2],
    }
    for bad in ({"place": {"zip": "8001"}}, {"place": {"floor": "3rd"}}, {"ids": "one, two"}):
        with pytest.raises(InputError) as caught:
            read_arguments(spec, bad)
        assert list(caught.value.field_errors) == list(bad)


def test_an_unusable_schema_refuses_all_arguments():
    with pytest.raises(InputError, match="cannot be used"):
        read_arguments(read_input_schema("Bad Gateway"), {"topic": "x"})


def test_every_recorded_argument_comes_out_as_it_should():
    rows = shared_json("protocol/wild/argument-shapes.json")

    assert {row["id"]: fault for row in rows if (fault := judge(row)) is not None} == {}
    assert len(rows) >= 69


def test_the_judge_says_what_is_wrong():
    schema = [FIELDS["topic"]]
    accepted = {"id": "a", "target_schema": schema, "payload": {"topic": "x"}}

    assert judge({**accepted, "expected": {"verdict": "accept", "as": {"topic": "x"}}}) is None
    assert judge({**accepted, "expected": {"verdict": "accept", "as": {"topic": "y"}}}) is not None
    assert judge({**accepted, "expected": {"verdict": "refuse", "field": "topic", "why": "w"}}) is not None
    assert (
        judge({**accepted, "payload": {}, "expected": {"verdict": "refuse", "field": "note", "why": "w"}})
        is not None
    )
