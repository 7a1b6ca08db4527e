"""A MIP-003 service of the sandbox: its routes, its jobs, and how it drives the node as a real seller does.

What a service sells is a Sample (sellers.py). For each job it orders a payment from the node, starts to work
when the node shows the lock, submits the result's hash and hands the result out by ``/status``.
It shares no code with the client: the hashes are written anew here from MIP-004.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

from .. import node
from ..chain.escrow import World
from ..chain.rows import V2, Agent, Payment, Row
from ..registry.listings import entry_of, payment_information
from ..registry.routes import state_of
from ..timetext import iso
from ..wire import Refusal, Request, Response, reply, request

MINUTE_MS = 60_000
POLL_MS = 50
REALISTIC_POLL_MS = 10_000
_IDENTIFIER = re.compile(r"(?:[0-9a-fA-F]{2}){7,13}")

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a service sells and how it behaves. ``work`` makes the result of a job, or raises Failed."""

    name: str
    title: str
    description: str
    price: str
    fields: tuple[Data, ...]
    example: Data
    work: Callable[[Job], str]
    pricing_type: str = "Fixed"
    metadata_version: int = 1
    work_ms: int = 100
    takes_ms: Callable[[Job], int] | None = None
    """How long a job's work takes, where that depends on its input; else ``work_ms``."""
    pay_by_ms: int = 20 * MINUTE_MS
    submit_result_ms: int = 60 * MINUTE_MS
    tags: tuple[str, ...] = ("sandbox",)
    asks: Data | None = None
    """Fields that are asked for after the payment (``awaiting_input``)."""
    answers: bool = True
    """False: takes the money into escrow and is never heard of again."""
    lies: bool = False
    """True: the submitted hash is that of another text."""
    demands: tuple[tuple[int, str], ...] | None = None
    """What start_job asks for instead of the listed price."""


class Failed(Exception):
    """The work of a job did not succeed; the text is shown to the buyer."""


@dataclass(slots=True)
class Job:
    """One job of one service."""

    id: str
    identifier: str
    data: Data
    input_hash: str
    status: str = "awaiting_payment"
    payment: Data | None = None
    answered: Data | None = None
    result: str | None = None
    error: str | None = None
    changes: int = 0


