"""The reference implementations and their kin: no payByTime, flat bodies, dumps as results."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tests.gallery.seller import Data, Job, Seller, Told, canonicaljson, escaped, fastapi_error, sha
from tests.gallery.standard import Quickstart


class Reference(Quickstart):
    """A reference seller as they all are: `sellerVkey`, and payByTime was signed but is not told (protocol S4)."""

    name = "ref"

    def started(self, job: Job) -> Data:
        told = super().started(job)
        told["sellerVkey"] = told.pop("sellerVKey")
        return {name: value for name, value in told.items() if name != "payByTime"}


class Dashboard(Quickstart):
    """A reference seller that tells all times: choices under data.enum, the whole dump of a crew as result,
    a hash of its first 64 characters only (protocol S5, I1, H1)."""

    name = "ref-dashboard"

    def schema(self) -> Any:
        style = {"id": "style", "type": "string", "name": "Style", "data": {"enum": ["short", "long"]}}
        return {"input_data": [{"id": "topic", "type": "string", "name": "Topic"}, style]}

    def refusal(self, body: Any) -> Told | None:
        return Seller.refusal(self, body)

    def started(self, job: Job) -> Data:
        told = super().started(job)
        told["sellerVkey"] = told.pop("sellerVKey")
        return told

    def output_hash(self, job: Job, output: Any) -> str:
        return sha(job.nonce, escaped(output[:64]))

    def work(self, job: Job) -> Any:
        return f"# Dashboard on {job.data['topic']}\n\n" + "A line that goes on for a while.\n" * 5

    def result(self, job: Job, output: Any) -> Any:
        usage = {"total_tokens": 5, "prompt_tokens": 3}
        return {"raw": output, "pydantic": None, "json_dict": None, "tasks_output": [], "token_usage": usage}


class Contract(Seller):
    """A contract writer: fields without envelope, availability without a type, a literal identifier in its
    terms and no hash (protocol S1, S3, S4)."""

    name = "ref-contract"

    def availability(self) -> Told:
        return Told(200, {"status": "available", "message": "The server is running smoothly."})

    def schema(self) -> Any:
        return {
            "input_schema": {
                "contract_type": {"type": "string", "enum": ["nda", "lease"], "required": True},
                "parties": {"type": "string", "required": True},
            }
        }

    def refusal(self, body: Any) -> Told | None:
        for name in ("contract_type", "parties"):
            if not isinstance(body.get(name), str):
                return fastapi_error("missing", "Field required", name)
        return None

    def read_start(self, body: Data) -> tuple[str, Any]:
        return "ab" * 10, {name: body[name] for name in ("contract_type", "parties")}

    def started(self, job: Job) -> Data:
        told = {"status": "success", "job_id": job.id, **self.terms(job)}
        return {**told, "identifierFromPurchaser": "example_identifier"}


class FlatBody(Contract):
    """The same body, with terms that are whole: hired once the refusal has named the fields' place."""

    name = "flat-body"

    def read_start(self, body: Data) -> tuple[str, Any]:
        data = {name: value for name, value in body.items() if name != "identifier_from_purchaser"}
        return str(body["identifier_from_purchaser"]), data

    def started(self, job: Job) -> Data:
        return {"job_id": job.id, **self.terms(job), "input_hash": self.input_hash(job)}


class Invoice(Seller):
    """Serves the schema of its neighbour and wants another field (protocol S2); says so with words of its own."""

    name = "ref-invoice"

    def schema(self) -> Any:
        return {"input_schema": {"parties": {"type": "string", "required": True}}}

    def refusal(self, body: Any) -> Told | None:
        if isinstance((body.get("input_data") or {}).get("invoice_info"), str):
            return None
        return fastapi_error("missing", "Field required", "input_data", "invoice_info")


class Seo(Seller):
    """A site checker: JSON Schema nested one level down, a payment id that nobody can pay (protocol S2, S4)."""

    name = "seo"
    numbers = itertools.count(41)

    def availability(self) -> Told:
        return Told(200, {"status": "available", "message": "Ready"})

    def schema(self) -> Any:
        fields = {"website_url": {"type": "string", "format": "uri", "description": "The site"}}
        inner = {"type": "object", "properties": fields, "required": ["website_url"]}
        return {"type": "object", "properties": {"input_data": inner}, "required": ["input_data"]}

    def job_id(self) -> str:
        return str(next(self.numbers))

    def started(self, job: Job) -> Data:
        return {"status": "success", "job_id": job.id, "payment_id": f"pay_{job.id}"}


class SeoWithTerms(Seo):
    """The same with whole terms: numbers as ids, `started`, 500 for an unknown job, an object as result."""

    name = "seo-with-terms"

    def started(self, job: Job) -> Data:
        return {"job_id": job.id, **self.terms(job), "input_hash": self.input_hash(job)}

    def unknown_job(self) -> Told:
        return Told(500, {"detail": "404: Job not found"})

    def shown(self, job: Job) -> Data:
        word = {"running": "started"}.get(job.state, job.state)
        return {"job_id": int(job.id), "status": word, "result": job.result}

    def input_hash(self, job: Job) -> str:
        return sha(job.nonce, canonicaljson(job.data))

    def work(self, job: Job) -> Any:
        return {"analysis": {"score": 71, "title": "Größe zählt", "issues": ["no title", "slow"]}}

    def output_hash(self, job: Job, output: Any) -> str:
        return sha(job.nonce, escaped(json.dumps(output, ensure_ascii=False)))
