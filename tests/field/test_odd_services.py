"""Services with answers of their own, each hired through the sandbox: what is done, what is kept, what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.net.http import Http
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.hire.clocked import ClockedBuyer, purchases

MINUTE = 60_000
HELLO = {"text": "hello"}
Given = tuple[int, Any]
"""A status and a JSON body in the place of the service's answer; None lets it through."""
Turn = Callable[[httpx.Request, Any], Given | None]


class Odd(httpx.BaseTransport):
    """The sandbox, one of whose services answers by its turns: what is asked and the usual answer go in."""

    def __init__(self, sandbox: Sandbox, **turns: Turn) -> None:
        self._inner, self._turns = sandbox.transport(), turns
        self.bodies: list[Any] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rsplit("/", 1)[-1]
        turn = self._turns.get(name) if "/services/" in request.url.path else None
        if name == "start_job":
            self.bodies.append(json.loads(request.read()))
        if turn is None:
            return self._inner.handle_request(request)
        before = None if name == "start_job" else json.loads(self._inner.handle_request(request).read())
        given = turn(request, before)
        if given is None:
            return self._inner.handle_request(request)
        return httpx.Response(given[0], json=given[1])


def hire(
    sandbox: Sandbox, journal: Journal, name: str = "echo", data: Any = HELLO, **turns: Turn
) -> tuple[Receipt, Odd, ClockedBuyer]:
    buyer, odd = ClockedBuyer(sandbox, Budget("20 ADA"), journal), Odd(sandbox, **turns)
    buyer._http = Http(buyer.settings, transport=odd)
    return buyer.hire(sandbox.service(name).agent_identifier, data, patience_s=120), odd, buyer


def always(status: int, body: Any) -> Turn:
    return lambda request, before: (status, body)


AT_ONCE: list[tuple[Any, str]] = [
    ({"status": "completed", "result": "HELLO"}, "HELLO"),
    ({"success": True, "output": "HELLO"}, "HELLO"),
    ({"result": {"answer": 42}}, '{"answer": 42}'),
]


@pytest.mark.parametrize(("body", "result"), AT_ONCE)
def test_a_free_service_that_gives_the_result_at_once_has_delivered(
    sandbox: Sandbox, journal: Journal, body: Any, result: str
) -> None:
    told, odd, _ = hire(sandbox, journal, "free", start_job=always(200, body))
    assert (told.outcome, told.result, len(odd.bodies)) == ("completed", result, 1), told.reason
    assert told.paid == () and purchases(sandbox) == []


def test_a_paid_service_that_gives_the_result_without_terms_is_refused_and_its_result_is_kept(
    sandbox: Sandbox, journal: Journal
) -> None:
    told, _, _ = hire(sandbox, journal, start_job=always(200, {"status": "completed", "result": "HELLO"}))
    assert (told.outcome, told.result, told.paid, told.verified) == ("refused", "HELLO", (), None)
    assert "neither job nor payment terms" in told.reason and purchases(sandbox) == []
    assert told.where_the_money_is == "Nothing was paid."


@pytest.mark.parametrize("word", ["queued", "ok", "started"])
def test_a_word_of_state_is_no_result(sandbox: Sandbox, journal: Journal, word: str) -> None:
    told, _, _ = hire(sandbox, journal, "free", start_job=always(200, {"result": word}))
    assert (told.outcome, told.result) == ("refused", None)


def test_the_job_of_a_refused_offer_is_kept(sandbox: Sandbox, journal: Journal) -> None:
    told, _, _ = hire(sandbox, journal, start_job=always(200, {"job_id": "job-77", "payment_id": "pay-1"}))
    assert (told.outcome, told.job_id) == ("refused", "job-77") and "payment_id" in told.reason
    failed, _, _ = hire(
        sandbox, journal, data={"text": "b"}, start_job=always(200, {"id": "j-8", "status": "failed"})
    )
    assert (failed.outcome, failed.job_id) == ("refused", "j-8")


