"""Hiring: what a hire itself costs, and what 1,000 of them at once cost, on a sandbox in a process of its own.

    python benchmarks/buyer.py            # all of it, some three minutes
    python benchmarks/buyer.py --quick    # fewer hires, half a minute

1. One hire against a bare httpx script that makes the same requests with the same pauses between polls, by
   turns in one run, plainly and awaiting: medians of the wall times (at most 1.3 times) and of this process's
   CPU times (1.15 times is what is aimed at; the row says what it is).
2. Async hires that are all open at once: how many are locked a second, beside as many of the bare script, and
   how much of a core that takes; requests to the node per minute while nothing happens, of 10 and of 1,000
   hires (at most 1.5 times), and this process's peak memory (less than 300 MB).

Exit status 1 when a bound is missed; a row that is aimed at something is no bound.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx

from masumi_tools import AsyncBuyer, Budget, Buyer, Settings

MOST_TIMES = 1.3
AIM_CPU = 1.15
MOST_MB = 300
MOST_GROWTH = 1.5
POLL_S = 0.06  # as often as a buyer looks in a sandbox
CROWDED_POLL_S = 1.0  # a thousand scripts that look that often would be all that the node has to do


@contextlib.contextmanager
def sandbox(folder: Path) -> Iterator[dict[str, Any]]:
    """A sandbox in a process of its own; what its ready file says."""
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "masumi_tools.sandbox", "--ready-file", str(ready)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise SystemExit("the sandbox did not start")
            time.sleep(0.05)
        yield json.loads(ready.read_text())
    finally:
        process.terminate()
        process.wait()


def settings_of(world: dict[str, Any], database: Path) -> Settings:
    return Settings.from_env(
        {
            "MASUMI_NODE_URL": world["node_url"],
            "MASUMI_NODE_TOKEN": world["token"],
            "MASUMI_REGISTRY_URL": world["registry_url"],
            "MASUMI_REGISTRY_TOKEN": world["token"],
            "MASUMI_DATABASE_URL": f"sqlite:///{database}",
            "MASUMI_SANDBOX": "1",
        }
    )


def service(world: dict[str, Any], name: str) -> dict[str, str]:
    return next(one for one in world["services"] if one["name"] == name)


# 1. A hire, and the same requests without us -----------------------------------------------------


def read(answer: httpx.Response) -> Any:
    if answer.is_error:
        raise SystemExit(
            f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}"
        )
    return answer.json()


class Bare:
    """The requests of a hire as a script of its own would make them; nothing is checked, saved or remembered."""

    def __init__(self, world: dict[str, Any], name: str = "echo", poll_s: float = POLL_S) -> None:
        self.node, self.registry = world["node_url"], world["registry_url"]
        self.service, self.poll_s = service(world, name), poll_s
        self.headers = {"token": world["token"]}

    def steps(self, input_data: dict[str, Any]) -> Iterator[Any]:
        """Yields (method, url, json, own) or seconds to sleep; is sent the JSON of each answer."""
        state, job, resolve = yield from self.locked(input_data)
        url = self.service["url"]
        status: dict[str, Any] = {"status": ""}
        while status["status"] != "completed":
            status = yield "GET", f"{url}/status?job_id={job['job_id']}", None, False
            if status["status"] != "completed":
                yield self.poll_s
        while state != "ResultSubmitted":
            found = yield "POST", f"{self.node}/purchase/resolve-blockchain-identifier", resolve, True
            state = found["data"]["onChainState"]
            if state != "ResultSubmitted":
                yield self.poll_s

    def locked(self, input_data: dict[str, Any]) -> Generator[Any, Any, tuple[str, Any, Any]]:
        """As `steps`, until the money is in escrow; the state, the job and the question for its state."""
        agent, url = self.service["agent_identifier"], self.service["url"]
        query = f"?agentIdentifier={agent}&network=Preprod"
        yield "GET", f"{self.registry}/payment-information{query}", None, True
        yield "GET", f"{url}/input_schema", None, False
        nonce = secrets.token_hex(10)
        body = {"identifier_from_purchaser": nonce, "input_data": input_data}
        job = yield "POST", f"{url}/start_job", body, False
        names = ("blockchainIdentifier", "agentIdentifier")
        times = ("payByTime", "submitResultTime", "unlockTime", "externalDisputeUnlockTime")
        purchase = {name: job[name] for name in names} | {name: str(job[name]) for name in times}
        purchase |= {
            "network": "Preprod",
            "inputHash": job["input_hash"],
            "sellerVkey": job["sellerVKey"],
            "paymentSourceType": "Web3CardanoV1",
            "identifierFromPurchaser": nonce,
            "Amounts": [{"amount": "1000000", "unit": ""}],
        }
        yield "POST", f"{self.node}/purchase", purchase, True
        resolve = {"network": "Preprod", "blockchainIdentifier": job["blockchainIdentifier"]}
        state: str = ""
        while state != "FundsLocked":
            yield self.poll_s
            found = yield "POST", f"{self.node}/purchase/resolve-blockchain-identifier", resolve, True
            state = found["data"]["onChainState"]
        return state, job, resolve

    def run(self, client: httpx.Client, steps: Iterator[Any]) -> None:
        step = next(steps)
        with contextlib.suppress(StopIteration):
            while True:
                if isinstance(step, float):
                    time.sleep(step)
                    step = steps.send(None)  # type: ignore[attr-defined]
                    continue
                method, url, body, own = step
                answer = client.request(method, url, json=body, headers=self.headers if own else None)
                step = steps.send(read(answer))  # type: ignore[attr-defined]

    async def arun(self, client: httpx.AsyncClient, steps: Iterator[Any]) -> None:
        step = next(steps)
        with contextlib.suppress(StopIteration):
            while True:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                    step = steps.send(None)  # type: ignore[attr-defined]
                    continue
                method, url, body, own = step
                answer = await client.request(method, url, json=body, headers=self.headers if own else None)
                step = steps.send(read(answer))  # type: ignore[attr-defined]


class Spent:
    """What was spent between two marks: wall seconds and this process's CPU seconds."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def mark(self) -> None:
        self.marks.append((time.perf_counter(), time.process_time()))

    def between(self, first: int) -> tuple[float, float]:
        begun, ended = self.marks[first : first + 2]
        return ended[0] - begun[0], ended[1] - begun[1]


