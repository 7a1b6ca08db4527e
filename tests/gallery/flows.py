"""Workflow engines, wrappers and demonstrations: n8n, Langdock, the SaaS, token2049, a hackathon."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.gallery.seller import HOUR, MINUTE, Asked, Data, Job, Seller, Told, escaped, jcs, sha
from tests.gallery.standard import OPTIONAL


class N8n(Seller):
    """A workflow: a schema that describes the envelope, five minutes to pay, an object whose hash is that of
    "[object Object]", seconds in /status, errors on 200 (protocol S0, S2, S5, H1, T1)."""

    name = "n8n"
    pay_by, submit = 5 * MINUTE, 20 * MINUTE

    def schema(self) -> Any:
        return {
            "input_data": [
                {"id": "identifier_from_purchaser", "type": "string", "name": "Identifier"},
                {"id": "input_data", "type": "object", "name": "Input"},
            ]
        }

    def refusal(self, body: Any) -> Told | None:
        if isinstance(body.get("input_data"), dict | list):
            return None
        return Told(200, {"error": "invalid_input", "message": "input_data is required"})

    def started(self, job: Job) -> Data:
        return {"status": "success", "job_id": job.id, **self.terms(job), "input_hash": self.input_hash(job)}

    def shown(self, job: Job) -> Data:
        seconds = int((job.payment or {})["payByTime"]) // 1000
        return {"job_id": job.id, "status": job.state, "paybytime": seconds, "result": job.result}

    def unknown_job(self) -> Told:
        return Told(200, {"status": "failed", "message": "Job not found"})

    def work(self, job: Job) -> Any:
        return {"answer": 42, "sources": ["a", "b"]}

    def output_hash(self, job: Job, output: Any) -> str:
        return sha(job.nonce, "[object Object]")


class N8nError(N8n):
    """The workflow failed, and its respond node says so with 200 (protocol S0)."""

    name = "n8n-error"

    def start_job(self, body: Any) -> Told:
        return Told(200, {"error": "internal_error", "message": "Payment service did not answer"})


class Langdock(Seller):
    """A wrapper with a human in the loop: both ids and both hashes, the hash of the list form, a secret token,
    a question straight after payment, `output` beside `result`, a limit with Retry-After (protocol S0, S4, S5, S6, H1)."""

    name = "langdock"
    question: Data = {
        "input_data": [{"id": "approve", "type": "boolean", "name": "Approve"}],
    }

    def __init__(self, street: Any) -> None:
        super().__init__(street)
        self.limited = 0

    def start_job(self, body: Any) -> Told:
        if not self.limited:
            self.limited += 1
            headers = {"retry-after": "7", "x-ratelimit-remaining": "0"}
            return Told(429, {"error": "RATE_LIMITED", "message": "Too many requests"}, headers)
        return super().start_job(body)

    def input_hash(self, job: Job) -> str:
        pairs = [{"key": key, "value": job.data[key]} for key in sorted(job.data)]
        return sha(job.nonce, jcs(pairs))

    def token(self, job: Job) -> str:
        return hashlib.sha256(f"secret {job.id}".encode()).hexdigest()

    def started(self, job: Job) -> Data:
        digest = self.input_hash(job)
        both = {"id": job.id, "job_id": job.id, "input_hash": digest, "inputHash": digest}
        return {**both, "status": "awaiting_payment", **self.terms(job), "continuationToken": self.token(job)}

    def paid(self, job: Job) -> None:
        job.state = "awaiting_input"

    def shown(self, job: Job) -> Data:
        told: Data = {"job_id": job.id, "status": job.state, "input_hash": self.input_hash(job)}
        if job.state == "awaiting_input":
            told["input_schema"] = self.question
        if job.result is not None:
            told |= {"result": job.result, "output": job.result}
        return told

    def provide_input(self, asked: Asked) -> Told:
        job = self.jobs.get(asked.body.get("job_id"))
        if job is None or job.state != "awaiting_input":
            return Told(409, {"error": "INVALID_STATE", "message": "The job asks for nothing"})
        if asked.body.get("continuationToken") != self.token(job):
            return Told(401, {"error": "INVALID_TOKEN", "message": "continuationToken is missing"})
        wanted = hashlib.sha256(jcs(self.question).encode()).hexdigest()
        if asked.body.get("input_schema_hash") != wanted:
            return Told(400, {"error": "SCHEMA_MISMATCH", "message": "input_schema_hash does not match"})
        job.answers.append(asked.body["input_data"])
        job.state = "running"
        self.street.later(self.work_ms, lambda: self.finish(job))
        return Told(200, {"input_hash": sha(job.nonce, jcs(asked.body["input_data"])), "signature": ""})


class LangdockObject(Langdock):
    """The same with an object as result, hashed in its canonical form (protocol H1)."""

    name = "langdock-object"

    def work(self, job: Job) -> Any:
        return {"title": "Tides", "findings": ["high", "low"], "depth": 3}

    def output_hash(self, job: Job, output: Any) -> str:
        return sha(job.nonce, jcs(output))


class Saas(Seller):
    """Works only when it is asked: looks for its money at /status, asks, and is done when told to finish;
    puts integer-like keys first in its hash (protocol S5, S6, H1, T1)."""

    name = "saas"
    pay_by, submit, unlock, dispute = HOUR, 6 * HOUR, 12 * HOUR, 18 * HOUR
    question: Data = {
        "input_data": [
            {"id": "message", "type": "textarea", "name": "Message", "validations": OPTIONAL},
            {"id": "finish", "type": "boolean", "name": "Finish", "validations": OPTIONAL},
        ]
    }

    def schema(self) -> Any:
        ids = ("9", "10", "text")
        return {"input_data": [{"id": id_, "type": "string", "name": f"Field {id_}"} for id_ in ids]}

    def input_hash(self, job: Job) -> str:
        numbers = sorted((key for key in job.data if key.isdigit()), key=int)
        others = sorted(key for key in job.data if not key.isdigit())
        pairs = ",".join(f"{jcs(key)}:{jcs(job.data[key])}" for key in numbers + others)
        return sha(job.nonce, "{" + pairs + "}")

    def look_later(self, job: Job) -> None:
        return None

    def status(self, asked: Asked) -> Told:
        job = self.jobs.get(asked.query.get("job_id", ""))
        if job is not None and job.state == "awaiting_payment" and self.on_chain(job) == "FundsLocked":
            job.state = "awaiting_input"
        return super().status(asked)

    def shown(self, job: Job) -> Data:
        if job.state == "awaiting_input":
            return {"status": job.state, "input_schema": self.question}
        return {"status": job.state, "result": job.result}

    def provide_input(self, asked: Asked) -> Told:
        job = self.jobs[asked.body["job_id"]]
        wanted = hashlib.sha256(jcs(self.question).encode()).hexdigest()
        if asked.body.get("input_schema_hash") != wanted:
            return Told(400, {"error": "input_schema_hash does not match"})
        job.answers.append(asked.body["input_data"])
        if asked.body["input_data"].get("finish") is True:
            self.finish(job)
        digest = sha(job.nonce, jcs(asked.body["input_data"]))
        return Told(200, {"input_hash": digest, "signature": "aa"})


class Token2049(Seller):
    """Times in seconds that were signed in milliseconds ending in 000; the same job for the same identifier (protocol S3, S4, T1)."""

    name = "t2049"
    pay_by, submit, unlock, dispute = 15 * MINUTE, 20 * MINUTE, 36 * MINUTE, 52 * MINUTE
    whole_seconds = True

    def start_job(self, body: Any) -> Told:
        saved = next(
            (job for job in self.jobs.values() if job.nonce == body["identifier_from_purchaser"]), None
        )
        return Told(200, self.started(saved)) if saved else super().start_job(body)

    def times(self, job: Job) -> Data:
        return {name: value // 1000 for name, value in super().times(job).items()}


class Token2049Odd(Token2049):
    """The same where the signed milliseconds did not end in 000: they are lost."""

    name = "t2049-odd"
    whole_seconds = False

    def order(self, job: Job) -> Data | None:
        assert self.street.now_ms() % 1000, "the test's clock must not stand at a whole second"
        return super().order(job)


class Dhan(Seller):
    """A hackathon's: JSON Schema, `available` as a boolean, the identifier as job id, its own payments (protocol S1, S4)."""

    name = "dhan"

    def availability(self) -> Told:
        return Told(200, {"available": True, "estimated_response_time": 30, "current_load": 0.1})

    def schema(self) -> Any:
        return {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]}

    def start_job(self, body: Any) -> Told:
        job = body["identifier_from_purchaser"]
        return Told(200, {"job_id": job, "status": "payment_pending", "payment_id": f"pay_{job}"})


class OffContract(Seller):
    """What a marketplace once caught: a job that waits for payment with half of its terms (protocol S4)."""

    name = "off-contract"

    def started(self, job: Job) -> Data:
        return {
            "job_id": job.id,
            "identifier_from_seller": "seller-1",
            "blockchainIdentifier": "1182",
            "payByTime": str((job.payment or {})["payByTime"]),
            "submitResultTime": str((job.payment or {})["submitResultTime"]),
            "input_hash": "7b267b58",
            "status": "awaiting_payment",
        }


class Lines(Seller):
    """JSON as text in a result, escaped for its hash: what the official kit does with an object (protocol S5)."""

    name = "json-text"

    def work(self, job: Job) -> Any:
        return '{"lines": ["a\\n", "b"], "ok": true}'

    def output_hash(self, job: Job, output: Any) -> str:
        return sha(job.nonce, escaped(output))
