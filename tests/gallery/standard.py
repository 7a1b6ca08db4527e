"""Sellers that keep to MIP-003: by the book, the official kit, and the templates built on it."""

from __future__ import annotations

import uuid
from typing import Any

from tests.gallery.seller import (
    HOUR,
    TEXT,
    TIMES,
    Data,
    Job,
    Seller,
    Told,
    canonicaljson,
    escaped,
    fastapi_error,
    sha,
)

OPTIONAL = [{"validation": "optional", "value": "true"}]


class Spec(Seller):
    """The standard by the letter: `id`, raw result hash (MIP-004's text)."""


class SpecV2(Seller):
    """The same on the second escrow, whose signed index comes as text (protocol S4)."""

    name = "spec-v2"
    version = 2

    def terms(self, job: Job) -> Data:
        return {
            **super().terms(job),
            "paymentSourceType": "Web3CardanoV2",
            "supportedPaymentSourceIndex": "0",
            "sellerReturnAddress": (job.payment or {}).get("sellerReturnAddress"),
        }


class Dynamic(Seller):
    """A price that each offer names; the seller signs it, so the list must be paid as it was sent."""

    name = "dynamic"
    price = None

    def demands(self) -> list[Data]:
        return [{"amount": "1500000", "unit": ""}, {"amount": "500000", "unit": "lovelace"}]

    def terms(self, job: Job) -> Data:
        funds = (job.payment or {})["RequestedFunds"]
        return {**super().terms(job), "amounts": [{**f, "amount": int(f["amount"])} for f in funds]}


class Official(Seller):
    """The official kit as its text says: both schema keys, only `inputHash`, a note that must be filled,
    a new status id at each poll, 12 and 24 hours, escaped result hash (protocol S2, S4, S5, I2, H1)."""

    name = "pip"
    pay_by, submit = 12 * HOUR, 24 * HOUR

    def schema(self) -> Any:
        fields = [
            {**TEXT, "validations": [{"validation": "min", "value": "3"}]},
            {"id": "info", "type": "none", "name": "Info", "data": {"description": "A note"}},
            {"id": "deep", "type": "boolean", "name": "Deep", "validations": OPTIONAL},
        ]
        nulls = {"data": None, "validations": None}
        return {"input_data": [{**nulls, **entry} for entry in fields], "input_groups": None}

    def refusal(self, body: Any) -> Told | None:
        if refused := super().refusal(body):
            return refused
        wrong: dict[str, list[str]] = {}
        for name in ("text", "info"):
            if not str(body["input_data"].get(name) or "").strip():
                wrong[name] = [f"Required field '{name}' is missing"]
        if not isinstance(body["input_data"].get("deep", True), bool):
            wrong["deep"] = ["Field 'deep' must be a boolean"]
        detail = {"message": f"Validation failed: {next(iter(wrong), '')}", "field_errors": wrong}
        return Told(400, {"detail": detail}) if wrong else None

    def started(self, job: Job) -> Data:
        return {"id": job.id, **self.terms(job), "inputHash": self.input_hash(job)}

    def shown(self, job: Job) -> Data:
        state = {"status": job.state, "input_schema": None, "result": job.result}
        return {"id": str(uuid.uuid4()), **state}

    def input_hash(self, job: Job) -> str:
        return sha(job.nonce, canonicaljson(job.data))

    def output_hash(self, job: Job, output: Any) -> str:
        return sha(job.nonce, escaped(output))


class Quickstart(Official):
    """The quickstart template: texts only, `job_id`, times as text, `status: success`, a payment status that
    means nothing, every refusal but a type error as 400 (protocol S0, S3, S4, S5, I5)."""

    name = "quickstart"

    def schema(self) -> Any:
        pages = {"id": "pages", "type": "number", "name": "Pages", "validations": OPTIONAL}
        return {"input_data": [{**TEXT, "type": "string"}, pages]}

    def refusal(self, body: Any) -> Told | None:
        if refused := Seller.refusal(self, body):
            return refused
        for name, value in body["input_data"].items():
            if not isinstance(value, str):
                place = ("input_data", name)
                return fastapi_error("string_type", "Input should be a valid string", *place, given=value)
        if "text" not in body["input_data"]:
            return Told(400, {"detail": "Input_data or identifier_from_purchaser is missing, invalid, ..."})
        return None

    def times(self, job: Job) -> Data:
        return {name: str((job.payment or {})[name]) for name in TIMES}

    def started(self, job: Job) -> Data:
        amounts = [{"amount": "1000000", "unit": "lovelace"}]
        head = {"status": "success", "job_id": job.id, "amounts": amounts}
        return {**head, **self.terms(job), "input_hash": self.input_hash(job)}

    def shown(self, job: Job) -> Data:
        return {"job_id": job.id, "status": job.state, "payment_status": "error", "result": job.result}


class Haus(Quickstart):
    """A clause checker that takes the first value whatever its key, here the URL of a file (protocol I1, I5)."""

    name = "haus"

    def schema(self) -> Any:
        data = {"description": "The contract", "outputFormat": "string"}
        rules = [{"validation": "accept", "value": ".pdf"}, {"validation": "maxSize", "value": "10485760"}]
        return {
            "input_data": [{"id": "file", "type": "file", "name": "F", "data": data, "validations": rules}]
        }

    def refusal(self, body: Any) -> Told | None:
        if refused := Seller.refusal(self, body):
            return refused
        value = next(iter(body["input_data"].values()), None)
        if isinstance(value, str) and value.startswith("https://"):
            return None
        return Told(400, {"detail": "Input_data is missing, invalid, or does not adhere to the schema"})


class HausWithoutKey(Haus):
    """The same without its configuration: no seller key in the terms (protocol S4)."""

    name = "haus-without-key"

    def terms(self, job: Job) -> Data:
        return {**super().terms(job), "sellerVKey": None}


class Legacy(Seller):
    """A hash of the time before the separator (C1, the marketplace's legacy form)."""

    name = "no-separator"

    def input_hash(self, job: Job) -> str:
        return sha(job.nonce, canonicaljson(job.data), separator="")