class Service:
    """One sample service at ``url``; ``answer`` serves the paths below it."""

    def __init__(self, world: World, sample: Sample, agent: Agent) -> None:
        self.world = world
        self.sample = sample
        self.agent = agent
        self.jobs: dict[str, Job] = {}
        listed = state_of(world)
        self._entry = listed.entry(agent.agent_identifier) or entry_of(world, agent, listed.source_id)
        self._by_payment: dict[str, Job] = {}
        self._poll_ms = REALISTIC_POLL_MS if world.realistic else POLL_MS
        world.watch(self._payment_changed)

    # ---- routes ---------------------------------------------------------------------------------------

    def answer(self, asked: Request) -> Response:
        """Answer a request whose path is relative to the service's address."""
        path = asked.path.rstrip("/")
        routes: dict[str, tuple[str, Callable[[Request], Any]]] = {
            "/availability": ("GET", lambda _: self._availability()),
            "/input_schema": ("GET", lambda _: {"input_data": list(self.sample.fields)}),
            "/payment-information": ("GET", lambda _: self._payment_information()),
            "/demo": ("GET", lambda _: self._demo()),
            "/start_job": ("POST", self._start_job),
            "/status": ("GET", self._status),
            "/provide_input": ("POST", self._provide_input),
        }
        if path not in routes:
            return reply(404, {"detail": "Not Found"})
        method, handler = routes[path]
        if asked.method not in (method, "HEAD" if method == "GET" else method):
            return reply(405, {"detail": "Method Not Allowed"}, {"allow": method})
        try:
            return reply(200, handler(asked))
        except Refusal as refusal:
            return reply(refusal.status, {"detail": refusal.extra.get("detail", refusal.message)})

    def _availability(self) -> Data:
        return {
            "status": "available",
            "type": "masumi-agent",
            "message": f"{self.sample.title} is ready.",
            "agentIdentifier": self.agent.agent_identifier,
        }

    def _payment_information(self) -> Data:
        """What the seed's buyers ask the service for, in the shape of the registry's answer."""
        return {"status": "success", "data": payment_information(self._entry, self.agent)}

    def _demo(self) -> Data:
        job = Job("demo", "", dict(self.sample.example), "", answered={"approve": True})
        try:
            result = self.sample.work(job)
        except Failed as failed:
            result = str(failed)
        return {"input": {"input_data": self.sample.example}, "output": {"result": result}}

    def _start_job(self, asked: Request) -> Data:
        body = _json(asked)
        given = body.get("identifier_from_purchaser", body.get("identifierFromPurchaser"))
        data = body.get("input_data", body.get("inputData"))
        if not isinstance(data, dict):
            raise Refusal(422, "input_data: an object with the fields of /input_schema is needed")
        free = self.sample.pricing_type == "Free"
        if given is None and free:
            given = ""
        elif not isinstance(given, str) or not _IDENTIFIER.fullmatch(given):
            text = "identifier_from_purchaser: 14 to 26 hex digits, an even number of them, are needed"
            raise Refusal(422 if given is None else 400, text)
        check_input(self.sample.fields, data)
        job = Job(_uuid(self.world), given, data, input_hash(given, data))
        started: Data = {"id": job.id, "job_id": job.id}
        if free:
            self._set(job, "running")
            self._later(self.sample.work_ms, lambda: self._finish(job))
        else:
            job.payment = self._order_payment(job)
            self._by_payment[str(job.payment["blockchainIdentifier"])] = job
            started |= self._terms(job, job.payment)
        self.jobs[job.id] = job
        started |= {
            "status": job.status,
            "agentIdentifier": self.agent.agent_identifier,
            "identifierFromPurchaser": given,
            "input_hash": job.input_hash,
            "inputHash": job.input_hash,
        }
        return started

    def _terms(self, job: Job, payment: Data) -> Data:
        terms: Data = {
            "blockchainIdentifier": payment["blockchainIdentifier"],
            "payByTime": int(payment["payByTime"]),
            "submitResultTime": int(payment["submitResultTime"]),
            "unlockTime": int(payment["unlockTime"]),
            "externalDisputeUnlockTime": int(payment["externalDisputeUnlockTime"]),
            "sellerVKey": payment["SmartContractWallet"]["walletVkey"],
            "amounts": [
                {"amount": one["amount"], "unit": one["unit"] or "lovelace"}
                for one in payment["RequestedFunds"]
            ],
        }
        if self.agent.source.source_type == V2:
            terms |= {"paymentSourceType": V2, "supportedPaymentSourceIndex": 0}
            if payment["sellerReturnAddress"]:
                terms["sellerReturnAddress"] = payment["sellerReturnAddress"]
        return terms

    def _status(self, asked: Request) -> Data:
        job = self._job(asked.asked("job_id", "jobId"))
        shown: Data = {
            "job_id": job.id,
            "id": self._status_id(job),
            "status": job.status,
            "result": job.result,
        }
        if job.status == "awaiting_input":
            shown["input_schema"] = self.sample.asks
            shown["message"] = "The service needs an answer from you before it goes on."
        if job.error is not None:
            shown["error"] = job.error
        return shown

    def _provide_input(self, asked: Request) -> Data:
        body = _json(asked)
        job = self._job(body.get("job_id"))
        asks = self.sample.asks
        if job.status != "awaiting_input" or asks is None:
            raise Refusal(400, f"Job {job.id} is not awaiting input. Current status: {job.status}")
        if body.get("status_id") not in (None, self._status_id(job)):
            raise Refusal(400, "status_id is not the one of the present question")
        schema_hash = body.get("input_schema_hash")
        if schema_hash is not None and schema_hash not in (_sha(asks), _sha(asks["input_data"])):
            raise Refusal(400, "input_schema_hash is not that of the present question")
        data = body.get("input_data")
        if not isinstance(data, dict):
            raise Refusal(422, "input_data: an object with the fields of input_schema is needed")
        check_input(asks["input_data"], data)
        hashed = input_hash(job.identifier, data)
        job.answered = data
        self._set(job, "running")
        self._later(self.sample.work_ms, lambda: self._finish(job))
        return {"input_hash": hashed, "signature": ""}

    def _job(self, job_id: object) -> Job:
        if not isinstance(job_id, str) or not job_id:
            raise Refusal(422, "job_id is needed")
        job = self.jobs.get(job_id)
        if job is None:
            raise Refusal(404, "Job not found")
        return job

    def _status_id(self, job: Job) -> str:
        digest = hashlib.sha256(f"{job.id}:{job.changes}".encode()).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"

    # ---- the seller's side of the escrow --------------------------------------------------------------

    def _order_payment(self, job: Job) -> Data:
        status, made = self._node("/payment", self._payment_body(job))
        if status != 200:
            raise Refusal(500, "The payment could not be prepared")
        data: Data = made["data"]
        return data

    def _payment_body(self, job: Job) -> Data:
        now = self.world.now_ms()
        body: Data = {
            "network": self.world.network,
            "agentIdentifier": self.agent.agent_identifier,
            "inputHash": job.input_hash,
            "identifierFromPurchaser": job.identifier,
            "payByTime": iso(now + self.sample.pay_by_ms),
            "submitResultTime": iso(now + self.sample.submit_result_ms),
        }
        if self.agent.source.source_type == V2:
            body["supportedPaymentSourceIndex"] = 0
        if self.sample.demands is not None:
            body["RequestedFunds"] = [{"amount": str(a), "unit": unit} for a, unit in self.sample.demands]
        return body

    def _payment_changed(self, row: Row) -> None:
        job = self._by_payment.get(row.identifier) if isinstance(row, Payment) else None
        if job is None:
            return
        waiting = row.action.requested == "WaitingForExternalAction" and row.action.error_type is None
        if row.on_chain == "FundsLocked" and waiting:
            self._later(self._poll_ms, lambda: self._locked(job))
        elif row.on_chain in ("RefundWithdrawn", "FundsOrDatumInvalid") and job.status != "completed":
            if self.sample.answers and job.status != "failed":
                job.error = "The payment went back to the buyer."
                self._set(job, "failed")

    def _locked(self, job: Job) -> None:
        if job.status != "awaiting_payment":
            return
        if self.sample.asks is not None:
            self._set(job, "awaiting_input")
            return
        self._set(job, "running")
        if self.sample.answers:
            takes = self.sample.takes_ms
            self._later(self.sample.work_ms if takes is None else takes(job), lambda: self._finish(job))

    def _finish(self, job: Job) -> None:
        if job.status != "running":
            return
        try:
            result = self.sample.work(job)
        except Failed as failed:
            job.error = str(failed)
            self._set(job, "failed")
            return
        if job.payment is not None:
            told = f"Not this: {result}" if self.sample.lies else result
            status, answer = self._node(
                "/payment/submit-result",
                {
                    "network": self.world.network,
                    "blockchainIdentifier": job.payment["blockchainIdentifier"],
                    "submitResultHash": output_hash(job.identifier, told),
                },
            )
            if status != 200:
                job.error = f"The result could not be submitted: {answer['error']['message']}"
                self._set(job, "failed")
                return
        job.result = result
        self._set(job, "completed")

    def _node(self, path: str, body: Data) -> tuple[int, Any]:
        asked = request("POST", "/api/v1" + path, json_body=body, token=self.world.seller_token)
        answered = node.answer(self.world, asked)
        return answered.status, answered.json()

    def _later(self, ms: int, event: Callable[[], None]) -> None:
        self.world.at(self.world.now_ms() + ms, event)

    def _set(self, job: Job, status: str) -> None:
        job.status = status
        job.changes += 1


