"""Secrets that do not show, and foreign text made fit for a message or a log."""

from __future__ import annotations

import hmac
import re
import weakref
from typing import Any, NoReturn

_HIDDEN = "****"
# Every living Secret by its id, so that `redact` can hide a token that a stranger's answer repeats.
_LIVING: weakref.WeakValueDictionary[int, Secret] = weakref.WeakValueDictionary()
_SHORTEST_HIDDEN = 6
_LONGEST_READ = 20_000

_CONTROLS = re.compile("[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")
_URL_CREDENTIALS = re.compile(r"://[^\s/?#@]{1,1000}@")
_NAMED = re.compile(
    r"([\w-]{0,40}(?:token|secret|passwo?r?d|api[-_]?key|authorization|cookie|credential)[\w-]{0,40}"
    r"[\"']?\s?[:=]\s?[\"']?)(?:(?:bearer|basic)\s)?[^\s\"',;&#}\])]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer|basic)\s[\w.~+/=-]{6,}", re.IGNORECASE)
# The form in which node and registry hand out their keys (protocol N2).
_MASUMI_KEY = re.compile(r"masumi-(?:payment|registry)-[A-Za-z0-9]{12,}")


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
        raise TypeError("A secret is not pickled. Make the Settings anew in the other process.")


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
    line = _CONTROLS.sub(" ", line).strip()
    line = _URL_CREDENTIALS.sub(f"://{_HIDDEN}@", line)
    line = _NAMED.sub(rf"\1{_HIDDEN}", line)
    line = _BEARER.sub(rf"\1 {_HIDDEN}", line)
    line = _MASUMI_KEY.sub(_HIDDEN, line)
    return line if len(line) <= limit else line[: limit - 1] + "…"
