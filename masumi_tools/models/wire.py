"""What all readers of foreign JSON share: names in any spelling, wrapped bodies, error texts, quotes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

# Keys under which the body that was meant stands (protocol S4, S8): envelopes of nodes, proxies, flows.
_WRAPPERS: Final = ("data", "body", "payload", "response", "json", "job")
_MAX_LAYERS: Final = 4
_MAX_JSON_TEXT: Final = 1_000_000
_MAX_SENTENCE: Final = 2_000

_ERROR_NAMES: Final = (
    "error",
    "errors",
    "detail",
    "details",
    "message",
    "error_message",
    "error_description",
    "reason",
    "title",
)
_CODE: Final = re.compile(r"[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)+|[A-Z0-9]{3,}|[0-9]+")
_TITLE: Final = re.compile(r"<title[^>]*>(.{1,200}?)</title>", re.IGNORECASE | re.DOTALL)

# Words in the code of a 5xx answer: such as say that nothing was done before the refusal, and such as do not.
_REFUSAL: Final = re.compile(
    r"NOT|NO|MISSING|INVALID|FAILED|UNAVAILABLE|DISABLED|REFUSED|REJECTED|DENIED|FORBIDDEN|UNAUTHORIZED"
    r"|UNSUPPORTED|EXPIRED|BUSY|QUOTA|LIMIT|LIMITED|EXCEEDED|REQUIRED|MAINTENANCE"
)
_UNSURE: Final = re.compile(r"INTERNAL|UNEXPECTED|UNKNOWN|TIMEOUT|TIMED|GATEWAY|INSPECTION|PARTIAL|ERROR")
_NOT_READY: Final = re.compile(r"\bnot (yet )?(configured|registered)\b", re.IGNORECASE)
_VAGUE: Final = re.compile(
    r"^(http|(the )?(service|server)( is)?( temporarily)? unavailable)|inspect|internal|unknown|unexpected"
    r"|time[sd]?[ -]?out|gateway",
    re.IGNORECASE,
)


class _Folds(dict[str, str]):
    """Names without case, underscores, hyphens, spaces: sellerVKey, seller_vkey and SELLERVKEY are one.

    Nearly all names are the same few hundred, and each answer has many: they are folded once.
    """

    def __missing__(self, name: str) -> str:
        folded = name.lower().replace("_", "").replace("-", "").replace(" ", "")
        if len(name) <= 60:
            if len(self) >= 2048:  # filled by strangers; ours are soon there again
                self.clear()
            self[name] = folded
        return folded


_FOLDS: Final = _Folds()


class Names:
    """A JSON object whose names are found in any spelling; null counts as absent (protocol S2, S4)."""

    __slots__ = ("_again", "_values", "raw")

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self._values: dict[str, Any] = {}
        self._again: dict[str, list[Any]] = {}  # hardly ever: what comes under a second spelling
        values = self._values
        for name, value in raw.items():
            folded = _FOLDS[str(name)]
            if values.get(folded) is None:
                values[folded] = value
            elif value is not None:
                self._again.setdefault(folded, []).append(value)

    def __contains__(self, name: str) -> bool:
        return _FOLDS[name] in self._values

    @property
    def folded(self) -> frozenset[str]:
        """The folded names, also of null values."""
        return frozenset(self._values)

    def get(self, *names: str) -> Any:
        """The first value that is not null under any of the names; None when there is none."""
        for name in names:
            value = self._values.get(_FOLDS[name])
            if value is not None:
                return value
        return None

    def all(self, *names: str) -> Sequence[Any]:
        """Every value that is not null under any of the names, in the order of the names."""
        found: list[Any] = []
        for name in names:
            folded = _FOLDS[name]
            value = self._values.get(folded)
            if value is not None:
                found.append(value)
                found += self._again.get(folded, ())
        return found

    def text(self, *names: str) -> str | None:
        """The first value that holds text (strings in lists are chunks and are joined); None when empty."""
        for name in names:
            value = self._values.get(_FOLDS[name])
            if isinstance(value, str) and value:
                return value
            for one in self.all(name) if value is not None else ():
                if found := joined(one):
                    return found
        return None

    def object(self, *names: str) -> Names | None:
        """The first value that is an object, or a list whose first entry is one."""
        for value in self.all(*names):
            if isinstance(value, list) and value:
                value = value[0]
            if isinstance(value, dict | Mapping):  # a dict is told sooner
                return Names(value)
        return None

    def list(self, *names: str) -> list[Any]:
        """The first value that is a list, a single object as a list of one; empty when there is none."""
        for value in self.all(*names):
            if isinstance(value, list):
                return value
            if isinstance(value, Mapping):
                return [value]
        return []


def joined(value: Any) -> str | None:
    """Text, put together where it comes in chunks (a string on chain holds at most 64 bytes); else None."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return "".join(value)
    return None


def as_object(body: Any) -> Mapping[str, Any] | None:
    """The JSON object in a body: itself, the one entry of a list, or JSON in a text; else None."""
    if isinstance(body, str) and body.lstrip()[:1] in ("{", "[") and len(body) <= _MAX_JSON_TEXT:
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return None
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    return body if isinstance(body, Mapping) else None


def layers(body: Any) -> list[Names]:
    """The body and what is wrapped in it, outermost first: {data: {data: {...}}} gives three."""
    found: list[Names] = []
    inner = as_object(body)
    while inner is not None and len(found) < _MAX_LAYERS:
        names = Names(inner)
        found.append(names)
        inner = next((o for o in map(as_object, names.all(*_WRAPPERS)) if o is not None), None)
    return found


