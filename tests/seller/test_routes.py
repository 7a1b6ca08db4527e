"""What the routes answer to requests of every kind; nothing wrong ever reaches the node or is kept."""

from __future__ import annotations

import json
import threading

import httpx
import pytest

from masumi_tools.models import read_availability, read_payment_information, read_started, read_status
from masumi_tools.sandbox import Sandbox
from masumi_tools.seller import Limits, sell
from masumi_tools.seller.jobs.table import Counts, JobTable
from masumi_tools.settings import Settings
from tests.seller.support import Buying, Market, served, until

NONCE = "ab" * 10


def work(text: str, n: int = 1) -> str:
    return text * n


@pytest.fixture
def buying(market: Market):
    with market.shop(work, limits=Limits(unpaid_per_client=3, body_bytes=5000)) as one:
        yield one


def refused(buying: Buying, body: object, code: int = 400) -> dict[str, object]:
    before = len(buying.sandbox.ledger()["payments"])
    answer = buying.http.post(
        "/start_job", content=body if isinstance(body, bytes) else json.dumps(body).encode()
    )
    assert answer.status_code == code, answer.text
    assert len(buying.sandbox.ledger()["payments"]) == before
    return answer.json()["detail"]


def test_the_answer_of_start_job_has_every_spelling(buying: Buying):
    answer = buying.start({"text": "x"}, NONCE)

    assert answer["id"] == answer["job_id"]
    assert answer["input_hash"] == answer["inputHash"]
    assert answer["sellerVKey"] == answer["sellerVkey"]
    assert len(answer["sellerVKey"]) == 56
    assert all(type(answer[name]) is int for name in ("payByTime", "submitResultTime", "unlockTime"))
    assert answer["identifierFromPurchaser"] == NONCE
    assert answer["status"] == "awaiting_payment"


def test_our_own_reader_sees_nothing_wrong_with_it(buying: Buying):
    started = read_started(buying.start({"text": "x"}, NONCE), 200, sent=NONCE)

    assert started.problems == ()
    assert started.terms is not None and started.terms.times.problems() == ()


@pytest.mark.parametrize(
    "identifier", ["", "ab" * 6, "ab" * 14, "abc" * 5, "resume-job-123", "x" * 20, 12345678901234, None]
)
def test_an_identifier_that_the_node_would_not_take_is_400(buying: Buying, identifier):
    detail = refused(buying, {"identifier_from_purchaser": identifier, "input_data": {"text": "x"}})

    assert "14 to 26" in detail["message"] and "identifier_from_purchaser" in detail["field_errors"]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "text"),
        ({"text": 5}, "text"),
        ({"text": "x", "n": "three"}, "n"),
        ({"text": "x", "n": 2**60}, "n"),
        ({"text": "x", "other": 1}, "other"),
        ("text", "input_data"),
        ([1], "input_data"),
    ],
)
def test_bad_input_is_400_by_field(buying: Buying, data, field):
    detail = refused(buying, {"identifier_from_purchaser": NONCE, "input_data": data})

    assert field in detail["field_errors"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"identifier_from_purchaser": NaN}',
        b"[" * 3000,
        b'{"identifier_from_purchaser": "' + NONCE.encode() + b'", "input_data": {"text": "\\ud800"}}',
    ],
)
def test_what_is_no_json_object_is_400(buying: Buying, body):
    assert refused(buying, body)["message"]


def test_other_spellings_of_the_request_are_taken(buying: Buying):
    for body in (
        {"identifierFromPurchaser": NONCE, "inputData": {"text": "x"}},
        {"identifier_from_purchaser": NONCE, "input_data": [{"key": "text", "value": "x"}]},
    ):
        assert buying.post("/start_job", body).status_code == 200


def test_a_body_over_the_cap_is_413(buying: Buying):
    assert "5000" in str(refused(buying, {"input_data": {"text": "x" * 6000}}, 413))


def test_too_many_unpaid_jobs_are_429_with_a_time_to_come_back(buying: Buying):
    for _ in range(3):
        buying.start({"text": "x"})
    answer = buying.post("/start_job", {"identifier_from_purchaser": NONCE, "input_data": {"text": "x"}})

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_jobs_that_are_saved_while_the_jobs_are_counted_take_one_place_each(buying: Buying, monkeypatch):
    real, begun, goes_on, counted = JobTable.counts, threading.Event(), threading.Event(), threading.Event()

    def counts(table: JobTable) -> Counts:
        if not begun.is_set():
            begun.set()
            goes_on.wait(20)
            result = real(table)
            assert result.states == {"awaiting_payment": 2}
            counted.set()
            return result
        return real(table)

    monkeypatch.setattr(JobTable, "counts", counts)
    assert begun.wait(20)
    for _ in range(2):
        buying.start({"text": "x"})
    goes_on.set()
    assert counted.wait(20)

    assert buying.start({"text": "x"})["id"]


