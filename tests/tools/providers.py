"""What each provider of models takes as a tool, by its own documentation: a checker that names what it refuses."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterator
from typing import Any

Tool = dict[str, Any]  # name, description, parameters


def _parts(schema: Any, path: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside, itself first, with where it stands."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from _parts(part, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from _parts(schema["items"], f"{path}[]")
    for key in ("anyOf", "oneOf", "allOf"):
        for number, part in enumerate(schema.get(key, ())):
            yield from _parts(part, f"{path}.{key}[{number}]")
    for name, part in schema.get("$defs", {}).items():
        yield from _parts(part, f"{path}.$defs.{name}")


def _common(tool: Tool) -> Iterator[str]:
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool["name"]):
        yield f"name {tool['name']!r}"
    if not 1 <= len(tool["description"]) <= 1_024:
        yield f"description of {len(tool['description'])} characters"
    if tool["parameters"].get("type") != "object":
        yield "the root is not an object"
    for path, schema in _parts(tool["parameters"]):
        if not {"type", "anyOf", "$ref"} & set(schema):
            yield f"{path}: no type"


def openai_strict(tool: Tool) -> Iterator[str]:
    """Structured outputs of OpenAI: closed objects, all properties required, no defaults, few keywords."""
    yield from _common(tool)
    known = {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "anyOf",
        "description",
    }
    known |= {"title", "$defs", "$ref", "const", "pattern", "format", "minimum", "maximum", "multipleOf"}
    for path, schema in _parts(tool["parameters"]):
        if more := set(schema) - known:
            yield f"{path}: keyword {sorted(more)}"
        if path.count(".") + path.count("[]") > 10:
            yield f"{path}: too deep"
        if schema.get("type") == "object":
            if schema.get("additionalProperties") is not False:
                yield f"{path}: open object"
            if sorted(schema.get("required", ())) != sorted(schema.get("properties", {})):
                yield f"{path}: not all are required"
            if path != "$" and not schema.get("properties"):
                yield f"{path}: an object that nobody can fill"
        if len(schema.get("enum", ())) > 1_000:
            yield f"{path}: too many choices"


def gemini(tool: Tool) -> Iterator[str]:
    """The subset of OpenAPI 3 that Gemini's function declarations have."""
    yield from _common(tool)
    known = {"type", "format", "title", "description", "nullable", "enum", "items", "properties", "required"}
    known |= {"minItems", "maxItems", "minimum", "maximum", "minLength", "maxLength", "pattern", "anyOf"}
    known |= {"additionalProperties"}  # taken out by every client
    for path, schema in _parts(tool["parameters"]):
        if more := set(schema) - known:
            yield f"{path}: keyword {sorted(more)}"
        if "type" in schema and schema["type"] not in (
            "string", "number", "integer", "boolean", "array", "object",
        ):  # fmt: skip
            yield f"{path}: type {schema['type']}"
        if "enum" in schema and (schema.get("type") != "string" or not all(schema["enum"])):
            yield f"{path}: choices that are no texts"
        if schema.get("type") == "array" and "items" not in schema:
            yield f"{path}: a list of what?"
        if schema.get("type") == "object" and path != "$" and not schema.get("properties"):
            yield f"{path}: an object without properties"
        if set(schema.get("required", ())) - set(schema.get("properties", {})):
            yield f"{path}: required and not there"
        for name in schema.get("properties", {}):
            if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]{0,63}", name):
                yield f"{path}: name {name!r}"


def anthropic(tool: Tool) -> Iterator[str]:
    """JSON Schema of 2020-12 with plain property names, no alternatives at the root."""
    import jsonschema

    yield from _common(tool)
    jsonschema.Draft202012Validator.check_schema(tool["parameters"])
    if {"anyOf", "oneOf", "allOf"} & set(tool["parameters"]):
        yield "alternatives at the root"
    for path, schema in _parts(tool["parameters"]):
        for name in schema.get("properties", {}):
            if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", name):
                yield f"{path}: name {name!r}"


def bedrock(tool: Tool) -> Iterator[str]:
    """Converse: names begin with a letter, and lean models take type, properties and required at the root only."""
    yield from _common(tool)
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}", tool["name"]):
        yield f"name {tool['name']!r}"
    allowed = {"type", "properties", "required", "title", "description", "additionalProperties"}
    if more := set(tool["parameters"]) - allowed:
        yield f"root: {sorted(more)}"
    for path, schema in _parts(tool["parameters"]):
        if {"$ref", "$defs", "anyOf", "oneOf", "allOf"} & set(schema):
            yield f"{path}: not plain"


def smolagents(tool: Tool) -> Iterator[str]:
    """Each input is an identifier of Python with one plain type and a description."""
    yield from _common(tool)
    plain = {"string", "boolean", "integer", "number", "array", "object"}
    for name, schema in tool["parameters"].get("properties", {}).items():
        if not name.isidentifier() or keyword.iskeyword(name):
            yield f"name {name!r}"
        if schema.get("type") not in plain:
            yield f"{name}: type {schema.get('type')!r}"
        if not isinstance(schema.get("description"), str):
            yield f"{name}: no description"


PROVIDERS: dict[str, Callable[[Tool], Iterator[str]]] = {
    "openai": openai_strict,
    "gemini": gemini,
    "anthropic": anthropic,
    "bedrock": bedrock,
    "smolagents": smolagents,
}
