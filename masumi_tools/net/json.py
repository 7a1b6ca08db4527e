"""JSON from strangers: bounded in depth and in the length of numbers, and always text that can be stored."""

from __future__ import annotations

import json
import math
from itertools import accumulate
from typing import Any, NoReturn

DEPTH_CAP = 100
_DIGITS_CAP = 400
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_STEPS))


def read_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8. ValueError with a sentence when it is none or not fit to keep.

    Refused are nesting beyond `DEPTH_CAP`, numbers beyond 400 digits or a double's range, and NaN. Of
    a repeated key the last value counts. Halves of surrogate pairs, which no database takes, become
    U+FFFD, as JavaScript writes them out.
    """
    if not data.strip():
        raise ValueError("the answer is empty")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("the answer is not UTF-8 text") from None
    if _depth(data) > DEPTH_CAP:
        raise ValueError(f"the answer is nested deeper than {DEPTH_CAP} levels")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the answer is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise ValueError("the answer is nested too deep") from None
    return _whole(value) if "\\ud" in text or "\\uD" in text else value


def _depth(data: bytes) -> int:
    """How deep the brackets outside of strings go, without recursion; right for all valid JSON."""
    if data.count(b"[") + data.count(b"{") <= DEPTH_CAP:
        return 0
    outside = b"".join(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = outside.translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _int(digits: str) -> int:
    if len(digits) > _DIGITS_CAP:
        raise ValueError(f"the answer has a number of more than {_DIGITS_CAP} digits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits) if len(digits) <= _DIGITS_CAP else math.inf
    if math.isinf(value):
        raise ValueError("the answer has a number beyond the range of a double")
    return value


def _constant(word: str) -> NoReturn:
    raise ValueError(f"the answer holds {word}, which is not JSON")


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value


_DECODER = json.JSONDecoder(parse_int=_int, parse_float=_float, parse_constant=_constant)
