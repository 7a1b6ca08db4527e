"""What may be given to `sell`: every shape is delivered to who hires it, or refused before anything is sold."""

from __future__ import annotations

import array
import asyncio
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import ipaddress
import itertools
import json
import os
import pathlib
import typing
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sized
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, SecretStr

from masumi_tools.errors import InputError
from masumi_tools.seller import sell
from masumi_tools.seller.work.base import WorkFailed
from masumi_tools.seller.work.functions import settled
from masumi_tools.seller.work.results import result_text
from masumi_tools.seller.work.work import describes
from tests.seller.support import Market, not_delivered

KEY = "sk-live-0123456789abcdef"
LANGCHAIN = find_spec("langchain_core") is not None
CREWAI = find_spec("crewai") is not None


class Tone(enum.Enum):
    WARM = "warm"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    when: datetime.date = datetime.date(2026, 11, 28)


class Pair(typing.NamedTuple):
    left: str
    right: decimal.Decimal


class Report(BaseModel):
    title: str
    tones: list[Tone] = [Tone.WARM]


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")


class Row(typing.TypedDict):
    name: str


class Text(str):
    """A text of its own class."""


def _yields(topic: str) -> Iterator[str]:
    yield "searching"
    yield "writing"


def _returns(topic: str) -> typing.Generator[str, None, dict[str, str]]:
    yield "searching"
    return {"topic": topic}


async def _streams(topic: str) -> AsyncIterator[str]:
    for piece in ("a", "b", topic):
        yield piece


def numpy_row() -> Any:
    numpy = pytest.importorskip("numpy")
    return {"row": numpy.arange(3), "one": numpy.int64(4), "half": numpy.float32(0.5)}


# What functions return, each from the same served function, and what the buyer gets.
RETURNS: dict[str, tuple[Callable[[], Any], str]] = {
    "text": (lambda: "as it is\n", "as it is\n"),
    "text of a subclass": (lambda: Text("mine"), "mine"),
    "int": (lambda: 7, "7"),
    "float": (lambda: 2.5, "2.5"),
    "bool": (lambda: True, "true"),
    "bytes that are text": (lambda: "ü".encode(), "ü"),
    "bytes that are none": (lambda: b"\xff\x00", "data:application/octet-stream;base64,/wA="),
    "Decimal": (lambda: decimal.Decimal("1.10"), "1.10"),
    "date": (lambda: datetime.date(2026, 11, 28), "2026-11-28"),
    "datetime": (lambda: datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "2026-01-02T00:00:00Z"),
    "timedelta": (lambda: datetime.timedelta(hours=1), "PT1H"),
    "time": (lambda: datetime.time(12, 30), "12:30:00"),
    "enum": (lambda: Tone.WARM, "warm"),
    "int enum": (lambda: Level.HIGH, "3"),
    "uuid": (lambda: uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
    "list": (lambda: [1, 2.5, None, True], "[1, 2.5, null, true]"),
    "tuple": (lambda: (1, "a"), '[1, "a"]'),
    "set": (lambda: {"b", "a"}, '["a", "b"]'),
    "frozenset": (lambda: frozenset({1}), "[1]"),
    "deque": (lambda: collections.deque([1, 2]), "[1, 2]"),
    "range": (lambda: range(3), "[0, 1, 2]"),
    "iterator": (lambda: map(str.upper, "ab"), '["A", "B"]'),
    "dict": (lambda: {"a": "ü", "b": [1]}, '{"a": "ü", "b": [1]}'),
    "dict with moments": (lambda: {"at": datetime.date(2026, 1, 2)}, '{"at": "2026-01-02"}'),
    "dict with keys of other kinds": (lambda: {1: "a", Tone.WARM: "b"}, '{"1": "a", "warm": "b"}'),
    "defaultdict": (lambda: collections.defaultdict(int, a=1), '{"a": 1}'),
    "Counter": (lambda: collections.Counter("aab"), '{"a": 2, "b": 1}'),
    "dataclass": (lambda: Point(1), '{"x": 1, "when": "2026-11-28"}'),
    "dataclasses": (lambda: [Point(1)], '[{"x": 1, "when": "2026-11-28"}]'),
    "named tuple": (lambda: Pair("a", decimal.Decimal("2.0")), '{"left": "a", "right": "2.0"}'),
    "typed dict": (lambda: Row(name="Ada"), '{"name": "Ada"}'),
    "model": (lambda: Report(title="T"), '{"title":"T","tones":["warm"]}'),
    "models": (lambda: [Report(title="T")], '[{"title": "T", "tones": ["warm"]}]'),
    "model with extras": (lambda: Loose(more=[1]), '{"more":[1]}'),  # type: ignore[call-arg]
    "model in a dict": (lambda: {"r": Report(title="T")}, '{"r": {"title": "T", "tones": ["warm"]}}'),
    "numpy": (numpy_row, '{"row": [0, 1, 2], "one": 4, "half": 0.5}'),
    "array": (lambda: array.array("i", [1, 2]), "[1, 2]"),
    "views": (lambda: [{"a": 1}.keys(), {"a": 1}.values(), {"a": 1}.items()], '[["a"], [1], [["a", 1]]]'),
    "dict of its own class": (lambda: collections.UserDict(a=1), '{"a": 1}'),
    "fraction": (lambda: fractions.Fraction(1, 3), "1/3"),
    "address": (lambda: ipaddress.ip_address("127.0.0.1"), "127.0.0.1"),
    "memory": (lambda: memoryview(b"abc"), "abc"),
    "dict with a key that is sold": (lambda: {"api_key": "made for you"}, '{"api_key": "made for you"}'),
    "path": (lambda: pathlib.PurePosixPath("a/b"), "a/b"),
    "messages of our own": (lambda: {"messages": ["a"]}, '{"messages": ["a"]}'),
}


class Shouter:
    """Shouts a topic."""

    def __init__(self, mark: str = "!") -> None:
        self.mark = mark

    def __call__(self, topic: str) -> str:
        return topic.upper() + self.mark

    def method(self, topic: str) -> str:
        return self(topic)

    @classmethod
    def of_the_class(cls, topic: str) -> str:
        return cls()(topic)

    @staticmethod
    def static(topic: str) -> str:
        return topic.upper() + "!"


class LateShouter(Shouter):
    async def __call__(self, topic: str) -> str:  # type: ignore[override]
        await asyncio.sleep(0)
        return topic.upper() + "!"


def joined(first: str, topic: str, *, last: str = ".") -> str:
    return first + topic + last


async def late(topic: str) -> str:
    await asyncio.sleep(0)
    return topic.upper()


def later(topic: str) -> typing.Awaitable[str]:
    return late(topic)


@functools.cache
def cached(topic: str) -> str:
    return topic.upper()


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*arguments: Any, **more: Any) -> Any:
        return function(*arguments, **more)

    return inner


