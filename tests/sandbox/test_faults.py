"""Faults on order, seen over sockets and over the in-process transport alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.faults import Faults, Place
from tests.sandbox.hiring import PlainBuyer

NODE = Place("node", "node", "/purchase")


@pytest.fixture(params=["sockets", "in process"])
def buyer(request: pytest.FixtureRequest) -> Iterator[PlainBuyer]:
    sockets = request.param == "sockets"
    with Sandbox(manual_clock=True, seed=3, listen=sockets) as sandbox:
        transport = None if sockets else sandbox.transport()
        with httpx.Client(transport=transport, timeout=2) as client:
            yield PlainBuyer(sandbox, client)


def purchases(buyer: PlainBuyer) -> int:
    return len(buyer.sandbox.ledger()["purchases"])


@pytest.mark.parametrize(
    ("do", "committed"),
    [
        ("drop-request", False),
        ("drop-reply", True),
        ("error-500", False),
        ("error-500-after-commit", True),
        ("html-502", False),
        ("rate-limit", False),
        ("garbage", True),
        ("wrong-content-type", True),
        ("hang", True),
        ("delay", True),
    ],
)
def test_a_fault_hits_once_and_the_money_is_where_it_says(
    buyer: PlainBuyer, do: str, committed: bool
) -> None:
    started = buyer.start(buyer.sandbox.service("echo"))
    buyer.sandbox.arm({"on": "POST /purchase", "do": do, "retry_after_s": 7, "delay_ms": 50})
    outcome: Any
    try:
        outcome = buyer.client.post(
            buyer.sandbox.node_url + "/purchase",
            json={"network": "Preprod", **buyer.purchase_body(started)},
            headers={"token": buyer.sandbox.token},
            timeout=0.4,
        )
    except httpx.TransportError as error:
        outcome = error
    assert purchases(buyer) == int(committed)
    match do:
        case "drop-request" | "drop-reply":
            assert isinstance(outcome, httpx.ReadError)
        case "hang":
            assert isinstance(outcome, httpx.ReadTimeout)
        case "error-500" | "error-500-after-commit":
            assert outcome.status_code == 500
            assert outcome.json() == {"status": "error", "error": {"message": "Internal Server Error"}}
        case "html-502":
            assert (outcome.status_code, outcome.headers["content-type"]) == (502, "text/html")
        case "rate-limit":
            assert (outcome.status_code, outcome.headers["retry-after"]) == (429, "7")
        case "garbage":
            assert outcome.status_code == 200
            assert outcome.headers["content-type"].startswith("application/json")
            with pytest.raises(ValueError):
                outcome.json()
        case "wrong-content-type":
            assert outcome.headers["content-type"].startswith("text/html")
            assert outcome.json()["status"] == "success"
        case "delay":
            assert outcome.json()["status"] == "success"
    if isinstance(outcome, httpx.Response):
        assert int(outcome.headers["sandbox-now"]) == buyer.sandbox.now_ms()
    again = buyer.pay(started)
    assert again.status_code == (409 if committed else 200)
    assert purchases(buyer) == 1


def test_a_delay_beyond_the_clients_patience_is_a_time_out(buyer: PlainBuyer) -> None:
    buyer.sandbox.arm({"on": "GET /availability", "do": "delay", "delay_ms": 5000})
    with pytest.raises(httpx.ReadTimeout):
        buyer.client.get(buyer.sandbox.service("echo").url + "/availability", timeout=0.1)


def test_a_delay_is_waited_for(buyer: PlainBuyer) -> None:
    buyer.sandbox.arm({"on": "GET /availability", "do": "delay", "delay_ms": 200})
    began = time.monotonic()
    assert buyer.client.get(buyer.sandbox.service("echo").url + "/availability").status_code == 200
    assert time.monotonic() - began >= 0.2


async def test_the_async_side_of_the_transport_meets_the_same_faults() -> None:
    with Sandbox(manual_clock=True, listen=False) as sandbox:
        url = sandbox.service("echo").url + "/availability"
        async with httpx.AsyncClient(transport=sandbox.transport()) as client:
            assert (await client.get(url)).json()["status"] == "available"
            for do, error in (("drop-reply", httpx.ReadError), ("hang", httpx.ReadTimeout)):
                sandbox.arm({"on": "*", "do": do})
                with pytest.raises(error):
                    await client.get(url)
            sandbox.arm({"on": "*", "do": "delay", "delay_ms": 50})
            began = time.monotonic()
            assert (await client.get(url)).status_code == 200
            assert time.monotonic() - began >= 0.05
            with pytest.raises(httpx.ConnectError):
                await client.get("http://127.0.0.1:2/api/v1/health")


def test_concurrent_duplicates_can_end_in_500_as_on_the_node(buyer: PlainBuyer) -> None:
    started = buyer.start(buyer.sandbox.service("echo"))
    buyer.sandbox.arm({"on": "POST /purchase", "do": "conflict-500", "times": 2})
    statuses = [buyer.pay(started).status_code for _ in range(4)]
    assert statuses == [200, 500, 500, 409]
    assert purchases(buyer) == 1


def test_a_fault_of_a_service_is_told_in_the_words_of_its_framework(buyer: PlainBuyer) -> None:
    buyer.sandbox.arm({"on": "GET /availability", "do": "error-500"})
    answered = buyer.client.get(buyer.sandbox.service("echo").url + "/availability")
    assert (answered.status_code, answered.json()) == (500, {"detail": "Internal Server Error"})


def test_control_routes_are_never_hit(buyer: PlainBuyer) -> None:
    buyer.sandbox.arm({"on": "*", "do": "error-500", "times": 5})
    assert buyer.client.get(buyer.sandbox.origin + "/_sandbox").status_code == 200


def taken(orders: list[dict[str, Any]], exchanges: list[tuple[str, Place]]) -> list[str | None]:
    faults = Faults()
    for order in orders:
        faults.arm(order)
    return [fault.do if (fault := faults.take(*exchange)) else None for exchange in exchanges]


def test_after_skips_and_times_counts() -> None:
    order = {"on": "POST /purchase", "do": "error-500", "after": 2, "times": 2}
    hit = "error-500"
    assert taken([order], [("POST", NODE)] * 6) == [None, None, hit, hit, None, None]


def test_faults_are_spent_in_the_order_in_which_they_were_armed() -> None:
    orders = [{"on": "POST /purchase", "do": "hang"}, {"on": "* *", "do": "garbage", "times": 2}]
    assert taken(orders, [("POST", NODE)] * 4) == ["hang", "garbage", "garbage", None]


@pytest.mark.parametrize(
    ("on", "method", "place", "hit"),
    [
        ("POST /purchase", "POST", NODE, True),
        ("post /purchase/", "POST", NODE, True),
        ("/purchase", "POST", NODE, True),
        ("POST /api/v1/purchase", "POST", NODE, True),
        ("*", "POST", NODE, True),
        ("POST /pur*", "POST", NODE, True),
        ("GET /purchase", "POST", NODE, False),
        ("POST /purchase", "POST", Place("node", "node", "/purchase/request-refund"), False),
        ("POST /purchase*", "POST", Place("node", "node", "/purchase/request-refund"), True),
        ("GET /status", "GET", Place("service", "echo", "/status"), True),
        ("POST /registry-entry", "POST", Place("registry", "registry", "/registry-entry"), True),
        ("*", "GET", Place("control", "control", "/_sandbox"), False),
        ("*", "GET", Place("none", "", "/x"), False),
    ],
)
def test_on_names_a_route(on: str, method: str, place: Place, hit: bool) -> None:
    assert (taken([{"on": on, "do": "hang"}], [(method, place)]) == ["hang"]) is hit


def test_service_narrows_a_fault_to_one_side() -> None:
    echo = Place("service", "echo", "/payment-information")
    listing = Place("registry", "registry", "/payment-information")
    for service, place, other in (("echo", echo, listing), ("registry", listing, echo)):
        order = {"on": "GET /payment-information", "do": "hang", "service": service}
        assert taken([order], [("GET", other), ("GET", place)]) == [None, "hang"]


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ({}, "'on'"),
        ({"on": "", "do": "hang"}, "'on'"),
        ({"on": 3, "do": "hang"}, "'on'"),
        ({"on": "POST purchase", "do": "hang"}, "METHOD /path"),
        ({"on": "POST /a /b", "do": "hang"}, "METHOD /path"),
        ({"on": "*"}, "'do' is one of"),
        ({"on": "*", "do": "explode"}, "'do' is one of"),
        ({"on": "*", "do": "hang", "times": 0}, "'times'"),
        ({"on": "*", "do": "hang", "times": True}, "'times'"),
        ({"on": "*", "do": "hang", "after": -1}, "'after'"),
        ({"on": "*", "do": "delay", "delay_ms": "5"}, "'delay_ms'"),
        ({"on": "*", "do": "hang", "service": 5}, "'service'"),
        ({"on": "*", "do": "hang", "probability": 1}, "'probability'"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_a_sentence(order: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match="'") as caught:
        Faults().arm(order)
    assert text in str(caught.value)
