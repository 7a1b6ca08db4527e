"""Selling: our service beside the official package's server, on one stub node, on this machine.

    python benchmarks/seller.py            # all of it, some five minutes
    python benchmarks/seller.py --quick    # smaller numbers, one minute

Needs wrk on the PATH, and the official package where `make official` puts it (without it: ours alone).
Measured: start_job per second at 8 and 32 connections; from the lock to the begin of the work, in threads and
in processes; 100 jobs of 5 s on 16 places; requests to the node and memory with many open jobs; /status and
/availability while a crew runs on every worker. The node here has its news at once, so ours asks it every second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
OFFICIAL = REPO / ".envs/official/bin/python"
AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "ab" * 32
VKEY = "cd" * 28
FIELDS = [{"id": "text", "type": "string", "name": "Text"}]
BODY = {"identifier_from_purchaser": "ab" * 10, "input_data": {"text": "hello"}}
HOUR_MS = 3_600_000
PLACES, SLEEPS, SLEEP_S = 16, 100, 5.0
WANTED_TIMES = {"8 connections": 2.2, "32 connections": 3.2}


# The stub node: a payment for everybody, and a lock for those that the benchmark names ---------------------


def stub_node(port: int) -> None:
    import uvicorn

    rows: dict[str, dict[str, Any]] = {}
    changed: list[tuple[int, str]] = []  # (ms, identifier), ascending
    seen = {"requests": 0}

    def iso(ms: int) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(ms // 1000)) + f"{ms % 1000:03d}Z"

    def make() -> dict[str, Any]:
        now = time.time_ns() // 1_000_000
        identifier = os.urandom(450).hex()
        rows[identifier] = row = {
            "id": f"p{len(rows)}",
            "createdAt": iso(now),
            "updatedAt": iso(now),
            "blockchainIdentifier": identifier,
            "agentIdentifier": AGENT,
            "payByTime": str(now + HOUR_MS),
            "submitResultTime": str(now + 6 * HOUR_MS),
            "unlockTime": str(now + 12 * HOUR_MS),
            "externalDisputeUnlockTime": str(now + 18 * HOUR_MS),
            "onChainState": None,
            "inputHash": "00" * 32,
            "resultHash": "",
            "NextAction": {
                "requestedAction": "WaitingForExternalAction",
                "errorType": None,
                "errorNote": None,
            },
            "RequestedFunds": [{"amount": "1000000", "unit": ""}],
            "PaymentSource": {"network": "Preprod", "paymentSourceType": "Web3CardanoV1"},
            "SmartContractWallet": {"walletVkey": VKEY},
            "CurrentTransaction": None,
        }
        touch(row, now)
        return row

    def touch(row: dict[str, Any], now: int) -> None:
        row["nextActionOrOnChainStateOrResultLastChangedAt"] = iso(now)
        changed.append((now, row["blockchainIdentifier"]))

    def news(query: dict[str, str]) -> list[dict[str, Any]]:
        import bisect
        from datetime import datetime

        since = datetime.fromisoformat(query["lastUpdate"].replace("Z", "+00:00")).timestamp() * 1000
        at = bisect.bisect_left(changed, (round(since), ""))
        found: dict[str, dict[str, Any]] = {}
        cursor = query.get("cursorId")
        for ms, identifier in changed[at:]:
            row = rows[identifier]
            if iso(ms) != row["nextActionOrOnChainStateOrResultLastChangedAt"]:
                continue  # it changed again later
            if cursor and ms == round(since) and int(row["id"][1:]) < int(cursor[1:]):
                continue
            found[identifier] = row
            if len(found) == int(query.get("limit", "10")):
                break
        return list(found.values())

    def answer(path: str, query: dict[str, str], body: dict[str, Any]) -> Any:
        if path == "/api/v1/payment":
            return make()
        if path == "/api/v1/payment/diff":
            return {"Payments": news(query)}
        row = rows.get(body.get("blockchainIdentifier", ""))
        if path == "/api/v1/payment/resolve-blockchain-identifier":
            return row
        if path == "/api/v1/payment/submit-result" and row is not None:
            row["NextAction"] = {
                "requestedAction": "SubmitResultRequested",
                "resultHash": body["submitResultHash"],
            }
            return row
        if path == "/lock" and row is not None:
            row["onChainState"] = "FundsLocked"
            touch(row, time.time_ns() // 1_000_000)
            return {"at": time.time()}
        if path == "/seen":
            return dict(seen)
        return None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        raw = b""
        while True:
            part = await receive()
            raw += part.get("body", b"")
            if not part.get("more_body"):
                break
        path = scope["path"].rstrip("/")
        if path not in ("/seen", "/lock"):
            seen["requests"] += 1
        import urllib.parse

        query = dict(urllib.parse.parse_qsl(scope["query_string"].decode()))
        data = answer(path, query, json.loads(raw) if raw else {})
        known = data is not None or path.endswith("/health")
        text = json.dumps({"status": "success", "data": data} if known else {"status": "error"}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200 if known else 404, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


# The two sellers ------------------------------------------------------------------------------------------


def in_a_process(text: str) -> str:
    folder, _, number = text.rpartition("/")
    _begun(folder, number)
    return text


def ours(port: int, node: str, folder: str, workers: int | str = 4) -> None:
    from masumi_tools.seller import Limits, sell
    from masumi_tools.settings import Settings

    def work(text: str) -> str:
        _begun(folder, text)
        if text.startswith("sleep"):
            time.sleep(SLEEP_S)
            _left(folder, f"ended-{text}")
        return text

    settings = Settings(
        node_url=node,
        node_token="benchmark-token",  # type: ignore[arg-type]
        agent_identifier=AGENT,
        seller_vkey=VKEY,
        database_url=f"sqlite:///{folder}/jobs.sqlite",
    )
    limits = Limits(unpaid=10**7, unpaid_per_client=10**7)
    sell(
        in_a_process if isinstance(workers, str) else work,
        name="Benchmark",
        price="1 ADA",
        fields=FIELDS,
        settings=settings,
        limits=limits,
        workers=workers,
        interval_s=1.0,
    ).run(port=port)


def official(port: int, node: str, folder: str) -> None:
    import uvicorn
    from masumi import Config, create_masumi_app

    places = asyncio.Semaphore(PLACES)

    async def work(identifier: str, data: dict[str, Any]) -> str:
        text = str(data["text"])
        if not text.startswith("sleep"):
            _begun(folder, text)
            return text
        async with places:
            _begun(folder, text)
            await asyncio.sleep(SLEEP_S)
            _left(folder, f"ended-{text}")
        return text

    app = create_masumi_app(
        config=Config(payment_service_url=node, payment_api_key="benchmark-token"),
        agent_identifier=AGENT,
        network="Preprod",
        start_job_handler=work,
        input_schema_handler={"input_data": FIELDS},
        seller_vkey=VKEY,
    )
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def crews(port: int, folder: str) -> None:
    """A free service whose four workers all run crews, one after the other, for as long as it lives."""
    sys.path.insert(0, str(REPO))
    from masumi_tools.seller import Limits, sell
    from masumi_tools.settings import Settings
    from tests.seller.crews import Scripted, crew

    def think(prompt: str) -> str:
        end = time.perf_counter() + 0.02  # some work of our own between the waits for a model
        while time.perf_counter() < end:
            sum(range(1000))
        time.sleep(0.05)
        return "an answer"

    llm = Scripted(think)
    settings = Settings(database_url=f"sqlite:///{folder}/crews.sqlite")
    limits = Limits(unpaid=10**7, unpaid_per_client=10**7)
    template = crew("Write about {text}", "Again about {text}", "And {text}", llm=llm)
    sell(template, name="Crews", price="free", settings=settings, limits=limits, workers=4).run(port=port)


def _begun(folder: str, text: str) -> None:
    _left(folder, f"begun-{text}")


def _left(folder: str, name: str) -> None:
    Path(folder, name).write_text(str(time.time()))


# Measuring ------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(python: Path | str, *arguments: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": "" if python == OFFICIAL else str(REPO)}
    process = subprocess.Popen(
        [python, __file__, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        end = time.monotonic() + 40
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                break
            time.sleep(0.05)
        time.sleep(0.5)
        yield process
    finally:
        process.kill()
        process.wait()


def ask(url: str, body: Any = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def wrk(url: str, connections: int, seconds: int, body: Any = None) -> dict[str, float]:
    """Requests per second and the 99th percentile in ms."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if body is not None:
            script.write('wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n')
            script.write(f"wrk.body = [==[{json.dumps(body)}]==]\n")
        script.write(
            "done = function(s, l, r) io.write(string.format('\\nFIGURES %d %d %d %d\\n', s.requests, "
            "s.duration, l:percentile(99), s.errors.status + s.errors.read + s.errors.timeout)) end\n"
        )
        script.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "30s",
            "-s",
            script.name,
            url,
        ]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    count, micros, p99, errors = (int(n) for n in text.split("FIGURES ")[1].split())
    return {"per_s": round((count - errors) / (micros / 1e6), 1), "p99_ms": p99 / 1000, "errors": errors}


