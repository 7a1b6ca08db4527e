"""Platforms and connectors: kodosumi, the bridge to it, the connector of its second edition."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.gallery.seller import TEXT, Asked, Data, Job, Seller, Told, canonicaljson, escaped, sha
from tests.gallery.standard import Official


class Kodosumi(Official):
    """Groups with notes, positions turned into labels, 201, Markdown as an object (protocol S5, I1, H1)."""

    name = "kodosumi"

    def schema(self) -> Any:
        role = {"id": "role", "type": "option", "name": "Role", "data": {"values": ["Woman", "Man"]}}
        note = {"id": "info", "type": "none", "name": None, "data": {"description": "# Hello"}}
        group = {"id": "g1", "title": "About you", "input_data": [note, TEXT, role]}
        return {"input_groups": [group]}

    def refusal(self, body: Any) -> Told | None:
        return Seller.refusal(self, body)

    def start_job(self, body: Any) -> Told:
        told = super().start_job(body)
        return Told(201, told.body) if told.status == 200 else told

    def started(self, job: Job) -> Data:
        head = {"job_id": job.id, "status": "awaiting_payment", "input_schema": None, "error": None}
        return {**head, **self.terms(job), "input_hash": self.input_hash(job)}

    def shown(self, job: Job) -> Data:
        return {"job_id": job.id, "status": job.state, "result": job.result, "startedAt": 1700000000.5}

    def result(self, job: Job, output: Any) -> Any:
        return {"Markdown": {"body": output}}


class KodosumiUnprepared(Kodosumi):
    """Its node was down and it went on: `running`, with every field of the payment null (protocol S4)."""

    name = "kodosumi-unprepared"

    def order(self, job: Job) -> Data | None:
        return None

    def started(self, job: Job) -> Data:
        nulls = dict.fromkeys(
            ("blockchainIdentifier", "payByTime", "submitResultTime", "unlockTime", "sellerVKey")
        )
        return {"job_id": job.id, "status": "running", "agentIdentifier": self.agent, **nulls}


class KodosumiFailed(Kodosumi):
    """An error on a status of success (protocol S0)."""

    name = "kodosumi-failed"

    def start_job(self, body: Any) -> Told:
        return Told(201, {"status": "failed", "error": "flow /x/y is not alive", "job_id": None})


class KodosumiList(Kodosumi):
    """A list as result and a hash without any identifier: kept, but not proved (protocol S5, H1)."""

    name = "kodosumi-list"

    def work(self, job: Job) -> Any:
        return [{"name": "Ann", "ok": True}, {"name": "Bob", "ok": False}]

    def output_hash(self, job: Job, output: Any) -> str:
        return hashlib.sha256(canonicaljson(output).encode()).hexdigest()

    def result(self, job: Job, output: Any) -> Any:
        return output


class Connector(Seller):
    """The second connector: choices as lists of positions only, sentences in `result`, limits on how often it
    is asked, texts that were trimmed before they are shown (protocol S0, S5, I1, H1)."""

    name = "connector"
    said = {
        "awaiting_payment": "The Agent is now waiting for its payment.",
        "running": "The agent is now working on your task",
    }

    def __init__(self, street: Any) -> None:
        super().__init__(street)
        self.asked_ms: list[int] = []
        self.limited = 0

    def schema(self) -> Any:
        tone = {"id": "tone", "type": "option", "name": "Tone", "data": {"values": ["formal", "plain"]}}
        return {"input_data": [TEXT, tone]}

    def refusal(self, body: Any) -> Told | None:
        if refused := super().refusal(body):
            return refused
        chosen = body["input_data"].get("tone")
        if isinstance(chosen, list) and all(type(item) is int for item in chosen):
            return None
        return Told(400, {"detail": "Option field must be an array of indices"})

    def started(self, job: Job) -> Data:
        return {"status": "success", "job_id": job.id, **self.terms(job), "input_hash": self.input_hash(job)}

    def status(self, asked: Asked) -> Told:
        now = self.street.now_ms()
        self.asked_ms = [at for at in self.asked_ms if now - at < 60_000] + [now]
        if len(self.asked_ms) > 12:
            self.limited += 1
            return Told(429, {"detail": "Rate limit exceeded: 12 per 1 minute"}, {"retry-after": "30"})
        return super().status(asked)

    def shown(self, job: Job) -> Data:
        result = job.result if job.state == "completed" else self.said.get(job.state)
        return {"id": sha(job.id, job.state)[:36], "job_id": job.id, "status": job.state, "result": result}

    def work(self, job: Job) -> Any:
        return f"  A {job.data['tone']} answer.  \n"

    def output_hash(self, job: Job, output: Any) -> str:
        return sha(job.nonce, escaped(output))

    def result(self, job: Job, output: Any) -> Any:
        return output.strip()


class Bridge(Seller):
    """The bridge: payByTime in seconds made from an ISO time, the others as text in milliseconds (protocol S4)."""

    name = "bridge"

    def times(self, job: Job) -> Data:
        told = {name: str(value) for name, value in super().times(job).items()}
        return {**told, "payByTime": int(told["payByTime"]) // 1000}

    def started(self, job: Job) -> Data:
        return {"status": "success", "job_id": job.id, **self.terms(job), "input_hash": self.input_hash(job)}


class BridgeWholeSeconds(Bridge):
    """The same where the signed times end in 000; `pending` after payment, the Markdown taken out of what was
    hashed (protocol S5, H1)."""

    name = "bridge-whole-seconds"
    whole_seconds = True

    def shown(self, job: Job) -> Data:
        word = "pending" if job.state == "running" and job.polls < 4 else job.state
        message = {"completed": "Job completed successfully"}.get(word, "")
        return {"job_id": job.id, "status": word, "message": message, "result": job.result}

    def output_hash(self, job: Job, output: Any) -> str:
        return sha(job.nonce, escaped(canonicaljson({"Markdown": {"body": output}})))
