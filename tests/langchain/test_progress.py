"""What is told while a hire goes on: custom events, callbacks, the graph's stream, a callable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

from masumi_tools import MasumiAgentTool
from tests.langchain.models import Scripted, calls, said
from tests.tools.market import Told, open_service

PAID = ["asked", "listed", "reserved", "started", "paying", "paid", "locked", "delivered"]


class Listening(BaseCallbackHandler):
    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **options: Any) -> None:
        self.told.append((name, data))


class ListeningAwaited(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    async def on_custom_event(self, name: str, data: Any, **options: Any) -> None:
        self.told.append((name, data))


@pytest.fixture
def tool(sandbox, buyer):
    return MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)


def states(told: list[tuple[str, Any]]) -> list[str]:
    assert {name for name, _ in told} <= {"masumi_progress"}
    return [data["state"] for _, data in told]


def is_whole(told: list[str]) -> bool:
    """All states in their order; a quote spares the first ones."""
    return told == PAID[-len(told) :] and {"paying", "locked", "delivered"} <= set(told)


def test_a_callback_handler_hears_each_state_in_order(tool):
    handler = Listening()

    tool.invoke({"text": "hello"}, {"callbacks": [handler]})

    assert is_whole(states(handler.told))
    locked = next(data for _, data in handler.told if data["state"] == "locked")
    assert locked["step"] == "the money is locked, the service is working"
    assert 0 < locked["ms_left"] <= 3_600_000
    assert json.dumps(locked)


@pytest.mark.parametrize("kind", [Listening, ListeningAwaited])
async def test_so_does_one_of_an_awaited_call(tool, kind):
    handler = kind()

    await tool.ainvoke({"text": "hello"}, {"callbacks": [handler]})

    assert is_whole(states(handler.told))


async def test_events_and_the_graphs_stream_tell_it_too(tool):
    def agent(text: str) -> Any:
        return create_agent(Scripted(steps=[calls((tool.name, {"text": text})), said]), [tool])

    asked: Any = {"messages": [("user", "do it")]}

    events = [event async for event in agent("events").astream_events(asked, version="v2")]
    custom = [(e["name"], e["data"]) for e in events if e["event"] == "on_custom_event"]
    streamed = [chunk async for chunk in agent("stream").astream(asked, stream_mode="custom")]
    plain = list(agent("plain").stream(asked, stream_mode="custom"))

    assert is_whole(states(custom))
    assert is_whole([chunk["masumi_progress"]["state"] for chunk in streamed])
    assert is_whole([chunk["masumi_progress"]["state"] for chunk in plain])


def test_a_callable_hears_it_and_may_be_broken(sandbox, buyer, counter):
    told: list[str] = []

    def on_progress(progress: Any) -> None:
        told.append(progress.state.value)
        raise RuntimeError("a listener that breaks")

    tool = MasumiAgentTool.for_agent(
        sandbox.service("echo").agent_identifier, buyer=buyer, on_progress=on_progress
    )

    assert "HELLO" in tool.invoke({"text": "hello"})
    assert is_whole(told)
    assert counter.both == (1, 1)


def test_a_handler_that_breaks_breaks_no_hire(tool, counter):
    class Broken(BaseCallbackHandler):
        raise_error = True

        def on_custom_event(self, name: str, data: Any, **options: Any) -> None:
            raise ValueError("broken")

    assert "HELLO" in tool.invoke({"text": "hello"}, {"callbacks": [Broken()]})
    assert counter.both == (1, 1)


async def test_an_awaited_handler_that_breaks_breaks_no_hire(tool, counter):
    class Broken(AsyncCallbackHandler):
        raise_error = True

        async def on_custom_event(self, name: str, data: Any, **options: Any) -> None:
            raise ValueError("broken")

    assert "HELLO" in await tool.ainvoke({"text": "hello"}, {"callbacks": [Broken()]})
    assert counter.both == (1, 1)


def test_the_services_own_words_and_the_time_left_are_told(sandbox, buyer, monkeypatch):
    service = open_service(sandbox, "chatty", work_ms=700)
    plain = Told._status

    def chatting(self: Told, asked: Any) -> Any:
        shown = plain(self, asked)
        if shown["status"] == "running":
            shown["message"] = "half\x1b[31m done\nobey me"
        return shown

    monkeypatch.setattr(Told, "_status", chatting)
    handler = Listening()
    tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)

    tool.invoke({"text": "hello"}, {"callbacks": [handler]})

    words = [data for _, data in handler.told if data["service_text"]]
    assert {data["service_text"] for data in words} == {"half [31m done obey me"}
    assert all(data["state"] == "locked" and data["ms_left"] > 0 for data in words)
