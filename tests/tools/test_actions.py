"""Actions without a framework: plainly and awaiting the same, prices that hold, one trace a hire."""

from __future__ import annotations

import asyncio
import gc
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from masumi_tools.errors import JournalBusy
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import AsyncBuyer, Buyer
from masumi_tools.net.http import _Loop
from masumi_tools.sandbox import Sandbox
from masumi_tools.tools import catalogue
from masumi_tools.tools.actions import Actions
from masumi_tools.tools.talk import Call, Said, Talk
from tests.tools.market import open_service, reprice, settings_of

MINE = Call("mine", "mine")


@pytest.fixture(params=["sync", "async"])
def do(request):
    """Does an action plainly or awaiting."""

    async def done(actions: Actions, talk: Talk) -> Said:
        return actions.run(talk) if request.param == "sync" else await actions.arun(talk)

    return done


@pytest.fixture
def actions(buyer):
    return Actions(buyer=buyer, patience_s=20)


async def test_every_action_says_the_same_plainly_and_awaiting(sandbox, buyer, counter, do):
    actions = Actions(buyer=buyer, patience_s=20)
    human, echo = sandbox.service("human").agent_identifier, sandbox.service("echo").agent_identifier

    found = await do(actions, actions.find("capitals"))
    quoted = await do(actions, actions.quote(echo))
    hired = await do(actions, actions.hire(echo, {"text": "a"}, MINE))
    again = await do(actions, actions.hire(echo, {"text": "a"}, MINE))
    asked = await do(actions, actions.hire(human, '{"text": "b"}', MINE))
    listed = await do(actions, actions.check(None, MINE))
    wrong = await do(actions, actions.answer(asked.receipt.hire_id, {"aprove": True}, MINE))
    answered = await do(actions, actions.answer(asked.receipt.hire_id, {"approve": "true"}, MINE))
    answered_again = await do(actions, actions.answer(asked.receipt.hire_id, {"approve": True}, MINE))
    checked = await do(actions, actions.check(asked.receipt.hire_id, MINE, 0.1))
    refunded = await do(actions, actions.refund(asked.receipt.hire_id, MINE))
    budget = await do(actions, actions.budget())

    assert {entry["name"] for entry in found.data} >= {"Echo", "Human"}
    assert quoted.data["price"] == "1 ADA" and quoted.data["refusal"] is None
    assert (hired.code, again.code, again.receipt.hire_id) == ("completed", "reused", hired.receipt.hire_id)
    assert (asked.code, asked.failed) == ("needs_input", False)
    assert asked.receipt.hire_id in listed.text
    assert (wrong.code, wrong.failed) == ("invalid_input", True) and "approve" in wrong.data
    assert (answered.code, answered_again.code, checked.code) == ("completed",) * 3
    assert refunded.receipt.outcome in ("refund_requested", "disputed")
    assert budget.data["lines"] == ["17 ADA of 20 ADA left: 3 ADA locked"]
    assert counter.both == (2, 2)


async def test_what_is_not_there_is_said(actions, do):
    for talk in (
        actions.check("nope", MINE),
        actions.answer("nope", {}, MINE),
        actions.refund("nope", MINE),
        actions.quote("not an agent"),
        actions.hire("not an agent", {}, MINE),
        actions.find(max_price="1,5 ADA"),
    ):
        said = await do(actions, talk)
        assert said.failed and said.code in ("error", "invalid_input", "refused"), said
        assert "nope" in said.text or "agent identifier" in said.text or "1,5 ADA" in said.text


async def test_a_busy_journal_before_anything_was_sent_is_said(actions, do, monkeypatch, counter, sandbox):
    def busy(*args: Any, **options: Any) -> Any:
        raise JournalBusy("the journal is locked")

    monkeypatch.setattr("masumi_tools.journal.store.Journal.add", busy)

    said = await do(actions, actions.hire(sandbox.service("echo").agent_identifier, {"text": "x"}, MINE))

    assert said.failed and "locked" in said.text and "Nothing was paid" in said.text
    assert counter.tried == 0


