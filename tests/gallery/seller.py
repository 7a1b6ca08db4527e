"""What every seller of the gallery does: jobs, payments at the sandbox's node, time that a test moves.

A seller is written from the field notes alone and shares no code with the package: its hashes, its reading
of the node and its answers are its own, so that one misreading cannot hide on both sides. A subclass says
how its dialect differs.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import httpx
import rfc8785

from tests.gallery.serving import Asked, Told

MINUTE = 60_000
HOUR = 60 * MINUTE
TIMES = ("payByTime", "submitResultTime", "unlockTime", "externalDisputeUnlockTime")

Data = dict[str, Any]


class Street(Protocol):
    """Where the sellers live: the clock, and the node of the sandbox."""

    node_url: str
    token: str

    def now_ms(self) -> int: ...
    def later(self, ms: int, event: Callable[[], None]) -> None: ...


@dataclass
class Job:
    """One job of one seller."""

    id: str
    nonce: str
    data: Any
    payment: Data | None = None
    state: str = "awaiting_payment"
    result: Any = None
    answers: list[Data] = field(default_factory=list)
    polls: int = 0


def sha(nonce: str, text: str, separator: str = ";") -> str:
    return hashlib.sha256(f"{nonce}{separator}{text}".encode()).hexdigest()


def jcs(value: Any) -> str:
    return rfc8785.dumps(value).decode()


def canonicaljson(value: Any) -> str:
    """What the official kit's library writes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def iso(ms: int) -> str:
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


TEXT: Data = {"id": "text", "type": "text", "name": "Text", "data": {"description": "What to work on"}}


