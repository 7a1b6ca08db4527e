"""Hiring: what a hire itself costs, and what 1,000 of them at once cost, on a sandbox in a process of its own.

    python benchmarks/buyer.py            # all of it, some three minutes
    python benchmarks/buyer.py --quick    # fewer hires, half a minute

1. One hire against a bare httpx script that makes the same requests with the same pauses between polls, by
   turns in one run, plainly and awaiting: median of the wall times. At most 1.3 times.
2. Async hires that are all open at once: requests to the node per minute while nothing happens, of 10 and
   of 1,000 hires (at most 1.5 times), and this process's peak memory (less than 300 MB).

Exit status 1 when a bound is missed.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from masumi_tools import AsyncBuyer, Budget, Buyer, Settings

MOST_TIMES = 1.3
MOST_MB = 300
MOST_GROWTH = 1.5
POLL_S = 0.06  # as often as a buyer looks in a sandbox


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

    def __init__(self, world: dict[str, Any]) -> None:
        self.node, self.registry = world["node_url"], world["registry_url"]
        self.echo = service(world, "echo")
        self.headers = {"token": world["token"]}

    def steps(self, text: str) -> Iterator[Any]:
        """Yields (method, url, json, own) or seconds to sleep; is sent the JSON of each answer."""
        agent, url = self.echo["agent_identifier"], self.echo["url"]
        query = f"?agentIdentifier={agent}&network=Preprod"
        yield "GET", f"{self.registry}/payment-information{query}", None, True
        yield "GET", f"{url}/input_schema", None, False
        nonce = secrets.token_hex(10)
        body = {"identifier_from_purchaser": nonce, "input_data": {"text": text}}
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
        state = None
        while state != "FundsLocked":
            yield POLL_S
            found = yield "POST", f"{self.node}/purchase/resolve-blockchain-identifier", resolve, True
            state = found["data"]["onChainState"]
        status: dict[str, Any] = {"status": ""}
        while status["status"] != "completed":
            status = yield "GET", f"{url}/status?job_id={job['job_id']}", None, False
            if status["status"] != "completed":
                yield POLL_S
        while state != "ResultSubmitted":
            found = yield "POST", f"{self.node}/purchase/resolve-blockchain-identifier", resolve, True
            state = found["data"]["onChainState"]
            if state != "ResultSubmitted":
                yield POLL_S

    def hire(self, client: httpx.Client, text: str) -> int:
        """The number of requests."""
        steps, sent = self.steps(text), 0
        step = next(steps)
        with contextlib.suppress(StopIteration):
            while True:
                if isinstance(step, float):
                    time.sleep(step)
                    step = steps.send(None)  # type: ignore[attr-defined]
                    continue
                method, url, body, own = step
                answer = client.request(method, url, json=body, headers=self.headers if own else None)
                sent += 1
                step = steps.send(read(answer))  # type: ignore[attr-defined]
        return sent

    async def ahire(self, client: httpx.AsyncClient, text: str) -> int:
        steps, sent = self.steps(text), 0
        step = next(steps)
        with contextlib.suppress(StopIteration):
            while True:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                    step = steps.send(None)  # type: ignore[attr-defined]
                    continue
                method, url, body, own = step
                answer = await client.request(method, url, json=body, headers=self.headers if own else None)
                sent += 1
                step = steps.send(read(answer))  # type: ignore[attr-defined]
        return sent


def plainly(world: dict[str, Any], folder: Path, rounds: int) -> float:
    bare, ours = Bare(world), []
    theirs: list[float] = []
    agent = service(world, "echo")["agent_identifier"]
    budget = Budget("100000 ADA", name="plain")
    settings = settings_of(world, folder / "plain.sqlite3")
    with Buyer(settings, budget=budget) as buyer, httpx.Client(trust_env=False) as client:
        for number in range(-2, rounds):
            begun = time.perf_counter()
            bare.hire(client, f"bare {number}")
            between = time.perf_counter()
            receipt = buyer.hire(agent, {"text": f"ours {number}"}, max_price="1 ADA")
            ended = time.perf_counter()
            assert receipt.outcome == "completed" and receipt.verified, receipt
            if number >= 0:  # the first ones open files and connections
                theirs.append(between - begun)
                ours.append(ended - between)
    return told("plainly", ours, theirs)


async def awaiting(world: dict[str, Any], folder: Path, rounds: int) -> float:
    bare, ours = Bare(world), []
    theirs: list[float] = []
    agent = service(world, "echo")["agent_identifier"]
    budget = Budget("100000 ADA", name="awaiting")
    settings = settings_of(world, folder / "awaiting.sqlite3")
    async with AsyncBuyer(settings, budget=budget) as buyer, httpx.AsyncClient(trust_env=False) as client:
        for number in range(-2, rounds):
            begun = time.perf_counter()
            await bare.ahire(client, f"bare {number}")
            between = time.perf_counter()
            receipt = await buyer.hire(agent, {"text": f"ours {number}"}, max_price="1 ADA")
            ended = time.perf_counter()
            assert receipt.outcome == "completed" and receipt.verified, receipt
            if number >= 0:
                theirs.append(between - begun)
                ours.append(ended - between)
    return told("awaiting", ours, theirs)


def told(name: str, ours: list[float], theirs: list[float]) -> float:
    times = statistics.median(ours) / statistics.median(theirs)
    print(
        f"  {name:9} hire {statistics.median(ours) * 1000:6.0f} ms, bare {statistics.median(theirs) * 1000:6.0f} ms: "
        f"{times:.2f} times (at most {MOST_TIMES})",
        flush=True,
    )
    return times


# 2. Many at once -----------------------------------------------------------------------------------


async def crowd(world: dict[str, Any], folder: Path, count: int, quiet_s: float) -> float:
    """Requests to the node per minute while `count` hires are all locked and nothing happens."""
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
        begun = time.perf_counter()
        work = [
            asyncio.create_task(buyer.hire(agent, {"text": f"{count} {n}", "seconds": 3600}, patience_s=3000))
            for n in range(count)
        ]
        await asyncio.wait_for(everybody.wait(), 900)
        locking = time.perf_counter() - begun
        await asyncio.sleep(2)
        await asyncio.sleep(quiet_s)
        seen = await asyncio.to_thread(node_requests, world, quiet_s)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
    rate = seen / quiet_s * 60
    print(
        f"  {count:5} hires locked after {locking:.1f} s; {rate:.0f} node requests a minute, "
        f"peak memory {memory_mb():.0f} MB",
        flush=True,
    )
    return rate


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
                few = asyncio.run(crowd(world, folder, 10, quiet_s))
                lots = asyncio.run(crowd(world, folder, many, quiet_s))
            print(f"  {lots / few:.2f} times the requests of 10 (at most {MOST_GROWTH})")
            missed += ["requests"] if lots > MOST_GROWTH * few else []
            missed += ["memory"] if memory_mb() > MOST_MB else []
    for bound in missed:
        print(f"missed: {bound}")
    return 1 if missed else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