@pytest.mark.parametrize("fault", ["error-500", "html-502", "garbage"])
def test_a_node_that_fails_is_503_and_nothing_is_kept(buying: Buying, fault):
    buying.sandbox.arm({"on": "POST /payment", "do": fault, "times": 1})
    answer = buying.post("/start_job", {"identifier_from_purchaser": NONCE, "input_data": {"text": "x"}})

    assert answer.status_code == 503 and answer.headers["retry-after"]
    assert buying.start({"text": "x"})["id"]


def test_a_node_that_is_not_there_is_503_and_unavailable(market: Market):
    with Sandbox() as gone:
        settings = Settings.from_sandbox(
            gone,
            agent_identifier="7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "ab" * 32,
            database_url=f"sqlite:///{market.folder}/x.sqlite",
        )
    service = sell(work, name="Shop", price="1 ADA", settings=settings, interval_s=0.1)
    with served(service) as url:
        answer = httpx.post(
            f"{url}/start_job", json={"identifier_from_purchaser": NONCE, "input_data": {"text": "x"}}
        )
        availability = httpx.get(f"{url}/availability")

    assert answer.status_code == 503
    assert availability.status_code == 200 and availability.json()["status"] == "unavailable"


def test_status_of_no_job(buying: Buying):
    assert buying.http.get("/status", params={"job_id": "nope"}).status_code == 404
    assert buying.http.get("/status").status_code == 400
    assert buying.http.get("/status", params={"jobId": buying.start({"text": "x"})["id"]}).status_code == 200


def test_provide_input_to_the_wrong_job_or_state(buying: Buying):
    job = buying.start({"text": "x"})

    assert buying.provide(job, {"answer": "x"}).status_code == 409
    assert buying.provide({"id": "nope"}, {"answer": "x"}).status_code == 404
    assert buying.post("/provide_input", {"input_data": {}}).status_code == 400
    assert buying.post("/provide_input", {"job_id": job["id"]}).status_code == 400


def test_the_small_routes_are_read_by_our_own_readers(buying: Buying):
    availability = buying.http.get("/availability")
    schema = buying.http.get("/input_schema").json()
    listing = read_payment_information(buying.http.get("/payment-information").json())
    status = read_status(buying.status(buying.start({"text": "x"})))

    assert read_availability(availability.json()).available is True
    assert availability.json()["type"] == "masumi-agent"
    assert availability.json()["agentIdentifier"] == listing.agent_identifier
    assert [field["id"] for field in schema["input_data"]] == ["text", "n"]
    assert listing.problems == () and listing.seller_vkey
    assert status.state.value == "awaiting_payment" and status.result is None
    assert buying.http.get("/demo").status_code == 404
    assert buying.http.get("/payment-information", params={"agentIdentifier": "ff" * 40}).status_code == 404
    assert buying.http.get("/docs").status_code == 200


def test_a_slash_at_the_end_is_no_redirect(buying: Buying):
    assert buying.http.post("/start_job/", json={}).status_code == 404


def test_the_status_id_changes_only_with_the_status(buying: Buying):
    job = buying.start({"text": "x"})
    first, second = buying.status(job)["id"], buying.status(job)["id"]
    buying.pay(job)
    done = buying.wait(job, "completed")["id"]

    assert first == second != done


def test_the_webhook_needs_its_token_and_only_hastens(market: Market):
    with market.shop(work, interval_s=30, webhook_token="secret-of-the-hook") as buying:
        job = buying.buy({"text": "x"})
        assert buying.http.post("/webhook", json={}).status_code == 401
        token = {"Authorization": "Bearer secret-of-the-hook"}

        def poked() -> bool:
            assert buying.http.post("/webhook", json={"event_type": "x"}, headers=token).status_code == 200
            return buying.status(job)["status"] == "completed"

        until(poked, "the job's end")


def test_another_price_in_the_registry_is_not_sold(market: Market):
    with market.shop(work, price="1 ADA") as buying:
        agent = buying.service.settings.agent_identifier
        settings = market.settings(agent)
        dearer = sell(work, name="Shop", price="2 ADA", settings=settings)
        with served(dearer) as url:
            answer = httpx.post(
                f"{url}/start_job", json={"identifier_from_purchaser": NONCE, "input_data": {"text": "x"}}
            )

    assert answer.status_code == 503 and "price" in answer.json()["detail"]


def test_an_app_is_made_without_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MASUMI_NODE_URL", "not a url")
    service = sell(work, name="Shop", price="1 ADA")

    assert service.app.title == "Shop"


def test_a_queue_that_cannot_meet_the_deadline_is_unavailable(market: Market):
    with market.shop(work) as buying:
        shop = buying.service.app.state.shop
        assert shop.health.unavailable() is None
        shop.runner._usual_s = shop.offer.deadlines.work_s / 2  # as if the work had taken so long until now
        shop.table.counts = lambda: Counts({"ready": 3, "running": 4}, {})
        until(shop.health.unavailable, "the next count")
        told = buying.http.get("/availability").json()

    assert told["status"] == "unavailable" and "miss its deadline" in told["message"]
