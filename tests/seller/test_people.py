"""People in the loop: questions in the work, answers by provide_input, and what a restart leaves of them."""

from __future__ import annotations

import threading

import pytest

from masumi_tools import Budget, Buyer
from masumi_tools.errors import StateError
from masumi_tools.seller import ask_human
from masumi_tools.settings import Settings
from tests.seller.support import Market, until

YES = {"id": "yes", "type": "boolean", "name": "Agreed?"}


def careful(text: str) -> str:
    answer = ask_human([YES], f"publish {text}?")
    return f"published {text}" if answer["yes"] else "nothing was published"


def test_a_question_is_asked_answered_once_and_the_work_goes_on(market: Market):
    with market.shop(careful) as buying:
        job = buying.buy({"text": "x"})
        asked = buying.wait(job, "awaiting_input")
        again = buying.status(job)
        wrong = buying.provide(job, {"yes": "perhaps"})
        stale = buying.provide(job, {"yes": True}, status_id="of another question")
        taken = buying.provide(job, {"yes": True}, status_id=asked["id"])
        twice = buying.provide(job, {"yes": True}, status_id=asked["id"])
        other = buying.provide(job, {"yes": False}, status_id=asked["id"])
        done = buying.wait(job, "completed", "failed")

    assert asked["message"] == "publish x?" and asked["id"] == again["id"]
    assert asked["input_schema"] == {"input_data": [YES]}
    assert wrong.status_code == 400 and "yes" in wrong.json()["detail"]["field_errors"]
    assert stale.status_code == 409
    assert taken.status_code == 200 and len(taken.json()["input_hash"]) == 64
    assert twice.json() == taken.json()  # the same answer again, after a lost reply
    assert other.status_code == 409
    assert done["result"] == "published x"


def test_waiting_for_people_holds_no_worker(market: Market):
    with market.shop(careful, workers=1) as buying:
        jobs = [buying.buy({"text": str(n)}) for n in range(3)]
        for job in jobs:
            buying.wait(job, "awaiting_input")
        for job in reversed(jobs):
            assert buying.provide(job, {"yes": True}).status_code == 200

        assert [buying.wait(job, "completed")["result"] for job in jobs] == [
            f"published {n}" for n in range(3)
        ]


def test_several_questions_and_a_plain_one(market: Market):
    def work(text: str) -> str:
        name = ask_human("What is your name?")["answer"]
        number = ask_human({"id": "n", "type": "number", "name": "A number"}, "and a number")["n"]
        return f"{text} {name} {number}"

    with market.shop(work) as buying:
        job = buying.buy({"text": "hi"})
        first = buying.wait(job, "awaiting_input")
        assert first["message"] == "What is your name?"
        buying.provide(job, {"answer": "Ada"}, status_id=first["id"])
        second = until(lambda: (s := buying.status(job)).get("message") == "and a number" and s, "the second")
        buying.provide(job, {"n": 3}, status_id=second["id"])

        assert first["id"] != second["id"]
        assert buying.wait(job, "completed")["result"] == "hi Ada 3"


def test_a_question_survives_a_restart_and_keeps_its_id(market: Market):
    begun = []

    def work(text: str) -> str:
        begun.append(text)
        first = ask_human("first?")["answer"]
        second = ask_human("second?")["answer"]
        return f"{first} {second}"

    url = f"sqlite:///{market.folder}/restart.sqlite"
    with market.shop(work, database_url=url) as buying:
        job = buying.buy({"text": "x"})
        buying.wait(job, "awaiting_input")
        buying.provide(job, {"answer": "one"})
        asked = until(lambda: (s := buying.status(job)).get("message") == "second?" and s, "the second")
        service = buying.service
    with market.shop(work, database_url=url) as buying:
        assert service is not buying.service
        again = buying.status(job)
        taken = buying.provide(job, {"answer": "two"}, status_id=asked["id"])
        done = buying.wait(job, "completed", "failed")

    assert (again["status"], again["id"]) == ("awaiting_input", asked["id"])
    assert taken.status_code == 200
    assert done["result"] == "one two"
    assert begun == ["x", "x"]


def test_the_schema_hash_of_the_question_is_checked(market: Market):
    import hashlib

    import rfc8785

    with market.shop(careful) as buying:
        job = buying.buy({"text": "x"})
        schema = buying.wait(job, "awaiting_input")["input_schema"]
        right = hashlib.sha256(rfc8785.dumps(schema)).hexdigest()
        inner = hashlib.sha256(rfc8785.dumps(schema["input_data"])).hexdigest()

        assert buying.provide(job, {"yes": True}, input_schema_hash="0" * 64).status_code == 409
        assert right != inner
        assert buying.provide(job, {"yes": True}, input_schema_hash=inner).status_code == 200


def test_our_buyer_answers_our_seller(market: Market):
    with market.shop(careful) as buying:
        settings = Settings.from_sandbox(
            market.sandbox, database_url=f"sqlite:///{market.folder}/buyer.sqlite"
        )
        with Buyer(settings, budget=Budget("20 ADA")) as buyer:
            asked = buyer.hire(buying.service.settings.agent_identifier, {"text": "x"}, patience_s=30)
            receipt = buyer.answer(asked.hire_id, {"yes": True})
            if receipt.outcome == "open":
                receipt = buyer.resume(asked.hire_id)

    assert asked.outcome == "needs_input"
    assert (receipt.outcome, receipt.result, receipt.verified) == ("completed", "published x", True)


def test_ask_human_outside_of_a_job_says_so():
    with pytest.raises(StateError, match="inside the work"):
        ask_human("anybody?")


def test_async_work_asks_from_a_thread(market: Market):
    import asyncio

    async def work(text: str) -> str:
        answer = await asyncio.to_thread(ask_human, "ok?")
        return text + str(answer["answer"])

    with market.shop(work) as buying:
        job = buying.buy({"text": "x"})
        buying.wait(job, "awaiting_input")
        buying.provide(job, {"answer": "y"})

        assert buying.wait(job, "completed")["result"] == "xy"
    assert threading.active_count() < 50
