"""What the routes answer, in every spelling that buyers look for, and the models for OpenAPI."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from masumi_tools.inputs import InputField, InputSpec
from masumi_tools.proof.hashing import MAX_SAFE_INT
from masumi_tools.seller.jobs.job import STATUS, Job, JobState
from masumi_tools.seller.offering import Offer

_WAITS = {
    JobState.READY: "paid; the work begins as soon as a worker is free",
    JobState.FINISHED: "done; the result is being recorded on the chain",
    JobState.AWAITING_PAYMENT: "waiting for the payment to be locked",
}


class Loose(BaseModel):
    """Answers may carry more than is named."""

    model_config = ConfigDict(extra="allow")


class StartJobAnswer(Loose):
    """The job, and the terms on which it is paid. A free job has no terms and runs at once. Times are ms."""

    id: str
    job_id: str
    status: Literal["awaiting_payment", "running"]
    agentIdentifier: str
    identifierFromPurchaser: str
    input_hash: str
    inputHash: str
    blockchainIdentifier: str | None = None
    sellerVKey: str | None = None
    sellerVkey: str | None = None
    payByTime: int | None = None
    submitResultTime: int | None = None
    unlockTime: int | None = None
    externalDisputeUnlockTime: int | None = None
    paymentSourceType: str | None = None
    supportedPaymentSourceIndex: int | None = None
    sellerReturnAddress: str | None = None


class StatusAnswer(Loose):
    """Where the job is. `result` is there only when it is completed; `message` is never a result."""

    id: str = Field(description="changes only when the status does; the status_id of provide_input")
    job_id: str
    status: Literal["awaiting_payment", "awaiting_input", "running", "completed", "failed"]
    result: str | None = None
    message: str | None = None
    error: str | None = None
    input_schema: dict[str, Any] | None = None


class ProvideInputAnswer(Loose):
    """The MIP-004 hash of the answer that was taken."""

    input_hash: str
    signature: str = ""


class AvailabilityAnswer(Loose):
    status: Literal["available", "unavailable"]
    type: Literal["masumi-agent"] = "masumi-agent"
    message: str | None = None
    terms_changed: dict[str, Any] | None = Field(
        default=None, description="the last change of what is sold: `at_ms`, and `what` in words"
    )


class InputSchemaAnswer(Loose):
    """The input fields of MIP-003 attachment 01."""

    input_data: list[dict[str, Any]] | None = None
    input_groups: list[dict[str, Any]] | None = None


class DemoAnswer(Loose):
    input: dict[str, Any]
    output: dict[str, str]


class PaymentInformationAnswer(Loose):
    """Identifier, price and seller's key, in the registry's shape."""

    status: Literal["success"]
    data: dict[str, Any]


class ErrorAnswer(Loose):
    """What was wrong: one sentence, or a sentence with the fields it is about."""

    detail: str | dict[str, Any]


# As `check` refuses them: all but tab and the ends of lines.
_CONTROLS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f"
_JSON_TYPES = {"text": "string", "number": "number", "boolean": "boolean"}


def input_contract(spec: InputSpec) -> dict[str, Any]:
    """The input as JSON Schema, as far as it can say it; `check` knows more (formats, dates, files)."""
    return {
        "type": "object",
        "properties": {field.id: _property(field) for field in spec.asked},
        "required": [field.id for field in spec.required],
        "additionalProperties": not spec.closed,
    }


def _property(field: InputField) -> dict[str, Any]:
    said: dict[str, Any] = {"title": field.name or field.id}
    if field.description:
        said["description"] = field.description
    kind = _JSON_TYPES.get(field.kind)
    if kind == "number" and field.integer:
        kind = "integer"
    if kind is not None:
        said["type"] = kind if field.required else [kind, "null"]
    if kind == "string":
        said["pattern"] = _pattern(field)
    if kind in ("number", "integer"):
        said |= {"minimum": -MAX_SAFE_INT, "maximum": MAX_SAFE_INT}
    low, high = ("minLength", "maxLength") if kind == "string" else ("minimum", "maximum")
    for name, bound in ((low, field.minimum), (high, field.maximum)):
        if kind in ("string", "number", "integer") and isinstance(bound, Decimal):
            said[name] = int(bound) if bound == int(bound) else float(bound)
    if field.choices and field.kind in ("choice", "enum"):
        said["description"] = f"{said.get('description', '')} one of {list(field.choices)}".strip()
    return said


def _pattern(field: InputField) -> str:
    """What every text must be, beside the field's own rules: without control characters, and not blank if needed."""
    refused = "\\x00" if field.type == "textarea" else _CONTROLS
    some = f"[^{refused}\\s]" if field.required else ""
    return f"^[^{refused}]*{some}[^{refused}]*$" if some else f"^[^{refused}]*$"


