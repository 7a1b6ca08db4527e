"""Checks an answer against the OpenAPI documents that node and registry publish (3.0, with ``nullable``)."""

from __future__ import annotations

from typing import Any

import jsonschema


def misfits(document: dict[str, Any], method: str, path: str, body: Any) -> list[str]:
    """What in a 200 answer's ``body`` is not as ``document`` says; ``path`` without the base."""
    route = document["paths"].get(path) or document["paths"][path + "/"]
    answer = route[method.lower()]["responses"]["200"]["content"]["application/json"]["schema"]
    components = {"schemas": {name: _plain(s) for name, s in document["components"]["schemas"].items()}}
    schema = {**_plain(answer), "components": components}
    errors = jsonschema.Draft202012Validator(schema).iter_errors(body)
    return [f"{'/'.join(str(part) for part in error.absolute_path)}: {error.message}" for error in errors]


def _plain(schema: Any) -> Any:
    """The schema in today's dialect: ``nullable`` becomes a second type, or a second way."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _plain(part) for name, part in schema.items() if name not in ("nullable", "example")}
    for limit in ("exclusiveMinimum", "exclusiveMaximum"):
        if made.get(limit) is True:
            made[limit] = made.pop(limit.replace("exclusiveM", "m"))
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") is True else made
