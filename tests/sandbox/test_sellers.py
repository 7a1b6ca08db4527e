"""The sample services: each one's part in a hire, seen by a plain buyer over the wire."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import httpx
import pytest

from masumi_tools.sandbox import Sandbox
from tests.sandbox.hiring import NONCE, PlainBuyer, result_hash

MINUTE = 60_000


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, seed=7, listen=False) as made:
        yield made


@pytest.fixture
def buyer(sandbox: Sandbox) -> Iterator[PlainBuyer]:
    with httpx.Client(transport=sandbox.transport()) as client:
        yield PlainBuyer(sandbox, client)


@pytest.mark.parametrize("name", ["echo", "echo-v2", "slow"])
def test_work_that_is_done_is_submitted_and_handed_out(
    sandbox: Sandbox, buyer: PlainBuyer, name: str
) -> None:
    service = sandbox.service(name)
    text = 'line one\n"two" \\ ü'
    started = buyer.start(service, text)
    assert started["id"] == started["job_id"]
    assert started["agentIdentifier"] == service.agent_identifier
    assert started["sellerVKey"] == service.seller_vkey
    assert buyer.status(service, started)["status"] == "awaiting_payment"
    assert buyer.pay(started).status_code == 200
    while buyer.purchase(started)["onChainState"] is None:
        sandbox.advance(20)
    assert buyer.purchase(started)["onChainState"] == "FundsLocked"
    sandbox.advance(4000)
    shown = buyer.status(service, started)
    assert (shown["status"], shown["result"]) == ("completed", text.upper())
    purchase = buyer.purchase(started)
    assert purchase["onChainState"] == "ResultSubmitted"
    assert purchase["resultHash"] == result_hash(text.upper())
    assert purchase["PaidFunds"] == [{"amount": "1000000", "unit": ""}]


def test_the_input_hash_is_that_of_mip_004(sandbox: Sandbox, buyer: PlainBuyer) -> None:
    started = buyer.start(sandbox.service("echo"), "ü", b=[1, {"z": None, "a": True}])
    canonical = '{"b":[1,{"a":true,"z":null}],"text":"ü"}'
    assert started["input_hash"] == hashlib.sha256((NONCE + ";" + canonical).encode()).hexdigest()
    assert started["inputHash"] == started["input_hash"]


def test_the_times_are_whole_milliseconds_and_leave_room(sandbox: Sandbox, buyer: PlainBuyer) -> None:
    now = sandbox.now_ms()
    started = buyer.start(sandbox.service("echo"))
    assert started["payByTime"] == now + 20 * MINUTE
    assert started["submitResultTime"] == now + 60 * MINUTE
    assert started["unlockTime"] == now + 7 * 60 * MINUTE
    assert started["externalDisputeUnlockTime"] == now + 13 * 60 * MINUTE


def test_slow_takes_as_long_as_it_is_asked_to(sandbox: Sandbox, buyer: PlainBuyer) -> None:
    service = sandbox.service("slow")
    started = buyer.start(service, seconds=600)
    buyer.pay(started)
    sandbox.advance(9 * MINUTE)
    assert buyer.status(service, started)["status"] == "running"
    sandbox.advance(2 * MINUTE)
    assert buyer.status(service, started)["status"] == "completed"


def test_human_asks_and_goes_on_with_the_answer(sandbox: Sandbox, buyer: PlainBuyer) -> None:
    service = sandbox.service("human")
    started = buyer.start(service)
    buyer.pay(started)
    sandbox.advance(1000)
    shown = buyer.status(service, started)
    assert shown["status"] == "awaiting_input"
    assert [field["id"] for field in shown["input_schema"]["input_data"]] == ["approve", "comment"]
    sandbox.advance(5 * MINUTE)
    assert buyer.status(service, started) == shown

    def provide(**body: object) -> httpx.Response:
        whole = {"job_id": started["job_id"], "status_id": shown["id"], **body}
        return buyer.client.post(service.url + "/provide_input", json=whole)

    wrong = provide(input_data={"approve": "yes"})
    assert wrong.status_code == 400
    assert list(wrong.json()["detail"]["field_errors"]) == ["approve"]
    assert provide(input_data={"approve": True}, status_id="other").status_code == 400
    assert provide(input_data={"approve": True}, input_schema_hash="0" * 64).status_code == 400
    taken = provide(input_data={"approve": True, "comment": "thanks"})
    assert taken.status_code == 200
    canonical = NONCE + ';{"approve":true,"comment":"thanks"}'
    assert taken.json()["input_hash"] == hashlib.sha256(canonical.encode()).hexdigest()
    assert provide(input_data={"approve": True}).status_code == 400
    sandbox.advance(1000)
    done = buyer.status(service, started)
    assert (done["status"], done["result"]) == ("completed", "HELLO\nthanks")
    assert buyer.purchase(started)["resultHash"] == result_hash("HELLO\nthanks")


def test_failing_reports_why_and_submits_nothing(sandbox: Sandbox, buyer: PlainBuyer) -> None:
    service = sandbox.service("failing")
    started = buyer.start(service)
    buyer.pay(started)
    sandbox.advance(2000)
    shown = buyer.status(service, started)
    assert (shown["status"], shown["result"]) == ("failed", None)
    assert "always fails" in shown["error"]
    assert buyer.purchase(started)["resultHash"] is None


def test_silent_keeps_running_until_the_money_is_back(sandbox: Sandbox, buyer: PlainBuyer) -> None:
    service = sandbox.service("silent")
    started = buyer.start(service)
    assert started["submitResultTime"] == sandbox.now_ms() + 30 * MINUTE
    buyer.pay(started)
    sandbox.advance(29 * MINUTE)
    assert buyer.status(service, started)["status"] == "running"
    assert buyer.purchase(started)["onChainState"] == "FundsLocked"
    sandbox.advance(15 * MINUTE)
    assert buyer.purchase(started)["onChainState"] == "RefundWithdrawn"
    assert buyer.status(service, started)["status"] == "running"


def test_liar_hands_out_another_text_than_it_submitted(sandbox: Sandbox, buyer: PlainBuyer) -> None:
    service = sandbox.service("liar")
    started = buyer.start(service)
    buyer.pay(started)
    sandbox.advance(2000)
    shown = buyer.status(service, started)
    assert (shown["status"], shown["result"]) == ("completed", "HELLO")
    assert buyer.purchase(started)["resultHash"] not in (None, result_hash("HELLO"))


def test_greedy_is_listed_at_two_and_takes_ten_from_who_does_not_look(
    sandbox: Sandbox, buyer: PlainBuyer
) -> None:
    service = sandbox.service("greedy")
    listed = buyer.client.get(
        sandbox.registry_url + "/payment-information",
        params={"agentIdentifier": service.agent_identifier},
        headers={"token": sandbox.token},
    ).json()["data"]
    assert listed["AgentPricing"] == {
        "pricingType": "Fixed",
        "FixedPricing": {"Amounts": [{"amount": "2000000", "unit": "lovelace"}]},
    }
    assert buyer.client.get(service.url + "/payment-information").json()["data"] == listed
    started = buyer.start(service)
    assert started["amounts"] == [{"amount": "10000000", "unit": "lovelace"}]
    assert buyer.pay(started).status_code == 400
    assert buyer.pay(started, Amounts=[{"amount": "2000000", "unit": ""}]).status_code == 400
    assert sandbox.ledger()["purchases"] == []
    assert buyer.pay(started, Amounts=started["amounts"]).status_code == 200
    assert buyer.purchase(started)["PaidFunds"] == [{"amount": "10000000", "unit": ""}]


def test_free_works_without_a_payment_and_without_an_identifier(sandbox: Sandbox, buyer: PlainBuyer) -> None:
    service = sandbox.service("free")
    started = buyer.start(service, "Lisbon")
    assert "blockchainIdentifier" not in started
    assert started["status"] == "running"
    sandbox.advance(1000)
    assert "Lisbon" in buyer.status(service, started)["result"]
    unnamed = buyer.client.post(service.url + "/start_job", json={"input_data": {"text": "Rome"}})
    assert unnamed.status_code == 200
    assert sandbox.ledger()["payments"] == []


def test_a_job_that_was_never_paid_does_not_run(sandbox: Sandbox, buyer: PlainBuyer) -> None:
    service = sandbox.service("echo")
    started = buyer.start(service)
    sandbox.advance(15 * MINUTE)
    assert buyer.status(service, started)["status"] == "awaiting_payment"
    sandbox.advance(15 * MINUTE)
    assert buyer.status(service, started)["status"] in ("awaiting_payment", "failed")
    assert buyer.status(service, started)["result"] is None


def test_a_refund_before_the_work_is_done_ends_in_a_dispute_with_the_result(
    sandbox: Sandbox, buyer: PlainBuyer
) -> None:
    service = sandbox.service("slow")
    started = buyer.start(service, seconds=60)
    buyer.pay(started)
    sandbox.advance(1000)
    identifier = {"blockchainIdentifier": started["blockchainIdentifier"]}
    assert buyer.node("/purchase/request-refund", identifier).status_code == 200
    sandbox.advance(30_000)
    assert buyer.purchase(started)["onChainState"] == "RefundRequested"
    sandbox.advance(30 * MINUTE)
    assert buyer.status(service, started)["status"] == "completed"
    assert buyer.purchase(started)["onChainState"] == "Disputed"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"input_data": {"text": "x"}}, 422, "identifier_from_purchaser"),
        ({"identifier_from_purchaser": "resume-job-123", "input_data": {"text": "x"}}, 400, "hex"),
        ({"identifier_from_purchaser": "abc" * 5, "input_data": {"text": "x"}}, 400, "hex"),
        ({"identifier_from_purchaser": "ab" * 14, "input_data": {"text": "x"}}, 400, "hex"),
        ({"identifier_from_purchaser": NONCE}, 422, "input_data"),
        ({"identifier_from_purchaser": NONCE, "input_data": [1]}, 422, "input_data"),
        ({"identifier_from_purchaser": NONCE, "input_data": {}}, 400, "Required field 'text' is missing"),
        ({"identifier_from_purchaser": NONCE, "input_data": {"text": 5}}, 400, "must be text"),
        ({"identifier_from_purchaser": NONCE, "input_data": {"text": "x", "big": 2**60}}, 400, "canonical"),
        ([1], 422, "object"),
    ],
)
def test_start_job_says_what_is_wrong_and_orders_no_payment(
    sandbox: Sandbox, buyer: PlainBuyer, body: object, status: int, text: str
) -> None:
    answered = buyer.client.post(sandbox.service("echo").url + "/start_job", json=body)
    assert answered.status_code == status
    assert text in answered.text
    assert sandbox.ledger()["payments"] == []


def test_what_is_not_there_is_said(sandbox: Sandbox, buyer: PlainBuyer) -> None:
    base = sandbox.service("echo").url
    for method, path, status in (
        ("GET", "/status?job_id=nope", 404),
        ("GET", "/status", 422),
        ("GET", "/start_job", 405),
        ("POST", "/availability", 405),
        ("GET", "/nope", 404),
        ("POST", "/provide_input", 422),
    ):
        assert buyer.client.request(method, base + path).status_code == status, (method, path)


def test_every_service_shows_itself(sandbox: Sandbox, buyer: PlainBuyer) -> None:
    for service in sandbox.services:
        available = buyer.client.get(service.url + "/availability").json()
        assert (available["status"], available["type"]) == ("available", "masumi-agent")
        fields = buyer.client.get(service.url + "/input_schema").json()["input_data"]
        assert fields[0]["id"] == "text"
        demo = buyer.client.get(service.url + "/demo").json()
        assert demo["input"]["input_data"]["text"] and demo["output"]["result"]
        shown = buyer.client.get(service.url + "/payment-information").json()["data"]
        assert shown["agentIdentifier"] == service.agent_identifier
        assert shown["sellerWallet"]["vkey"] == service.seller_vkey
        assert shown["apiBaseUrl"] == service.url


def test_a_v2_service_shows_its_price_by_payment_source(sandbox: Sandbox, buyer: PlainBuyer) -> None:
    shown = buyer.client.get(sandbox.service("echo-v2").url + "/payment-information").json()["data"]
    assert (shown["metadataVersion"], shown["AgentPricing"]) == (2, None)
    (source,) = shown["SupportedPaymentSources"]
    assert (source["sourceIndex"], source["paymentSourceType"]) == (0, "Web3CardanoV2")
    assert source["pricing"] == {"pricingType": "Fixed", "fixed": [{"asset": "", "amount": "1000000"}]}


def test_at_the_nodes_own_intervals_a_hire_takes_minutes() -> None:
    sandbox = Sandbox(manual_clock=True, seed=7, listen=False, realistic=True)
    with sandbox, httpx.Client(transport=sandbox.transport()) as client:
        buyer = PlainBuyer(sandbox, client)
        started = buyer.start(sandbox.service("echo"))
        buyer.pay(started)
        sandbox.advance(10_000)
        assert buyer.purchase(started)["onChainState"] is None
        sandbox.advance(5 * MINUTE)
        assert buyer.status(sandbox.service("echo"), started)["status"] == "completed"
        assert buyer.purchase(started)["onChainState"] == "ResultSubmitted"


def test_the_seeds_dialect_tells_the_state_by_the_list_and_refunds_by_patch() -> None:
    sandbox = Sandbox(manual_clock=True, seed=7, listen=False, dialect="seed")
    with sandbox, httpx.Client(transport=sandbox.transport()) as client:
        buyer = PlainBuyer(sandbox, client)
        started = buyer.start(sandbox.service("failing"))
        buyer.pay(started)
        sandbox.advance(2000)
        headers = {"token": sandbox.token}
        listed = client.get(sandbox.node_url + "/purchase", params={"network": "Preprod"}, headers=headers)
        (purchase,) = listed.json()["data"]["Purchases"]
        assert purchase["onChainState"] == "FundsLocked"
        refund = {"network": "Preprod", "blockchainIdentifier": started["blockchainIdentifier"]}
        asked = client.patch(sandbox.node_url + "/purchase", json=refund, headers=headers)
        assert asked.status_code == 200, asked.text
        sandbox.advance(2000)
        assert sandbox.ledger()["purchases"][0]["onChainState"] == "RefundRequested"
