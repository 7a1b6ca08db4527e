"""What an API description says of inputs, turned into wrong values and the complaints that they must get.

Each case breaks one rule of one field: its type, its least or greatest length or value, its options, that it must
be there. The texts are put together from the rule alone, in the words of the node or of the registry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
MISSING = object()


@dataclass(frozen=True)
class Case:
    """``value`` of ``field`` (``MISSING``: left out) must be answered with ``text``, perhaps among others."""

    field: str
    value: Any
    text: str


class NodeWords:
    """How the node complains."""

    def inside(self, path: str, name: str | int) -> str:
        return f"{path}[{name}]" if isinstance(name, int) else f"{path}.{name}"

    def missing(self, schema: Json) -> str:
        return self.choice(schema, MISSING) if "enum" in schema else self.kind(schema, "undefined")

    def kind(self, schema: Json, received: str) -> str:
        expected = {"integer": "number"}.get(schema["type"], schema["type"])
        return f"Invalid input: expected {expected}, received {received}"

    def choice(self, schema: Json, value: Any) -> str:
        return "Invalid option: expected one of " + "|".join(f'"{option}"' for option in schema["enum"])

    def short(self, kind: str, least: int) -> str:
        return f"Too small: expected {kind} to have >={least} {'items' if kind == 'array' else 'characters'}"

    def long(self, kind: str, most: int) -> str:
        return f"Too big: expected {kind} to have <={most} {'items' if kind == 'array' else 'characters'}"

    def low(self, least: float) -> str:
        return f"Too small: expected number to be >={least}"

    def high(self, most: float) -> str:
        return f"Too big: expected number to be <={most}"

    def fraction(self) -> str:
        return "Invalid input: expected int, received number"

    def no_number(self, value: Any, in_query: bool) -> str:
        return self.kind({"type": "number"}, "NaN" if in_query else kind_of(value))

    def no_date(self, value: Any) -> str:
        return "Invalid input"


class RegistryWords(NodeWords):
    """How the registry complains: an older generation of the same library, and numbers in bodies are coerced."""

    def inside(self, path: str, name: str | int) -> str:
        return f"{path}/{name}"

    def missing(self, schema: Json) -> str:
        return "Required"

    def kind(self, schema: Json, received: str) -> str:
        return f"Expected {schema['type']}, received {received}"

    def choice(self, schema: Json, value: Any) -> str:
        listed = " | ".join(f"'{option}'" for option in schema["enum"])
        if kind_of(value) in ("string", "number"):
            return f"Invalid enum value. Expected {listed}, received '{value}'"
        return f"Expected {listed}, received {kind_of(value)}"

    def short(self, kind: str, least: int) -> str:
        return f"String must contain at least {least} character(s)"

    def long(self, kind: str, most: int) -> str:
        return (
            f"{kind.title()} must contain at most {most} {'element' if kind == 'array' else 'character'}(s)"
        )

    def low(self, least: float) -> str:
        return f"Number must be greater than or equal to {least}"

    def high(self, most: float) -> str:
        return f"Number must be less than or equal to {most}"

    def fraction(self) -> str:
        return "Expected integer, received float"

    def no_number(self, value: Any, in_query: bool) -> str:
        return "Expected number, received nan"

    def no_date(self, value: Any) -> str:
        return "Invalid date" if isinstance(value, str) else "Invalid input"


def kind_of(value: Any) -> str:
    names = {
        type(None): "null",
        bool: "boolean",
        int: "number",
        float: "number",
        str: "string",
        list: "array",
    }
    return names.get(type(value), "object")


def good(schema: Json) -> Any:
    """A value that fits."""
    if "default" in schema:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return good(schema["anyOf"][0])
    match schema["type"]:
        case "string" if schema.get("format") in ("date", "date-time"):
            return "2030-01-01T00:00:00Z"
        case "string":
            return "https://a.example" if schema.get("format") == "uri" else "a" * schema.get("minLength", 1)
        case "array":
            return [good(schema["items"])] * schema.get("minItems", 0)
        case "object":
            return {name: good(schema["properties"][name]) for name in schema.get("required", [])}
        case "boolean":
            return False
    return schema.get("minimum", 1)


def cases(fields: Json, required: list[str], words: NodeWords, *, in_query: bool) -> Iterator[Case]:
    """Every rule of every field broken once; fields that may have one of several shapes only as dates."""
    for name, schema in fields.items():
        for value, text in _broken(schema, name, words, in_query):
            yield Case(name, value, text)
        if name in required:
            text = "Invalid input" if "anyOf" in schema else words.missing(schema)
            yield Case(name, MISSING, f"{name}: {text}")


def _broken(schema: Json, path: str, words: NodeWords, in_query: bool) -> Iterator[tuple[Any, str]]:
    if "anyOf" in schema:
        if all(one.get("format", "").startswith("date") for one in schema["anyOf"]):
            for value in ("soon", *(() if in_query else (5,))):
                yield value, f"{path}: {words.no_date(value)}"
        return
    for value, text in _of_one_kind(schema, words, in_query):
        yield value, f"{path}: {text}"
    if schema["type"] == "array":
        for value, text in _broken(schema["items"], words.inside(path, 0), words, in_query):
            yield [value], text
    if schema["type"] == "object":
        whole = good(schema)
        for name, part in schema.get("properties", {}).items():
            for value, text in _broken(part, words.inside(path, name), words, in_query):
                yield whole | {name: value}, text
        for name in schema.get("required", []):
            left = {key: value for key, value in whole.items() if key != name}
            yield left, f"{words.inside(path, name)}: {words.missing(schema['properties'][name])}"


def _of_one_kind(schema: Json, words: NodeWords, in_query: bool) -> Iterator[tuple[Any, str]]:
    kind = "choice" if "enum" in schema else schema["type"]
    null = [] if schema.get("nullable") else [None]
    match kind:
        case "choice":
            for value in [
                "nope",
                "",
                schema["enum"][0].swapcase(),
                *([] if in_query else [*null, 5, True, []]),
            ]:
                yield value, words.choice(schema, value)
        case "number" | "integer":
            yield from _numbers(schema, words, in_query, null)
        case _:
            others = {"string": [5, 1.5, True, {}], "boolean": ["true", 1, []], "array": ["x", 5, {}]}
            for value in [] if in_query else [*null, *others.get(kind, ["x", 5, []])]:
                yield value, words.kind(schema, kind_of(value))
            fill: Any = [good(schema["items"])] if kind == "array" else "a"
            if least := schema.get("minLength", schema.get("minItems")):
                yield fill * (least - 1), words.short(kind, least)
            if most := schema.get("maxLength", schema.get("maxItems")):
                yield fill * (most + 1), words.long(kind, most)


def _numbers(schema: Json, words: NodeWords, in_query: bool, null: list[None]) -> Iterator[tuple[Any, str]]:
    coerced = in_query or isinstance(words, RegistryWords)
    for value in ["abc", {}][: 1 if in_query else 2] if coerced else [*null, "5", True, []]:
        yield value, words.no_number(value, in_query)
    if schema["type"] == "integer":
        yield schema["minimum"] + 0.5, words.fraction()
    if "minimum" in schema:
        yield schema["minimum"] - 1, words.low(schema["minimum"])
    if "maximum" in schema:
        yield schema["maximum"] + 1, words.high(schema["maximum"])
