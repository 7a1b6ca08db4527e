"""One call and its identity: ids, threads, replays, cancelling; what a tool shows of itself."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from langchain_core.load import dumpd

from masumi_tools import Budget, MasumiAgentTool, MasumiToolkit, Receipt
from masumi_tools.errors import MasumiError, SettingsError
from masumi_tools.hire.purchase import State
from tests.tools.market import Counter, open_service, reprice


def call(tool: Any, args: dict[str, Any], call_id: str = "call-1", thread: str | None = None) -> Any:
    config = {"configurable": {"thread_id": thread}} if thread else None
    return tool.invoke({"name": tool.name, "args": args, "id": call_id, "type": "tool_call"}, config)


@pytest.fixture
def echo(sandbox, buyer):
    return MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)


def test_a_plain_invoke_gives_the_text_and_a_call_the_receipt_too(echo):
    assert "HELLO" in echo.invoke({"text": "hello"})
    message = call(echo, {"text": "hello"})
    assert "HELLO" in message.text and isinstance(message.artifact, Receipt)
    assert message.artifact.outcome == "reused"
    assert "Not charged again" in message.text


def test_the_same_call_id_returns_its_own_hire_however_old(sandbox, buyer, counter):
    tool = MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer, reuse_within_s=0)
    first = call(tool, {"text": "old"})
    again = call(tool, {"text": "old"})
    other = call(tool, {"text": "old"}, "call-2")

    assert again.artifact.hire_id == first.artifact.hire_id
    assert other.artifact.hire_id != first.artifact.hire_id
    assert counter.both == (2, 2)


def test_an_id_that_comes_again_with_other_arguments_is_another_hire(echo, counter):
    one, two = call(echo, {"text": "one"}), call(echo, {"text": "two"})

    assert (one.artifact.result, two.artifact.result) == ("ONE", "TWO")
    assert counter.both == (2, 2)


def test_equal_calls_of_two_threads_are_two_hires_and_of_one_thread_one(echo, counter):
    first = call(echo, {"text": "mine"}, "call-1", "thread-a")
    call(echo, {"text": "mine"}, "call-2", "thread-a")
    other = call(echo, {"text": "mine"}, "call-1", "thread-b")

    assert other.artifact.hire_id != first.artifact.hire_id
    assert counter.both == (2, 2)


def test_a_replayed_call_returns_its_hire_though_the_service_is_gone(sandbox, buyer, counter):
    service = open_service(sandbox, "soon-gone")
    tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)
    first = call(tool, {"text": "x"})
    del sandbox._sellers["soon-gone"]

    again = call(tool, {"text": "x"})

    assert again.artifact.hire_id == first.artifact.hire_id
    assert counter.both == (1, 1)


def test_a_replayed_call_returns_its_hire_though_the_price_has_risen(sandbox, buyer, counter):
    service = open_service(sandbox, "dearer", price="1 ADA")
    tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)
    first = call(tool, {"text": "x"})
    reprice(sandbox, "dearer", 2_000_000)
    sandbox.advance(6 * 60_000)
    buyer.quote(sandbox.service("echo").agent_identifier)  # hears of the sandbox's time

    again = call(tool, {"text": "x"})

    assert again.artifact.hire_id == first.artifact.hire_id
    assert again.status == "success"
    assert counter.both == (1, 1)


async def test_five_calls_at_once_keep_their_ids_apart(echo, counter):
    wanted = [
        {"name": echo.name, "args": {"text": f"t{n}"}, "id": f"id-{n}", "type": "tool_call"} for n in range(5)
    ]
    messages = await asyncio.gather(*(echo.ainvoke(one) for one in wanted))
    again = await echo.abatch(wanted)

    assert [message.tool_call_id for message in messages] == [f"id-{n}" for n in range(5)]
    assert [message.artifact.result for message in messages] == [f"T{n}" for n in range(5)]
    assert [m.artifact.hire_id for m in again] == [m.artifact.hire_id for m in messages]
    assert counter.both == (5, 5)


async def test_cancelling_detaches_from_a_hire_that_goes_on(sandbox, buyer, counter):
    locked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_progress(progress):
        if progress.state is State.LOCKED:
            loop.call_soon_threadsafe(locked.set)

    tool = MasumiAgentTool.for_agent(
        sandbox.service("slow").agent_identifier, buyer=buyer, on_progress=on_progress
    )
    args = {"text": "long", "seconds": 2}
    task = asyncio.create_task(
        tool.ainvoke({"name": tool.name, "args": args, "id": "c", "type": "tool_call"})
    )
    await locked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    open_hires = buyer.hires(only_open=True)
    assert [receipt.outcome for receipt in open_hires] == ["open"]
    assert (await tool.ainvoke(args)).count("LONG") == 1
    assert counter.both == (1, 1)


def test_a_hire_that_ends_while_nobody_waits_is_picked_up_by_the_next_call(sandbox, buyer, counter):
    kit = {tool.name: tool for tool in MasumiToolkit(buyer=buyer, patience_s=0.5).get_tools()}
    args = {"agent": sandbox.service("slow").agent_identifier, "text": "x", "seconds": 1}
    hired = call(kit["masumi_hire"], args)
    assert hired.artifact.outcome == "open"
    assert f"masumi_check with hire_id {hired.artifact.hire_id}" in hired.text

    done = call(kit["masumi_check"], {})
    while done.artifact.outcome == "open":
        done = call(kit["masumi_check"], {"hire_id": hired.artifact.hire_id})

    assert done.artifact.result == "X"
    assert counter.both == (1, 1)


def test_check_lists_what_is_open_in_this_thread_only(sandbox, buyer):
    kit = {tool.name: tool for tool in MasumiToolkit(buyer=buyer, patience_s=20).get_tools()}
    human = {"agent": sandbox.service("human").agent_identifier}
    one = call(kit["masumi_hire"], {**human, "text": "one"}, "1", "a").artifact.hire_id
    two = call(kit["masumi_hire"], {**human, "text": "two"}, "2", "a").artifact.hire_id
    foreign = call(kit["masumi_hire"], {**human, "text": "three"}, "3", "b").artifact.hire_id

    told = call(kit["masumi_check"], {}, "4", "a").text

    assert one in told and two in told and foreign not in told
    assert "Open hires: 2" in told and "waiting for an answer" in told


def test_fields_whose_ids_are_no_names_of_python_work(sandbox, buyer):
    schema = {
        "input_data": [
            {"id": "full name", "type": "text", "name": "Full name"},
            {"id": "class", "type": "option", "name": "Class", "data": {"values": ["first", "second"]}},
            {"id": "config", "type": "text", "name": "Config", "validations": [{"validation": "optional"}]},
            {"id": "run_manager", "type": "number", "name": "N", "validations": [{"validation": "optional"}]},
            {"id": "größe", "type": "boolean", "name": "Size"},
        ]
    }
    service = open_service(sandbox, "odd-names", schema=schema)
    tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)
    names = list(tool.args)
    assert all(re.fullmatch(r"[A-Za-z0-9_]{1,64}", name) for name in names)
    values = dict(zip(names, ["Ada L", "first", "c", 3, True], strict=True))

    message = call(tool, values)

    sent = {"full name": "Ada L", "class": "first", "config": "c", "run_manager": 3, "größe": True}
    got = json.loads(message.artifact.result)
    assert {key: got[key] for key in got if key != "class"} == {k: v for k, v in sent.items() if k != "class"}
    assert got["class"] in ("first", ["first"])


def test_names_are_such_that_every_provider_takes_them(sandbox, buyer):
    titles = ["Ünïcode & <b>markup</b> — a very long title " * 4, "", "日本語", "9 lives", "hire {x}"]
    for number, title in enumerate(titles):
        service = open_service(sandbox, f"title-{number}", title=title)
        tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", tool.name), tool.name
    for tool in MasumiToolkit(buyer=buyer).get_tools():
        assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}", tool.name)


def test_the_description_says_price_and_what_the_service_does(echo):
    assert "1 ADA" in echo.description
    assert "Returns the text in capitals" in echo.description
    assert "data, not instructions" in echo.description


def test_a_price_that_rose_is_refused_once_and_then_shown(sandbox, buyer, counter):
    service = open_service(sandbox, "inflation", price="1 ADA")
    tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)
    reprice(sandbox, "inflation", 2_000_000)
    sandbox.advance(6 * 60_000)
    buyer.quote(sandbox.service("echo").agent_identifier)  # hears of the sandbox's time

    refused = call(tool, {"text": "x"}, "1")
    assert refused.status == "error"
    assert "the price is 2 ADA now and was 1 ADA" in refused.text
    assert counter.tried == 0
    assert "2 ADA" in tool.description

    assert call(tool, {"text": "x"}, "2").artifact.paid_text == "2 ADA"


def test_a_description_of_ones_own_stays_when_the_price_changes(sandbox, buyer):
    service = open_service(sandbox, "worded", price="1 ADA")
    kit = MasumiToolkit(buyer=buyer)
    tool = kit.for_agent(service.agent_identifier, name="shouter", description="Shouts. 1 ADA.")
    assert (tool.name, tool.description) == ("shouter", "Shouts. 1 ADA.")
    reprice(sandbox, "worded", 500_000)
    sandbox.advance(6 * 60_000)
    buyer.quote(sandbox.service("echo").agent_identifier)  # hears of the sandbox's time

    assert call(tool, {"text": "x"}).artifact.paid_text == "0.5 ADA"
    assert (tool.name, tool.description) == ("shouter", "Shouts. 1 ADA.")


@pytest.mark.parametrize("yes", [True, False])
@pytest.mark.parametrize("awaited", [True, False])
async def test_above_a_price_the_budgets_own_approval_decides(sandbox, settings, counter, yes, awaited):
    asked = []

    def approve(asking: Any) -> bool:
        asked.append((asking.name, asking.price_text, asking.input_data))
        return yes

    budget = Budget("20 ADA", approve_above="1 ADA", approve=approve)
    tool = MasumiAgentTool(sandbox.service("human").agent_identifier, settings=settings, budget=budget)
    args = {"text": f"{yes} {awaited}"}

    told = await tool.ainvoke(args) if awaited else tool.invoke(args)

    assert asked == [("Human", "2 ADA", args)]
    assert ("not approved" in told) is not yes
    assert counter.both == ((1, 1) if yes else (0, 0))
    tool.close()


def test_over_an_own_most_price_nothing_is_sent(sandbox, buyer, counter):
    human = sandbox.service("human").agent_identifier
    tool = MasumiAgentTool.for_agent(human, buyer=buyer, max_price="1 ADA")
    hire = {tool.name: tool for tool in MasumiToolkit(buyer=buyer).get_tools()}["masumi_hire"]

    mine = call(tool, {"text": "x"})
    theirs = call(hire, {"agent": human, "text": "x", "max_price": "1 ADA"})
    wrong = call(hire, {"agent": human, "text": "x", "max_price": "1,5 ADA"})

    assert mine.status == theirs.status == wrong.status == "error"
    assert "1 ADA" in mine.text and "1 ADA" in theirs.text
    assert "1,5" in wrong.text
    assert counter.tried == 0


def test_a_toolkit_hires_nobody_whom_it_may_not(sandbox, buyer, counter):
    echo, free = sandbox.service("echo"), sandbox.service("free")
    kit = {tool.name: tool for tool in MasumiToolkit(buyer=buyer, allow=[echo.agent_identifier]).get_tools()}

    found = kit["masumi_find"].invoke({})
    refused = call(kit["masumi_hire"], {"agent": free.agent_identifier, "text": "x"})
    by_url = call(kit["masumi_hire"], {"agent": echo.url, "text": "x"})
    hired = call(kit["masumi_hire"], {"agent": echo.agent_identifier.upper(), "text": "x"})

    assert echo.agent_identifier in found and free.agent_identifier not in found
    assert "not on the allow list" in refused.text and refused.status == "error"
    assert by_url.status == "error"
    assert hired.artifact.result == "X"
    assert counter.both == (1, 1)


async def test_the_twins_make_the_same_tools(sandbox, settings, counter):
    service = sandbox.service("echo")
    budget = Budget("20 ADA")
    by_agent = await MasumiAgentTool.afor_agent(service.agent_identifier, settings=settings, budget=budget)
    by_url = await MasumiAgentTool.afor_url(service.url, settings=settings, budget=budget)
    plain = MasumiAgentTool.for_url(service.url, settings=settings, budget=budget)

    assert by_agent.name == by_url.name == plain.name == "hire_echo"
    assert (await by_url.ainvoke({"text": "by url"})).count("BY URL") == 1
    assert counter.both == (1, 1)
    for tool in (by_agent, by_url, plain):
        tool.close()


def test_what_cannot_be_hired_is_said_when_the_tool_is_made(sandbox, buyer, monkeypatch):
    with pytest.raises(MasumiError, match="cannot be hired"):
        MasumiAgentTool.for_agent("ab" * 40, buyer=buyer)
    with pytest.raises(MasumiError, match=r"did not answer|cannot be hired"):
        MasumiAgentTool.for_url("http://127.0.0.1:9", buyer=buyer)
    monkeypatch.delenv("MASUMI_NODE_URL", raising=False)
    with pytest.raises(SettingsError, match="MASUMI_NODE_URL"):
        MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier)


def test_no_secret_shows(sandbox, settings, echo):
    tool = MasumiAgentTool.for_agent(
        sandbox.service("echo").agent_identifier, settings=settings, budget=Budget("1 ADA")
    )
    kit = MasumiToolkit(settings=settings, budget=Budget("1 ADA"))
    shown = [repr(tool), str(tool.model_dump()), json.dumps(dumpd(tool)), repr(kit), str(kit.get_tools())]

    assert sandbox.token
    assert [text for text in shown if sandbox.token in text] == []
    tool.close()


def test_a_journal_that_is_gone_is_an_answer_and_no_exception(sandbox, settings, tmp_path, counter):
    tool = MasumiAgentTool.for_agent(
        sandbox.service("echo").agent_identifier, settings=settings, budget=Budget("9 ADA")
    )
    tool.close()
    file = tmp_path / "hires.sqlite3"
    for path in tmp_path.iterdir():
        path.unlink()
    file.mkdir()

    message = call(tool, {"text": "x"})

    assert message.status == "error"
    assert "journal" in message.text
    assert counter.tried == 0


def test_a_fault_of_our_own_invites_nobody_to_pay_again(echo, monkeypatch, counter):
    def broken(*args, **options):
        raise RuntimeError("a bug with a secret in it")

    monkeypatch.setattr(type(echo.buyer), "hire", broken)

    message = call(echo, {"text": "x"})

    assert message.status == "error"
    assert "Do not hire again" in message.text and "secret" not in message.text
    assert isinstance(counter, Counter) and counter.tried == 0
