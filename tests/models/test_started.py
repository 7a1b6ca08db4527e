"""start_job's answer: every dialect of protocol S0 and S4 in a small sample of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from masumi_tools.models import JobState, read_started
from masumi_tools.money import Amount

AGENT = "ab" * 28 + "0102"
KEY = "12" * 28
HASH = "34" * 32
NONCE = "a1b2c3d4e5f60718293a"
PAY, SUBMIT, UNLOCK, DISPUTE = 1785388352000, 1785431552000, 1785453152000, 1785474752000

TIMES = {
    "payByTime": PAY,
    "submitResultTime": SUBMIT,
    "unlockTime": UNLOCK,
    "externalDisputeUnlockTime": DISPUTE,
}
OFFER: dict[str, Any] = {
    "id": "job-1",
    "blockchainIdentifier": "56" * 64,
    **TIMES,
    "agentIdentifier": AGENT,
    "sellerVKey": KEY,
    "identifierFromPurchaser": NONCE,
    "input_hash": HASH,
}


def offer(**changes: Any) -> dict[str, Any]:
    body = {**OFFER, **changes}
    return {name: value for name, value in body.items() if value is not ...}


def test_the_standard_offer_is_payable_with_every_value_as_sent() -> None:
    read = read_started(OFFER, sent=NONCE)
    assert read.payable and read.started is True and read.job_id == "job-1"
    assert read.problems == read.notes == ()
    terms = read.terms
    assert terms is not None
    assert (terms.agent_identifier, terms.seller_vkey, terms.input_hash) == (AGENT, KEY, HASH)
    assert terms.times_text == {name: str(value) for name, value in TIMES.items()}
    assert terms.amounts is None and terms.source_index is None


@pytest.mark.parametrize(
    "body",
    [
        offer(id=..., job_id="job-1"),
        offer(id="another", job_id="job-1"),
        offer(id=..., jobId="job-1", status="success"),
        offer(sellerVKey=..., sellerVkey=KEY),
        offer(sellerVKey=..., seller_vkey=KEY),
        offer(input_hash=..., inputHash=HASH),
        offer(inputHash=HASH),
        offer(input_hash="", inputHash=HASH),
        offer(payByTime=..., paybytime=PAY),
        offer(payByTime=..., pay_by_time=str(PAY)),
        offer(**{name: str(value) for name, value in TIMES.items()}),
        offer(**{name: value / 1 for name, value in TIMES.items()}),
        offer(amounts=[], error=None, result=None, status="awaiting_payment"),
        offer(payment_id=NONCE, message="pay soon"),
        {"status": "success", "data": OFFER},
        {"statusCode": 200, "body": json.dumps(OFFER)},
        json.dumps(OFFER),
        [OFFER],
        {"job_id": "job-1", "payment_info": {k: v for k, v in OFFER.items() if k != "id"}},
    ],
)
def test_other_spellings_and_wrappings_give_the_same_terms(body: Any) -> None:
    read = read_started(body, sent=NONCE)
    assert read.payable, read.problems
    assert (read.job_id, read.terms) == ("job-1", read_started(OFFER).terms)


def test_a_number_as_job_id_becomes_text() -> None:
    assert read_started({"job_id": 42}).job_id == "42"


def test_amounts_keep_order_and_splitting_since_a_dynamic_price_signs_exactly_them() -> None:
    rows = [
        {"amount": "2", "unit": "ff" * 30},
        {"amount": 3, "unit": "lovelace"},
        {"amount": "4", "unit": ""},
    ]
    terms = read_started(offer(amounts=rows)).terms
    assert terms is not None
    assert terms.amounts == (Amount(2, "ff" * 30), Amount(3), Amount(4))


def test_amounts_in_a_ticker_are_left_out_with_a_note() -> None:
    read = read_started(offer(amounts=[{"amount": "2", "unit": "USDM"}]))
    assert read.payable and read.terms is not None and read.terms.amounts is None
    assert "USDM" in read.notes[0]


@pytest.mark.parametrize(
    ("value", "index"),
    [
        (3, 3),
        ("3", 3),
        (0, 0),
        ("0", 0),
        ("", None),
        (" ", None),
        (False, None),
        ([], None),
        ("abc", None),
        (25, None),
    ],
)
def test_an_index_is_digits_and_everything_else_is_none(value: Any, index: int | None) -> None:
    terms = read_started(offer(supportedPaymentSourceIndex=value)).terms
    assert terms is not None and terms.source_index == index


def test_the_second_kind_of_escrow_needs_its_index() -> None:
    read = read_started(offer(paymentSourceType="Web3CardanoV2", supportedPaymentSourceIndex=""))
    assert not read.payable and read.problems[0].startswith("supportedPaymentSourceIndex:")
    assert read_started(offer(paymentSourceType="Web3CardanoV2", supportedPaymentSourceIndex=0)).payable


def test_an_index_beside_the_first_kind_of_escrow_is_left_out_and_said() -> None:
    read = read_started(offer(paymentSourceType="Web3CardanoV1", supportedPaymentSourceIndex=3))
    assert read.payable and read.terms is not None and read.terms.source_index is None
    assert read.notes[0].startswith("supportedPaymentSourceIndex:")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("blockchainIdentifier", "block_789def"),
        ("blockchainIdentifier", "0x" + "56" * 64),
        ("blockchainIdentifier", "1182"),
        ("blockchainIdentifier", 1182),
        ("agentIdentifier", "unregistered-agent"),
        ("agentIdentifier", ...),
        ("sellerVKey", ""),
        ("sellerVKey", None),
        ("sellerVKey", "addr1qxlkjl23k4jlksdjfl234jlksdf"),
        ("input_hash", "a87ff679a2f3e71d9181a67b7542122c"),
        ("input_hash", "sha256:" + "00" * 32),
        ("input_hash", ...),
        ("identifierFromPurchaser", "example_identifier"),
        ("identifierFromPurchaser", NONCE[:-1]),
        ("identifierFromPurchaser", ...),
        ("payByTime", ...),
        ("payByTime", 0),
        ("payByTime", True),
        ("unlockTime", "soon"),
        ("externalDisputeUnlockTime", None),
        ("submitResultTime", UNLOCK),
        ("payByTime", SUBMIT),
        ("lockTx", "9e" * 32),
    ],
)
def test_one_wrong_value_makes_the_offer_unpayable_and_is_named(field: str, value: Any) -> None:
    read = read_started(offer(**{field: value}))
    assert read.started is True and not read.payable and read.terms is None
    named = {problem.split(":")[0] for problem in read.problems}
    assert field in named or (field == "submitResultTime" and "unlockTime" in named)


def test_an_echo_that_is_not_ours_is_refused() -> None:
    read = read_started(OFFER, sent="00" * 10)
    assert read.problems == (f'identifierFromPurchaser: "{NONCE}" is not the identifier that was sent',)


def test_two_spellings_with_different_values_are_refused() -> None:
    read = read_started(offer(inputHash="99" * 32))
    assert read.problems == ("input_hash: given 2 times with different values",)


def test_seconds_are_repaired_and_said() -> None:
    read = read_started(offer(**{name: value // 1000 for name, value in TIMES.items()}))
    assert read.payable and read.terms == read_started(OFFER).terms
    assert len(read.notes) == 4 and all("in seconds" in note for note in read.notes)


def test_iso_times_are_repaired_to_the_millisecond() -> None:
    read = read_started(
        offer(payByTime="2026-07-30T05:12:32.001Z", submitResultTime="2026-07-30T19:12:32+02:00")
    )
    assert read.terms is not None
    assert read.terms.times.pay_by_time == 1785388352001
    assert read.terms.times.submit_result_time == SUBMIT
    assert [note.split(":")[0] for note in read.notes] == ["payByTime", "submitResultTime"]


def test_seconds_beside_times_with_milliseconds_cannot_be_repaired() -> None:
    mixed = read_started(offer(payByTime=PAY // 1000, submitResultTime=SUBMIT + 1))
    assert [problem.split(":")[0] for problem in mixed.problems] == ["payByTime"]
    assert read_started(offer(payByTime=PAY // 1000)).payable


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"id": "j"}, None),
        ({"job_id": "j", "status": "running"}, None),
        ({"job_id": "j", "status": "queued", "message": "on its way"}, None),
        ({**offer(job_id="j"), "blockchainIdentifier": None, "agentIdentifier": None,
          **dict.fromkeys(TIMES)}, None),
        ({"job_id": "j", "blockchainIdentifier": None, "agentIdentifier": AGENT, "status": "running"},
         "blockchainIdentifier"),
        ({"job_id": "j", "blockchainIdentifier": "", "agentIdentifier": AGENT, "payByTime": 0},
         "blockchainIdentifier"),
        ({"job_id": "j", "status": "awaiting_payment"}, "blockchainIdentifier"),
        ({"job_id": "j", "status": "payment_pending", "payment_info": {"amount": 1}}, "blockchainIdentifier"),
        ({"job_id": "j", "payment_id": "p"}, "payment_id"),
        ({"job_id": "j", "payment_address": "addr1"}, "payment_address"),
    ],
)  # fmt: skip
def test_a_job_without_terms_is_never_payable(body: Any, problem: str | None) -> None:
    """Without a problem it may be free: the registry's price tells, never this answer."""
    read = read_started(body)
    assert read.started is True and not read.payable and read.terms is None
    assert {p.split(":")[0] for p in read.problems} == ({problem} if problem else set())


