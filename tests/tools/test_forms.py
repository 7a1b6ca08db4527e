"""The arguments of the toolkit's tools: every shape in which a call comes, and schemas that providers take."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from masumi_tools.inputs import InputField
from masumi_tools.tools.forms import AGENT, carrier, form, optional

HIRE = carrier("Hire", {"agent": "Whom."}, {"max_price": "Most."}, "input_data", "The fields.")
INPUT = {"text": "a"}
CALLS = [
    {"agent": "x", "input_data": INPUT},
    {"agent": "x", "text": "a"},
    {"agent_identifier": "x", "input_data": INPUT},
    {"agentIdentifier": " x ", "text": "a"},
    {"params": {"agent": "x", "input_data": INPUT}},
    {"input_data": {"agent": "x", "text": "a"}},
    '{"agent": "x", "input_data": {"text": "a"}}',
    {"name": "masumi_hire", "arguments": '{"agent": "x", "text": "a"}'},
    {"agent": "x", "agent_identifier": "x", "input_data": INPUT},
    {"agent": "x", "input_data": INPUT, "max_price": None},
]
REFUSED = [
    (None, "agent: is required"),
    ("", "agent: is required"),
    (["x"], "agent: is required"),
    ({}, "agent: is required"),
    ({"input_data": INPUT}, "agent: is required"),
    ({"agent": None, "input_data": INPUT}, "agent: is required"),
    ({"agent": 5, "input_data": INPUT}, "agent: is required"),
    ({"agent_identifier": "x", "service": "y", "text": "a"}, "agent: is given twice"),
    ({"a": {"agent": "x", "text": "a"}, "b": {"agent": "y", "text": "b"}}, "agent: is required"),
    ({"agent": "x", "max_price": 2, "text": "a"}, "max_price: text is expected"),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_is_read_in_every_shape(call):
    read = HIRE.model_validate(call)

    assert (read.agent, read.input_data, read.max_price) == ("x", INPUT, None)


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_a_call_that_cannot_be_told_is_refused_with_the_argument(call, words):
    with pytest.raises(ValidationError, match="nothing was sent") as caught:
        HIRE.model_validate(call)

    assert words in str(caught.value)


def test_a_field_of_the_service_that_is_called_like_ours_stays_with_the_service():
    read = HIRE.model_validate({"agent": "x", "url": "https://a.example", "text": "a"})

    assert read.agent == "x"
    assert read.input_data == {"url": "https://a.example", "text": "a"}


def test_the_input_is_carried_as_it_came():
    odd = {"agent": "x", "input_data": {"t": 1}, "text": "z"}
    assert HIRE.model_validate(odd).input_data == {"input_data": {"t": 1}, "text": "z"}
    assert HIRE.model_validate({"agent": "x", "input_data": '{"t": 1}'}).input_data == '{"t": 1}'
    assert HIRE.model_validate({"agent": "x"}).input_data == {}


def test_where_providers_are_strict_the_input_is_text_and_no_object_is_open():
    strict = HIRE.model_json_schema()
    assert strict["properties"]["input_data"]["type"] == "string"
    assert 'additionalProperties": true' not in json.dumps(strict)
    assert strict["additionalProperties"] is False


def test_the_other_forms_read_every_shape_too():
    find = form("Find", optional("query", "Words"), optional("tags", "Tags", "list", item=InputField("tag")))
    assert find.model_validate({"query": "a", "tags": "b"}).model_dump() == {"query": "a", "tags": ["b"]}
    assert find.model_validate({"kwargs": {"query": "a", "tags": None}}).model_dump() == {
        "query": "a",
        "tags": None,
    }
    assert find.model_validate({}).model_dump() == {"query": None, "tags": None}
    assert form("Quote", AGENT).model_validate({"Agent": "x"}).model_dump() == {"agent": "x"}
    with pytest.raises(ValidationError, match="unknown field"):
        find.model_validate({"query": "a", "limit": 5})
