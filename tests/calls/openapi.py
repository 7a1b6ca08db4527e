"""Requests checked against the published API descriptions of node and registry, where they are there."""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema

from masumi_tools.calls.call import Call
from tests.shared import shared_json

FILES = {"node": "protocol/payment-openapi.json", "registry": "protocol/registry-openapi.json"}


@cache
def description(of: str) -> Any:
    return _plain(shared_json(FILES[of]))


def _plain(value: Any) -> Any:
    """OpenAPI 3.0 in words of JSON Schema: `nullable` becomes the type null."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {name: _plain(item) for name, item in value.items() if name != "nullable"}
    if value.get("nullable") is True and "type" in value:
        out["type"] = [value["type"], "null"]
    return out


def check(call: Call, api: str) -> None:
    """The request's path, method, query and body are as the API description says; AssertionError else."""
    parts = urlsplit(call.url)
    path = parts.path.removeprefix(urlsplit(api).path)
    paths = description(call.to)["paths"]
    operation = (paths.get(path) or paths[f"{path}/"])[call.method.lower()]
    given = dict(parse_qsl(parts.query))
    known = {p["name"]: p for p in operation.get("parameters", []) if p["in"] == "query"}
    # Added to the node after its description was published (protocol N5, N7).
    known.setdefault("filterPaymentSourceType", {"schema": {"enum": ["Web3CardanoV1", "Web3CardanoV2"]}})
    assert set(given) <= set(known), f"unknown query {set(given) - set(known)}"
    assert all(name in given for name, p in known.items() if p.get("required")), known
    for name, text in given.items():
        schema = known[name]["schema"]
        jsonschema.validate(float(text) if schema.get("type") == "number" else text, schema)
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    assert (content is None) == (call.body is None)
    if content is not None and call.body is not None:
        schema = {**content["schema"], "additionalProperties": False}
        jsonschema.validate(json.loads(call.body), schema, jsonschema.Draft202012Validator)
