"""A small sample of every dialect of input schema, in the format of the recorded rows, with values of our own."""

from __future__ import annotations

from typing import Any

NAME = {"id": "name", "type": "string", "name": "Name"}
STYLE = {
    "id": "style",
    "type": "option",
    "name": "Style",
    "data": {"values": ["Plain", "Fancy", "Wild"]},
    "validations": [{"validation": "min", "value": "1"}, {"validation": "max", "value": "1"}],
}
OPTIONAL = {"validation": "optional", "value": "true"}


def row(
    name: str,
    served: Any,
    valid: list[Any],
    invalid: list[Any],
    *,
    body: dict[str, Any] | None = None,
    status: int = 200,
    meant: Any = None,
) -> dict[str, Any]:
    """One row as the recorded ones are; every invalid input is one that the schema itself refuses."""
    made: dict[str, Any] = {
        "id": name,
        "dialect": name,
        "http_status": status,
        "served_as": served,
        "valid_inputs": valid,
        "invalid_inputs": [{"input": bad, "why": "sample", "refused_by": "schema"} for bad in invalid],
    }
    if body is not None:
        made["start_job_body"] = body
    if meant is not None:
        made["defined_as"] = meant
    return made


def rules(**wanted: Any) -> list[dict[str, Any]]:
    return [{"validation": name, "value": value} for name, value in wanted.items()]