@pytest.mark.parametrize(
    ("status", "body", "started", "error"),
    [
        (200, {"status": "failed", "error": "backend 500"}, False, "backend 500"),
        (201, {"status": "error", "job_id": "j", "message": "no wallet"}, False, "no wallet"),
        (200, {"error": "job_creation_failed", "message": "no node", "job_id": "j"}, False, "no node"),
        (200, {"success": False, "job_id": "j", "message": "no"}, False, "no"),
        (200, {}, False, "the service named no job"),
        (200, {"data": {"blockchainIdentifier": "mock"}}, False, "the service named no job"),
        (200, "<html><title>Welcome</title></html>", None, "Welcome"),
        (200, None, None, "the answer is not a JSON object"),
        (400, {"detail": "input_data is wrong"}, False, "input_data is wrong"),
        (404, {"detail": "no such flow"}, False, "no such flow"),
        (409, {"error": "Agent is not registered on-chain yet"}, False, "Agent is not registered on-chain yet"),
        (429, {"error": "RATE_LIMITED", "message": "later"}, False, "later"),
        (402, {"x402Version": 2, "accepts": []}, False, "HTTP 402"),
        (408, {}, None, "HTTP 408"),
        (307, None, None, "HTTP 307"),
        (500, {"detail": "Internal server error: cannot connect"}, None, "Internal server error: cannot connect"),
        (500, {"error": "PAYMENT_SERVICE_NOT_CONFIGURED", "message": "no key"}, False, "no key"),
        (500, {"error": "INTERNAL_ERROR", "message": "oops"}, None, "oops"),
        (500, {"error": "MODEL_TIMEOUT_EXCEEDED", "message": "slow"}, None, "slow"),
        (500, {"detail": "Payment service not configured"}, False, "Payment service not configured"),
        (502, {"error": "PAYMENT_REGISTRATION_FAILED", "message": "it said 400"}, False, "it said 400"),
        (502, "<html><title>502 Bad Gateway</title></html>", None, "502 Bad Gateway"),
        (503, {"error": "Payment node unavailable"}, False, "Payment node unavailable"),
        (503, {"detail": "Service temporarily unavailable"}, None, "Service temporarily unavailable"),
        (503, {"error": "The outcome requires inspection."}, None, "The outcome requires inspection."),
        (504, {"detail": "Request timeout"}, None, "Request timeout"),
    ],
)  # fmt: skip
def test_whether_a_job_was_started_and_the_services_own_sentence(
    status: int, body: Any, started: bool | None, error: str
) -> None:
    read = read_started(body, status)
    assert (read.started, read.error, read.payable) == (started, error, False)


