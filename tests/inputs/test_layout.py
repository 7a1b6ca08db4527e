"""How input is laid out in start_job, and when another form is worth one more try."""

from __future__ import annotations

import json

import pytest

from masumi_tools.inputs import alternative, check, layouts, read_input_schema

FIELDS = [
    {"id": "info", "type": "none", "name": "Read"},
    {"id": "city", "type": "text", "name": "City"},
    {"id": "days", "type": "number", "name": "Days"},
    {"id": "style", "type": "option", "name": "Style", "data": {"values": ["A", "B", "C"]}},
]
DATA = {"city": "Rome", "days": 3, "style": ["A", "C"]}
JSON_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def made(schema, data, identifier="ab"):
    spec = read_input_schema(schema)
    return {layout.form: layout for layout in layouts(spec, check(spec, data), identifier)}


def test_the_first_form_is_the_object_of_mip_003():
    first = next(iter(made(FIELDS, DATA).values()))

    assert first.form == "object"
    assert first.body == {"identifier_from_purchaser": "ab", "input_data": DATA}
    assert first.hashed == DATA


def test_a_free_agent_gets_no_identifier():
    assert made(FIELDS, DATA, None)["object"].body == {"input_data": DATA}


def test_each_other_form_hashes_what_it_sends():
    forms = made(FIELDS, DATA)

    assert forms["notes"].hashed == {"info": "-", **DATA}
    assert forms["indexes"].hashed == {**DATA, "style": [0, 2]}
    assert forms["strings"].hashed == {"city": "Rome", "days": "3", "style": "A, C"}
    for layout in forms.values():
        assert layout.body["input_data"] == layout.hashed


def test_the_official_kit_gets_its_notes_at_once():
    forms = list(made({"input_data": FIELDS, "input_groups": None}, DATA).values())

    assert [layout.form for layout in forms[:2]] == ["notes", "object"]


def test_positions_count_the_empty_choice_too():
    schema = [{"id": "land", "type": "option", "name": "L", "data": {"values": ["", "at", "ch"]}}]

    assert made(schema, {"land": "ch"})["indexes"].hashed == {"land": [2]}


def test_a_dialect_that_does_not_tell_the_body_can_be_sent_flat_or_as_a_list():
    forms = made(JSON_SCHEMA, {"city": "Rome"})

    assert list(forms) == ["object", "flat", "kv-list"]
    assert forms["flat"].body == {"identifier_from_purchaser": "ab", "city": "Rome"}
    assert forms["kv-list"].hashed == [{"key": "city", "value": "Rome"}]


def test_forms_that_come_out_alike_are_one():
    assert list(made([FIELDS[1]], {"city": "Rome"})) == ["object", "kv-list"]


def test_defaults_of_fields_that_were_left_out_are_sent_to_who_misses_them():
    lang = {
        "id": "lang",
        "type": "text",
        "data": {"default": "en"},
        "validations": [{"validation": "optional"}],
    }
    forms = made([FIELDS[1], lang], {"city": "Rome"})
    names = list(forms)

    assert forms["object"].hashed == {"city": "Rome"}
    assert forms["defaults"].hashed == {"lang": "en", "city": "Rome"}
    missed = alternative(names, '{"detail": "Missing required field: lang"}', ["city"], ["lang"])
    assert missed is not None and names[missed] == "defaults"
    assert alternative(names, '{"detail": "city is missing"}', ["city"], ["lang"]) is None
    assert alternative(names, '{"detail": "language is required"}', ["city"], ["lang"]) is None


ANY = ["object", "notes", "indexes", "strings", "flat", "kv-list"]


@pytest.mark.parametrize(
    ("refusal", "form"),
    [
        ({"detail": "Field 'style' must be an array of indices"}, "indexes"),
        ({"detail": "style: expected list of integers"}, "indexes"),
        ({"detail": [{"loc": ["body", "input_data", "days"], "type": "string_type"}]}, "strings"),
        ({"detail": "Input should be a valid string"}, "strings"),
        ({"detail": "Required field 'info' is missing"}, "notes"),
        ({"detail": [{"type": "missing", "loc": ["body", "city"], "msg": "Field required"}]}, "flat"),
        ({"detail": [{"type": "list_type", "loc": ["body", "input_data"], "msg": "Input should be a valid list"}]}, "kv-list"),
    ],
)  # fmt: skip
def test_a_refusal_about_the_form_is_a_reason_to_try_the_form_that_it_asks_for(refusal, form):
    number = alternative(ANY, json.dumps(refusal), ["city", "days", "style"])

    assert number is not None and ANY[number] == form


@pytest.mark.parametrize(
    "refusal",
    [
        "",
        "Input_data or identifier_from_purchaser is missing, invalid, or does not adhere to the schema.",
        '{"detail": "Payment service is down"}',
        '{"detail": [{"type": "missing", "loc": ["body", "input_data", "city"], "msg": "Field required"}]}',
        '{"detail": "city must have at least 5 characters"}',
    ],
)
def test_a_refusal_about_anything_else_is_none(refusal):
    assert alternative(ANY, refusal, ["city", "days", "style"]) is None


def test_only_forms_that_were_made_are_tried():
    assert alternative(["object"], "must be an array of indices", []) is None
    assert alternative(["object", "strings"], "must be an array of indices", []) is None
    assert alternative(["object", "strings"], "input_data must be an object", []) is None
    assert alternative(["kv-list", "object"], "input_data must be an object", []) == 1