ROWS = [
    row(
        "flat",
        {"input_data": [NAME, STYLE]},
        [{"name": "Ada", "style": "Plain"}, {"name": "Ada", "style": ["Wild"]}, {"name": "Ada", "style": [1]}],
        [
            {"name": "Ada"},
            {"name": " ", "style": "Plain"},
            {"name": "Ada", "style": "Plainest"},
            {"name": "Ada", "style": ["Plain", "Wild"]},
            {"name": "Ada", "style": [3]},
            {"name": 3, "style": "Plain"},
        ],
        body={"identifier_from_purchaser": "ab", "input_data": {"name": "Ada", "style": "Plain"}},
    ),
    row(
        "flat with nulls",
        {"input_data": [{**NAME, "data": None, "validations": None}], "input_groups": None},
        [{"name": "Ada"}],
        [{}, {"name": None}],
    ),
    row(
        "groups",
        {
            "input_groups": [
                {"id": "g1", "title": "Who", "input_data": [NAME]},
                {"id": "g2", "title": "How", "input_data": [STYLE]},
            ]
        },
        [{"name": "Ada", "style": "Fancy"}],
        [{"g1": {"name": "Ada"}, "g2": {"style": "Fancy"}}, {"name": "Ada", "Who": {"name": "Ada"}}],
        body={"input_data": {"name": "Ada", "style": "Fancy"}},
    ),
    row("bare list", [NAME], [{"name": "Ada"}], [{}]),
    row("bare field", NAME, [{"name": "Ada"}], [{"Name": "Ada"}]),
    row("bare field without id", {"type": "text", "name": "Two words"}, [], [{"Two words": "x"}, {}]),
    row(
        "list of names",
        {"input_data": ["first", "second"]},
        [{"first": "x", "second": "y"}],
        [{"first": "x"}],
    ),
    row(
        "keyed by name",
        {
            "input": [
                {"name": "task", "type": "string", "required": True, "data": None},
                {"name": "size", "type": "number", "required": False, "data": {"min": 1, "max": 9}},
                {"name": "tone", "type": "option", "required": False, "data": {"options": ["dry", "warm"]}},
            ]
        },
        [{"task": "x"}, {"task": "x", "size": 9, "tone": "dry"}],
        [{"size": 3}, {"task": "x", "size": 10}, {"task": "x", "tone": "cold"}],
        body={"input_data": {"task": "x"}},
    ),
    row(
        "keyed by field",
        {"input_schema": {"query": {"type": "string"}, "kind": {"type": "string", "enum": ["a", "b"]}}},
        [{"query": "x", "kind": "a"}],
        [{"query": "x"}, {"query": "x", "kind": "c"}, {"query": "x", "kind": ["a"]}],
        body={"query": "x", "kind": "a"},
    ),
    row(
        "keyed by field with flags",
        {"query": {"type": "string", "required": True}, "note": {"type": "string"}},
        [{"query": "x"}],
        [{"note": "x"}],
    ),
    row(
        "keyed by field beside a status",
        {"status": "success", "input_schema": {"query": {"type": "string", "description": "What"}}},
        [{"query": "x"}],
        [{"q": "x"}],
        body={"identifier_from_purchaser": "ab", "input_data": [{"key": "query", "value": "x"}]},
    ),
    row(
        "key and value",
        {"input_data": [{"key": "text", "value": "string"}, {"key": "option", "value": "string"}]},
        [{"text": "x", "option": ["a", "b"]}, {"text": "x", "option": "a"}],
        [{"text": ["x"], "option": "a"}, {"option": "a"}],
        body={
            "input_data": [
                {"key": "text", "value": "x"},
                {"key": "option", "value": "a"},
                {"key": "option", "value": "b"},
            ]
        },
    ),
    row(
        "JSON Schema",
        {
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": ["short", "long"]},
                "count": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10},
                "share": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
                "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
                "where": {"$ref": "#/$defs/Place"},
            },
            "required": ["type", "count"],
            "$defs": {
                "Place": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}, "zip": {"type": "string"}},
                    "required": ["city"],
                }
            },
        },
        [
            {"type": "short", "count": 9},
            {"type": "long", "count": 1, "share": 0.5, "tags": ["a", "b"], "where": {"city": "Rome"}},
            {"type": "long", "count": 3, "share": None},
        ],
        [
            {"count": 3},
            {"type": "Short", "count": 3},
            {"type": "short", "count": 10},
            {"type": "short", "count": 1.5},
            {"type": "short", "count": 3, "share": "half"},
            {"type": "short", "count": 3, "tags": ["a", "b", "c"]},
            {"type": "short", "count": 3, "tags": [1]},
            {"type": "short", "count": 3, "where": {"zip": "1"}},
            {"type": "short", "count": 3, "where": "Rome"},
        ],
    ),
    row(
        "JSON Schema wrapped",
        {"schema": {"type": "object", "properties": {"text": {"type": "string", "maxLength": 3}}}},
        [{"text": "abc"}, {}],
        [{"text": "abcd"}],
    ),
    row(
        "JSON Schema of the request",
        {
            "type": "object",
            "properties": {
                "input_data": {"type": "object", "properties": {"site": {"type": "string"}}, "required": ["site"]}
            },
        },
        [{"site": "x"}],
        [{}],
        body={"site": "x"},
    ),
    row(
        "one text",
        {"schema": {"type": "object", "properties": {"input_data": {"type": "string"}}, "required": ["input_data"]}},
        [{"input_data": "x"}],
        [{}, {"input_data": 1}],
        body={"input_data": "x"},
    ),
    row("no fields", {"input_data": []}, [{}], []),
    row("null", {"input_data": None}, [{}], []),
    row("envelope", [{"id": "identifier_from_purchaser", "type": "string", "name": "Id"}, {"id": "input_data", "type": "object", "name": "Data"}], [{"anything": 1}], []),
    row("text that is JSON", '{"input_data": [{"id": "name", "type": "text", "name": "N"}]}', [{"name": "x"}], [{}]),
    row("text with trailing commas", '{"input_data": [{"id": "name", "type": "text",},],}', [{"name": "x"}], [{}]),
    row("error answer", {"detail": "Internal Server Error"}, [{"name": "x"}], [{}], status=500, meant=[NAME]),
    row("question", [{"lock_id": "7", "input_data": [{"id": "7:reply", "type": "text"}]}], [{"7:reply": "x"}], [{}]),
    row(
        "rules as a dict and as bare types",
        {
            "input_data": [
                {"id": "a", "type": "text", "validations": {"optional": True, "min": "2"}},
                {"id": "b", "type": "number", "validations": rules(min=1, max=3.5)},
                {"id": "c", "type": "text", "validations": rules(required="true")},
                {"id": "d", "type": "text", "validations": rules(optional="boolean")},
                {"id": "e", "type": "multi_select", "data": {"values": ["p", "q"]}, "validations": [{"min": "2"}, {"optional": "true"}]},
            ]
        },
        [{"b": 3.5, "c": "x"}, {"a": "xy", "b": 1, "c": "x", "d": "y", "e": ["p", "q"]}],
        [{"a": "x", "b": 1, "c": "x"}, {"b": 4, "c": "x"}, {"b": 1}, {"b": 1, "c": "x", "e": ["p"]}, {"b": 1, "c": "x", "e": "p"}],
    ),
    row(
        "optional taken back",
        {"input_data": [{"id": "a", "type": "text", "validations": rules(optional="false")}]},
        [{"a": "x"}],
        [{}],
    ),
    row(
        "choices with labels",
        {
            "input_data": [
                {"id": "m", "type": "option", "data": {"options": [{"value": "s", "label": "Small"}, {"value": "l", "label": "Large"}]}}
            ]
        },
        [{"m": "s"}, {"m": [1]}],
        [{"m": "Small"}, {"m": "x"}, {"m": [2]}, {"m": []}],
    ),
    row(
        "notes and hidden fields",
        {
            "input_data": [
                {"id": "info", "type": "none", "name": "Read this"},
                {"id": "token", "type": "hidden", "name": None, "data": {"value": "t1"}},
                {"id": "mood", "type": "radio", "data": {"values": ["none", "good"], "default": "good"}},
            ]
        },
        [{"mood": "none"}, {"mood": "good", "token": "t1"}],
        [{}, {"mood": "good", "token": "t2"}, {"mood": ["good", "none"]}, {"mood": "Good"}],
        body={"input_data": {"token": "t1", "mood": "none"}},
    ),
    row(
        "an empty choice in front",
        {"input_data": [{"id": "land", "type": "option", "data": {"values": ["", "at", "ch"]}}]},
        [{"land": [1]}, {"land": "ch"}],
        [{"land": [0]}, {"land": ""}],
        body={"input_data": {"land": [1]}},
    ),
    row(
        "files",
        {"input_data": [{"id": "f", "type": "file", "name": "F", "validations": rules(min=1, max=2, accept=".pdf,image/*")}]},
        [{"f": "https://f.example/a.pdf"}, {"f": ["https://f.example/a.png", "https://f.example/b"]}],
        [{"f": "a.pdf"}, {"f": "https://f.example/a.exe"}, {"f": []}, {"f": ["https://f.example/a.pdf"] * 3}],
    ),
    row(
        "a type that nobody knows",
        {"input_data": [{"id": "x", "type": "optional", "data": {"values": ["a"]}}]},
        [{"x": "b"}, {"x": 3}, {"x": True}],
        [{"x": {"a": 1}}, {"x": ["a"]}, {}],
    ),
    row(
        "two formats that exclude each other",
        {"input_data": [{"id": "x", "type": "text", "validations": [*rules(format="url"), *rules(format="email")]}]},
        [],
        [{"x": "https://a.example"}, {"x": "a@b.example"}],
    ),
]  # fmt: skip