def started(job: Job) -> dict[str, Any]:
    """The answer to POST /start_job."""
    body: dict[str, Any] = {
        "id": job.job_id,
        "job_id": job.job_id,
        "status": STATUS[job.state],
        "agentIdentifier": job.agent_identifier,
        "identifierFromPurchaser": job.identifier_from_purchaser,
        "input_hash": job.input_hash,
        "inputHash": job.input_hash,
    }
    if job.free:
        return body
    body |= {
        "blockchainIdentifier": job.blockchain_identifier,
        "sellerVKey": job.seller_vkey,
        "sellerVkey": job.seller_vkey,
        "payByTime": job.pay_by_time,
        "submitResultTime": job.submit_result_time,
        "unlockTime": job.unlock_time,
        "externalDisputeUnlockTime": job.external_dispute_unlock_time,
        "amounts": [{"amount": str(quantity), "unit": unit or "lovelace"} for quantity, unit in job.price],
    }
    if job.source_type:
        body["paymentSourceType"] = job.source_type
    if job.source_index is not None:
        body["supportedPaymentSourceIndex"] = job.source_index
        body["sellerReturnAddress"] = job.seller_return_address
    return body


def status(job: Job) -> dict[str, Any]:
    """The answer to GET /status."""
    question = job.question
    completed = job.state is JobState.COMPLETED
    body: dict[str, Any] = {
        "id": job.status_id,
        "status_id": job.status_id,
        "job_id": job.job_id,
        "status": STATUS[job.state],
        "result": job.result if completed else None,
    }
    if question is not None:
        body["message"] = question.message or "an answer is needed"
        body["input_schema"] = question.schema
    elif job.state in (JobState.FAILED, JobState.LAPSED):
        body["error"] = body["message"] = job.error or "the job failed"
    elif not completed:
        body["message"] = job.progress if job.state is JobState.RUNNING else _WAITS[job.state]
    if job.refund:
        body["refund"] = job.refund
    return body


def payment_information(
    offer: Offer,
    *,
    agent_identifier: str,
    seller_vkey: str | None,
    network: str,
    source_index: int | None,
    base: str,
) -> dict[str, Any]:
    """The answer to GET /payment-information: the seed's way to learn of a seller from the seller itself."""
    source = "None" if offer.free else ("Web3CardanoV1" if source_index is None else "Web3CardanoV2")
    data: dict[str, Any] = {
        "agentIdentifier": agent_identifier,
        "name": offer.name,
        "description": offer.description,
        "apiBaseUrl": offer.url or base,
        "status": "Online",
        "network": network,
        "paymentType": source,
        "paymentSourceType": None if offer.free else source,
        "sellerWallet": {"vkey": seller_vkey, "address": None},
        "sellerVKey": seller_vkey,
        "sellerVkey": seller_vkey,
        "AgentPricing": offer.pricing(),
        "RegistrySource": {"policyId": agent_identifier[:56]},
        "Capability": {"name": offer.capability[0] or offer.name, "version": offer.capability[1]},
        "tags": list(offer.tags),
        "ExampleOutput": [dict(example) for example in offer.example_outputs],
        "metadataVersion": 1 if source_index is None else 2,
    }
    if source_index is not None:
        data["supportedPaymentSourceIndex"] = source_index
        # The second version keeps its prices by payment source (protocol N13).
        kept = {
            "chain": "Cardano",
            "network": network,
            "paymentSourceType": source,
            "sourceIndex": source_index,
        }
        data["SupportedPaymentSources"] = [{**kept, "pricing": offer.pricing()}]
    return {"status": "success", "data": data}
