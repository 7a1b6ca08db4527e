"""Input and output hashes of MIP-004, and the other forms that real sellers hash.

A seller's hash is right when it equals one of the candidates; the name of the one that matched says which
form the seller uses. The node never recomputes a hash, so the buyer must, before it pays.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, TypeAlias

import rfc8785

from masumi_tools.errors import InputError

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"

MAX_DEPTH: Final = 64
MAX_SAFE_INT: Final = 2**53 - 1
MAX_JSON_TEXT: Final = 1_000_000

# JavaScript keeps keys of this form, up to 2**32 - 2, before all others and in numeric order.
_ARRAY_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_MAX_ARRAY_INDEX: Final = 2**32 - 2


def check_hashable(value: object) -> None:
    """Nothing, when every seller reads `value` as the same JSON; InputError otherwise, before anything is sent.

    Refused: whole numbers beyond 2^53-1 (JavaScript reads another number), NaN and infinity, text with a lone
    surrogate, keys that are not text, nesting deeper than 64, and whatever is not JSON. `field_errors` has the
    top-level field, or "" where the whole is wrong.
    """
    _plain(value, fold_whole_floats=False)


def normalise(value: object) -> JsonValue:
    """The value in the form to send and to hash: plain dicts and lists, 3.0 as 3 and -0.0 as 0.

    So RFC 8785 and canonicaljson agree, except on fractions below 1e-4, floats of 1e16 and more, and keys
    beyond the basic plane (protocol H2). Text is never changed. InputError as in `check_hashable`.
    """
    return _plain(value, fold_whole_floats=True)


def input_hash(identifier_from_purchaser: str, input_data: object) -> str:
    """The input hash of MIP-004 in hex: SHA-256 of the identifier, ";" and the input in RFC 8785 form.

    InputError as in `check_hashable`.
    """
    data = _plain(input_data, fold_whole_floats=False)
    return _hash(_utf8(identifier_from_purchaser, "identifier_from_purchaser"), b";", rfc8785.dumps(data))


def input_candidates(identifier_from_purchaser: str, input_data: object) -> dict[str, str]:
    """Every hash that a known seller may compute over exactly this input, by name of the form; best first.

    "jcs" MIP-004's text · "canonicaljson" its reference code and the official kit · "canonical-json" the
    npm package, from 0.4.0 on (integer-like keys first) · "array-sorted" and "array" [{"key", "value"}]
    in RFC 8785 form, by key or in the order sent, for an object only · "no-separator" without the ";" ·
    "text" unquoted, where the input is one text. Pass the input as it was sent. InputError as in
    `check_hashable`.
    """
    prefix = _utf8(identifier_from_purchaser, "identifier_from_purchaser")
    data = _plain(input_data, fold_whole_floats=False)
    jcs = rfc8785.dumps(data)
    separated = prefix + b";"
    found = {
        "jcs": _hash(separated, jcs),
        "canonicaljson": _hash(separated, _canonicaljson(data)),
        "canonical-json": _hash(separated, _javascript_order(data)),
    }
    if isinstance(data, dict):
        pairs: list[JsonValue] = [{"key": key, "value": item} for key, item in data.items()]
        by_key: list[JsonValue] = [{"key": key, "value": data[key]} for key in sorted(data, key=_utf16)]
        found["array-sorted"] = _hash(separated, rfc8785.dumps(by_key))
        found["array"] = _hash(separated, rfc8785.dumps(pairs))
    found["no-separator"] = _hash(prefix, jcs)
    if isinstance(data, str):
        found["text"] = _hash(separated, data.encode())
    return found


def output_hash(identifier_from_purchaser: str, output: str) -> str:
    """The output hash in hex as the official kit and the marketplace compute it: over the JSON-escaped text.

    MIP-004's own text hashes the raw output; the two differ once it holds a newline, quote, backslash or
    control character. A seller submits this one (protocol H3). `output` is hashed exactly, never stripped.
    """
    return output_candidates(identifier_from_purchaser, output)["escaped"]


def output_candidates(identifier_from_purchaser: str, output: str) -> dict[str, str]:
    """Every hash that a known seller may compute over exactly this output, by name of the form; best first.

    "escaped" the official kit · "raw" MIP-004's text · "escaped-jcs", "raw-jcs" and the same with "compact"
    and "ascii", for an output that is a JSON object or list: the same value in RFC 8785 form, as
    JSON.stringify or as Python's json.dumps writes it · "escaped-first-64" and "raw-first-64", for a longer
    output only: sellers that pass on the first 64 characters, so that the rest of the text is unproven.
    Any text has them: a lone surrogate counts as JavaScript writes it.
    """
    prefix = _utf8(identifier_from_purchaser, "identifier_from_purchaser") + b";"
    found: dict[str, str] = {}

    def add(form: str, text: str) -> None:
        found[f"escaped{form}"] = _hash(prefix, _escaped(text))
        found[f"raw{form}"] = _hash(prefix, _raw(text))

    add("", output)
    for form, text in _json_forms(output).items():
        add(f"-{form}", text)
    if len(output) > 64:
        add("-first-64", output[:64])
    return found


def which(candidates: Mapping[str, str], hash_hex: str | None) -> str | None:
    """The name of the first candidate that equals the hash, in either letter case; None when none does."""
    wanted = (hash_hex or "").lower()
    return next((name for name, value in candidates.items() if value == wanted), None)


def _json_forms(output: str) -> dict[str, str]:
    """Other texts of the JSON object or list that an output is; none where it is something else."""
    if output.lstrip()[:1] not in ("{", "[") or len(output) > MAX_JSON_TEXT:
        return {}
    try:
        value = json.loads(output)
        return {
            "jcs": rfc8785.dumps(value).decode(),
            "compact": json.dumps(value, separators=(",", ":"), ensure_ascii=False),
            "ascii": json.dumps(value),
        }
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        return {}


def _hash(*parts: bytes) -> str:
    return sha256(b"".join(parts)).hexdigest()


def _canonicaljson(data: JsonValue) -> bytes:
    """What PyPI canonicaljson 2 writes: its own errors apart (NaN, non-text keys) this is the whole of it.

    It differs from RFC 8785 in numbers (3.0, 1e-05, 1e+16, -0.0) and sorts keys by code point.
    """
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _javascript_order(data: JsonValue) -> bytes:
    """What npm canonical-json 0.4 writes: sorted keys, which JavaScript then puts into its own order."""
    if isinstance(data, list):
        return b"[" + b",".join(_javascript_order(item) for item in data) + b"]"
    if not isinstance(data, dict):
        return rfc8785.dumps(data)
    indexes = sorted((k for k in data if _is_array_index(k)), key=int)
    others = sorted((k for k in data if not _is_array_index(k)), key=_utf16)
    return (
        b"{"
        + b",".join(rfc8785.dumps(k) + b":" + _javascript_order(data[k]) for k in indexes + others)
        + b"}"
    )


def _is_array_index(key: str) -> bool:
    return _ARRAY_INDEX.fullmatch(key) is not None and int(key) <= _MAX_ARRAY_INDEX


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")


def _escaped(text: str) -> bytes:
    inside = json.dumps(_joined(text), ensure_ascii=False)[1:-1]
    return re.sub("[\ud800-\udfff]", lambda lone: f"\\u{ord(lone[0]):04x}", inside).encode()


def _raw(text: str) -> bytes:
    return re.sub("[\ud800-\udfff]", "\ufffd", _joined(text)).encode()


def _joined(text: str) -> str:
    """The text with surrogate pairs made one character, as JavaScript sees them; lone ones stay."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _utf8(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        sentence = "has a lone surrogate, which is not text"
        raise InputError(f"{name} {sentence}.", field_errors={name: [sentence]}) from None


