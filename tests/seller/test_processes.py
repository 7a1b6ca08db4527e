"""`workers="process"`: each job in a process of its own, which can be killed; it asks and reports as in a thread."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.errors import InputError
from masumi_tools.seller import sell
from masumi_tools.seller.ledger import change
from tests.seller.process_shop import crew, work
from tests.seller.support import Market, until
from tests.seller.test_operating import Process, done

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_each_job_has_a_process_of_its_own_and_asks_and_fails_as_in_a_thread(
    market: Market, caplog: pytest.LogCaptureFixture
):
    with market.shop(work, workers="process:2") as buying:
        jobs = {text: buying.buy({"text": text}) for text in ("a", "b", "ask c", "fail", "raise")}
        asked = buying.wait(jobs["ask c"], "awaiting_input", "failed")
        assert asked["message"] == "who?"
        ends = {text: buying.wait(jobs[text], "completed", "failed") for text in ("a", "b", "fail", "raise")}
        assert buying.provide(jobs["ask c"], {"answer": "Ada"}).status_code == 200
        ends["ask c"] = buying.wait(jobs["ask c"], "completed", "failed")

    results = [ends[text]["result"].rpartition(" ") for text in ("a", "b", "ask c")]
    assert [result[0] for result in results] == ["a", "b", "c Ada"]
    pids = {int(result[2]) for result in results}
    assert len(pids) == 3 and os.getpid() not in pids and not any(lives(pid) for pid in pids)
    assert ends["fail"]["error"] == "not for this text"
    assert "KeyError" in ends["raise"]["error"] and "secret" not in ends["raise"]["error"]
    assert "sk-secret-key" in caplog.text  # with its traceback, in the seller's log


def test_what_takes_too_long_is_killed_with_all_that_it_has_started(market: Market, tmp_path: Path):
    file = tmp_path / "pids"
    with market.shop(work, workers="process:1", work_timeout_s=8) as buying:
        job = buying.buy({"text": f"spin {file}"})
        pids = [int(pid) for pid in until(lambda: file.exists() and file.read_text().split(), "the work", 60)]
        assert len(pids) == 2 and all(lives(pid) for pid in pids)
        behind = buying.buy({"text": "next"})
        failed = buying.wait(job, "failed", within_s=60)
        until(lambda: not any(lives(pid) for pid in pids), "their end")
        assert buying.wait(behind, "completed", "failed", within_s=60)["result"].startswith("next")

    assert "longer than 8 s" in failed["error"]


def test_a_job_that_its_seller_cancels_is_killed(market: Market, tmp_path: Path):
    file = tmp_path / "pids"
    with market.shop(work, workers="process:1") as buying:
        job = buying.buy({"text": f"spin {file}"})
        pids = [int(pid) for pid in until(lambda: file.exists() and file.read_text().split(), "the work", 60)]
        change(buying.service.settings, job["id"], "cancel")
        until(lambda: not any(lives(pid) for pid in pids), "their end")
        behind = buying.buy({"text": "next"})
        assert buying.wait(behind, "completed", "failed", within_s=60)["status"] == "completed"
        assert buying.status(job)["error"] == "the seller cancelled the job"


def test_a_process_that_dies_by_itself_loses_no_job(market: Market, tmp_path: Path):
    with market.shop(work, workers="process") as buying:
        end = buying.wait(buying.buy({"text": f"die {tmp_path}/mark"}), "completed", "failed", within_s=60)

    assert end["status"] == "completed", end


def test_a_function_that_makes_a_crew_runs_in_a_process(market: Market):
    pytest.importorskip("crewai")
    with market.shop(crew, workers="process:1") as buying:
        end = buying.wait(buying.buy({"topic": "cats"}), "completed", "failed", within_s=60)

    assert (end["status"], end["result"]) == ("completed", "a text"), end


class Holder:
    def __init__(self) -> None:
        self.lock = __import__("threading").Lock()

    def shout(self, text: str) -> str:
        return text.upper()


@pytest.mark.parametrize(
    "wrong", [lambda text: text.upper(), Holder().shout], ids=["a lambda", "a method of what holds a lock"]
)
def test_what_no_other_process_can_have_is_refused_in_words(wrong: Any):
    with pytest.raises(InputError, match="at the top of a module"):
        sell(wrong, name="x", price="1 ADA", workers="process")


@pytest.mark.parametrize("wrong", [0, -1, "threads", "process:0", "process:x", None])
def test_workers_are_a_number_or_processes(wrong: Any):
    with pytest.raises(InputError, match="workers is a number"):
        sell(work, name="x", price="1 ADA", workers=wrong)


def test_a_file_that_serves_itself_is_only_read_by_the_processes_of_its_jobs(tmp_path: Path):
    """They must not serve as well; and after kill -9 of the shop none of them is left."""
    import httpx

    with Process(tmp_path, "return f\"{text} {__import__('os').getpid()}\"", workers='"process"') as shop:
        with httpx.Client(base_url=shop.url) as client:
            pid = int(done(client)["result"].split()[1])
            assert pid != shop.process.pid
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(shop.process.pid)], capture_output=True, text=True
        ).stdout.split()
        shop.process.kill()
        shop.process.wait(10)
        until(lambda: not any(lives(int(child)) for child in children), "the end of the spare one")


def test_drained_and_stopped_it_ends_though_processes_wait_for_jobs(tmp_path: Path):
    with Process(tmp_path, "time.sleep(1); return text", workers='"process"') as shop:
        import httpx

        with httpx.Client(base_url=shop.url) as client:
            done(client)
        shop.process.terminate()
        assert shop.process.wait(30) == 0


def test_a_typed_function_is_refused():
    code = (
        "from masumi_tools.seller import sell\n"
        "def work(text: str) -> str:\n    return text\n"
        "sell(work, name='x', price='free', workers='process')\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "this work was typed" in said.stderr
