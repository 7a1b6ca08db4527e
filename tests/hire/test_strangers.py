"""What strangers send raises out of no public function, and stops no hire but their own.

The answers are real ones of the sandbox in which chance has put something else: at the HTTP level (status, head,
body) or at one place of the JSON.
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from masumi_tools.errors import MasumiError
from masumi_tools.hire import driver
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.purchase import Purchase
from masumi_tools.hire.steps import Ask
from masumi_tools.journal.store import Journal
from masumi_tools.net.http import Http
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer

ROUTES = (
    "/availability", "/input_schema", "/start_job", "/status", "/provide_input", "/payment-information",
    "/registry-entry-search", "/purchase", "/purchase/resolve-blockchain-identifier", "/api-key-status",
    "/purchase/request-refund", "/registry/agent-identifier",
)  # fmt: skip
NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, -(10**400), 1e308, "", "\x00", "\u202e", "x" * 70_000, [], {}, [[]], {"": {}}, [None] * 50,
    "2026-99-99T99:99:99Z", "9" * 400, "-1", "NaN", "https://xn--0/", "http://[::1", "https://a/?x#y", "\x1b[2J", "ﷺ" * 300,
    {"a": [{"a": [{"a": []}]}]}, "=1+1", "<<<", "0x10", "١٢٣", 1.5, [1, "a", None],
)  # fmt: skip
BODIES = (
    b"",
    b"[]",
    b"null",
    b'"x"',
    b"{}",
    b'{"data":{}}',
    b"[" * 99,
    b"<html>",
    b"\xff\xfe",
    b'{"a":1e999}',
)
PLACES = ("location", "content-type", "content-encoding", "retry-after", "date")
HEADS = (
    b"https://xn--0/",
    b"gzip",
    b"nan",
    b"inf",
    b"-5",
    b"\xff\xfe",
    b"text/html; charset=x",
    b"http://[",
    b"1e9",
)
STATUSES = (200, 201, 204, 302, 307, 400, 401, 404, 405, 409, 429, 500, 503, 999)


class Spoiling(httpx.BaseTransport):
    """The sandbox, one of whose routes answers what chance has made of its answer; nothing else without `rng`."""

    def __init__(self, inner: httpx.BaseTransport, route: str) -> None:
        self.inner, self.route = inner, route
        self.rng: random.Random | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self.inner.handle_request(request)
        rng = self.rng
        if rng is None or not request.url.path.endswith(self.route):
            return response
        if rng.random() < 0.25:
            headers = {name: rng.choice(HEADS) for name in rng.sample(PLACES, rng.randrange(3))}
            body = rng.choice(BODIES) if rng.random() < 0.5 else rng.randbytes(rng.randrange(80))
            return httpx.Response(rng.choice(STATUSES), headers=headers, stream=httpx.ByteStream(body))
        try:
            value = json.loads(response.read())
        except ValueError:
            return response
        for _ in range(rng.randrange(1, 3)):
            value = self._spoilt(value, rng)
        return httpx.Response(response.status_code, stream=httpx.ByteStream(json.dumps(value).encode()))

    def _spoilt(self, value: Any, rng: random.Random) -> Any:
        """The value with something else at one place of it."""
        if not (isinstance(value, dict | list) and value and rng.random() < 0.8):
            return rng.choice(NASTY)
        if isinstance(value, dict):
            key = rng.choice(sorted(value))
            return {**value, key: self._spoilt(value[key], rng)}
        place = rng.randrange(len(value))
        return [*value[:place], self._spoilt(value[place], rng), *value[place + 1 :]]


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
@example(seed=2274)  # a spoilt result of another's hire
def test_one_answer_of_any_kind_harms_no_other_hire(
    route: str, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    with Sandbox(manual_clock=True, listen=False, seed=2) as sandbox, tempfile.TemporaryDirectory() as folder:
        journal = Journal(f"sqlite:///{Path(folder) / 'j.sqlite3'}")
        buyer = ClockedBuyer(sandbox, Budget("50 ADA", per_hire="5 ADA"), journal)
        spoiling = Spoiling(sandbox.transport(), route)
        buyer._http = Http(buyer.settings, transport=spoiling)
        other = buyer.hire(
            sandbox.service("slow").agent_identifier, {"text": "a", "seconds": 60}, patience_s=20
        )
        spoiling.rng = random.Random(seed)
        service = sandbox.service("human" if route == "/provide_input" else "echo")

        quote = buyer.quote(service.agent_identifier)
        assert quote.refusal is None or isinstance(quote.refusal, str)
        try:
            buyer.find("echo")
        except MasumiError as error:
            assert error.money == "none"
        made = buyer.hire(service.agent_identifier, {"text": "hello"}, patience_s=30)
        if made.outcome == "needs_input":
            made = buyer.answer(made.hire_id, {"approve": True}, patience_s=30)
        buyer.refund(made.hire_id, patience_s=5)
        sandbox.advance(10 * 60_000)
        buyer.sweep()
        spoiling.rng = None
        sandbox.advance(60_000)
        swept = {one.hire_id: one for one in buyer.sweep()} | {one.hire_id: one for one in buyer.hires()}
        journal.close()

    assert swept[other.hire_id].result == "A"
    unforeseen = [line.getMessage() for line in caplog.records if "unforeseen" in line.getMessage()]
    assert unforeseen == []


# ---- an error that nobody foresaw -------------------------------------------------------------------------


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> str:
    """A word in the input of a hire whose statuses make our own code fail."""
    learn = driver.learn

    def failing(p: Purchase, ask: Ask, *more: Any) -> Purchase:
        if ask is Ask.STATUS and "break" in str(p.input_data):
            raise ZeroDivisionError("unforeseen")
        return learn(p, ask, *more)

    monkeypatch.setattr(driver, "learn", failing)
    return "break"


def test_an_unforeseen_error_is_noted_on_its_hire_and_the_others_go_on(
    broken: str, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Sandbox(manual_clock=True, listen=False, seed=2) as sandbox:
        buyer = ClockedBuyer(sandbox, Budget("50 ADA"), Journal(sqlite_url))
        echo = sandbox.service("echo").agent_identifier
        bad, good = (
            buyer.hire(echo, {"text": text}, patience_s=patience)
            for text, patience in ((broken, 60), ("fine", 0))
        )
        many = buyer.hire_many([(echo, {"text": "one"}), (echo, {"text": f"{broken} two"})], patience_s=30)
        sandbox.advance(120_000)
        swept = {one.hire_id: one for one in buyer.sweep()}
        ends = [buyer.receipt(one.hire_id).outcome for one in many]
        buyer.journal.close()

    assert bad.outcome == "open" and bad.money == "locked"
    assert "ZeroDivisionError at test_strangers.py" in " ".join(bad.notes)
    assert len(swept[bad.hire_id].notes) == 1, "the same note is not made again and again"
    assert swept[good.hire_id].outcome == "completed"
    assert ends == ["completed", "open"]
    assert "unforeseen ZeroDivisionError" in caplog.text


def test_a_step_that_cannot_even_be_chosen_ends_the_call_and_refuses_before_money(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> Any:
        raise KeyError("x")

    monkeypatch.setattr(driver, "next_step", failing)
    with Sandbox(manual_clock=True, listen=False, seed=2) as sandbox:
        buyer = ClockedBuyer(sandbox, Budget("50 ADA"), Journal(sqlite_url))
        made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "x"}, patience_s=60)
        buyer.journal.close()

    assert made.outcome == "refused"
    assert "unforeseen" in made.reason and "report it" in made.reason


def test_a_shared_look_that_breaks_lets_each_hire_ask_for_itself(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("masumi_tools.hire.buyer_base.CROWD", 0)

    def failing(*_: Any) -> Any:
        raise KeyError("x")

    monkeypatch.setattr("masumi_tools.hire.diff_feed._rows", failing)
    with Sandbox(manual_clock=True, listen=False, seed=2) as sandbox:
        buyer = ClockedBuyer(sandbox, Budget("50 ADA"), Journal(sqlite_url))
        made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "x"}, patience_s=60)
        buyer.journal.close()

    assert made.outcome == "completed"