def _plain(value: object, *, fold_whole_floats: bool) -> JsonValue:
    """A copy in plain types; InputError for what cannot be hashed alike everywhere."""

    def refuse(path: tuple[str, ...], sentence: str) -> InputError:
        where = ".".join(("input", *(part[:40] for part in path[:6])))
        return InputError(f"{where} {sentence}.", field_errors={path[0] if path else "": [sentence]})

    def text(item: str, path: tuple[str, ...], what: str) -> str:
        try:
            item.encode()
        except UnicodeEncodeError:
            raise refuse(path, f"{what} a lone surrogate, which is not text") from None
        return str.__str__(item)

    def copy(item: object, path: tuple[str, ...]) -> JsonValue:
        if item is None or item is True or item is False:
            return item
        if isinstance(item, str):
            return text(item, path, "has")
        if isinstance(item, int):
            if abs(int(item)) > MAX_SAFE_INT:
                raise refuse(
                    path, "is a whole number beyond 2^53-1, which sellers read differently: send it as text"
                )
            return int(item)
        if isinstance(item, float):
            number = float(item)
            if not math.isfinite(number):
                raise refuse(path, "is not a finite number")
            whole = fold_whole_floats and number.is_integer() and abs(number) <= MAX_SAFE_INT
            return int(number) if whole else number
        if isinstance(item, dict | list | tuple) and len(path) >= MAX_DEPTH:
            raise refuse(path, f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(item, list | tuple):
            return [copy(part, (*path, str(index))) for index, part in enumerate(item)]
        if isinstance(item, dict):
            result: dict[str, JsonValue] = {}
            for key, part in item.items():
                if not isinstance(key, str):
                    raise refuse(path, f"has a key of type {type(key).__name__}; keys must be text")
                plain_key = text(key, path, "has a key with")
                result[plain_key] = copy(part, (*path, plain_key))
            return result
        raise refuse(path, f"is of type {type(item).__name__}, which is not JSON")

    return copy(value, ())