def cpu_s(pid: int) -> float:
    """Seconds of CPU time that the process has had; says more than the rate on a machine with other work."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextlib.contextmanager
def seller(kind: str, folder: str) -> Iterator[tuple[str, str, subprocess.Popen[bytes]]]:
    """The address of a seller, that of its stub node, and the seller's process."""
    node_port, port = free_port(), free_port()
    node = f"http://127.0.0.1:{node_port}"
    python = OFFICIAL if kind == "official" else sys.executable
    with (
        running(sys.executable, "stub-node", str(node_port), port=node_port),
        running(python, kind, str(port), f"{node}/api/v1", folder, port=port) as process,
    ):
        yield f"http://127.0.0.1:{port}", node, process


def start_job_rate(kind: str, seconds: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for connections in (8, 32):
        with tempfile.TemporaryDirectory() as folder, seller(kind, folder) as (url, _, process):
            before = cpu_s(process.pid)
            figures = wrk(f"{url}/start_job", connections, seconds, BODY)
            spent = cpu_s(process.pid) - before
            figures["cpu_ms_each"] = round(1000 * spent / max(1, figures["per_s"] * seconds), 3)
            found[f"{connections} connections"] = figures
    return found


def lock_to_work(kind: str, jobs: int) -> dict[str, float]:
    waits: list[float] = []
    with tempfile.TemporaryDirectory() as folder, seller(kind, folder) as (url, node, _):
        for n in range(jobs):
            text = f"{folder}/{n}" if kind == "ours-in-processes" else str(n)
            body = {**BODY, "input_data": {"text": text}}
            job = ask(f"{url}/start_job", body)
            time.sleep(1.3 + 0.37 * n % 3)  # not in step with anybody's interval
            locked = ask(f"{node}/lock", {"blockchainIdentifier": job["blockchainIdentifier"]})["data"]["at"]
            file = Path(folder, f"begun-{n}")
            while not file.exists() or not file.read_text():
                time.sleep(0.005)
            waits.append(float(file.read_text()) - locked)
    return {"median_s": round(statistics.median(waits), 3), "worst_s": round(max(waits), 3)}


def sleeping_jobs(kind: str) -> dict[str, float]:
    """Paid all at once; the time until the last has ended. Sixteen at a time cannot be faster than 35 s."""
    kind = "ours-16" if kind == "ours" else kind
    with tempfile.TemporaryDirectory() as folder, seller(kind, folder) as (url, node, process):
        jobs = [ask(f"{url}/start_job", {**BODY, "input_data": {"text": f"sleep{n}"}}) for n in range(SLEEPS)]
        begun, cpu = time.monotonic(), cpu_s(process.pid)
        for job in jobs:
            ask(f"{node}/lock", {"blockchainIdentifier": job["blockchainIdentifier"]})
        ended = 0
        while ended < SLEEPS and time.monotonic() - begun < 180:
            time.sleep(0.1)
            ended = len(list(Path(folder).glob("ended-*")))
        took = time.monotonic() - begun
        return {
            "ended": ended,
            "took_s": round(took, 1),
            "least_s": -(-SLEEPS // PLACES) * SLEEP_S,
            "cpu_s": round(cpu_s(process.pid) - cpu, 2),
        }


def open_jobs(kind: str, jobs: int, seconds: int) -> dict[str, float]:
    async def start_all(url: str) -> int:
        """As many as are started in three minutes; the answer is how many there are."""
        import httpx

        started = 0
        end = time.monotonic() + 180
        async with httpx.AsyncClient(timeout=60) as client:
            limit = asyncio.Semaphore(16)

            async def one() -> None:
                nonlocal started
                async with limit:
                    if time.monotonic() > end:
                        return
                    with contextlib.suppress(httpx.HTTPError):
                        answer = await client.post(f"{url}/start_job", json=BODY)
                        started += answer.status_code == 200

            while started < jobs and time.monotonic() < end:
                await asyncio.gather(*(one() for _ in range(min(500, jobs - started))))
        return started

    with tempfile.TemporaryDirectory() as folder, seller(kind, folder) as (url, node, process):
        started = asyncio.run(start_all(url))
        time.sleep(5)
        before = ask(f"{node}/seen")["data"]["requests"]
        time.sleep(seconds)
        asked = ask(f"{node}/seen")["data"]["requests"] - before
        return {
            "open_jobs": started,  # fewer than asked for where it could not start them in time
            "node_requests_per_minute": round(asked * 60 / seconds, 1),
            "memory_mb": round(memory_mb(process.pid), 1),
        }


def while_crews_run(seconds: int) -> dict[str, Any]:
    port = free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(sys.executable, "crews", str(port), folder, port=port),
    ):
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                ask(f"{url}/availability")
                break
        job = ask(f"{url}/start_job", BODY)
        for _ in range(400):
            ask(f"{url}/start_job", BODY)
        time.sleep(2)
        found = {
            "/status": wrk(f"{url}/status?job_id={job['id']}", 4, seconds),
            "/availability": wrk(f"{url}/availability", 4, seconds),
        }
        last = ask(f"{url}/start_job", BODY)["id"]
        waits = ask(f"{url}/status?job_id={last}")["status"] == "running"
        return {**found, "crews_still_running": waits}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is not installed; it is the load that this benchmark is made with. Nothing was measured.")
        return
    kinds = ["ours", "official"] if OFFICIAL.exists() else ["ours"]
    if len(kinds) == 1:
        print("the official package is not there (make official): ours alone")
    seconds, many = (3, 1000) if options.quick else (8, 10_000)
    verdicts: list[tuple[bool, str]] = []

    def compare(title: str, measure: Callable[[str], Any]) -> dict[str, Any]:
        print(f"\n{title}")
        found = {kind: measure(kind) for kind in kinds}
        for kind, figures in found.items():
            print(f"  {kind:9} {json.dumps(figures)}", flush=True)
        return found

    rates = compare("start_job per second", lambda kind: start_job_rate(kind, seconds))
    waits = compare("lock to begin of work", lambda kind: lock_to_work(kind, 3 if options.quick else 8))
    in_processes = lock_to_work("ours-in-processes", 3 if options.quick else 8)
    print(f"  in processes {json.dumps(in_processes)}", flush=True)
    slept = compare(f"{SLEEPS} jobs of {SLEEP_S:g} s on {PLACES} places", sleeping_jobs)
    held = compare(f"{many} open jobs", lambda kind: open_jobs(kind, many, 20 if options.quick else 60))
    print("\nwhile a crew runs on every one of 4 workers")
    crews_run = while_crews_run(seconds)
    print(f"  ours      {json.dumps(crews_run)}")
    if "official" in kinds:
        for connections, figures in rates["ours"].items():
            times = figures["per_s"] / rates["official"][connections]["per_s"]
            wanted = WANTED_TIMES[connections]
            verdicts.append(
                (times >= wanted, f"start_job at {connections}: {times:.1f} times the official package's")
            )
        asked = [held[kind]["node_requests_per_minute"] for kind in ("ours", "official")]
        verdicts.append(
            (asked[0] <= asked[1] / 100, f"requests to the node: {100 * asked[0] / asked[1]:.2f} %")
        )
        memory = [held[kind]["memory_mb"] for kind in ("ours", "official")]
        verdicts.append((memory[0] <= memory[1] / 2, f"memory: {100 * memory[0] / memory[1]:.0f} %"))
    late = slept["ours"]["took_s"] - slept["ours"]["least_s"]
    all_ended = slept["ours"]["ended"] == SLEEPS and late < 10
    verdicts.append((all_ended, f"{SLEEPS} jobs on {PLACES} places: {late:.1f} s above the least time"))
    worst = waits["ours"]["worst_s"]
    verdicts.append((worst < 2, f"from the lock to the work at most {worst} s"))
    for path in ("/status", "/availability"):
        p99 = crews_run[path]["p99_ms"]
        verdicts.append((p99 < 50, f"{path} while crews run: 99th percentile {p99:.0f} ms"))
    print()
    for good, words in verdicts:
        print(f"  {'yes' if good else 'NO '}  {words}")
    if not all(good for good, _ in verdicts) and not options.quick:
        sys.exit(1)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stub-node", port]:
            stub_node(int(port))
        case ["ours", port, node, folder]:
            ours(int(port), node, folder)
        case ["ours-16", port, node, folder]:
            ours(int(port), node, folder, PLACES)
        case ["ours-in-processes", port, node, folder]:
            ours(int(port), node, folder, "process")
        case ["official", port, node, folder]:
            official(int(port), node, folder)
        case ["crews", port, folder]:
            crews(int(port), folder)
        case _:
            main()
