"""Requests to services: where they go and which bytes they carry."""

from __future__ import annotations

import json

import pytest

from masumi_tools.calls import service
from masumi_tools.errors import InputError
from masumi_tools.models import read_status

NONCE = "a1b2c3d4e5f60718293a"


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://seller.example", "https://seller.example/availability"),
        ("https://seller.example/", "https://seller.example/availability"),
        ("https://seller.example//", "https://seller.example/availability"),
        ("https://seller.example/agents/slug/", "https://seller.example/agents/slug/availability"),
        ("https://seller.example:8443/sumi/a/b", "https://seller.example:8443/sumi/a/b/availability"),
    ],
)
def test_the_base_path_is_kept(base: str, url: str) -> None:
    call = service.availability(base)
    assert (call.name, call.method, call.url, call.to) == ("GET /availability", "GET", url, "service")


@pytest.mark.parametrize(
    "base", ["https://s.example/?token=1", "https://s.example/#x", "https://s.example?", "https://s.example#"]
)
def test_a_base_with_query_or_fragment_is_refused(base: str) -> None:
    with pytest.raises(InputError, match="no query or fragment"):
        service.start_job(base, {})


def test_every_route() -> None:
    base = "https://s.example/x"
    calls = [
        service.payment_information(base),
        service.input_schema(base),
        service.demo(base),
        service.start_job(base, {}),
        service.status(base, "a b&c"),
    ]
    assert [(call.name, call.url) for call in calls] == [
        ("GET /payment-information", f"{base}/payment-information"),
        ("GET /input_schema", f"{base}/input_schema"),
        ("GET /demo", f"{base}/demo"),
        ("POST /start_job", f"{base}/start_job"),
        ("GET /status", f"{base}/status?job_id=a+b%26c"),
    ]


def test_start_job_waits_longer_than_a_minute_and_sends_the_standards_names() -> None:
    call = service.start_job("https://s.example", service.start_body(NONCE, {"text": "ü"}))
    assert call.body == f'{{"identifier_from_purchaser":"{NONCE}","input_data":{{"text":"ü"}}}}'.encode()
    assert call.timeout_s >= 60
    assert service.start_body(None, {}) == {"input_data": {}}


def test_an_answer_carries_what_each_dialect_wants() -> None:
    asked = read_status(
        {
            "status": "awaiting_input",
            "id": "state-1",
            "input_schema": {"input_data": [{"id": "a", "type": "text"}]},
        }
    )
    call = service.provide_input("https://s.example", "job 1", {"a": "yes"}, asked, token="t")
    assert call.url == "https://s.example/provide_input?job_id=job+1" and call.body is not None
    body = json.loads(call.body)
    assert body == {
        "job_id": "job 1",
        "status_id": "state-1",
        "input_schema_hash": service.schema_hash(asked.input_schema),
        "continuationToken": "t",
        "input_data": {"a": "yes"},
    }
    inner = service.provide_input("https://s.example", "job 1", {"a": "yes"}, asked, inner=True)
    assert inner.body is not None
    assert json.loads(inner.body)["input_schema_hash"] == service.schema_hash([{"id": "a", "type": "text"}])


def test_an_answer_without_schema_or_status_id_names_neither() -> None:
    call = service.provide_input("https://s.example", "j", {}, read_status({"status": "awaiting_input"}))
    assert call.body == b'{"job_id":"j","input_data":{}}'


def test_the_schema_hash_is_over_the_whole_object_or_its_inner_list() -> None:
    """The published example of protocol S6, in its three forms."""
    field = {"id": "answer", "name": "Answer", "type": "string"}
    whole = {"input_data": [field]}
    assert service.schema_hash(whole).startswith("fec4fc55")  # type: ignore[union-attr]
    assert service.schema_hash(whole, inner=True).startswith("92fca5d8")  # type: ignore[union-attr]
    assert service.schema_hash([field]) == service.schema_hash(whole, inner=True)
    assert service.schema_hash({"input_data": [{"x": 2**60}]}) is None
    assert service.schema_hash({"input_data": [{"x": "\ud800"}]}) is None
    assert service.schema_hash(None) is None