class Seller:
    """MIP-003 as it is written, with times in milliseconds. Each method is a thing that dialects do differently."""

    name = "spec"
    price: str | None = "1 ADA"
    version = 1
    pay_by, submit, unlock, dispute = 30 * MINUTE, 2 * HOUR, None, None
    poll_ms = 10_000  # how often it looks for its money
    work_ms = 20_000
    whole_seconds = False  # whether the times that it has signed end in 000

    def __init__(self, street: Street) -> None:
        self.street = street
        self.agent = self.vkey = ""
        self.jobs: dict[str, Job] = {}
        self._node = httpx.Client(base_url=street.node_url, headers={"token": street.token}, timeout=20)

    def close(self) -> None:
        self._node.close()

    # ---- routes ---------------------------------------------------------------------------------------

    def answer(self, asked: Asked) -> Told:
        path = asked.path.rstrip("/")
        if asked.method == "GET" and path == "/availability":
            return self.availability()
        if asked.method == "GET" and path == "/input_schema":
            return self.input_schema()
        if asked.method == "POST" and path == "/start_job":
            return self.start_job(asked.body)
        if asked.method == "GET" and path == "/status":
            return self.status(asked)
        if asked.method == "POST" and path == "/provide_input":
            return self.provide_input(asked)
        return Told(404, {"detail": "Not Found"})

    def availability(self) -> Told:
        return Told(200, {"status": "available", "type": "masumi-agent", "message": "Ready."})

    def schema(self) -> Any:
        return {"input_data": [TEXT]}

    def input_schema(self) -> Told:
        return Told(200, self.schema())

    def refusal(self, body: Any) -> Told | None:
        """Why this start_job is refused, or None."""
        if not isinstance(body, dict) or not isinstance(body.get("input_data"), dict):
            return fastapi_error("dict_type", "Input should be a valid dictionary", "input_data")
        return None

    def read_start(self, body: Data) -> tuple[str, Any]:
        return str(body["identifier_from_purchaser"]), body["input_data"]

    def start_job(self, body: Any) -> Told:
        if refused := self.refusal(body):
            return refused
        nonce, data = self.read_start(body)
        job = Job(self.job_id(), nonce, data)
        job.payment = self.order(job)
        self.jobs[job.id] = job
        if job.payment is not None:
            self.look_later(job)
        return Told(200, self.started(job))

    def job_id(self) -> str:
        return str(uuid.uuid4())

    def started(self, job: Job) -> Data:
        return {"id": job.id, **self.terms(job), "input_hash": self.input_hash(job)}

    def terms(self, job: Job) -> Data:
        """The terms by the standard's names, without the input hash."""
        assert job.payment is not None
        return {
            "blockchainIdentifier": job.payment["blockchainIdentifier"],
            **self.times(job),
            "agentIdentifier": self.agent,
            "sellerVKey": self.vkey,
            "identifierFromPurchaser": job.nonce,
        }

    def times(self, job: Job) -> Data:
        assert job.payment is not None
        return {name: int(job.payment[name]) for name in TIMES}

    def status(self, asked: Asked) -> Told:
        job = self.jobs.get(asked.query.get("job_id", ""))
        if job is None:
            return self.unknown_job()
        job.polls += 1
        return Told(200, self.shown(job))

    def unknown_job(self) -> Told:
        return Told(404, {"detail": "Job not found"})

    def shown(self, job: Job) -> Data:
        return {"job_id": job.id, "status": job.state, "result": job.result}

    def provide_input(self, asked: Asked) -> Told:
        return Told(404, {"detail": "Not Found"})

    # ---- hashes ---------------------------------------------------------------------------------------

    def input_hash(self, job: Job) -> str:
        return sha(job.nonce, jcs(job.data))

    def output_hash(self, job: Job, output: Any) -> str:
        return sha(job.nonce, output)

    # ---- the money ------------------------------------------------------------------------------------

    def order(self, job: Job) -> Data | None:
        """The payment that the seller's node prepares; None where the node said no."""
        now = self.street.now_ms()
        if self.whole_seconds:
            now -= now % 1000
        body: Data = {
            "network": "Preprod",
            "agentIdentifier": self.agent,
            "inputHash": self.input_hash(job),
            "identifierFromPurchaser": job.nonce,
            "payByTime": iso(now + self.pay_by),
            "submitResultTime": iso(now + self.submit),
        }
        if self.unlock is not None and self.dispute is not None:
            body["unlockTime"] = iso(now + self.unlock)
            body["externalDisputeUnlockTime"] = iso(now + self.dispute)
        if self.version == 2:
            body["supportedPaymentSourceIndex"] = 0
        if self.price is None:
            body["RequestedFunds"] = self.demands()
        answer = self._node.post("/payment", json=body)
        return dict(answer.json()["data"]) if answer.status_code == 200 else None

    def demands(self) -> list[Data]:
        """What a dynamic price comes to."""
        return []

    def on_chain(self, job: Job) -> str | None:
        """What the seller's node shows of the escrow."""
        assert job.payment is not None
        identifier = job.payment["blockchainIdentifier"]
        body = {"network": "Preprod", "blockchainIdentifier": identifier}
        answer = self._node.post("/payment/resolve-blockchain-identifier", json=body)
        row = answer.json().get("data") or {}
        if (row.get("NextAction") or {}).get("requestedAction") != "WaitingForExternalAction":
            return None
        return row.get("onChainState")

    def submit_hash(self, job: Job, digest: str) -> int:
        """Put the result's hash on chain; the node's status code."""
        assert job.payment is not None
        body = {
            "network": "Preprod",
            "blockchainIdentifier": job.payment["blockchainIdentifier"],
            "submitResultHash": digest,
        }
        return self._node.post("/payment/submit-result", json=body).status_code

    # ---- the work -------------------------------------------------------------------------------------

    def look_later(self, job: Job) -> None:
        """Look for the money again after a while; a job that is never paid is given up at its pay_by."""
        assert job.payment is not None
        if self.street.now_ms() < int(job.payment["payByTime"]) + 10 * MINUTE:
            self.street.later(self.poll_ms, lambda: self.look(job))

    def look(self, job: Job) -> None:
        if job.state != "awaiting_payment":
            return
        if self.on_chain(job) == "FundsLocked":
            self.paid(job)
        else:
            self.look_later(job)

    def paid(self, job: Job) -> None:
        """The money is there: begin to work."""
        job.state = "running"
        self.street.later(self.work_ms, lambda: self.finish(job))

    def work(self, job: Job) -> Any:
        return f'Report on {next(iter(job.data.values()))}:\n"all is well", with a back\\slash.'

    def finish(self, job: Job) -> None:
        """Hand the hash in, then the result out."""
        output = self.work(job)
        if self.submit_hash(job, self.output_hash(job, output)) != 200:
            job.state = "failed"
            return
        job.state, job.result = "completed", self.result(job, output)

    def result(self, job: Job, output: Any) -> Any:
        """What /status shows of the output."""
        return output


def fastapi_error(kind: str, message: str, *place: str, given: Any = None) -> Told:
    """The 422 of a FastAPI service."""
    detail = {"type": kind, "loc": ["body", *place], "msg": message, "input": given}
    return Told(422, {"detail": [detail]})
