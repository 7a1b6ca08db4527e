"""Hostile text at every place where a service speaks changes nothing but itself, through LangChain."""

from __future__ import annotations

import json
import logging
import re

import pytest
from langchain.agents import create_agent

from masumi_tools import MasumiAgentTool, MasumiToolkit
from masumi_tools.errors import MasumiError
from tests.langchain.models import Scripted, answers, calls, said
from tests.tools.hostile import SECRET_URL, TEXTS, deep_schema, talkative
from tests.tools.market import open_service

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")


def outside(text: str) -> str:
    """What is not between the marks of the message."""
    return re.sub(r"<<<([0-9a-f]{16})\s.*?\s\1>>>", "<foreign>", text, flags=re.DOTALL)


@pytest.mark.parametrize("kind", TEXTS)
def test_a_hostile_service_is_hired_like_any_other(sandbox, buyer, counter, caplog, kind):
    caplog.set_level(logging.DEBUG)
    text = TEXTS[kind]
    service = talkative(sandbox, f"talk-{kind}-{id(buyer)}", text)
    # A result that is too large to be read is never had: the hire stays open until its money comes back.
    patience_s = 3 if kind == "ten megabytes" else 60
    tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer, patience_s=patience_s)
    agent = create_agent(Scripted(steps=[calls((tool.name, {"text": "hi"})), said]), [tool])

    state = agent.invoke({"messages": [("user", "do it")]})

    message = answers(state)[0]
    receipt = message.artifact
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", tool.name)
    assert len(tool.description) < 1_500 and CONTROLS.search(tool.description) is None
    assert len(json.dumps(tool.tool_call_schema.model_json_schema())) < 6_000
    assert counter.both == (1, 1)
    assert len(message.text) < 25_000 and CONTROLS.search(message.text) is None
    told = outside(message.text)
    if kind == "ten megabytes":
        assert (receipt.outcome, receipt.result) == ("open", None)
    else:
        assert receipt.result == text and receipt.verified is True
        name = re.match(r'Done: the service "[^"\n]{0,80}" ', told)
        assert name, told
        rest = told[name.end() :]
        assert rest.startswith("delivered (hire_id")
        assert "max_price" not in rest and "evil" not in rest and "{x}" not in rest
    assert SECRET_URL not in caplog.text and "geheim" not in caplog.text


@pytest.mark.parametrize(
    "kind", ["instructions", "markup", "controls", "braces", "a URL with a token", "nested"]
)
def test_a_hostile_error_is_only_quoted(sandbox, buyer, counter, caplog, kind):
    caplog.set_level(logging.DEBUG)
    service = talkative(sandbox, f"fail-{kind}-{id(buyer)}", TEXTS[kind], fails=True)
    tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)

    message = tool.invoke({"name": tool.name, "args": {"text": "hi"}, "id": "1", "type": "tool_call"})

    assert counter.both == (1, 1)
    assert message.artifact.outcome in ("refund_requested", "refunded", "open")
    assert CONTROLS.search(message.text) is None and len(message.text) < 3_000
    assert "max_price" not in outside(message.text)
    assert "geheim" not in caplog.text


@pytest.mark.parametrize("kind", TEXTS)
def test_found_and_quoted_services_speak_between_marks(sandbox, buyer, kind):
    service = talkative(sandbox, f"shelf-{kind}-{id(buyer)}", TEXTS[kind])
    kit = {
        tool.name: tool for tool in MasumiToolkit(buyer=buyer, allow=[service.agent_identifier]).get_tools()
    }

    found = kit["masumi_find"].invoke({})
    quoted = kit["masumi_quote"].invoke({"agent": service.agent_identifier})

    for text in (found, quoted):
        assert len(text) < 25_000 and CONTROLS.search(text) is None
        assert re.search(r"<<<[0-9a-f]{16}\n", text)
        rest = re.sub(r'^"[^"\n]{0,80}": ', "", outside(text))
        assert "1000 ADA" not in rest and "evil" not in rest and "{x}" not in rest
    assert service.agent_identifier in found
    assert "1 ADA" in quoted


@pytest.mark.parametrize("levels", [100, 2_000])
def test_a_schema_of_many_levels_is_refused_or_read_and_nothing_breaks(sandbox, buyer, counter, levels):
    service = open_service(sandbox, f"deep-{levels}", schema=deep_schema(levels))

    try:
        tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)
    except MasumiError as error:
        assert len(str(error)) < 1_000
    else:
        tool.invoke({"text": "hi"})
    assert counter.jobs <= 1
