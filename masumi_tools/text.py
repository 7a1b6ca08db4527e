"""Secrets that do not show, and the one place where foreign text is made fit for a message, a log or a screen.

A sentence of ours that quotes another side holds the quotation as a part of its own, between two characters
that no foreign text can bring in (`quoted`). Wherever the sentence is shown the parts are known: `parts` gives
them apart, `plain` for people, `fenced` for a language model.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import unicodedata
import weakref
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

_HIDDEN = "****"
# Every living Secret by its id, so that `redact` can hide a token that a stranger's answer repeats.
_LIVING: weakref.WeakValueDictionary[int, Secret] = weakref.WeakValueDictionary()
_SHORTEST_HIDDEN = 6
_LONGEST_READ = 20_000

_CONTROLS = re.compile("[\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")
_URL_CREDENTIALS = re.compile(r"://[^\s/?#@]{1,1000}@")
_NAMED = re.compile(
    r"((?:token|secret|passwo?r?d|api[-_]?key|authorization|cookie|credential)[\w-]{0,40}"
    r"[\"']?\s?[:=]\s?[\"']?)(?:(?:bearer|basic)\s)?[^\s\"',;&#}\])]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer|basic)\s[\w.~+/=-]{6,}", re.IGNORECASE)
# The form in which node and registry hand out their keys (protocol N2).
_MASUMI_KEY = re.compile(r"masumi-(?:payment|registry)-[A-Za-z0-9]{12,}")


HIDDEN_MARKS: Final = re.compile("[\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
_QUOTED = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}")
_QUOTING = re.compile(f"[{_OPEN}{_CLOSE}]")
# What a terminal, a spreadsheet or a reader may take for a command: controls, direction marks, lone surrogates.
_ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_HALVES = re.compile("[\ud800-\udfff]")
_FORMULA = ("=", "+", "-", "@", "|", "%")


def storable(text: str) -> str:
    """The text as databases and requests can hold it: halves of surrogate pairs and NUL become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\x00", "\ufffd")


def no_text(named: Mapping[str, object]) -> str | None:
    """The name of the first of these that is no text which can be sent: something else, or with half a character."""
    return next(
        (name for name, value in named.items() if not isinstance(value, str) or _HALVES.search(value)), None
    )


class Part(NamedTuple):
    """A piece of a sentence, and whether another side said it."""

    theirs: bool
    text: str


class Secret:
    """A text that only `reveal()` gives out: repr, str, format and JSON hide it, pickle refuses.

    Two secrets are equal when their texts are. Copies (`copy.deepcopy`) are the same object.
    """

    __slots__ = ("__value", "__weakref__")

    def __init__(self, value: str) -> None:
        self.__value = value
        _LIVING[id(self)] = self

    def reveal(self) -> str:
        """The secret text itself; for the one place that sends it."""
        return self.__value

    def __repr__(self) -> str:
        return f"'{_HIDDEN}'"

    def __str__(self) -> str:
        return _HIDDEN

    def __format__(self, spec: str) -> str:
        return _HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value.encode(), other.__value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A secret is not pickled. Make new Settings in the other process.")


def redact(text: object, limit: int = 300) -> str:
    """The text on one line of at most `limit` characters, without anything that looks like a secret.

    Hidden are the texts of all living `Secret` objects, user names and passwords in URLs, values
    named token, key, password, cookie and the like, and keys in the form of node and registry.
    Control characters, line breaks and invisible direction marks become spaces.
    """
    line = str(text)[:_LONGEST_READ]
    for secret in list(_LIVING.values()):
        value = secret.reveal()
        if len(value) >= _SHORTEST_HIDDEN:
            line = line.replace(value, _HIDDEN)
    line = _QUOTING.sub("", _CONTROLS.sub(" ", line)).strip()
    line = _URL_CREDENTIALS.sub(f"://{_HIDDEN}@", line)
    line = _NAMED.sub(rf"\1{_HIDDEN}", line)
    line = _BEARER.sub(rf"\1 {_HIDDEN}", line)
    line = _MASUMI_KEY.sub(_HIDDEN, line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def quoted(text: object, limit: int = 300) -> str:
    """What another side said, redacted, on one line, and marked as a quotation for the sentence that holds it."""
    return f"{_OPEN}{redact(text, limit)}{_CLOSE}"


def parts(sentence: str) -> tuple[Part, ...]:
    """Our words and theirs, apart and in their order."""
    found = [Part(bool(number % 2), text) for number, text in enumerate(_QUOTED.split(sentence))]
    return tuple(Part(part.theirs, _QUOTING.sub("", part.text)) for part in found if part.text)


def plain(sentence: str) -> str:
    """The sentence for people, without the marks of its quotations."""
    return _QUOTING.sub("", sentence)


def kept(sentence: str, limit: int = 2_000) -> str:
    """A sentence that is about to be kept: its quotations stay marked, and nothing in it looks like a secret."""
    if _OPEN not in sentence:
        return redact(sentence, limit)
    shown = ((part.theirs, redact(part.text, limit), part.text) for part in parts(sentence))
    return "".join(
        f"{_OPEN}{clean}{_CLOSE}" if theirs else f"{' ' * raw[:1].isspace()}{clean}{' ' * raw[-1:].isspace()}"
        for theirs, clean, raw in shown
    )


def fence() -> str:
    """A mark for one message, which nobody knows before it is sent."""
    return secrets.token_hex(8)


def fenced(said: str | tuple[Part, ...], mark: str) -> str:
    """A sentence for a language model: what another side said stands between two signs with `mark`."""
    pieces = parts(said) if isinstance(said, str) else said
    return "".join(
        f"<<<{mark} {part.text.replace(mark, '')} {mark}>>>" if part.theirs else part.text for part in pieces
    )


def plain_text(value: object, limit: int = 1000) -> str:
    """Foreign text for people and models: one line, no control or invisible characters, cut at `limit`.

    Anything but text or a number becomes "". What a service says is data, so it must not be able to
    change more than itself.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value)[: limit * 4]
    text = _QUOTING.sub("", HIDDEN_MARKS.sub("", text))
    text = "".join(" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in text)
    text = "".join(char for char in text if unicodedata.category(char) != "Cs")
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def safe_json(document: Any, *, only_ascii: bool = False) -> str:
    """JSON whose text holds no raw control or direction character, so that a terminal can show it."""
    text = json.dumps(document, ensure_ascii=only_ascii, default=str)
    return _ACTIVE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def cell(value: Any) -> Any:
    """A value for a spreadsheet: no control characters, and what begins like a formula is marked as text."""
    if not isinstance(value, str):
        return value
    text = _QUOTING.sub("", _ACTIVE.sub(" ", value))
    first = unicodedata.normalize("NFKC", text).lstrip(" \t\r\n'\"\u00a0")[:1]
    return f"'{text}" if first in _FORMULA and first else text
