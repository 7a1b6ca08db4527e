"""Requests to an agentic service: MIP-003's routes, and the service's own payment information.

Each function takes the service's base URL, keeps its path, and gives a Call. No I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import rfc8785

from masumi_tools.calls.call import Call, encode
from masumi_tools.errors import InputError
from masumi_tools.models import JobStatus

# Services prepare the payment on their node, or ask a model, before they answer (protocol K16).
START_S = 90.0
PROVIDE_S = 120.0
READ_S = 30.0
AVAILABLE_S = 10.0


def url(base: str, name: str) -> str:
    """The address of one of the service's routes: the base without its slashes, "/" and the name.

    InputError for a base with a query or fragment: a route put after it would lead elsewhere.
    """
    parts = urlsplit(base)
    if parts.query or parts.fragment or "?" in base or "#" in base:
        raise InputError(f"A service's base URL has no query or fragment: {base[:200]!r}", phase="service")
    return f"{base.rstrip('/')}/{name}"


def payment_information(base: str) -> Call:
    """The service's own word on its price (the seed's way); most services of today have no such route."""
    return Call("GET /payment-information", "service", url(base, "payment-information"), timeout_s=READ_S)


def availability(base: str) -> Call:
    """Whether the service says that it takes jobs. It is not waited for long: silence forbids nothing."""
    return Call("GET /availability", "service", url(base, "availability"), timeout_s=AVAILABLE_S)


def input_schema(base: str) -> Call:
    """What the service asks for as input."""
    return Call("GET /input_schema", "service", url(base, "input_schema"), timeout_s=READ_S)


def demo(base: str) -> Call:
    """The service's example, where it has one."""
    return Call("GET /demo", "service", url(base, "demo"), timeout_s=READ_S)


def start_job(base: str, body: Any) -> Call:
    """Start a job with this body, as `start_body` or the input's layout made it. Never sent twice blindly."""
    return Call("POST /start_job", "service", url(base, "start_job"), encode(body), START_S)


def start_body(identifier_from_purchaser: str | None, input_data: Any) -> dict[str, Any]:
    """The standard's body for start_job. Without an identifier where the agent is free (protocol S3)."""
    if identifier_from_purchaser is None:
        return {"input_data": input_data}
    return {"identifier_from_purchaser": identifier_from_purchaser, "input_data": input_data}


def status(base: str, job_id: str) -> Call:
    """The state of the job. Minutes of silence are normal: some services block while they work."""
    query = urlencode({"job_id": job_id})
    return Call("GET /status", "service", f"{url(base, 'status')}?{query}", timeout_s=READ_S)


def provide_input(
    base: str,
    job_id: str,
    input_data: Any,
    asked: JobStatus,
    *,
    inner: bool = False,
    token: str | None = None,
) -> Call:
    """Answer what the job asked for in `asked`.

    The body has what each dialect wants (protocol S6): job_id (also in the query), status_id and
    input_schema_hash; `inner` hashes the list of fields instead of the whole schema, for one more try
    after a refusal. `token` is the continuation token that some services gave with start_job.
    """
    body: dict[str, Any] = {"job_id": job_id}
    if asked.status_id is not None:
        body["status_id"] = asked.status_id
    digest = schema_hash(asked.input_schema, inner=inner)
    if digest is not None:
        body["input_schema_hash"] = digest
    if token is not None:
        body["continuationToken"] = token
    body["input_data"] = input_data
    where = f"{url(base, 'provide_input')}?{urlencode({'job_id': job_id})}"
    return Call("POST /provide_input", "service", where, encode(body), PROVIDE_S)


def schema_hash(schema: Any, *, inner: bool = False) -> str | None:
    """SHA-256 of an input schema in RFC 8785 form, of the whole as it was served or of its `inner` list.

    None when there is no schema, or it holds what has no such form (numbers beyond 2^53).
    """
    if inner and isinstance(schema, Mapping):
        schema = next((schema[k] for k in ("input_data", "input_groups") if schema.get(k)), schema)
    if schema is None:
        return None
    try:
        return hashlib.sha256(rfc8785.dumps(schema)).hexdigest()
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError):
        return None