def plainly(world: dict[str, Any], folder: Path, rounds: int) -> float:
    bare, each = Bare(world), []
    agent = service(world, "echo")["agent_identifier"]
    budget = Budget("100000 ADA", name="plain")
    settings = settings_of(world, folder / "plain.sqlite3")
    with Buyer(settings, budget=budget) as buyer, httpx.Client(trust_env=False) as client:
        for number in range(-2, rounds):
            spent = Spent()
            spent.mark()
            bare.run(client, bare.steps({"text": f"bare {number}"}))
            spent.mark()
            receipt = buyer.hire(agent, {"text": f"ours {number}"}, max_price="1 ADA")
            spent.mark()
            assert receipt.outcome == "completed" and receipt.verified, receipt
            each += [spent] if number >= 0 else []  # the first ones open files and connections
    return told("plainly", each)


async def awaiting(world: dict[str, Any], folder: Path, rounds: int) -> float:
    bare, each = Bare(world), []
    agent = service(world, "echo")["agent_identifier"]
    budget = Budget("100000 ADA", name="awaiting")
    settings = settings_of(world, folder / "awaiting.sqlite3")
    async with AsyncBuyer(settings, budget=budget) as buyer, httpx.AsyncClient(trust_env=False) as client:
        for number in range(-2, rounds):
            spent = Spent()
            spent.mark()
            await bare.arun(client, bare.steps({"text": f"bare {number}"}))
            spent.mark()
            receipt = await buyer.hire(agent, {"text": f"ours {number}"}, max_price="1 ADA")
            spent.mark()
            assert receipt.outcome == "completed" and receipt.verified, receipt
            each += [spent] if number >= 0 else []
    return told("awaiting", each)


def told(name: str, each: list[Spent]) -> float:
    """Prints both rows; the ratio of the wall times."""
    times = 0.0
    for row, what, bound in ((1, "CPU", f"aimed at {AIM_CPU}"), (0, "", f"at most {MOST_TIMES}")):
        theirs, ours = (
            statistics.median(spent.between(side)[row] for spent in each) * 1000 for side in (0, 1)
        )
        times = ours / theirs
        print(
            f"  {name:9} hire {ours:6.1f} ms {what or 'wall'}, bare {theirs:6.1f} ms: {times:.2f} times ({bound})",
            flush=True,
        )
    return times


