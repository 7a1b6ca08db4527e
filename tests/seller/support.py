"""Helpers of the seller's tests: a served service, and a buyer that is made of plain requests only."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from masumi_tools.sandbox import Sandbox
from masumi_tools.seller import Service, sell
from masumi_tools.seller.work.human import current
from masumi_tools.settings import Settings
from tests.ports import free_port

WAITS_S = 20


def until(condition: Callable[[], Any], what: str = "it", within_s: float = WAITS_S) -> Any:
    """The first true answer of `condition`; AssertionError when it does not come."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {within_s} s")


@contextmanager
def served(service: Service, port: int = 0) -> Iterator[str]:
    """The address at which the service answers on a real socket, for the time of the block."""
    port = port or free_port()
    server = uvicorn.Server(uvicorn.Config(service.app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the server's start")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@dataclass
class Market:
    """A sandbox, and services of ours that are registered there."""

    sandbox: Sandbox
    folder: Path
    number: int = 0

    def settings(self, agent: str, database_url: str = "") -> Settings:
        self.number += 1
        url = database_url or f"sqlite:///{self.folder}/seller{self.number}.sqlite"
        return Settings.from_sandbox(self.sandbox, agent_identifier=agent, database_url=url)

    def listed(self, price: Any = "1 ADA", *, url: str = "http://127.0.0.1:9", version: int = 1) -> str:
        """A new agent identifier at this price: a text, None for a free one, a function for a dynamic one."""
        self.number += 1
        name = f"service {self.number}"
        if callable(price):
            return self.sandbox.register_service(name, url, None, "Dynamic", version).agent_identifier
        return self.sandbox.register_service(name, url, price, None, version).agent_identifier

    @contextmanager
    def shop(
        self, work: Any, *, price: Any = "1 ADA", version: int = 1, database_url: str = "", **more: Any
    ) -> Iterator[Buying]:
        """A service that runs, and a buyer that knows it."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        agent = self.listed(price, url=url, version=version)
        more = {"interval_s": 0.1, "url": url, **more}
        settings = self.settings(agent, database_url)
        service = sell(work, name="Shop", price=price or "free", settings=settings, **more)
        with served(service, port), Buying(self.sandbox, url) as buying:
            buying.service = service
            yield buying


class Buying:
    """A buyer of plain requests: what it sends is written here and nowhere else."""

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        self.sandbox = sandbox
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=10)
        self.node = httpx.Client(headers={"token": sandbox.token}, timeout=10)
        self.service: Any = None

    def __enter__(self) -> Buying:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.node.close()

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.http.post(path, json=body)

    def start(self, data: Any, identifier: str | None = None) -> dict[str, Any]:
        """The answer of start_job for this input."""
        nonce = identifier or secrets.token_hex(10)
        answer = self.post("/start_job", {"identifier_from_purchaser": nonce, "input_data": data})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def pay(self, job: dict[str, Any]) -> dict[str, Any]:
        """Order the escrow for a job at the sandbox's node."""
        body = {
            "blockchainIdentifier": job["blockchainIdentifier"],
            "network": "Preprod",
            "inputHash": job["inputHash"],
            "sellerVkey": job["sellerVkey"],
            "agentIdentifier": job["agentIdentifier"],
            "identifierFromPurchaser": job["identifierFromPurchaser"],
            **{
                name: str(job[name])
                for name in ("payByTime", "submitResultTime", "unlockTime", "externalDisputeUnlockTime")
            },
        }
        if self.service is not None and self.service.offer.price_of is not None:
            units = [{**amount, "unit": amount["unit"].replace("lovelace", "")} for amount in job["amounts"]]
            body["Amounts"] = units
        for name in ("supportedPaymentSourceIndex", "sellerReturnAddress"):
            if job.get(name) is not None:
                body[name] = job[name]
        answer = self.node.post(f"{self.sandbox.node_url}/purchase", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["data"])

    def ask_refund(self, job: dict[str, Any]) -> None:
        body = {"blockchainIdentifier": job["blockchainIdentifier"], "network": "Preprod"}

        def asked() -> bool:
            answer = self.node.post(f"{self.sandbox.node_url}/purchase/request-refund", json=body)
            return answer.status_code == 200

        until(asked, "the wish for a refund")

    def buy(self, data: Any) -> dict[str, Any]:
        """A job that is started and paid."""
        job = self.start(data)
        self.pay(job)
        return job

    def status(self, job: dict[str, Any]) -> dict[str, Any]:
        answer = self.http.get("/status", params={"job_id": job["id"]})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def wait(self, job: dict[str, Any], *words: str, within_s: float = WAITS_S) -> dict[str, Any]:
        """The status once it is one of `words`."""
        seen: dict[str, Any] = {}

        def arrived() -> bool:
            seen.update(self.status(job))
            return seen["status"] in words

        until(arrived, f"{words} (last: {self.status(job)})", within_s)
        return seen

    def provide(self, job: dict[str, Any], data: Any, **more: Any) -> httpx.Response:
        return self.post("/provide_input", {"job_id": job["id"], "input_data": data, **more})

    def payment(self, job: dict[str, Any]) -> dict[str, Any]:
        """The payment of this job in the sandbox's ledger, with its history."""
        rows = self.sandbox.ledger()["payments"]
        return next(row for row in rows if row["blockchainIdentifier"] == job["blockchainIdentifier"])

    def submits(self, job: dict[str, Any]) -> int:
        """How often a result was handed in for this job."""
        payment = self.payment(job)
        entries = [*(payment.get("ActionHistory") or []), payment["NextAction"]]
        return sum(entry["requestedAction"] == "SubmitResultRequested" for entry in entries)


def not_delivered(
    market: Market, works: dict[str, tuple[Any, dict[str, Any], str]], returns: dict[str, tuple[Any, str]]
) -> dict[str, Any]:
    """What came of these shapes of work, and of what work may return, where it is not what is expected."""
    sold = {name: sell(work, name=name, price="1 ADA") for name, (work, _, _) in works.items()}
    given = {
        **{name: (data, text) for name, (_, data, text) in works.items()},
        **{name: ({}, text) for name, (_, text) in returns.items()},
    }

    def work(shape: str, data: dict[str, Any]) -> Any:
        if shape in sold:
            return sold[shape].offering.work.run(data, current())
        return returns[shape][0]()

    wrong: dict[str, Any] = {}
    with market.shop(work, workers=8) as buying:
        jobs = {name: buying.buy({"shape": name, "data": data}) for name, (data, _) in given.items()}
        for name, job in jobs.items():
            done = buying.wait(job, "completed", "failed", within_s=40)
            if done["result"] != given[name][1]:
                wrong[name] = done["result"] or done["error"]
    return wrong
