"""What may be sold: text, and data of known kinds as JSON. Everything else is refused, and never written out.

The same rule is asked twice: at `sell()` about what a function says that it returns, and after the work
about what it did return.
"""

from __future__ import annotations

import base64
import collections
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import fractions
import inspect
import ipaddress
import json
import math
import pathlib
import re
import types
import typing
import uuid
from collections.abc import Mapping
from typing import Any

from masumi_tools.seller.work.base import WorkFailed
from masumi_tools.seller.work.kinds import RUNS, acts, kind_of, root

MAX_RESULT_BYTES = 2_000_000  # buyers read 4 MB at most, and JSON may double a text
_DEEPEST = 100
_NO_KEYS = "which is not sold: leave that field out, or return a dict where the key is what buyers pay for"
_WORDS = "return text, or data such as a dict, a dataclass or a pydantic model"

_AS_TEXT: tuple[type[Any], ...] = (
    pathlib.PurePath, fractions.Fraction, ipaddress.IPv4Address, ipaddress.IPv6Address,
)  # fmt: skip
_SCALARS: tuple[type[Any], ...] = (
    str, bool, int, float, bytes, bytearray, decimal.Decimal, datetime.date, datetime.time,
    datetime.timedelta, enum.Enum, uuid.UUID, type(None), memoryview, *_AS_TEXT,
)  # fmt: skip
_LISTS: tuple[type[Any], ...] = (
    list, tuple, set, frozenset, collections.deque, range,
    type({}.keys()), type({}.values()), type({}.items()),  # not any view: os.environ has some
)  # fmt: skip
_KEY = re.compile(
    r"(?:^|_)(?:api_?key|secret_key|secret_access_key|client_secret|private_key)$", re.IGNORECASE
)


def result_text(result: Any) -> str:
    """The text of a result, exactly as it is sold and hashed. WorkFailed where it is none.

    A crew's `raw`, a message's text, a graph's structured response or last message, a string as it is;
    data as JSON, a pydantic model as its own JSON.
    """
    text = _text(result)
    if not text.strip():
        raise WorkFailed("the work ended without a result")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise WorkFailed("the result contains characters that cannot be sent") from error
    if size > MAX_RESULT_BYTES:
        raise WorkFailed(f"the result has {size} bytes; the limit is {MAX_RESULT_BYTES}")
    return text


def _text(result: Any) -> str:
    if result is None:
        raise WorkFailed("the work ended without a result")
    if isinstance(result, dict):
        if result.get("structured_response") is not None:
            return _text(result["structured_response"])
        messages = result.get("messages")
        if isinstance(messages, list) and messages and kind_of(type(messages[-1])) == "message":
            return _text(messages[-1])
    match kind_of(type(result)):
        case "output":
            return _output_text(result)
        case "message":
            return message_text(result)
    data = plain(result)
    if isinstance(data, str):
        return data
    if _is_model(type(result)):
        return str(result.model_dump_json())
    return json.dumps(data, ensure_ascii=False, allow_nan=False)


def _output_text(output: Any) -> str:
    raw = getattr(output, "raw", None)
    if isinstance(raw, str) and raw.strip():
        return raw
    for name in ("pydantic", "json_dict"):
        if (found := getattr(output, name, None)) is not None:
            return _text(found)
    return ""


def message_text(message: Any) -> str:
    """The text of a LangChain message, without its calls of tools and its reasoning."""
    content = message.content
    if isinstance(content, str):
        return content
    parts = [part if isinstance(part, str) else part.get("text", "") for part in content or () if part]
    return "".join(part for part in parts if isinstance(part, str))


def plain(value: Any, where: str = "the result", depth: int = 0) -> Any:
    """Data as JSON can hold it. WorkFailed names what is no data, and where it lies; nothing of it is shown."""
    if depth > _DEEPEST:
        raise WorkFailed("the result is nested too deeply, or in a circle")
    cls = type(value)
    if isinstance(value, enum.Enum):
        return plain(value.value, where, depth + 1)
    if isinstance(value, _SCALARS):
        return _scalar(value, where)
    if kind_of(cls) in ("output", "message"):
        return _text(value)
    if _is_array(cls):
        return plain(value.tolist(), where, depth + 1)
    if _is_secret(cls):
        raise WorkFailed(f"{where} holds a secret, which is not sold")
    if _is_data_class(cls) and acts(cls):
        raise WorkFailed(f"{where} is a {cls.__name__}, which does things and is not sold; {_WORDS}")
    if key := next(
        (name for name in _names_of(cls) if _KEY.search(name) and getattr(value, name, None)), None
    ):
        raise WorkFailed(f"{where} is a {cls.__name__} with a {key}, {_NO_KEYS}")
    if _is_model(cls):
        return _model_data(value, where, depth)
    if dataclasses.is_dataclass(cls):
        return _parts({f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, where, depth)
    if isinstance(value, tuple) and hasattr(cls, "_fields"):
        return _parts(dict(zip(cls._fields, value, strict=True)), where, depth)
    # Not any Mapping: os.environ is one.
    if isinstance(value, dict | types.MappingProxyType | collections.UserDict):
        return _parts(value, where, depth)
    if isinstance(value, _LISTS):
        entries = list(value)
        if isinstance(value, set | frozenset):
            entries = sorted(entries, key=repr)  # the same set gives the same text
        return [plain(entry, f"an entry of {where}" if depth < 3 else where, depth + 1) for entry in entries]
    raise WorkFailed(f"{where} is a {cls.__name__}, which is neither text nor data; {_WORDS}")


def _scalar(value: Any, where: str) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise WorkFailed(f"{where} is {value}, which JSON cannot hold")
        return float(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | int):
        return str(value) if isinstance(value, str) else int(value)
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return f"data:application/octet-stream;base64,{base64.b64encode(value).decode()}"
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)