def test_field_errors_of_both_frameworks_name_the_field() -> None:
    kit = {"detail": {"message": "Validation failed", "field_errors": {"text": ["is missing"]}}}
    assert read_started(kit, 400).field_errors == {"text": ("is missing",)}
    fastapi = {"detail": [{"loc": ["body", "input_data", "age"], "msg": "not a number", "input": "secret"}]}
    read = read_started(fastapi, 422)
    assert read.field_errors == {"age": ("not a number",)}
    assert "secret" not in repr(read)


def test_states_of_the_start_are_not_taken_for_the_end() -> None:
    assert read_started({"job_id": "j", "status": "success"}).status is JobState.PENDING
    assert read_started(offer(status="success")).status is JobState.AWAITING_PAYMENT


def test_the_continuation_token_is_kept_and_never_shown() -> None:
    read = read_started(offer(continuationToken="s3cret"))
    assert read.continuation_token == "s3cret" and "s3cret" not in repr(read)


def test_passed_through_answers_of_the_sellers_node_give_no_job_id() -> None:
    node = {**offer(id="payment-1"), "RequestedFunds": [], "SmartContractWallet": {"walletVkey": KEY}}
    assert read_started({"data": node}).job_id is None
    read = read_started({"job_id": "j", "data": {"status": "success", "data": {**node, "sellerVKey": None}}})
    assert read.job_id == "j" and read.payable


@pytest.mark.parametrize("body", [[], [1, 2], 7, True, "text", {"id": {}}, {"id": ""}, {"data": [[{}]]}])
def test_strange_bodies_never_raise(body: Any) -> None:
    for status in (200, 400, 500):
        assert not read_started(body, status).payable