REFUSALS: list[tuple[int, Any]] = [
    (400, {"detail": {"message": "Validation failed", "field_errors": {"text": ["too plain"]}}}),
    (400, {"errors": {"text": "too plain"}}),
    (422, {"detail": [{"loc": ["body", "input_data", "text"], "msg": "too plain", "type": "value_error"}]}),
]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_what_a_service_says_of_each_field_is_kept(
    sandbox: Sandbox, journal: Journal, status: int, body: Any
) -> None:
    told, odd, _ = hire(sandbox, journal, start_job=always(status, body))
    assert told.outcome == "refused" and told.field_errors == {"text": ("too plain",)}
    assert "text: too plain" in told.reason and len(odd.bodies) == 1


def test_what_we_say_of_each_field_is_kept_too(sandbox: Sandbox, journal: Journal) -> None:
    told, odd, _ = hire(sandbox, journal, data={"text": "a\x00b"})
    assert told.outcome == "refused" and "NUL (U+0000)" in told.field_errors["text"][0] and odd.bodies == []


def test_an_unknown_status_word_is_an_answer_and_no_silence(sandbox: Sandbox, journal: Journal) -> None:
    words = ["hibernating"]

    def status(request: httpx.Request, before: Any) -> Given | None:
        return (200, {**before, "status": words[0], "result": None}) if words else None

    told, _, buyer = hire(sandbox, journal, status=status)
    assert told.outcome == "open" and told.progress == "hibernating"
    assert "hibernating, which is not known here" in told.reason
    for _ in range(8):  # half an hour and more
        sandbox.advance(5 * MINUTE)
        buyer.sweep()
    told = buyer.receipt(told.hire_id)
    assert told.open and "gives no answer" not in told.reason and "hibernating" in told.reason
    words.clear()
    done = buyer.resume(told.hire_id, patience_s=120)
    assert (done.outcome, done.result, done.reason) == ("completed", "HELLO", "")


def test_a_service_that_forgot_its_job_is_asked_on_and_the_money_comes_back(
    sandbox: Sandbox, journal: Journal
) -> None:
    forgot = always(200, {"status": "failed", "error": "Job 7 not found"})
    told, _, buyer = hire(sandbox, journal, status=forgot)
    assert told.outcome == "open" and "the job failed" not in told.reason
    assert told.on_chain_state in ("FundsLocked", "ResultSubmitted")
    sandbox.advance(10 * MINUTE)
    buyer.sweep()
    assert "Job 7 not found" in buyer.receipt(told.hire_id).reason


@pytest.mark.parametrize("body", ["not now", {"detail": "job_id is malformed"}])
def test_a_4xx_with_a_text_keeps_the_text_and_judges_nothing(
    sandbox: Sandbox, journal: Journal, body: Any
) -> None:
    told, _, buyer = hire(sandbox, journal, status=always(409, body))
    assert told.outcome == "open"
    sandbox.advance(10 * MINUTE)
    buyer.sweep()
    told = buyer.receipt(told.hire_id)
    assert told.open and (body if isinstance(body, str) else body["detail"]) in told.reason


LIST_WANTED: list[Any] = [
    {"detail": [{"type": "list_type", "loc": ["body", "input_data"], "msg": "Input should be a valid list"}]},
    {"error": "input_data must be a list of key and value"},
    {"message": "input_data must be an array of objects"},
]


@pytest.mark.parametrize("refusal", LIST_WANTED)
def test_a_422_that_wants_a_list_of_key_and_value_gets_it_once(
    sandbox: Sandbox, journal: Journal, refusal: Any
) -> None:
    def start(request: httpx.Request, before: Any) -> Given | None:
        return (422, refusal)

    told, odd, _ = hire(sandbox, journal, start_job=start)
    sent = [body["input_data"] for body in odd.bodies]
    assert sent == [{"text": "hello"}, [{"key": "text", "value": "hello"}]]
    assert told.outcome == "refused" and purchases(sandbox) == []


