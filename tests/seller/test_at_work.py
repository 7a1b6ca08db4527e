"""How the work of a job runs: threads and tasks that it starts, one loop for all async work, work that hangs."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from masumi_tools.seller import ask_human, report_progress
from masumi_tools.seller.jobs.job import Job, JobState, Rules, answer_too_late, too_long, work_until
from tests.seller.support import Market, until

POOL = ThreadPoolExecutor(1)


# Asking from everywhere ------------------------------------------------------------------------------


def said(question: str) -> str:
    return str(ask_human(question)["answer"])


def in_a_thread(text: str) -> str:
    heard: list[str] = []
    thread = threading.Thread(target=lambda: heard.append(said("name?")))
    thread.start()
    thread.join()
    return text + heard[0]


def in_a_thread_of_a_thread(text: str) -> str:
    heard: list[str] = []

    class Inner(threading.Thread):
        def run(self) -> None:
            heard.append(in_a_thread(text))

    inner = Inner()
    inner.start()
    inner.join()
    return heard[0]


def in_a_lasting_pool(text: str) -> str:
    return text + POOL.submit(said, "name?").result()


async def in_a_coroutine(text: str) -> str:
    return text + said("name?")


async def in_a_task(text: str) -> str:
    async def inner() -> str:
        await asyncio.sleep(0)
        return said("name?")

    return text + (await asyncio.gather(inner()))[0]


async def in_an_executor(text: str) -> str:
    loop = asyncio.get_running_loop()
    return text + await loop.run_in_executor(None, said, "name?")


def in_a_loop_of_its_own(text: str) -> str:
    return asyncio.run(in_a_task(text))


def by_input(text: str) -> str:
    return text + input("name? ")


ASKING = [
    in_a_thread,
    in_a_thread_of_a_thread,
    in_a_lasting_pool,
    in_a_coroutine,
    in_a_task,
    in_an_executor,
    in_a_loop_of_its_own,
    by_input,
]


def test_questions_reach_the_buyer_from_every_thread_and_task(market: Market):
    def work(text: str) -> Any:
        return ASKING[int(text)](text)

    with market.shop(work, workers=3) as buying:
        jobs = [buying.buy({"text": str(number)}) for number in range(len(ASKING))]
        for job in jobs:
            assert buying.wait(job, "awaiting_input", "failed").get("message") == "name?"
        for job in reversed(jobs):  # all wait at once, and no answer waits for another
            assert buying.provide(job, {"answer": "Ada"}).status_code == 200
        results = [buying.wait(job, "completed", "failed")["result"] for job in jobs]

    assert results == [f"{number}Ada" for number in range(len(ASKING))]


def test_a_pool_that_one_job_started_speaks_for_the_job_that_uses_it(market: Market):
    pool = ThreadPoolExecutor(1)

    def work(text: str) -> str:
        pool.submit(report_progress, f"at {text}").result()
        return str(ask_human("go on?")["answer"])

    with market.shop(work) as buying:
        jobs = [buying.buy({"text": text}) for text in ("a", "b")]
        for job in jobs:
            buying.wait(job, "awaiting_input")
            buying.provide(job, {"answer": "y"})
        assert [buying.wait(job, "completed")["result"] for job in jobs] == ["y", "y"]


def test_outside_of_a_job_threads_and_input_are_as_ever(monkeypatch: pytest.MonkeyPatch):
    import builtins
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("typed\n"))
    heard: list[str] = []
    thread = threading.Thread(target=lambda: heard.append(builtins.input()))
    thread.start()
    thread.join()

    assert heard == ["typed"] and ThreadPoolExecutor(1).submit(lambda: 3).result() == 3


def test_two_questions_at_once_are_asked_in_turn(market: Market):
    def work(text: str) -> str:
        with ThreadPoolExecutor(2) as pool:
            return " ".join(pool.map(said, ["first?", "second?"]))

    with market.shop(work) as buying:
        job = buying.buy({"text": "x"})
        for _ in range(2):
            asked = until(
                lambda: (s := buying.status(job))["status"] in ("awaiting_input", "failed") and s,
                "a question",
            )
            answer = {"first?": "1", "second?": "2"}[asked["message"]]
            assert buying.provide(job, {"answer": answer}, status_id=asked["id"]).status_code == 200
        done = buying.wait(job, "completed", "failed")

    assert done["result"] == "1 2", done


def test_an_answer_is_for_the_question_that_was_asked_also_after_a_restart(market: Market):
    attempts: list[int] = []

    def work(text: str) -> str:
        attempts.append(1)
        names = ["Ada?", "Bob?"] if len(attempts) == 1 else ["Bob?", "Ada?"]
        heard = {name: said(name) for name in names}
        return heard["Ada?"] + heard["Bob?"]

    url = f"sqlite:///{market.folder}/restart.sqlite"
    with market.shop(work, database_url=url) as buying:
        job = buying.buy({"text": "x"})
        buying.wait(job, "awaiting_input")
        buying.provide(job, {"answer": "a"})
        until(lambda: buying.status(job).get("message") == "Bob?", "the second question")
    with market.shop(work, database_url=url) as buying:
        buying.wait(job, "awaiting_input")
        buying.provide(job, {"answer": "b"})
        done = buying.wait(job, "completed", "failed")

    assert done["result"] == "ab" and len(attempts) == 2


# Answers and their deadline --------------------------------------------------------------------------


def waiting_job(submit_by: int) -> Job:
    return Job(
        job_id="j",
        state=JobState.AWAITING_INPUT,
        agent_identifier="a",
        identifier_from_purchaser="n",
        input_sent={},
        input_hash="h",
        created_ms=0,
        changed_ms=0,
        free=True,
        submit_result_time=submit_by,
    )


def test_an_answer_is_judged_by_the_deadline_when_it_comes():
    job, rules = waiting_job(10_000), Rules(least_work_ms=1_000)

    assert answer_too_late(job, 8_999, rules) is None
    assert "too short to work" in (answer_too_late(job, 9_000, rules) or "")
    assert "the result was due" in (answer_too_late(job, 10_000, rules) or "")


def test_work_may_take_its_limit_but_no_longer_than_the_deadline():
    job = waiting_job(10_000)

    assert work_until(job, 1_000, Rules()) == 10_000
    assert work_until(job, 1_000, Rules(work_timeout_ms=2_000)) == 3_000
    assert work_until(job, 9_000, Rules(work_timeout_ms=2_000)) == 10_000
    assert "2 s" in too_long(job, Rules(work_timeout_ms=2_000))


def test_an_answer_that_comes_too_late_is_refused_and_not_taken(market: Market):
    with market.shop(said_by_people, least_work_s=3600) as buying:
        job = buying.buy({"text": "x"})
        asked = buying.wait(job, "awaiting_input")
        now = market.sandbox.advance(int(4.95 * 3600_000))
        until(lambda: buying.service.app.state.shop.clock.now_ms() >= now, "the shop's notice of the time")
        answer = buying.provide(job, {"answer": "y"}, status_id=asked["id"])

        assert answer.status_code == 409 and "too late" in answer.text
        assert buying.status(job)["status"] == "awaiting_input"


def said_by_people(text: str) -> str:
    return said("ok?")


# Async work ------------------------------------------------------------------------------------------


class Client:
    """Belongs to the loop that used it first, as the clients of people do."""

    def __init__(self) -> None:
        self.lock = asyncio.Semaphore(1)
        self.loop: asyncio.AbstractEventLoop | None = None

    async def ask(self, text: str) -> str:
        self.loop = self.loop or asyncio.get_running_loop()
        if self.loop is not asyncio.get_running_loop():
            raise RuntimeError("Event loop is closed")
        async with self.lock:
            await asyncio.sleep(0.01)
        return text.upper()


def test_what_is_made_at_import_works_from_job_to_job(market: Market):
    client = Client()

    async def work(text: str) -> str:
        return await client.ask(text)

    with market.shop(work) as buying:
        jobs = [buying.buy({"text": text}) for text in "abc"]
        assert [buying.wait(job, "completed", "failed")["result"] for job in jobs] == ["A", "B", "C"]
        assert buying.wait(buying.buy({"text": "d"}), "completed", "failed")["result"] == "D"


# Work that hangs -------------------------------------------------------------------------------------


async def hangs_in_a_coroutine(gate: threading.Event) -> str:
    await asyncio.sleep(60)
    return "late"


async def blocks_the_loop(gate: threading.Event) -> str:
    gate.wait(60)
    return "late"


def hangs_in_a_thread(gate: threading.Event) -> str:
    gate.wait(60)
    return "late"


@pytest.mark.parametrize("hang", [hangs_in_a_thread, hangs_in_a_coroutine])
def test_hung_work_fails_and_its_place_is_free_for_the_paid_jobs_behind_it(market: Market, hang: Any):
    gate = threading.Event()

    def work(text: str) -> Any:
        return hang(gate) if text == "hang" else text.upper()

    with market.shop(work, workers=1, work_timeout_s=1) as buying:
        hung = buying.buy({"text": "hang"})
        buying.wait(hung, "running")
        behind = [buying.buy({"text": text}) for text in "ab"]
        failed = buying.wait(hung, "failed")
        results = [buying.wait(job, "completed", "failed")["result"] for job in behind]
        gate.set()
        time.sleep(0.1)

        assert buying.status(hung) == failed  # what comes after is dropped
    assert "longer than 1 s" in failed["error"] and results == ["A", "B"]


def test_a_blocked_loop_is_left_and_other_work_on_it_begins_again(monkeypatch: pytest.MonkeyPatch):
    from masumi_tools.seller.work import loop as room

    monkeypatch.setattr(room, "_ANSWERS_WITHIN_S", 0.2)
    loop, gate, ends = room.WorkLoop(), threading.Event(), {}

    def runs(name: str, work: Any) -> threading.Thread:
        def run() -> None:
            try:
                loop.run(work)
            except BaseException as error:
                ends[name] = type(error).__name__

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    other = runs("other", asyncio.sleep(60))
    hung = runs("hung", blocks_the_loop(gate))
    time.sleep(0.1)
    loop.cancel(hung)
    hung.join(5)
    other.join(5)

    assert ends == {"hung": "CancelledError", "other": "LoopLost"}
    assert loop.run(asyncio.sleep(0, "again")) == "again"
    gate.set()


def test_waiting_for_people_does_not_count_as_work(market: Market):
    with market.shop(said_by_people, workers=1, work_timeout_s=2) as buying:
        job = buying.buy({"text": "x"})
        asked = buying.wait(job, "awaiting_input")
        market.sandbox.advance(60_000)
        time.sleep(0.7)
        assert buying.status(job) == asked
        buying.provide(job, {"answer": "y"})
        assert buying.wait(job, "completed", "failed")["result"] == "y"


def test_availability_tells_the_free_places(market: Market):
    gate = threading.Event()

    def work(text: str) -> str:
        gate.wait(30)
        return text

    with market.shop(work, workers=2) as buying:
        before = buying.http.get("/availability").json()["message"]
        job = buying.buy({"text": "x"})
        buying.wait(job, "running")
        until(
            lambda: "1 of 2" in buying.http.get("/availability").json()["message"], "the place that is taken"
        )
        gate.set()
        buying.wait(job, "completed")

    assert "2 of 2" in before


def test_a_job_of_ours_at_which_nobody_works_is_begun_again(market: Market, monkeypatch: pytest.MonkeyPatch):
    from masumi_tools.seller.jobs.runner import Runner

    do, times = Runner._do, []

    def lost_once(self: Runner, job: Job, run: Any) -> None:
        times.append(1)
        if len(times) > 1:
            do(self, job, run)

    monkeypatch.setattr(Runner, "_do", lost_once)
    with market.shop(lambda text: text.upper()) as buying:
        done = buying.wait(buying.buy({"text": "x"}), "completed", "failed", within_s=30)

    assert done["result"] == "X" and len(times) == 2