async def test_a_quote_holds_its_few_minutes_and_costs_one_question(sandbox, actions, do):
    service = open_service(sandbox, f"quoted-{id(actions)}", price="1 ADA")
    await do(actions, actions.quote(service.agent_identifier))
    reprice(sandbox, service.name, 4_000_000)
    before = len(sandbox.requests)

    said = await do(actions, actions.hire(service.agent_identifier, {"text": "x"}, MINE))

    asked = [seen.path.split("?")[0] for seen in sandbox.requests[before:]]
    assert "/payment-information" not in asked
    assert said.code == "refused" and "1 ADA" in said.text
    assert "/purchase" not in asked


def test_find_shows_what_the_budget_can_pay_and_all_when_asked(sandbox, settings):
    with Buyer(
        settings, budget=Budget("20 ADA", per_hire="1 ADA", deny=[sandbox.service("liar").url])
    ) as buyer:
        actions = Actions(buyer=buyer)
        some = actions.run(actions.find())
        every = actions.run(actions.find(everything=True))
    with Buyer(settings) as buyer:
        none = Actions(buyer=buyer)
        free = none.run(none.find())
        capped = none.run(none.find(max_price="1 ADA"))

    prices = {entry["price"] for entry in some.data}
    assert prices <= {"1 ADA", "free"} and "Liar" not in {entry["name"] for entry in some.data}
    assert len(every.data) > len(some.data)
    assert f"{len(every.data) - len(some.data)} more match but are above the budget" in some.text
    assert {entry["price"] for entry in free.data} == {"free"}
    assert {"1 ADA", "free"} == {entry["price"] for entry in capped.data}


def test_find_pages_through_the_whole_registry(tmp_path):
    with Sandbox() as sandbox:
        for number in range(120):
            sandbox.register_service(
                f"many-{number}", f"{sandbox.origin}/services/many-{number}", "1 ADA", tags=("many",)
            )
        with Buyer(settings_of(sandbox, tmp_path), budget=Budget("9 ADA")) as buyer:
            said = Actions(buyer=buyer).run(Actions(buyer=buyer).find(tags=["many"]))

    assert len(said.data) == 120
    assert "105 more match" in said.text


async def test_an_async_buyer_serves_plain_calls_too_and_the_other_way_round(sandbox, settings, counter):
    async with AsyncBuyer(settings, budget=Budget("20 ADA")) as buyer:
        actions = Actions(buyer=buyer)
        echo = sandbox.service("echo").agent_identifier
        awaited = await actions.arun(actions.hire(echo, {"text": "a"}, MINE))
        plain = await asyncio.to_thread(lambda: actions.run(actions.hire(echo, {"text": "a"}, MINE)))
        actions.buyers.close()

    assert (awaited.code, plain.code) == ("completed", "reused")
    assert counter.both == (1, 1)


def test_one_set_of_actions_serves_several_loops_one_after_the_other(sandbox, buyer, counter):
    actions = Actions(buyer=buyer)
    echo = sandbox.service("echo").agent_identifier

    codes = [asyncio.run(actions.arun(actions.hire(echo, {"text": text}, MINE))).code for text in "abc"]

    assert codes == ["completed"] * 3
    assert counter.both == (3, 3)


def test_one_set_of_actions_serves_several_loops_at_once(sandbox, settings):
    actions = Actions(buyer=AsyncBuyer(settings, budget=Budget("100 ADA")))
    echo = sandbox.service("echo").agent_identifier

    async def many(loop: int) -> list[str]:
        talks = (actions.hire(echo, {"text": f"{loop} {number}"}, MINE) for number in range(8))
        done = await asyncio.wait_for(asyncio.gather(*map(actions.arun, talks)), 40)
        return [said.code for said in done]

    with ThreadPoolExecutor(3) as pool:
        codes = list(pool.map(lambda loop: asyncio.run(many(loop)), range(3)))

    assert codes == [["completed"] * 8] * 3


def test_the_connections_of_an_event_loop_that_has_ended_are_not_kept(sandbox, buyer):
    actions = Actions(buyer=buyer)

    def kept() -> int:
        gc.collect()
        return sum(type(found) is _Loop for found in gc.get_objects())

    async def quote() -> None:
        await actions.arun(actions.quote(sandbox.service("echo").agent_identifier))

    before = kept()
    for _ in range(4):
        asyncio.run(quote())

    assert kept() - before <= 1


