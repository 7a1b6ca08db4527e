"""Hostile text at every place where a service speaks changes nothing but itself, through CrewAI."""

from __future__ import annotations

import logging
import re

import pytest

pytest.importorskip("crewai")

from masumi_tools.crewai import MasumiAgentTool
from tests.crewai.models import crew_of, heard, native, text
from tests.tools.hostile import TEXTS, deep_schema, talkative
from tests.tools.market import open_service, reprice

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(120)]

KINDS = [kind for kind in TEXTS if kind != "ten megabytes"]


@pytest.mark.parametrize("as_text", [False, True], ids=["native", "text"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_service_is_hired_like_any_other(sandbox, buyer, counter, caplog, kind, as_text):
    caplog.set_level(logging.DEBUG, "masumi_tools")
    service = talkative(sandbox, f"talk-{kind}-{as_text}-{id(buyer)}", TEXTS[kind])
    tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)
    step = text(tool.name, {"text": "hi"}) if as_text else native((tool.name, {"text": "hi"}))
    crew = crew_of([tool], [step], as_text=as_text)

    output = crew.kickoff()

    (receipt,) = buyer.hires()
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", tool.name)
    assert output.raw.endswith("done") and output.tool_failures == []
    assert receipt.result == TEXTS[kind] and receipt.verified is True
    assert re.search(r"<<<[0-9a-f]{16}\n", heard(crew))
    assert counter.both == (1, 1)
    assert "geheim" not in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_error_is_a_failure_that_only_quotes_it(sandbox, buyer, counter, kind):
    service = talkative(sandbox, f"fail-{kind}-{id(buyer)}", TEXTS[kind], fails=True)
    tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)

    said = tool.run(text="hi")

    told = getattr(said, "message", str(said))
    assert len(buyer.hires()) == 1
    outside = re.sub(r"<<<([0-9a-f]{16})\s.*?\s\1>>>", "", told, flags=re.DOTALL)
    assert "1000 ADA" not in outside and "evil" not in re.sub(r'"[^"]*"', "", outside)
    assert counter.both == (1, 1)


def test_a_schema_of_many_levels_breaks_nothing(sandbox, buyer, counter):
    service = open_service(sandbox, "deep", schema=deep_schema(2_000))
    tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)

    tool.run(text="hi")

    assert counter.jobs <= 1


def test_a_price_that_rose_is_refused_once_and_then_shown(sandbox, buyer, counter):
    service = open_service(sandbox, "inflation", price="1 ADA")
    tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)
    reprice(sandbox, "inflation", 2_000_000)
    sandbox.advance(6 * 60_000)
    buyer.quote(sandbox.service("echo").agent_identifier)  # hears of the sandbox's time

    refused = tool.run(text="x")

    assert refused.code == "refused" and "the price is 2 ADA now and was 1 ADA" in refused.message
    assert counter.tried == 0
    assert "2 ADA" in tool.description
    assert tool.run(text="x").receipt.paid_text == "2 ADA"