def by_position(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*arguments: Any) -> Any:
        return function(*arguments)

    return inner


def by_name(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(**given: Any) -> Any:
        return function(**given)

    return inner


def says_nothing(function: Callable[..., Any]) -> Callable[..., Any]:
    def inner(*arguments: Any, **more: Any) -> Any:
        return function(*arguments, **more)

    return inner


def middle(first: str, topic: str = "-", last: str = ".") -> str:
    return first + topic + last


def with_helpers(
    topic: str,
    shouter: Shouter | None = None,
    done: Callable[[str], Any] = print,
    kind: type[str] = str,
    folder: pathlib.Path = pathlib.Path("out"),
    **more: str,
) -> str:
    return f"{topic} {shouter} {done.__name__} {kind.__name__} {folder} {more}"


def total(orders: dict[str, list["Order"]]) -> int:  # noqa: UP037  # a name inside of a name
    return sum(order.count for order in orders["all"])


@dataclasses.dataclass
class Order:
    count: int


def report(wanted: Report) -> Report:
    return wanted


def anything(**given: str) -> dict[str, str]:
    return given


def hello() -> str:
    return "hello"


def number(topic: str, times: int = 2) -> list[str]:
    return [topic] * times


def raw(topic: bytes) -> bytes:
    return topic.upper()


# What is sold, the buyer's input, and what the buyer gets.
WORKS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "lambda": (lambda topic: topic * 2, {"topic": "ab"}, "abab"),
    "partial": (functools.partial(joined, "<"), {"topic": "x"}, "<x."),
    "partial by name": (functools.partial(joined, first="<", last=">"), {"topic": "x"}, "<x>"),
    "partial of a partial": (
        functools.partial(functools.partial(joined, "<"), last="!"),
        {"topic": "x"},
        "<x!",
    ),
    "async partial": (functools.partial(late), {"topic": "x"}, "X"),
    "callable object": (Shouter("?"), {"topic": "x"}, "X?"),
    "async callable object": (LateShouter(), {"topic": "x"}, "X!"),
    "class of callable objects": (Shouter, {"topic": "x"}, "X!"),
    "method": (Shouter().method, {"topic": "x"}, "X!"),
    "class method": (Shouter.of_the_class, {"topic": "x"}, "X!"),
    "static method": (Shouter.static, {"topic": "x"}, "X!"),
    "decorated": (wrapped(joined), {"first": "<", "topic": "x"}, "<x."),
    "cached": (cached, {"topic": "x"}, "X"),
    "decorated for positions": (by_position(middle), {"first": "<", "topic": "x"}, "<x."),
    "decorated for positions, with a gap": (by_position(joined), {"first": "<", "topic": "x"}, "<x."),
    "decorated for names": (by_name(middle), {"first": "<", "last": ">"}, "<->"),
    "single dispatch": (functools.singledispatch(cached.__wrapped__), {"topic": "x"}, "X"),
    "helpers by default": (
        with_helpers,
        {"topic": "x", "folder": "/etc", "done": "y", "more": "z"},
        "x None print str out {'more': 'z'}",
    ),
    "names inside of annotations": (total, {"orders": {"all": [{"count": 2}]}}, "2"),
    "async": (late, {"topic": "x"}, "X"),
    "gives an awaitable": (later, {"topic": "x"}, "X"),
    "generator": (_returns, {"topic": "x"}, '{"topic": "x"}'),
    "generator without a return": (_yields, {"topic": "x"}, "searchingwriting"),
    "async generator": (_streams, {"topic": "x"}, "abx"),
    "model in and out": (report, {"title": "T"}, '{"title":"T","tones":["warm"]}'),
    "no parameters": (hello, {}, "hello"),
    "a number with a default": (number, {"topic": "x"}, '["x", "x"]'),
    "bytes in and out": (raw, {"topic": "x"}, "X"),
}


