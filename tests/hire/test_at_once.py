"""start_job that answers with the finished work, and what a refusal keeps of what the service said."""

from __future__ import annotations

from typing import Any

import pytest

from masumi_tools.calls.call import Reply
from masumi_tools.hire.purchase import Layout, Moment, Purchase, State
from masumi_tools.hire.replies import learn
from masumi_tools.hire.steps import Ask, Ways

WAYS = Ways("https://node.masumi.network/api/v1", None, "Preprod")


def reserved(*, free: bool) -> Purchase:
    return Purchase(
        hire_id="ab" * 8,
        key="k",
        scope="",
        target="https://seller.masumi.network",
        budget="",
        network="Preprod",
        input_data={"text": "a"},
        nonce="ab" * 10,
        created_ms=1,
        changed_ms=1,
        state=State.RESERVED,
        free=free,
        layouts=(Layout(form="object", body={"input_data": {"text": "a"}}, hashed={"text": "a"}),),
        history=(Moment(state=State.ASKED, at_ms=1),),
    )


@pytest.mark.parametrize(
    "body",
    [
        {"status": "completed", "result": "A"},
        {"status": "success", "output": "A"},
        {"status": "finished", "data": {"result": "A", "status": "completed"}},
    ],
)
def test_a_free_service_that_gives_the_result_at_once_has_delivered(body: Any) -> None:
    done = learn(reserved(free=True), Ask.START, Reply(200, body), 5, WAYS)
    assert (done.state, done.result) == (State.SETTLED, "A")


def test_a_paid_service_that_gives_a_result_without_terms_is_refused_and_nothing_is_paid() -> None:
    done = learn(reserved(free=False), Ask.START, Reply(200, {"status": "completed", "result": "A"}), 5, WAYS)
    assert done.state is State.REFUSED and "a result at once" in done.reason


def test_what_is_wrong_with_each_field_is_kept() -> None:
    body = {"detail": {"message": "Invalid input", "field_errors": {"text": ["too long"]}}}
    done = learn(reserved(free=True), Ask.START, Reply(400, body), 5, WAYS)
    assert done.state is State.REFUSED and "too long" in done.reason
