"""What buyers send, read: one sentence and its fields for what is wrong, before anything is asked or kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import rfc8785

from masumi_tools.errors import InputError
from masumi_tools.inputs import check
from masumi_tools.proof.hashing import check_hashable
from masumi_tools.seller.offering import Offer
from masumi_tools.seller.work.base import Work

_IDENTIFIER = re.compile(r"(?:[0-9a-fA-F]{2}){7,13}")


class Refusal(Exception):
    """A request that is not served: the HTTP status and the body's `detail`."""

    def __init__(self, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def read_start_job(body: Mapping[str, Any], offer: Offer, work: Work) -> tuple[str, dict[str, Any]]:
    """The buyer's nonce ("" where a free job has none) and the input as an object; Refusal 400 otherwise."""
    identifier = first(body, "identifier_from_purchaser", "identifierFromPurchaser")
    if identifier is None and offer.free:
        identifier = ""
    elif not isinstance(identifier, str) or not _IDENTIFIER.fullmatch(identifier):
        raise bad(
            "identifier_from_purchaser must be 14 to 26 hexadecimal digits, an even number of them: "
            "the payment node takes no other",
            {"identifier_from_purchaser": ["14 to 26 hexadecimal digits, an even number"]},
        )
    data = first(body, "input_data", "inputData", "input")
    data = {} if data is None else data
    if (
        isinstance(data, list)
        and data
        and all(isinstance(e, dict) and set(e) >= {"key", "value"} for e in data)
    ):
        data = {str(entry["key"]): entry["value"] for entry in data}
    if not isinstance(data, dict):
        raise bad("input_data must be an object", {"input_data": ["must be an object"]})
    try:
        check_hashable(data)
        values = check(offer.spec, data)
    except InputError as error:
        raise bad(error.message, error.field_errors) from error
    if missing := work.missing(values):
        raise bad("the input is incomplete", missing)
    return identifier, data


def schema_hashes(schema: Any) -> set[str]:
    """The hashes of a schema that buyers send: of the object, or of the list inside (protocol S6)."""
    inner = schema.get("input_data") if isinstance(schema, dict) else None
    return {sha256(rfc8785.dumps(form)).hexdigest() for form in (schema, inner) if form is not None}


def first(body: Mapping[str, Any], *names: str) -> Any:
    """The first value that is not null under any of the names."""
    return next((body[name] for name in names if body.get(name) is not None), None)


def bad(message: str, field_errors: Mapping[str, Sequence[str]]) -> Refusal:
    """400: what is wrong, and by field."""
    return Refusal(400, {"message": message, "field_errors": {k: list(v) for k, v in field_errors.items()}})


def down(message: str) -> Refusal:
    """503: what does not work at the moment."""
    return Refusal(503, message, {"Retry-After": "30"})
