"""Text that was meant to be JSON: read where it can mean only one thing, refused with the reason otherwise.

Read: code fences, trailing commas, comments, line breaks inside a text, the single quotes and
True/False/None of Python, prose before and after the one value, JSON in a JSON text. Never mended: text that is cut off,
missing quotes, unknown escapes, two different values, a key given twice.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final, Literal

from masumi_tools.proof.hashing import MAX_DEPTH, JsonValue

MAX_TEXT: Final = 2_000_000
_MOST_OBJECTS: Final = 20

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9A-Za-z_.])")
_WORD: Final = re.compile(r"[A-Za-z_]+")
_WORDS: Final[dict[str, JsonValue]] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None,
}  # fmt: skip
_JSON_ESCAPES: Final = {
    '"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip
_PYTHON_ESCAPES: Final = {"'": "'", '"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
_FENCE: Final = re.compile(r"```[A-Za-z0-9_+-]*[ \t]*\r?\n?(.*?)```", re.DOTALL)
_OBJECT: Final = re.compile(r"\{(?=\s*[\"'}])")
_SKIPPED: Final = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_HEX4: Final = re.compile(r"[0-9a-fA-F]{4}")

Fault = Literal["cut off", "unreadable", "several", "too large", "no JSON"]


class NotJson(ValueError):
    """The text cannot be read as one JSON value.

    `fault` is "cut off" (it ends in the middle), "unreadable", "several" (different values), "too large" or
    "no JSON" (no value starts anywhere). `inside` is the top-level key whose value was being read.
    """

    def __init__(self, fault: Fault, sentence: str, inside: str | None = None) -> None:
        super().__init__(sentence)
        self.fault: Fault = fault
        self.sentence = sentence
        self.inside = inside


@dataclass(frozen=True, slots=True)
class Found:
    """The one value of a text; `strict` says whether the text was plain JSON and nothing else."""

    value: JsonValue
    strict: bool


def read_json(text: str) -> Found:
    """The one JSON value that the text holds; NotJson with the reason when there is none or more than one."""
    if len(text) > MAX_TEXT:
        raise NotJson("too large", f"the text is longer than {MAX_TEXT:,} characters")
    text = text.strip().lstrip("\ufeff").strip()
    if text.startswith(("{", "[", '"')) or _is_scalar(text):
        value, end = _value_at(text, 0)
        if end == len(text):
            return Found(value, _is_strict(text))
    return Found(_only_value(text), False)


def has_json_start(text: str) -> bool:
    """Whether the text begins like an object, a list or a code fence, so that it was meant as JSON."""
    return text.lstrip().startswith(("{", "[", "```"))


def _is_scalar(text: str) -> bool:
    return text in _WORDS or _NUMBER.fullmatch(text) is not None


def _is_strict(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _only_value(text: str) -> JsonValue:
    """The one object or list in a text with fences or prose around it."""
    bodies = [text]
    if "```" in text and text.index("```") < (text.find("{") % (len(text) + 1)):
        bodies = [part for part in _FENCE.findall(text) if part.lstrip()[:1] in ("{", "[")] or bodies
    found = [value for body in bodies for value in _values_in(body.strip())]
    if not found:
        raise NotJson("no JSON", "the text is not a JSON object")
    if not all(_same(value, found[0]) for value in found):
        raise NotJson("several", "two different objects were given")
    return found[0]


def _values_in(text: str) -> list[JsonValue]:
    """Every object that starts in prose, and a list at the front; each must be readable."""
    found: list[JsonValue] = []
    at = 0 if text[:1] in ("{", "[") else _next_object(text, 0)
    while at >= 0:
        value, end = _value_at(text, at)
        if text[end:].lstrip()[:1] in (",", ":", '"'):
            raise NotJson("unreadable", "the JSON cannot be read: more text follows after its end")
        found.append(value)
        if len(found) > _MOST_OBJECTS:
            raise NotJson("several", "the text holds too many objects")
        at = _next_object(text, end)
    return found


def _next_object(text: str, at: int) -> int:
    match = _OBJECT.search(text, at)
    return match.start() if match else -1


def _same(left: JsonValue, right: JsonValue) -> bool:
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _value_at(text: str, at: int) -> tuple[JsonValue, int]:
    return _Reader(text).value(at, 0)


class _Reader:
    """A recursive reader of JSON and of Python literals; it knows in which top-level key it stopped."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.inside: str | None = None

    def fault(self, at: int, what: str = "") -> NotJson:
        if at >= len(self.text):
            return NotJson("cut off", "the JSON is cut off", self.inside)
        detail = what or f"unexpected {self.text[at]!r} at character {at + 1}"
        return NotJson("unreadable", f"the JSON cannot be read: {detail}", self.inside)

    def skip(self, at: int) -> int:
        """Past blanks and comments."""
        match = _SKIPPED.match(self.text, at)
        return match.end() if match else at

    def value(self, at: int, depth: int) -> tuple[JsonValue, int]:
        if depth > MAX_DEPTH:
            raise NotJson("too large", f"the JSON is nested deeper than {MAX_DEPTH} levels")
        at = self.skip(at)
        start = self.text[at : at + 1]
        if start == "{":
            return self.object(at + 1, depth)
        if start == "[":
            return self.list(at + 1, depth)
        if start in ('"', "'"):
            return self.string(at)
        if match := _NUMBER.match(self.text, at):
            return self.number(match), match.end()
        if (match := _WORD.match(self.text, at)) and match[0] in _WORDS:
            return _WORDS[match[0]], match.end()
        if match and match.end() == len(self.text):
            raise self.fault(len(self.text))
        raise self.fault(at)

    def number(self, match: re.Match[str]) -> JsonValue:
        try:
            return json.loads(match[0])  # type: ignore[no-any-return]
        except ValueError:  # more digits than Python converts
            raise NotJson("too large", "a number has too many digits", self.inside) from None

    def object(self, at: int, depth: int) -> tuple[JsonValue, int]:
        result: dict[str, JsonValue] = {}
        while True:
            at = self.skip(at)
            if self.text[at : at + 1] == "}":
                return result, at + 1
            if self.text[at : at + 1] not in ('"', "'"):
                raise self.fault(at)
            key, at = self.string(at)
            if depth == 0:
                self.inside = key
            at = self.skip(at)
            if self.text[at : at + 1] != ":":
                raise self.fault(at)
            item, at = self.value(at + 1, depth + 1)
            if depth == 0:
                self.inside = None
            if key in result and not _same(result[key], item):
                raise NotJson("several", f"{key[:40]!r} is given twice with different values", key)
            result[key] = item
            at = self.separator(at, "}")

    def list(self, at: int, depth: int) -> tuple[JsonValue, int]:
        result: list[JsonValue] = []
        while True:
            at = self.skip(at)
            if self.text[at : at + 1] == "]":
                return result, at + 1
            item, at = self.value(at, depth + 1)
            result.append(item)
            at = self.separator(at, "]")

    def separator(self, at: int, closing: str) -> int:
        """Past the comma, or at the closing bracket."""
        at = self.skip(at)
        if self.text[at : at + 1] == ",":
            return at + 1
        if self.text[at : at + 1] == closing:
            return at
        raise self.fault(at)

    def string(self, at: int) -> tuple[str, int]:
        """A text in double quotes by JSON's rules, or in single quotes by Python's."""
        quote, text, parts = self.text[at], self.text, list[str]()
        if text.startswith(quote * 3, at):
            raise self.fault(at, "text in triple quotes")
        plain = re.compile(r'[^"\\]*' if quote == '"' else r"[^'\\\r\n]*")
        at += 1
        while True:
            if match := plain.match(text, at):
                parts.append(match[0])
                at = match.end()
            if at >= len(text):
                raise self.fault(at)
            if text[at] == quote:
                return _pairs("".join(parts)), at + 1
            if text[at] != "\\":
                raise self.fault(at, "a line break inside single quotes")
            char, at = self.escape(at + 1, quote)
            parts.append(char)

    def escape(self, at: int, quote: str) -> tuple[str, int]:
        if at >= len(self.text):
            raise self.fault(at)
        char = self.text[at]
        if char == "u":
            if digits := _HEX4.match(self.text, at + 1):
                return chr(int(digits[0], 16)), at + 5
            raise self.fault(len(self.text) if len(self.text) < at + 5 else at, "a broken \\u escape")
        known = _JSON_ESCAPES if quote == '"' else _PYTHON_ESCAPES
        if char not in known:
            raise self.fault(at, f"an unknown escape \\{char}")
        return known[char], at + 1


def _pairs(text: str) -> str:
    """Surrogate pairs of two \\u escapes as one character; lone ones stay and are refused by `check`."""
    if not any("\ud800" <= char <= "\udfff" for char in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
