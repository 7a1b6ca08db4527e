"""Known problems of the field that have to do with input, each named after its case.

E39 and E40 are numbered cases of the field notes; the others are ids of bug reports.
"""

from __future__ import annotations

import pytest

from masumi_tools.errors import InputError
from masumi_tools.inputs import args_model, check, describe, read_input_schema
from masumi_tools.tools.arguments import read_arguments

TOPIC = {"id": "topic", "type": "text", "name": "Topic"}
DEPTH = {"id": "depth", "type": "number", "name": "Depth"}
OPTIONAL = [{"validation": "optional", "value": "true"}]


def refused(schema, payload):
    with pytest.raises(InputError) as caught:
        read_arguments(read_input_schema(schema), payload)
    return caught.value


def test_e39_schema_fragments_and_broken_text_are_refused_with_the_fields_and_json_text_is_read():
    fragments = {
        "topic": {"description": "the topic", "type": "str"},
        "depth": {"description": "1", "type": "int"},
    }

    assert list(refused([TOPIC, DEPTH], fragments).field_errors) == ["topic", "depth"]
    assert list(refused([TOPIC, DEPTH], '{"topic": "say "hi"", "depth": 2}').field_errors) == [
        "topic",
        "depth",
    ]
    assert list(refused([TOPIC, DEPTH], {}).field_errors) == ["topic", "depth"]
    spec = read_input_schema([TOPIC, DEPTH])
    assert read_arguments(spec, '{"topic": "tides", "depth": 2}') == {"topic": "tides", "depth": 2}


def test_e40_text_and_flattened_fields_are_read_and_an_empty_input_starts_nothing():
    spec = read_input_schema([TOPIC, {**DEPTH, "validations": OPTIONAL}])
    model, _ = args_model(spec, "Hire", reader=lambda given: read_arguments(spec, given))

    for payload in (
        {"input_data": '{"topic": "tides", "depth": 2}'},
        {"input_data": {}, "topic": "tides", "depth": 2},
        {"topic": "tides", "depth": 2},
        '{"topic": "tides", "depth": 2}',
    ):
        assert model.model_validate(payload).model_dump() == {"topic": "tides", "depth": 2}
    for nothing in ({}, {"input_data": {}}, "{}", None, {"input_data": None}):
        assert list(refused([TOPIC], nothing).field_errors) == ["topic"]


def test_labelled_options_422():
    choices = [{"value": "gpt", "label": "GPT (Open)"}, {"value": "claude", "label": "Claude (Anthropic)"}]
    spec = read_input_schema([{"id": "model", "type": "option", "data": {"options": choices}}])

    assert spec.refusal == ""
    assert spec.problems == ("model: choices have labels; their values are sent",)
    assert read_arguments(spec, {"model": "Claude (Anthropic)"}) == {"model": "claude"}
    assert "claude (Claude (Anthropic))" in describe(spec)


def test_error_text_teaches_nesting():
    spec = read_input_schema([TOPIC])
    payload = {"topic": "tides"}
    for _ in range(4):
        payload = {"input_data": payload}
        assert read_arguments(spec, payload) == {"topic": "tides"}

    error = refused([TOPIC], {"input_data": {"input_data": {"subject": "tides"}}})
    assert "Send an object with topic (text, required)" in str(error)
    assert "input_data" not in str(error)


def test_empty_args_after_truncation():
    plan = [{"id": "plan", "type": "textarea", "name": "Plan"}, DEPTH]

    assert refused(plan, '{"plan": "Research", "depth": 3').field_errors["plan"] == ["the JSON is cut off"]
    assert "plan: is required; no arguments were given" in str(refused(plan, {}))


def test_repair_hides_missing_items():
    data = {"values": ["a", "b", "c"]}
    error = refused(
        [{"id": "keywords", "type": "multiselect", "name": "K", "data": data}], '{"keywords": ["a", "b"'
    )

    assert error.field_errors == {"keywords": ["the JSON is cut off"]}


def test_unknown_key_ignored():
    symbol = {"id": "symbol", "type": "text", "name": "Symbol"}
    schema = [symbol, {"id": "maxDepth", "type": "number", "name": "Max depth", "validations": OPTIONAL}]
    misspelt = {"symbol": "main", "depth": 1}
    wanted = {"depth": ["unknown field, did you mean maxDepth?"]}

    assert refused(schema, misspelt).field_errors == wanted
    with pytest.raises(InputError) as caught:
        check(read_input_schema(schema), misspelt)
    assert caught.value.field_errors == wanted


def test_a_route_that_gives_no_schema_takes_any_input():
    spec = read_input_schema(None)

    assert check(spec, {"a": 1}) == read_arguments(spec, {"input_data": '{"a": 1}'}) == {"a": 1}
    assert list(args_model(spec, "Hire")[0].model_fields) == ["input_data"]