# 2. Many at once -----------------------------------------------------------------------------------


async def bare_crowd(world: dict[str, Any], count: int) -> float:
    """As many bare scripts, a hundred at a time, where httpx is quickest; how many are locked a second."""
    bare, places = Bare(world, "slow", CROWDED_POLL_S), asyncio.Semaphore(100)

    async def one(number: int) -> None:
        async with places:
            await bare.arun(client, bare.locked({"text": f"bare {number}", "seconds": 3600}))

    async with httpx.AsyncClient(trust_env=False, timeout=600) as client:
        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(one(number) for number in range(count)))
    return locked_after(f"{count:5} bare scripts", count, begun, cpu)


def locked_after(who: str, count: int, begun: float, cpu: float) -> float:
    wall, busy = time.perf_counter() - begun, time.process_time() - cpu
    print(
        f"  {who} locked after {wall:.1f} s, {count / wall:.0f} a second, {busy / wall:.0%} of a core",
        flush=True,
    )
    return count / wall


async def crowd(world: dict[str, Any], folder: Path, count: int, quiet_s: float) -> tuple[float, float]:
    """How many of `count` hires are locked a second, and requests to the node per minute while nothing happens."""
    agent = service(world, "slow")["agent_identifier"]
    settings = settings_of(world, folder / f"crowd-{count}.sqlite3")
    locked: set[str] = set()
    everybody = asyncio.Event()

    def on_progress(progress: Any) -> None:
        if progress.state.value == "locked":
            locked.add(progress.hire_id)
            if len(locked) == count:
                everybody.set()

    budget = Budget("1000000 ADA", name=f"crowd-{count}")
    async with AsyncBuyer(settings, budget=budget, on_progress=on_progress) as buyer:
        begun, cpu = time.perf_counter(), time.process_time()
        work = [
            asyncio.create_task(buyer.hire(agent, {"text": f"{count} {n}", "seconds": 3600}, patience_s=3000))
            for n in range(count)
        ]
        await asyncio.wait_for(everybody.wait(), 900)
        pace = locked_after(f"{count:5} hires", count, begun, cpu)
        await asyncio.sleep(2)
        await asyncio.sleep(quiet_s)
        seen = await asyncio.to_thread(node_requests, world, quiet_s)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
    rate = seen / quiet_s * 60
    print(f"  {rate:.0f} node requests a minute, peak memory {memory_mb():.0f} MB", flush=True)
    return pace, rate


def node_requests(world: dict[str, Any], last_s: float) -> int:
    """How many requests the node has seen in the last seconds of the sandbox's clock."""
    origin = world["node_url"].removesuffix("/api/v1")
    now_ms = httpx.get(f"{origin}/_sandbox", timeout=60).json()["now_ms"]
    seen = httpx.get(f"{origin}/_sandbox/requests", timeout=60).json()["requests"]
    return sum(one["to"] == "node" and one["at_ms"] > now_ms - last_s * 1000 for one in seen)


def memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer hires")
    parser.add_argument("--only", choices=("hire", "crowd"), help="one half only")
    asked = parser.parse_args()
    many, rounds, quiet_s = (200, 8, 5.0) if asked.quick else (1_000, 25, 20.0)
    missed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.only != "crowd":
            print("one hire, in times of a bare script that makes the same requests", flush=True)
            with sandbox(folder) as world:
                for times in (plainly(world, folder, rounds), asyncio.run(awaiting(world, folder, rounds))):
                    missed += ["wall time"] if times > MOST_TIMES else []
            (folder / "ready.json").unlink()
        if asked.only != "hire":
            print("many hires open at once", flush=True)
            with sandbox(folder) as world:
                _, few = asyncio.run(crowd(world, folder, 10, quiet_s))
                pace, lots = asyncio.run(crowd(world, folder, many, quiet_s))
                theirs = asyncio.run(bare_crowd(world, many))
            print(f"  {pace / theirs:.2f} times the pace of the bare scripts")
            print(f"  {lots / few:.2f} times the requests of 10 (at most {MOST_GROWTH})")
            missed += ["requests"] if lots > MOST_GROWTH * few else []
            missed += ["memory"] if memory_mb() > MOST_MB else []
    for bound in missed:
        print(f"missed: {bound}")
    return 1 if missed else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
