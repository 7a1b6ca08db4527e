"""A service that asks a question: in a form where the host can show one, else as text; both generations of the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("mcp")

from masumi_tools import Budget, Settings
from masumi_tools.mcp.session import Session
from masumi_tools.mcp.tools import McpTools
from masumi_tools.tools.actions import Actions
from tests.mcp.test_generations import ask as ask  # the fixture: every pair of a server and a client
from tests.tools.market import Counter

YES = {"action": "accept", "content": {"approve": True, "comment": "go"}}


def tool(name: str, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args}


def is_open_and_says_how(answer: dict[str, Any]) -> bool:
    hire = answer["content"]["hire"]
    assert answer["content"]["code"] == "needs_input" and hire["open"], answer
    assert "masumi_answer" in answer["text"] and hire["hire_id"] in answer["text"]
    return not answer["failed"]


def test_the_person_answers_in_a_form_and_the_hire_is_delivered_within_the_same_call(ask, sandbox):
    seen = Counter(sandbox)
    made = ask(sandbox.service("human").agent_identifier, "by form", replies=[YES])

    (answer,) = made["answers"]
    assert answer["content"]["code"] == "completed", answer
    assert answer["content"]["hire"]["result"] == "BY FORM\ngo" and seen.both == (1, 1)
    (form,) = made["forms"]
    assert answer["content"]["hire"]["hire_id"] in form["message"] and '"Human"' in form["message"]
    assert "sent to that service" in form["message"]
    shown = form["requestedSchema"]
    assert {name: field["type"] for name, field in shown["properties"].items()} == {
        "approve": "boolean",
        "comment": "string",
    }
    assert shown["required"] == ["approve"]


def test_declined_and_closed_leave_the_question_open_and_say_how_to_answer(ask, sandbox):
    seen = Counter(sandbox)
    replies = [{"action": "decline"}, {"action": "cancel"}]
    made = ask(sandbox.service("human").agent_identifier, ["declined", "closed"], replies=replies)

    declined, closed = made["answers"]
    assert is_open_and_says_how(declined) and "declined to answer" in declined["text"]
    assert is_open_and_says_how(closed) and "closed the form" in closed["text"]
    assert len(made["forms"]) == 2 and seen.both == (2, 2)


def test_a_host_without_forms_is_given_the_question_as_text(ask, sandbox, books):
    made = ask(sandbox.service("human").agent_identifier, "as text")

    (answer,) = made["answers"]
    assert is_open_and_says_how(answer) and "approve" in answer["text"] and made["forms"] == []
    hire_id = answer["content"]["hire"]["hire_id"]
    assert books.answer(hire_id, {"approve": True}).result == "AS TEXT"


def test_a_host_that_breaks_leaves_the_question_open(ask, sandbox, books):
    seen = Counter(sandbox)
    made = ask(sandbox.service("human").agent_identifier, "broken", replies=[{"action": "broken"}])

    (answer,) = made["answers"]
    if "error" not in answer:  # a client of today's protocol breaks before it calls again
        assert is_open_and_says_how(answer) and "could not show" in answer["text"]
    (waiting,) = [hire for hire in books.hires() if hire.open]
    assert waiting.outcome == "needs_input" and seen.both == (1, 1)
    assert books.answer(waiting.hire_id, {"approve": True}).result == "BROKEN"


def test_an_answer_that_does_not_fit_leaves_the_question_open(ask, sandbox):
    made = ask(
        sandbox.service("human").agent_identifier,
        "misfit",
        replies=[{"action": "accept", "content": {"comment": "no yes"}}],
    )

    (answer,) = made["answers"]
    assert answer["content"]["code"] == "invalid_input" and "approve" in answer["content"]["field_errors"]
    assert answer["content"]["hire"]["open"] and "masumi_answer" in answer["text"]


def test_a_question_that_comes_after_the_first_call_is_asked_by_the_check(ask, sandbox, books):
    hire_id = books.hire(
        sandbox.service("human").agent_identifier, {"text": "later"}, max_price="2 ADA", patience_s=30
    ).hire_id
    made = ask("", [], replies=[YES], more=(tool("masumi_check", hire_id=hire_id),))

    (answer,) = made["answers"]
    assert answer["content"]["hire"]["result"] == "LATER\ngo" and len(made["forms"]) == 1


def test_a_price_and_then_a_question_are_both_asked_and_paid_once(ask, sandbox):
    seen = Counter(sandbox)
    flags = ("--approve-above", "1 ADA")
    made = ask(sandbox.service("human").agent_identifier, "both", *flags, person="yes", replies=[YES])

    (answer,) = made["answers"]
    assert answer["content"]["hire"]["result"] == "BOTH\ngo", answer
    assert len(made["asked"]) == len(made["forms"]) == 1 and seen.both == (1, 1)


def test_a_declined_question_is_not_shown_again(ask, sandbox):
    agent, decline = sandbox.service("human").agent_identifier, {"action": "decline"}
    made = ask(agent, ["once", "once"], replies=[decline])

    assert len(made["forms"]) == 1
    assert all(is_open_and_says_how(answer) for answer in made["answers"])


# Without a transport ------------------------------------------------------------------------------


def session(state: str | None = None, reply: dict[str, Any] | None = None, **can: Any) -> Session:
    """A client of today's protocol, which brings this state and reply to its call."""
    capabilities = SimpleNamespace(elicitation=SimpleNamespace(**{"form": {}, "url": None, **can}))
    client = SimpleNamespace(client_capabilities=capabilities)
    context = SimpleNamespace(session=client, protocol_version="2026-07-28", meta=None, request_id=1)
    given = {"answer": SimpleNamespace(**reply)} if reply else None
    return Session(context, SimpleNamespace(input_responses=given, request_state=state))


@pytest.fixture
def tools(env) -> Iterator[McpTools]:
    actions = Actions(settings=Settings.from_env(env), budget=Budget("20 ADA", name="mcp"), patience_s=20)
    yield McpTools(actions, wait_s=20)
    actions.buyers.close()


async def test_a_state_that_was_not_given_out_for_this_very_call_answers_nothing(tools, sandbox, books):
    agent = sandbox.service("human").agent_identifier
    wish = {"agent": agent, "input_data": '{"text": "sealed"}'}
    first = await tools.call("masumi_hire", wish, session())
    state = first["requestState"]
    hire_id = state.partition(" ")[0]

    other = await tools.call("masumi_check", {"hire_id": hire_id}, session(state, YES))
    forged = await tools.call("masumi_hire", wish, session(f"{hire_id} {'0' * 64}", YES))
    assert [one["structuredContent"]["code"] for one in (other, forged)] == ["needs_input"] * 2
    assert books.receipt(hire_id).outcome == "needs_input"

    made = await tools.call("masumi_hire", wish, session(state, YES))
    assert made["structuredContent"]["hire"]["result"] == "SEALED\ngo"
    late = await tools.call("masumi_hire", wish, session(state, YES))  # the same answer once more
    assert late["structuredContent"]["hire"]["hire_id"] == hire_id and not late["isError"]
    await tools.actions.buyers.awaiting().aclose()


async def test_a_client_that_opens_urls_alone_is_shown_no_form(tools, sandbox):
    wish = {"agent": sandbox.service("human").agent_identifier, "input_data": '{"text": "urls"}'}
    made = await tools.call("masumi_hire", wish, session(form=None, url={}))

    assert (
        made["structuredContent"]["code"] == "needs_input" and "masumi_answer" in made["content"][0]["text"]
    )
    await tools.actions.buyers.awaiting().aclose()