# ---- MIP-004 ------------------------------------------------------------------------------------------


def input_hash(identifier: str, data: Mapping[str, Any]) -> str:
    """MIP-004: sha256 of identifier, ";" and the input's canonical JSON; Refusal when it has none."""
    try:
        canonical = rfc8785.dumps(dict(data))
    except (rfc8785.CanonicalizationError, ValueError, RecursionError):
        raise Refusal(400, "input_data cannot be hashed: it has no canonical JSON") from None
    return hashlib.sha256(identifier.encode() + b";" + canonical).hexdigest()


def output_hash(identifier: str, text: str) -> str:
    """The form that buyers verify: sha256 of identifier, ";" and the text as in a JSON string."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    return hashlib.sha256(f"{identifier};{escaped}".encode()).hexdigest()


def _fault_of(field: Data, value: Any) -> str | None:
    """What is wrong with the value of one field; None where nothing is."""
    name = field["id"]
    if value is None or value == "":
        optional = any(rule["validation"] == "optional" for rule in field.get("validations") or ())
        return None if optional else f"Required field '{name}' is missing"
    if field["type"] == "boolean":
        return None if isinstance(value, bool) else f"Field '{name}' must be true or false"
    if field["type"] == "number":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if number and 0 <= value <= 86_400 else f"Field '{name}' must be a number from 0 to 86400"
    return None if isinstance(value, str) else f"Field '{name}' must be text"


def check_input(fields: tuple[Data, ...] | list[Data], data: Mapping[str, Any]) -> None:
    """Refusal (400, in the words of pip-masumi's servers) unless every field has a value of its kind."""
    errors: dict[str, list[str]] = {}
    for one in fields:
        if (fault := _fault_of(one, data.get(one["id"]))) is not None:
            errors[one["id"]] = [fault]
    if errors:
        first = next(iter(errors.values()))[0]
        detail = {"message": f"Validation failed: {first}", "field_errors": errors}
        raise Refusal(400, first, extra={"detail": detail})


def _json(asked: Request) -> Data:
    try:
        read = json.loads(asked.body)
    except (ValueError, RecursionError):
        raise Refusal(422, "The body is not JSON") from None
    if not isinstance(read, dict):
        raise Refusal(422, "The body is not a JSON object")
    return read


def _sha(value: Any) -> str:
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def _uuid(world: World) -> str:
    text = f"{world.rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
