"""The command line as somebody meets it who types the first thing that comes to mind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from masumi_tools.sandbox import Sandbox

pytest.importorskip("typer")
from masumi_tools.cli.run import run
from tests.tools.market import environment_of

Say = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def say(
    sandbox: Sandbox, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Say:
    """Runs a command against the sandbox; its exit status and what it printed."""
    for name, value in environment_of(sandbox, sqlite_url).items():
        monkeypatch.setenv(name, value)

    def said(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        status = run(list(words))
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return said


def document(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


@pytest.mark.parametrize("given", [["text=hello"], ["--input", '{"text": "hello"}']])
def test_without_a_limit_nothing_is_paid_however_the_input_is_given(say: Say, given: list[str]):
    status, text = say("hire", "echo", *given, "--json")

    assert status == 1
    assert document(text)["outcome"] == "refused"
    assert "no budget and no max_price" in document(text)["reason"]


def test_a_limit_on_this_hire_is_enough(say: Say):
    status, text = say("hire", "echo", "text=hello", "--max-price", "1 ADA")

    assert status == 0
    assert "HELLO" in text


def test_a_question_comes_with_the_command_that_answers_it(say: Say):
    status, text = say("hire", "human", "text=hello", "--max-price", "2 ADA")
    hire_id = document(say("hires", "--json")[1])["hires"][0]["hire_id"]

    assert status == 3
    assert f"masumi-tools answer {hire_id} approve=..." in text

    status, text = say("answer", hire_id, "approve=true")

    assert status == 0
    assert "HELLO" in text


def test_budgets_that_nothing_was_spent_of_are_not_listed(say: Say):
    say("hire", "echo", "text=hello")
    say("hire", "free", "text=Lisbon", "--budget", "5 ADA", "--budget-name", "weather")

    _, text = say("budget")

    assert "weather" in text
    assert "5 ADA of 5 ADA left" in text
    assert "no budget" not in text


def test_a_quote_of_a_service_that_is_down_says_so(say: Say, sandbox: Sandbox):
    service = sandbox.register_service("Gone", "http://127.0.0.1:9", "1 ADA")

    status, text = say("quote", service.agent_identifier)

    assert status == 1
    assert "1 ADA" in text
    assert "it cannot be hired now: the service did not answer" in text
    assert "any JSON object" not in text