def test_a_list_of_one_field_is_not_taken_for_the_whole(sandbox: Sandbox, journal: Journal) -> None:
    refusal = {
        "detail": [{"type": "list_type", "loc": ["body", "input_data", "text"], "msg": "a valid list"}]
    }
    _, odd, _ = hire(sandbox, journal, start_job=always(422, refusal))
    assert len(odd.bodies) == 1


def schema(body: Any) -> Turn:
    return lambda request, before: (200, body)


def test_defaults_of_a_json_schema_are_sent(sandbox: Sandbox, journal: Journal) -> None:
    served = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "lang": {"type": "string", "default": "en"}},
        "required": ["text", "lang"],
    }
    told, odd, _ = hire(sandbox, journal, input_schema=schema(served))
    assert odd.bodies[0]["input_data"] == {"text": "hello", "lang": "en"}
    assert told.sent_input == {"text": "hello", "lang": "en"}


def test_defaults_that_were_left_out_are_sent_once_to_a_service_that_misses_them(
    sandbox: Sandbox, journal: Journal
) -> None:
    optional = [{"validation": "optional", "value": "true"}]
    served = {
        "input_data": [
            {"id": "text", "type": "string", "name": "Text"},
            {"id": "lang", "type": "string", "data": {"default": "en"}, "validations": optional},
        ]
    }
    refusal = {"detail": "Missing required field: lang"}
    _, odd, _ = hire(sandbox, journal, input_schema=schema(served), start_job=always(400, refusal))
    assert [body["input_data"] for body in odd.bodies] == [HELLO, {"lang": "en", **HELLO}]


EXAMPLES: list[Any] = [
    {"identifier_from_purchaser": "example", "input_data": {"text": "Hello world"}},
    {"input_data": {"text": "Hello world", "_comment": "any text"}},
    {"input_data": ["text"]},
    {"required_fields": ["text"]},
    {"input_data": [{"id": "hint", "type": "markdown", "name": "# Read"}, {"id": "text", "type": "string"}]},
]


@pytest.mark.parametrize("served", EXAMPLES)
def test_what_stands_in_the_place_of_a_schema_is_hired_by(
    sandbox: Sandbox, journal: Journal, served: Any
) -> None:
    told, odd, _ = hire(sandbox, journal, input_schema=schema(served))
    assert (told.outcome, told.result) == ("completed", "HELLO"), told.reason
    assert odd.bodies[0]["input_data"] == HELLO


OWN_PRICE = always(200, {"price": 5, "currency": "ADA", "wallet": "addr_test1qp"})


def test_a_price_in_a_form_of_its_own_is_named_with_what_was_seen(sandbox: Sandbox, journal: Journal) -> None:
    alone = replace(Settings.from_sandbox(sandbox), registry_url=None)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal, settings=alone)
    odd = Odd(sandbox, **{"payment-information": OWN_PRICE})
    buyer._http = Http(buyer.settings, transport=odd)
    target = sandbox.service("echo").url
    quoted = buyer.quote(target)
    assert "in a form of its own: price, currency, wallet" in (quoted.refusal or ""), quoted.refusal
    told = buyer.hire(target, HELLO, patience_s=30)
    assert told.outcome == "refused" and "price, currency, wallet" in told.reason and odd.bodies == []


def test_where_the_registry_lists_such_a_service_it_is_hired_at_that_price(
    sandbox: Sandbox, journal: Journal
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    buyer._http = Http(buyer.settings, transport=Odd(sandbox, **{"payment-information": OWN_PRICE}))
    told = buyer.hire(sandbox.service("echo").url, HELLO, patience_s=120)
    assert (told.outcome, told.paid_text) == ("completed", "1 ADA"), told.reason
    assert any("price, currency, wallet" in note for note in told.notes)