def test_every_shape_that_can_be_sold_is_delivered(market: Market):
    assert len(WORKS) + len(RETURNS) >= 60

    assert not_delivered(market, WORKS, RETURNS) == {}


# What is refused -------------------------------------------------------------------------------------


class Client(BaseModel):
    api_key: str = KEY

    def invoke(self, text: str) -> str:
        return text


class Holder(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    client: Client = Client()


@dataclasses.dataclass
class Agent:
    client: Client

    def run(self) -> None: ...


class Plain:
    def __init__(self) -> None:
        self.api_key = KEY


class Needy:
    def __init__(self, llm: str) -> None:
        self.llm = llm

    def __call__(self, topic: str) -> str:
        return topic


class Runs:
    def run(self, topic: str) -> str:
        return topic


class Keys(BaseModel):
    api_key: str = KEY


@dataclasses.dataclass
class Held:
    openai_api_key: str = KEY


def returning(hint: Any) -> Any:
    def work(topic: str):  # type: ignore[no-untyped-def]
        return topic

    work.__annotations__["return"] = hint
    return work


def taking(hint: Any) -> Any:
    def work(thing, topic: str) -> str:  # type: ignore[no-untyped-def]
        return topic

    work.__annotations__["thing"] = hint
    return work


def fails() -> Any:
    raise KeyError("OPENAI_API_KEY")


REFUSED: dict[str, tuple[Any, str]] = {
    "None": (None, "cannot be sold"),
    "text": ("text", "cannot be sold"),
    "module": (json, "cannot be sold"),
    "plain object": (Plain(), "cannot be sold"),
    "class without work": (Plain, "the class Plain cannot be sold.*method"),
    "data class": (Report, "needs title"),
    "class with arguments": (Needy, "needs llm.*give a function that makes it"),
    "positional only": (str.upper, "positional-only; give a function around it"),
    "built-in without signature": (int.from_bytes and dict.update, "signature"),
    "returns nothing": (returning(None), "returns nothing"),
    "returns a client": (returning(Client), "Client, which does things"),
    "returns clients": (returning(list[Client]), "Client, which does things"),
    "returns a client or text": (returning(Client | str), "Client, which does things"),
    "returns a model that holds a client": (returning(Holder), "Holder.client: .*Client"),
    "returns a dict of clients": (returning(dict[str, Client]), "Client, which does things"),
    "returns a dataclass that acts": (returning(Agent), "Agent, which does things"),
    "returns a plain object": (returning(Plain), "neither text nor data"),
    "returns a function": (returning(Callable[[], str]), "returns a function"),
    "returns a secret": (returning(SecretStr), "a secret"),
    "yields clients": (returning(Iterator[Client]), "Client, which does things"),
    "takes an upload": (taking(UploadFile), "thing is an upload.*url: str"),
    "takes a file": (taking(typing.BinaryIO), "thing is an open file.*url: str"),
    "takes a stream": (taking(io.BytesIO), "thing is an open file"),
    "takes a path": (taking(pathlib.Path), "thing is a path.*take a str"),
    "takes perhaps a path": (taking(pathlib.Path | None), "thing is a path"),
    "takes an object": (taking(Plain), "is a Plain, which a buyer cannot send: give it a default"),
    "takes a function": (taking(Callable[[str], str]), "parameter thing is a Callable.*give it a default"),
    "takes a class": (taking(type[str]), "parameter thing is a class.*take a name"),
    "decorated without its signature": (says_nothing(joined), "takes anything.*functools.wraps"),
    "method without its object": (Shouter.method, r"give Shouter\(\).method"),
    "object with a method": (Runs(), r"such as Runs\(\).run"),
    "abstract class": (Sized, "failed with TypeError"),
    "returns a model with a key": (returning(Keys), "Keys with a api_key"),
    "returns nothing when it is called": (lambda: None, "returned nothing: return the result"),
    "fails when it is called": (lambda: fails(), "was called to see what it makes.*KeyError"),
    "makes nothing that can be sold": (lambda: Plain(), "neither text nor data"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_sold_is_refused_with_what_to_write_instead(name):
    work, words = REFUSED[name]

    with pytest.raises(InputError, match=words):
        sell(work, name="x", price="1 ADA")


def doers() -> dict[str, Callable[[], Any]]:
    """Things that work may return by mistake, each with the key inside."""
    found: dict[str, Callable[[], Any]] = {
        "client": Client,
        "clients": lambda: [Client()],
        "client in a dict": lambda: {"a": {"b": Client()}},
        "model that holds one": Holder,
        "dataclass": lambda: Agent(Client()),
        "object": Plain,
        "environment": lambda: os.environ,
        "secret": lambda: {"key": SecretStr(KEY)},
        "function": lambda: fails,
        "class": lambda: Client,
        "model with a key": Keys,
        "dataclass with a key": lambda: [Held()],
        "named tuple with a key": lambda: collections.namedtuple("Named", "secret_key")(KEY),
        "exception": lambda: ValueError(KEY),
        "open text": lambda: io.StringIO(KEY),
        "settings": _settings,
    }
    if LANGCHAIN:
        from langchain_core.language_models import FakeListChatModel
        from langchain_core.prompts import ChatPromptTemplate

        found["chat model"] = lambda: FakeListChatModel(responses=[KEY])
        found["prompt"] = lambda: ChatPromptTemplate.from_template(KEY)
        found["prompt that is filled in"] = lambda: ChatPromptTemplate.from_template(KEY).invoke({})
    if CREWAI:
        from tests.seller.crews import crew

        found["agent"] = lambda: crew(KEY).agents[0]
        found["task"] = lambda: crew(KEY).tasks[0]
        found["llm"] = lambda: crew(KEY).agents[0].llm
        found["crews"] = lambda: [crew(KEY)]
    return found


def _settings() -> Any:
    settings = pytest.importorskip("pydantic_settings")

    class Mine(settings.BaseSettings):  # type: ignore[misc, name-defined]
        some_key: str = KEY

    return Mine()


def test_what_does_things_is_never_written_out():
    shown = []
    for name, make in doers().items():
        with pytest.raises(WorkFailed) as failed:
            shown.append((name, result_text(make())))
        assert KEY not in str(failed.value), name

    assert shown == []


@pytest.mark.parametrize(
    "made",
    [lambda: itertools.count(), lambda: (0 for _ in itertools.count()), lambda: io.StringIO(KEY)],
    ids=["iterator", "generator", "file"],
)
def test_what_has_no_end_and_what_is_a_file_is_not_read_out(made: Callable[[], Any]):
    context: Any = SimpleNamespace(progress=lambda text: None)

    with pytest.raises(WorkFailed) as failed:
        result_text(settled(made(), context))
    assert KEY not in str(failed.value)


def test_a_key_is_never_sold_through_the_shop(market: Market):
    with market.shop(lambda topic: Client()) as buying:
        failed = buying.wait(buying.buy({"topic": "x"}), "completed", "failed")

    assert failed["status"] == "failed" and KEY not in json.dumps(failed)
    assert "does things" in failed["error"]


# What strangers read ---------------------------------------------------------------------------------


def test_the_text_of_an_exception_stays_with_the_seller(market: Market, caplog: pytest.LogCaptureFixture):
    def work(how: str) -> str:
        if how == "told":
            raise WorkFailed("the topic is too wide; name one city")
        raise ValueError(f"cannot open /srv/keys/{KEY}")

    with market.shop(work) as buying:
        jobs = [buying.buy({"how": how}) for how in ("told", "untold")]
        told, untold = [buying.wait(job, "failed") for job in jobs]

    assert told["error"] == "the topic is too wide; name one city"
    assert KEY not in json.dumps(untold) and "/srv" not in json.dumps(untold)
    assert "ValueError" in untold["error"] and jobs[1]["id"] in untold["error"]
    assert f"/srv/keys/{KEY}" in caplog.text


class Described:
    """The person's own words.

    And more of them.
    """

    def __call__(self, topic: str) -> str:
        return topic


def test_a_service_is_described_by_its_own_docstring_only():
    assert describes(Described()) == describes(Described) == "The person's own words."
    assert describes(functools.partial(Described().__call__)) == ""
    assert describes(Shouter()) == "Shouts a topic."
    assert describes(Point(1)) == describes(Point) == describes("text") == ""