def _parts(mapping: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in mapping.items():
        named = plain(key, "a key of " + where, depth + 1)
        if isinstance(named, dict | list):
            raise WorkFailed(f"a key of {where} is a {type(key).__name__}; keys are texts or numbers")
        name = named if isinstance(named, str) else json.dumps(named)
        made[name] = plain(value, f"{name[:40]!r} of {where}" if depth < 3 else where, depth + 1)
    return made


def _model_data(model: Any, where: str, depth: int) -> Any:
    """A pydantic model's own JSON, after its parts have been looked at."""
    excluded = {name for name, field in type(model).model_fields.items() if field.exclude}
    held = {name: value for name, value in model.__dict__.items() if name not in excluded}
    _parts({**held, **(model.__pydantic_extra__ or {})}, where, depth)
    try:
        return json.loads(model.model_dump_json())
    except ValueError as error:  # a serialiser of the seller's own failed
        raise WorkFailed(f"{where} is a {type(model).__name__} that cannot be written as JSON") from error


def _is_model(cls: type[Any]) -> bool:
    return any(c.__name__ == "BaseModel" and root(c) == "pydantic" for c in cls.__mro__)


def _is_secret(cls: type[Any]) -> bool:
    return cls.__name__ in ("SecretStr", "SecretBytes", "Secret")


def _is_array(cls: type[Any]) -> bool:
    return root(cls) in ("numpy", "array") and hasattr(cls, "tolist")


def _names_of(cls: type[Any]) -> list[str]:
    """The fields of a class of data that are written out."""
    if _is_model(cls):
        return [name for name, field in cls.model_fields.items() if not field.exclude]
    return list(getattr(cls, "__dataclass_fields__", ()) or getattr(cls, "_fields", ()))


def _is_data_class(cls: type[Any]) -> bool:
    return _is_model(cls) or dataclasses.is_dataclass(cls) or issubclass(cls, tuple)


# What a function says that it returns ----------------------------------------------------------------

_OPEN = (Any, object, inspect.Parameter.empty, typing.Hashable)
_ASYNC = (collections.abc.Awaitable, collections.abc.Coroutine)
_CONTAINERS: tuple[Any, ...] = (
    *_LISTS,
    dict,
    collections.OrderedDict,
    collections.defaultdict,
    collections.Counter,
    collections.abc.Mapping,
    collections.abc.MutableMapping,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Set,
    collections.abc.Iterable,
    collections.abc.Iterator,
    collections.abc.Collection,
    collections.abc.Generator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
)


def unsaleable(hint: Any, *, top: bool = True, seen: frozenset[Any] = frozenset()) -> str | None:
    """Why what a function says that it returns cannot be sold, in words; None where it can, or may."""
    if hint in (None, type(None), typing.NoReturn, typing.Never):
        return f"it says that it returns nothing: {_WORDS}" if top else None
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return unsaleable(arguments[0], top=top, seen=seen)
    if origin in (typing.Literal, typing.Final, typing.ClassVar):
        return None
    if origin in _ASYNC:
        return unsaleable(arguments[-1], top=top, seen=seen)
    if (either := origin in (typing.Union, types.UnionType)) or origin in _CONTAINERS:
        parts = [one for one in arguments if one not in (type(None), Ellipsis)]
        some = (unsaleable(one, top=top and either, seen=seen) for one in parts)
        return next((why for why in some if why), None)
    if collections.abc.Callable in (hint, origin):
        return f"it returns a function, which cannot be delivered: {_WORDS}"
    kind = origin if isinstance(origin, type) else hint
    # Where no class is named, what is returned is looked at.
    return _unsaleable_class(kind, top, seen) if isinstance(kind, type) else None


def _unsaleable_class(cls: type[Any], top: bool, seen: frozenset[Any]) -> str | None:
    plain = issubclass(cls, (*_SCALARS, list, set, frozenset, dict))
    if plain or cls in seen or cls in _OPEN or cls in _CONTAINERS:
        return None
    kind = kind_of(cls)
    if kind in ("output", "message") or (kind in RUNS and top) or _is_array(cls):
        return None
    if _is_secret(cls):
        return f"it returns a secret ({cls.__name__}), which is not sold"
    looks_like_data = _is_data_class(cls) or typing.is_typeddict(cls)
    if kind or not looks_like_data or acts(cls):
        does = "does things" if kind or looks_like_data else "is neither text nor data"
        return f"it returns a {cls.__name__}, which {does} and is not sold: {_WORDS}"
    if key := next(filter(_KEY.search, _names_of(cls)), None):
        return f"it returns a {cls.__name__} with a {key}, {_NO_KEYS}"
    for name, hint in _fields_of(cls).items():
        if why := unsaleable(hint, top=False, seen=seen | {cls}):
            return f"{cls.__name__}.{name}: {why}"
    return None


def _fields_of(cls: type[Any]) -> dict[str, Any]:
    if _is_model(cls):
        return {name: field.annotation for name, field in cls.model_fields.items() if not field.exclude}
    try:
        return typing.get_type_hints(cls)
    except (NameError, TypeError, AttributeError):
        return {}