def is_code(text: str) -> bool:
    """Whether an error text is a word for machines ("RATE_LIMITED", "missing_job_id") and no sentence."""
    return _CODE.fullmatch(text.strip()) is not None


def read_error(body: Any) -> str | None:
    """The sentence that says what went wrong, wherever the body holds it; None when it says nothing.

    Knows {error}, {error: {message}}, {error: CODE, message}, {detail: text | object | list}, {Message},
    and the title of an HTML page (protocol S0). Never repeats the input that FastAPI echoes.
    """
    body = as_object(body) or body
    if isinstance(body, str):
        title = _TITLE.search(body)
        text = title[1] if title else "" if body.lstrip().startswith("<") else body
        return short(text, _MAX_SENTENCE) or None
    return _sentence(body, 0)


def _sentence(value: Any, depth: int) -> str | None:
    if depth > 4:
        return None
    if isinstance(value, str):
        return short(value, _MAX_SENTENCE) or None
    if isinstance(value, list):
        parts = [_sentence(part, depth + 1) for part in value[:10]]
        return "; ".join(part for part in parts if part) or None
    if not isinstance(value, Mapping):
        return None
    names = Names(value)
    if "loc" in names and "msg" in names:
        place = ".".join(str(part) for part in names.list("loc") if part != "body")
        return f"{place}: {names.text('msg')}" if place else names.text("msg")
    found = [text for item in names.all(*_ERROR_NAMES) if (text := _sentence(item, depth + 1))]
    if not found:
        inner = next((names.object(wrapper) for wrapper in _WRAPPERS if names.object(wrapper)), None)
        return _sentence(inner.raw, depth + 1) if inner is not None else None
    return next((text for text in found if not is_code(text)), found[0])


def read_error_code(body: Any) -> str | None:
    """The machine's word for the error, such as "RATE_LIMITED"; None when there is only a sentence."""
    names = Names(as_object(body) or {})
    inner = names.object("error", "detail")
    for value in (
        *names.all("error", "code", "error_code"),
        *(inner.all("code", "error") if inner else ()),
    ):
        if isinstance(value, str) and is_code(value):
            return value.strip()
    return None


def is_refusal(body: Any, http_status: int) -> bool:
    """Whether an answer that is no 2xx says that nothing was done: 4xx but 408, 501, other 5xx that say so.

    A 5xx says so by the code of a precondition ("..._NOT_CONFIGURED", "..._DISABLED"), or, with 503, by a
    sentence of its own. In general the request may have had its effect (protocol S0).
    """
    if http_status < 500 or http_status == 501:
        return http_status >= 400 and http_status != 408
    if as_object(body) is None:
        return False
    code, said = read_error_code(body), read_error(body) or ""
    if code is not None:
        words = code.upper().replace("-", "_").split("_")
        return any(map(_REFUSAL.fullmatch, words)) and not any(map(_UNSURE.fullmatch, words))
    return _NOT_READY.search(said) is not None or (
        http_status == 503 and bool(said) and not _VAGUE.search(said)
    )


def field_errors(body: Any) -> dict[str, tuple[str, ...]]:
    """What a service says about single input fields: {field id: sentences}; empty when it names none."""
    names = Names(as_object(body) or {})
    found: dict[str, list[str]] = {}
    for name, text in (*_by_name(names), *_by_place(names)):
        found.setdefault(name, []).append(short(text, 300))
    return {name: tuple(texts) for name, texts in found.items()}


def _by_name(names: Names) -> Iterator[tuple[str, str]]:
    """Sentences under the fields' names, as pip-masumi's servers give them."""
    for holder in (names, names.object("detail"), names.object("error")):
        if holder is None:
            continue
        listed = holder.get("field_errors", "fieldErrors", "validation_errors")
        if listed is None:
            listed = next((v for v in holder.all("errors", "fields") if _is_by_field(v)), None)
        for name, texts in listed.items() if isinstance(listed, Mapping) else ():
            for text in (texts if isinstance(texts, list) else [texts])[:10]:
                yield str(name), str(text)


def _by_place(names: Names) -> Iterator[tuple[str, str]]:
    """Entries with a `loc` and a `msg`, as FastAPI gives them."""
    lists = [value for value in names.all("detail", "errors") if isinstance(value, list)]
    for entry in (entry for value in lists for entry in value[:50]):
        if isinstance(entry, Mapping) and isinstance(entry.get("loc"), Sequence):
            place = [str(part) for part in entry["loc"] if part not in ("body", "input_data", "inputData")]
            if place:
                yield place[0], str(entry.get("msg", ""))


def _is_by_field(value: Any) -> bool:
    """Whether an object says something about single fields: names of fields, each with text or texts."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and not {_FOLDS[str(name)] for name in value}
        & {_FOLDS[name] for name in (*_ERROR_NAMES, "code", "status")}
        and all(
            isinstance(t, str) or (isinstance(t, list) and all(isinstance(p, str) for p in t))
            for t in value.values()
        )
    )


def short(text: str, limit: int = 60) -> str:
    """One line of at most `limit` characters of foreign text."""
    line = " ".join(text[: limit * 4].split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def quoted(value: Any) -> str:
    """A foreign value as it may stand in a sentence: short, on one line, never a whole container."""
    if isinstance(value, str):
        return f'"{short(value)}"'
    if value is None or isinstance(value, bool | int | float):
        return short(json.dumps(value) if not isinstance(value, float) else repr(value))
    return "a list" if isinstance(value, list) else "an object"
