"""Offers that are wrong in one thing: each is refused before paying, by a sentence that names the field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gallery.seller import MINUTE, Data, Job, Seller, Told, jcs, sha
from tests.gallery.standard import Dynamic, Spec, SpecV2
from tests.gallery.street import OpenStreet

HELLO = {"text": "hello"}
Change = Callable[[Data, Job], Data]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[OpenStreet]:
    with OpenStreet(tmp_path) as street:
        street.advance(123)
        yield street


def crooked(kind: type[Seller], change: Change) -> type[Seller]:
    """A seller of this kind whose answer to start_job is changed."""

    class Crooked(kind):  # type: ignore[misc,valid-type]
        def started(self, job: Job) -> Data:
            return change(super().started(job), job)

    return Crooked


def later(name: str) -> Change:
    return lambda told, job: {**told, name: told[name] + MINUTE}


def without(name: str) -> Change:
    return lambda told, job: {key: value for key, value in told.items() if key != name}


def put(**values: Any) -> Change:
    return lambda told, job: {**told, **values}


CROOKED: dict[str, tuple[type[Seller], Change, str]] = {
    "another agent": (Spec, put(agentIdentifier="ab" * 60), "agentIdentifier"),
    "another key": (Spec, put(sellerVKey="ab" * 28), "sellerVKey"),
    "another purchaser": (Spec, put(identifierFromPurchaser="ab" * 10), "identifierFromPurchaser"),
    "another input": (Spec, lambda told, job: {**told, "input_hash": sha(job.nonce, jcs({}))}, "input_hash"),
    "an identifier of nothing": (Spec, put(blockchainIdentifier="ab" * 400), "blockchainIdentifier"),
    "an identifier cut short": (
        Spec,
        lambda told, job: {**told, "blockchainIdentifier": told["blockchainIdentifier"][:-8]},
        "blockchainIdentifier",
    ),
    "payByTime was signed otherwise": (Spec, later("payByTime"), "blockchainIdentifier"),
    "submitResultTime was signed otherwise": (Spec, later("submitResultTime"), "blockchainIdentifier"),
    "unlockTime was signed otherwise": (Spec, later("unlockTime"), "blockchainIdentifier"),
    "dispute time was signed otherwise": (Spec, later("externalDisputeUnlockTime"), "blockchainIdentifier"),
    "a higher price": (Spec, put(amounts=[{"amount": "2000000", "unit": "lovelace"}]), "amounts"),
    "a lower price": (Spec, put(amounts=[{"amount": "1", "unit": "lovelace"}]), "amounts"),
    "another unit": (Spec, put(amounts=[{"amount": "1000000", "unit": "ab" * 30}]), "amounts"),
    "two hashes": (Spec, put(inputHash="ab" * 32), "input_hash"),
    "two job identifiers of the escrow": (Spec, put(blockchain_identifier="ab" * 40), "blockchainIdentifier"),
    "paid by another way": (Spec, put(lockTx="ab" * 32), "lockTx"),
    "no index of the second escrow": (
        SpecV2,
        without("supportedPaymentSourceIndex"),
        "supportedPaymentSourceIndex",
    ),
    "another index": (SpecV2, put(supportedPaymentSourceIndex=3), "blockchainIdentifier"),
    "a return address that was not signed": (
        SpecV2,
        put(sellerReturnAddress="addr_test1wz7j4kmg2cs7yf92uat3ed4a3u97kr7axxr4avaz0lhwdsqukgwfm"),
        "blockchainIdentifier",
    ),
    "a dynamic price without amounts": (Dynamic, without("amounts"), "amounts"),
    "a dynamic price in other parts": (
        Dynamic,
        put(amounts=[{"amount": "2000000", "unit": ""}]),
        "blockchainIdentifier",
    ),
    "no time to pay": (Spec, put(payByTime=0), "payByTime"),
    "no job": (Spec, without("id"), "the service named no job"),
}


@pytest.mark.parametrize("case", CROOKED)
def test_an_offer_that_is_wrong_in_one_thing_is_not_paid(street: OpenStreet, case: str) -> None:
    kind, change, field = CROOKED[case]
    seller = street.open(crooked(kind, change))

    receipt = street.buyer().hire(seller.agent, HELLO, max_price="2 ADA", patience_s=600)

    assert (receipt.outcome, receipt.where_the_money_is) == ("refused", "Nothing was paid."), receipt.reason
    assert field in receipt.reason
    assert street.purchases(seller) == []
    assert street.serving.count(seller.name, "POST /start_job") == 1


def test_an_identifier_of_another_job_is_not_paid_again(street: OpenStreet) -> None:
    old: list[str] = []

    def replay(told: Data, job: Job) -> Data:
        old.append(told["blockchainIdentifier"])
        return {**told, "blockchainIdentifier": old[0]}

    seller, buyer = street.open(crooked(Spec, replay)), street.buyer()

    first = buyer.hire(seller.agent, HELLO, patience_s=600)
    second = buyer.hire(seller.agent, HELLO, again=True, patience_s=600)

    assert (first.outcome, second.outcome) == ("completed", "refused")
    assert "blockchainIdentifier: it was made for another purchaser" in second.reason
    assert len(street.purchases(seller)) == 1


@pytest.mark.parametrize(
    "spelling",
    [str.upper, lambda text: text[:100].upper() + text[100:]],
    ids=["upper case", "mixed case"],
)
def test_an_identifier_in_another_spelling_is_paid_once_in_the_right_one(
    street: OpenStreet, spelling: Callable[[str], str]
) -> None:
    """The node takes each spelling for another purchase (protocol N11)."""

    def respelt(told: Data, job: Job) -> Data:
        return {**told, "blockchainIdentifier": spelling(told["blockchainIdentifier"])}

    seller = street.open(crooked(Spec, respelt))

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=600)

    bought = street.purchases(seller)
    assert receipt.outcome == "completed"
    assert [row["blockchainIdentifier"] for row in bought] == [receipt.blockchain_identifier]
    assert bought[0]["blockchainIdentifier"].islower()


@pytest.mark.parametrize("suffix", ["0", "00", "+00", " ", "zz"])
def test_an_identifier_with_something_after_it_is_not_paid(street: OpenStreet, suffix: str) -> None:
    def longer(told: Data, job: Job) -> Data:
        return {**told, "blockchainIdentifier": told["blockchainIdentifier"] + suffix}

    seller = street.open(crooked(Spec, longer))

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=600)

    bought = street.purchases(seller)
    if receipt.outcome == "completed":  # what only another spelling of the same is, is paid in the right one
        assert [row["blockchainIdentifier"] for row in bought] == [receipt.blockchain_identifier]
    else:
        assert (receipt.outcome, bought) == ("refused", [])
        assert "blockchainIdentifier" in receipt.reason


ANSWERS: dict[str, tuple[Told, str]] = {
    "a page on 200": (
        Told(200, "<html><title>Welcome</title></html>"),
        "may or may not have started the job",
    ),
    "a page on 521": (Told(521, "<html><title>Web server is down</title></html>"), "Web server is down"),
    "a redirect": (Told(307, "", {"location": "/elsewhere/start_job"}), "redirected"),
    "an error on 200": (
        Told(200, {"error": "internal_error", "message": "the flow is off"}),
        "the flow is off",
    ),
    "an id beside an error": (Told(200, {"id": "j", "status": "error", "error": {"message": "off"}}), "off"),
    "nothing": (Told(200, {}), "named no job"),
    "a list": (Told(200, []), "did not start the job"),
    "payment by x402": (Told(402, {"accepts": [{"scheme": "exact"}]}), "accepts: payment by x402"),
    "500 with a sentence": (Told(500, {"detail": "Internal server error: node down"}), "node down"),
    "400 for everything": (Told(400, {"detail": "input_data is missing or invalid"}), "missing or invalid"),
    "422": (Told(422, {"detail": [{"loc": ["body", "x"], "msg": "Field required"}]}), "x: Field required"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_that_is_no_offer_ends_before_paying_with_the_sellers_words(
    street: OpenStreet, case: str
) -> None:
    told, words = ANSWERS[case]

    class Odd(Spec):
        def start_job(self, body: Any) -> Told:
            return told

    seller = street.open(Odd)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=600)

    assert receipt.outcome == "refused"
    assert words in receipt.reason
    assert (street.purchases(seller), street.serving.count("spec", "POST /start_job")) == ([], 1)
    assert street.serving.count("elsewhere", "POST /start_job") == 0


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (Told(200, {"status": "unavailable", "message": "Payment service not configured"}), "not configured"),
        (Told(200, {"status": "unavailable", "type": "masumi-agent"}), "unavailable"),
        (Told(503, {"status": "unavailable", "message": "Outreach service is not responding"}), "Outreach"),
        (Told(200, {"available": False}), "false"),
        (Told(200, {"status": "available"}), None),
        (Told(200, {"available": True}), None),
        (Told(200, {}), None),
        (Told(200, "<html>busy</html>"), None),
        (Told(404, {"detail": "Not Found"}), None),
        (Told(503, "<html>proxy</html>"), None),
        (Told(500, {"detail": "boom"}), None),
        (Told(0, None), None),
    ],
)
def test_only_a_clear_no_of_availability_stops_before_start_job(
    street: OpenStreet, told: Told, why: str | None
) -> None:
    class Saying(Spec):
        def availability(self) -> Told:
            return told

    seller, buyer = street.open(Saying), street.buyer()

    quoted = buyer.quote(seller.agent)
    receipt = buyer.hire(seller.agent, HELLO, patience_s=600)

    assert receipt.outcome == ("completed" if why is None else "refused"), receipt.reason
    assert (quoted.refusal is None) == (why is None)
    if why is not None:
        assert "the service is not accepting jobs" in receipt.reason and why in receipt.reason
        assert why in (quoted.refusal or "")
        assert street.serving.count(seller.name, "POST /start_job") == 0