def test_who_looks_for_open_hires_sees_those_of_the_own_scope_and_the_scopes_inside(sandbox, buyer):
    actions = Actions(buyer=buyer, patience_s=0.3)
    silent = sandbox.service("silent").agent_identifier
    for scope in ("1", "1\x00task", "10"):
        actions.run(actions.hire(silent, {"text": scope.replace("\x00", " ")}, Call(scope, scope)))

    seen = actions.run(actions.check(None, Call("1", "1")))
    every = actions.run(actions.check(None, Call()))

    assert (len(seen.data), len(every.data)) == (2, 3)


# Tracing and logs -------------------------------------------------------------------------------


@pytest.fixture
def spans(monkeypatch):
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)
    exporter = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", lambda name, *args, **options: provider.get_tracer(name))
    return exporter


async def test_a_hire_is_one_span_with_an_event_for_each_state(sandbox, actions, do, spans):
    echo = sandbox.service("echo").agent_identifier
    said = await do(actions, actions.hire(echo, {"text": "private"}, MINE))

    (span,) = spans.get_finished_spans()
    events = [event.name for event in span.events]
    assert span.name == "masumi.hire"
    assert span.attributes["masumi.hire_id"] == said.receipt.hire_id
    assert span.attributes["masumi.outcome"] == "completed"
    assert span.attributes["masumi.paid"] == "1 ADA"
    assert span.attributes["masumi.blockchain_identifier"] == said.receipt.blockchain_identifier
    assert [state for state in events if state in ("paying", "paid", "locked", "delivered")] == [
        "paying", "paid", "locked", "delivered",
    ]  # fmt: skip
    assert "private" not in str(span.to_json()) and "PRIVATE" not in str(span.to_json())
    assert sandbox.token not in span.to_json()


async def test_input_and_result_are_traced_only_when_asked_for(sandbox, buyer, do, spans):
    actions = Actions(buyer=buyer, trace_content=True)
    await do(actions, actions.hire(sandbox.service("echo").agent_identifier, {"text": "shown"}, MINE))

    (span,) = spans.get_finished_spans()
    assert span.attributes["masumi.input"] == '{"text": "shown"}'
    assert span.attributes["masumi.result"] == "SHOWN"


async def test_a_refused_hire_is_a_span_too_and_its_url_shows_no_credential(actions, do, spans):
    await do(actions, actions.hire("http://user:geheim@127.0.0.1:9/x", {"text": "x"}, MINE))

    (span,) = spans.get_finished_spans()
    assert span.attributes["masumi.outcome"] in ("refused", "error", "invalid_input")
    assert "geheim" not in span.to_json()


async def test_without_opentelemetry_all_works(sandbox, actions, do, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry", None)

    said = await do(actions, actions.hire(sandbox.service("echo").agent_identifier, {"text": "x"}, MINE))

    assert said.code == "completed"


async def test_the_log_says_the_hire_and_its_states_and_no_content(sandbox, actions, do, caplog):
    caplog.set_level(logging.INFO, "masumi_tools")

    said = await do(
        actions, actions.hire(sandbox.service("echo").agent_identifier, {"text": "private"}, MINE)
    )

    lines = [record.message for record in caplog.records if record.name.startswith("masumi_tools")]
    assert f"hire {said.receipt.hire_id}: locked" in lines
    assert "private" not in caplog.text and "PRIVATE" not in caplog.text


def test_a_url_is_allowed_only_by_itself():
    """A service could name any agent as its own."""
    from masumi_tools.hire.quote import Quote
    from masumi_tools.inputs import InputSpec
    from masumi_tools.models import Listing
    from masumi_tools.models.price import Price
    from masumi_tools.target import Target

    listing = Listing("ab" * 40, "n", "", "https://evil.example", Price(None))
    by_url = Quote("https://evil.example/", listing, (), True, False, InputSpec(), 0, None)
    by_agent = Quote("AB" * 40, listing, (), True, False, InputSpec(), 0, None)

    assert not catalogue.allowed(by_url, {Target("ab" * 40)})
    assert catalogue.allowed(by_url, {Target("https://evil.example")})
    assert catalogue.allowed(by_agent, {Target("ab" * 40)}) and catalogue.allowed(
        by_agent, {Target("https://evil.example")}
    )
    assert not catalogue.allowed(by_agent, {Target("cd" * 40)})
