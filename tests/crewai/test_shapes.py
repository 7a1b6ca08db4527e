"""Arguments as models send them, through real crews: what CrewAI does to them first, and what is hired then."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("crewai")

from masumi_tools.crewai import MasumiAgentTool
from tests.crewai.models import crew_of, heard, native, text
from tests.tools.market import open_service

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(120)]

SCHEMA = [
    {"id": "topic", "type": "text", "name": "Topic"},
    {"id": "depth", "type": "number", "name": "Depth", "validations": [{"validation": "optional"}]},
]
ACCEPTED = [
    {"topic": "tides"},
    {"topic": "tides", "depth": None},
    {"input_data": {"topic": "tides"}},
    {"input_data": '{"topic": "tides"}'},
    {"params": {"input_data": {"topic": "tides"}}},
    {"Topic": "tides"},
]
REFUSED = [
    ({"topic": "tides", "dept": 2}, "dept: unknown field"),
    ({"topic": "a", "input_data": {"topic": "b"}}, "topic: is given twice"),
    ({"topic": {"type": "string", "description": "the topic"}}, "topic: an object was given"),
    ({}, "topic: is required"),
    ({"topic": "tides", "depth": "5 km"}, "depth: "),
]


@pytest.fixture
def tool(sandbox, buyer):
    service = open_service(sandbox, f"shapes-{id(buyer)}", schema={"input_data": SCHEMA})
    return MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)


def step_of(tool, payload, as_text):
    return text(tool.name, payload) if as_text else native((tool.name, payload))


@pytest.mark.parametrize("as_text", [False, True], ids=["native", "text"])
def test_what_can_mean_one_thing_is_hired_with(tool, counter, as_text):
    for payload in ACCEPTED:
        crew = crew_of([tool], [step_of(tool, payload, as_text)], as_text=as_text)
        crew.kickoff()
        assert json.dumps({"topic": "tides"}) in heard(crew), payload

    assert counter.both == (1, 1), "equal hires are one, whichever run asks"


@pytest.mark.parametrize("as_text", [False, True], ids=["native", "text"])
def test_what_cannot_be_told_names_the_field_and_sends_nothing(tool, counter, as_text):
    for payload, words in REFUSED:
        crew = crew_of([tool], [step_of(tool, payload, as_text)], as_text=as_text)
        output = crew.kickoff()
        assert words in heard(crew), payload
        assert [failure.failure.code for failure in output.tool_failures] == ["invalid_input"]

    assert counter.tried == 0
