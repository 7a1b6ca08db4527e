"""The sandbox as a whole: its object, its control routes, and the process that serves it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.sellers.prices import price_text, read_price
from masumi_tools.sandbox.wire import Request
from tests.sandbox.hiring import PlainBuyer

NAMES = ["echo", "echo-v2", "slow", "human", "failing", "silent", "liar", "greedy", "free"]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, seed=11) as made:
        yield made


def control(sandbox: Sandbox, method: str, path: str, body: object = None) -> httpx.Response:
    return httpx.request(method, sandbox.origin + "/_sandbox" + path, json=body)


def test_a_hire_of_echo_takes_about_a_second_of_real_time() -> None:
    with Sandbox(seed=5) as sandbox, httpx.Client() as client:
        buyer = PlainBuyer(sandbox, client)
        began = time.monotonic()
        started = buyer.start(sandbox.service("echo"), "hello")
        assert buyer.pay(started).status_code == 200
        while buyer.status(sandbox.service("echo"), started)["status"] != "completed":
            assert time.monotonic() - began < 5
            time.sleep(0.02)
        assert time.monotonic() - began < 2.5


def test_time_passes_by_itself_between_requests() -> None:
    with Sandbox(time_scale=100, seed=5) as sandbox, httpx.Client() as client:
        buyer = PlainBuyer(sandbox, client)
        started = buyer.start(sandbox.service("echo"), "hello")
        buyer.pay(started)
        until = time.monotonic() + 5
        while not (rows := sandbox.world.payments) or rows[0].result_hash in (None, ""):
            assert time.monotonic() < until
            time.sleep(0.01)


def test_every_answer_tells_the_sandboxes_time_and_the_clock_can_be_moved(sandbox: Sandbox) -> None:
    now = sandbox.now_ms()
    assert control(sandbox, "POST", "/clock", {"advance_ms": 90_000}).json() == {"now_ms": now + 90_000}
    for url in (
        sandbox.node_url + "/health",
        sandbox.node_url + "/nope",
        sandbox.registry_url + "/health",
        sandbox.service("echo").url + "/availability",
        sandbox.origin + "/_sandbox",
        sandbox.origin + "/elsewhere",
    ):
        assert httpx.get(url).headers["sandbox-now"] == str(now + 90_000), url


@pytest.mark.parametrize(
    "body", [{}, {"advance_ms": -1}, {"advance_ms": "5"}, {"advance_ms": True}, [], None]
)
def test_the_clock_refuses_what_is_no_step_forward(sandbox: Sandbox, body: object) -> None:
    answered = control(sandbox, "POST", "/clock", body)
    assert answered.status_code == 400
    assert answered.json()["error"].endswith(".")


def test_services_by_name(sandbox: Sandbox) -> None:
    assert [service.name for service in sandbox.services] == NAMES
    echo = sandbox.service("echo")
    assert echo.price == "1 ADA"
    assert echo.url == f"{sandbox.origin}/services/echo"
    assert echo.agent_identifier.startswith("7e8bdaf2")
    assert sandbox.service("echo-v2").source_type == "Web3CardanoV2"
    with pytest.raises(KeyError):
        sandbox.service("nobody")


def test_the_registrys_health_check_finds_registered_services_up(sandbox: Sandbox) -> None:
    sandbox.register_service("mine", "http://127.0.0.1:5/api", "1 ADA")
    asked = {"network": "Preprod", "limit": 50, "minHealthCheckDate": "2099-01-01"}
    answered = httpx.post(
        sandbox.registry_url + "/registry-entry", json=asked, headers={"token": sandbox.token}
    )
    found = {entry["apiBaseUrl"]: entry["status"] for entry in answered.json()["data"]["entries"]}
    assert found["http://127.0.0.1:5/api"] == found[sandbox.service("echo").url] == "Online"


def test_info_names_the_routes_and_the_ready_file_fields(sandbox: Sandbox) -> None:
    info = control(sandbox, "GET", "").json()
    assert {"node_url", "registry_url", "token", "services"} <= set(info)
    assert info["services"][0] == {
        "name": "echo",
        "agent_identifier": sandbox.service("echo").agent_identifier,
        "url": sandbox.service("echo").url,
        "price": "1 ADA",
    }
    assert control(sandbox, "GET", "/nope").status_code == 404


def test_the_ledger_shows_rows_with_their_history_and_the_wallets(sandbox: Sandbox) -> None:
    with httpx.Client() as client:
        buyer = PlainBuyer(sandbox, client)
        started = buyer.start(sandbox.service("echo"))
        buyer.pay(started)
        sandbox.advance(5000)
        ledger = control(sandbox, "GET", "/ledger").json()
    assert {"payments", "purchases", "wallets"} <= set(ledger)
    (purchase,) = ledger["purchases"]
    (payment,) = ledger["payments"]
    assert purchase["blockchainIdentifier"] == payment["blockchainIdentifier"]
    assert purchase["onChainState"] == payment["onChainState"] == "ResultSubmitted"
    assert purchase["ActionHistory"] and payment["ActionHistory"]
    buying = next(w for w in ledger["wallets"].values() if w["walletVkey"] == purchase_wallet(purchase))
    assert (buying["type"], buying["paymentSourceType"]) == ("Purchasing", "Web3CardanoV1")
    assert {"amount": "1000000", "unit": ""} in purchase["PaidFunds"]


def purchase_wallet(purchase: dict[str, Any]) -> str:
    return str(purchase["SmartContractWallet"]["walletVkey"])


def test_a_service_that_runs_elsewhere_can_be_registered_and_paid(sandbox: Sandbox) -> None:
    made = control(
        sandbox,
        "POST",
        "/services",
        {
            "name": "mine",
            "url": "http://127.0.0.1:5/api",
            "price": "1.5 ADA + 2 tUSDM",
            "metadata_version": 1,
        },
    ).json()
    assert made["price"] == "1.5 ADA + 2 tUSDM"
    listed = httpx.get(
        sandbox.registry_url + "/payment-information",
        params={"agentIdentifier": made["agent_identifier"]},
        headers={"token": sandbox.token},
    ).json()["data"]
    assert listed["sellerWallet"]["vkey"] == made["seller_vkey"]
    assert listed["apiBaseUrl"] == "http://127.0.0.1:5/api"
    now = sandbox.now_ms()
    ordered = httpx.post(
        sandbox.node_url + "/payment",
        json={
            "network": made["network"],
            "agentIdentifier": made["agent_identifier"],
            "inputHash": "ab" * 32,
            "identifierFromPurchaser": "ab" * 10,
            "payByTime": iso(now + 1_200_000),
            "submitResultTime": iso(now + 3_600_000),
        },
        headers={"token": made["token"]},
    )
    assert ordered.status_code == 200, ordered.text
    assert ordered.json()["data"]["SmartContractWallet"]["walletVkey"] == made["seller_vkey"]


def iso(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"


def test_free_dynamic_and_v2_services_can_be_registered(sandbox: Sandbox) -> None:
    free = sandbox.register_service("f", "http://127.0.0.1:5/f")
    assert (free.pricing_type, free.price) == ("Free", "free")
    dynamic = sandbox.register_service("d", "http://127.0.0.1:5/d", pricing_type="Dynamic")
    assert (dynamic.pricing_type, dynamic.price) == ("Dynamic", "dynamic")
    newer = sandbox.register_service("n", "http://127.0.0.1:5/n", "1 ADA", metadata_version=2)
    assert newer.source_type == "Web3CardanoV2"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"name": "", "url": "http://127.0.0.1:5"},
        {"name": "x", "url": "ftp://127.0.0.1", "price": "1 ADA"},
        {"name": "x", "url": "http://127.0.0.1", "price": "1,5 ADA"},
        {"name": "x", "url": "http://127.0.0.1", "price": "1 EUR"},
        {"name": "x", "url": "http://127.0.0.1", "price": 5},
        {"name": "x", "url": "http://127.0.0.1", "price": "1 ADA", "pricing_type": "Free"},
        {"name": "x", "url": "http://127.0.0.1", "pricing_type": "Fixed"},
        {"name": "x", "url": "http://127.0.0.1", "pricing_type": "Odd"},
        {"name": "x", "url": "http://127.0.0.1", "metadata_version": 3},
        {"name": "echo", "url": "http://127.0.0.1", "price": "1 ADA"},
        {"name": "x", "url": "http://127.0.0.1", "pric": "1 ADA"},
        {"name": "x", "url": "http://127.0.0.1", "tags": "t"},
    ],
)
def test_a_registration_that_makes_no_sense_gets_one_sentence(sandbox: Sandbox, body: object) -> None:
    answered = control(sandbox, "POST", "/services", body)
    assert answered.status_code == 400
    assert answered.json()["error"].endswith(".")
    assert len(sandbox.services) == len(NAMES)


def test_faults_are_armed_shown_and_cleared_over_http(sandbox: Sandbox) -> None:
    armed = control(sandbox, "POST", "/faults", {"on": "GET /status", "do": "hang", "service": "echo"}).json()
    assert armed["faults"] == [
        {"on": "GET /status", "do": "hang", "times": 1, "after": 0, "service": "echo"},
    ]
    assert control(sandbox, "GET", "/faults").json() == armed
    assert control(sandbox, "DELETE", "/faults").json() == {"faults": []}
    refused = control(sandbox, "POST", "/faults", {"on": "*", "do": "explode"})
    assert refused.status_code == 400 and "'do'" in refused.json()["error"]


def test_the_log_names_who_was_asked_what(sandbox: Sandbox) -> None:
    httpx.get(sandbox.node_url + "/health")
    httpx.get(sandbox.service("echo").url + "/availability")
    control(sandbox, "GET", "/ledger")
    assert [(seen.to, seen.method, seen.path, seen.status) for seen in sandbox.requests] == [
        ("node", "GET", "/health", 200),
        ("echo", "GET", "/availability", 200),
    ]
    assert len(control(sandbox, "GET", "/requests").json()["requests"]) == 2


def test_an_address_with_the_base_path_twice_means_the_same_node(sandbox: Sandbox) -> None:
    assert httpx.get(sandbox.node_url + "/api/v1/health").json()["data"] == {"status": "ok"}
    assert httpx.get(sandbox.node_url + "/_sandbox/ledger").status_code == 200


def test_two_sandboxes_of_one_seed_and_clock_are_alike_and_others_are_not() -> None:
    def identifiers(seed: int) -> list[str]:
        return [s.agent_identifier for s in Sandbox(manual_clock=True, seed=seed, listen=False).services]

    assert identifiers(1) == identifiers(1) != identifiers(2)


def test_many_threads_may_drive_one_sandbox() -> None:
    with Sandbox(seed=9) as sandbox:
        ended: list[str] = []

        def hire() -> None:
            with httpx.Client() as client:
                buyer = PlainBuyer(sandbox, client)
                started = buyer.start(sandbox.service("echo"))
                assert buyer.pay(started).status_code == 200
                until = time.monotonic() + 20
                while time.monotonic() < until:
                    shown = buyer.status(sandbox.service("echo"), started)
                    if shown["status"] == "completed":
                        ended.append(shown["result"])
                        return
                    time.sleep(0.05)

        threads = [threading.Thread(target=hire) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ended == ["HELLO"] * 8


def test_prices_read_and_write() -> None:
    for text in ("1 ADA", "1.5 ADA", "0.000001 ADA", "5 tUSDM", "1 ADA + 2.5 tUSDM"):
        assert price_text(read_price(text)) == text
    for text in (
        "",
        "1",
        "ADA",
        "1,5 ADA",
        "-1 ADA",
        "0 ADA",
        "0.0000001 ADA",
        "nan ADA",
        "inf ADA",
        "1 EUR",
    ):
        with pytest.raises(ValueError, match="A price reads"):
            read_price(text)


def ready(path: Path, process: subprocess.Popen[str]) -> dict[str, object]:
    until = time.monotonic() + 20
    while not path.exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    read: dict[str, object] = json.loads(path.read_text())
    return read


def test_the_process_tells_where_it_is_and_ends_on_sigterm(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "masumi_tools.sandbox", "--ready-file", str(file), "--time-scale", "10"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        told = ready(file, process)
        assert set(told) == {"node_url", "registry_url", "token", "services"}
        assert httpx.get(f"{told['node_url']}/health").json()["data"] == {"status": "ok"}
        assert list(tmp_path.iterdir()) == [file]
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 0
    assert errors == ""
    assert f"MASUMI_NODE_URL={told['node_url']}" in out and "echo" in out


def test_a_taken_port_is_one_sentence_and_status_1(sandbox: Sandbox) -> None:
    port = sandbox.origin.rpartition(":")[2]
    ended = subprocess.run(
        [sys.executable, "-m", "masumi_tools.sandbox", "--port", port],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("The sandbox cannot start: ") and "Traceback" not in ended.stderr


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
words = (
    "job_id",
    "input_data",
    "identifier_from_purchaser",
    "status_id",
    "input_schema_hash",
    "network",
    "filter",
)
words += ("name", "url", "price", "on", "do", "times", "advance_ms", "text", "query", "limit", "cursorId")
bodies = st.dictionaries(st.sampled_from(words), json_values, max_size=6) | json_values


@given(
    path=st.sampled_from(
        (
            *("/services/echo/start_job", "/services/human/provide_input", "/services/echo/status"),
            *("/registry/api/v1/registry-entry", "/registry/api/v1/registry-entry-search"),
            *("/registry/api/v1/registry-diff", "/_sandbox/services", "/_sandbox/faults", "/_sandbox/clock"),
        )
    ),
    body=bodies,
)
def test_no_body_makes_the_sandbox_stumble(path: str, body: object) -> None:
    sandbox = Sandbox(manual_clock=True, seed=1, listen=False)
    headers = {"content-type": "application/json", "token": sandbox.token}
    sent = json.dumps(body).encode()
    answer = sandbox.exchange(Request("POST", path, {}, headers, sent))
    assert answer.response is not None
    assert answer.response.status < 500, answer.response.body


def test_a_latency_passes_on_a_clock_that_is_moved_by_hand() -> None:
    with Sandbox(manual_clock=True, listen=False, seed=1, latency_ms=150) as slow:
        before = slow.now_ms()
        with httpx.Client(transport=slow.transport()) as client:
            answer = client.get(f"{slow.node_url}/health")
        assert slow.now_ms() - before == 150
        assert int(answer.headers["sandbox-now"]) == before + 150
        assert slow.requests[-1].at_ms == before + 75
