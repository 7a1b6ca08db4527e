"""LangChain Runnables and functions as work: which fields they have, and what counts as their result."""

from __future__ import annotations

import datetime
import enum
from typing import TypedDict

import pytest
import typing_extensions
from pydantic import BaseModel

from masumi_tools.errors import InputError, MissingExtra
from masumi_tools.inputs import served
from masumi_tools.seller import sell
from masumi_tools.seller.work.base import WorkFailed
from masumi_tools.seller.work.results import result_text
from masumi_tools.seller.work.work import work_of


class State(typing_extensions.TypedDict):
    topic: str
    n: typing_extensions.NotRequired[int]


class Old(TypedDict):  # pydantic cannot read this one below Python 3.12
    topic: str


class Context:
    job_id = "j"

    def ask(self, spec, message):
        raise AssertionError

    def progress(self, text):
        return None


def run(work: object, values: dict[str, object]) -> str:
    made = work_of(work)
    assert made.missing(values) == {}
    return made.run(values, Context())


def ids(work: object) -> list[str]:
    return [field.id for field in work_of(work).derived().fields]


class Tone(enum.Enum):
    WARM = "warm"
    COLD = "cold"


class Order(BaseModel):
    text: str
    n: int = 2


def with_types(text: str, day: datetime.date, tone: Tone = Tone.WARM) -> str:
    return f"{text} {day.year} {tone.name}"


def with_model(order: Order) -> str:
    return order.text * order.n


def with_rest(text: str, **more: str) -> str:
    return text + "".join(more.values())


def test_values_get_the_types_of_the_parameters():
    assert run(with_types, {"text": "x", "day": "2026-11-25", "tone": "cold"}) == "x 2026 COLD"
    assert run(with_types, {"text": "x", "day": "2026-11-25"}) == "x 2026 WARM"
    assert "day" in work_of(with_types).missing({"text": "x", "day": "yesterday"})


def test_one_parameter_may_be_a_model():
    assert ids(with_model) == ["text", "n"]
    assert run(with_model, {"text": "ab"}) == "abab"


def test_a_function_that_takes_more_gets_more():
    assert run(with_rest, {"text": "a", "b": "b"}) == "ab"


def test_fields_that_do_not_bring_a_parameter_cannot_be_sold():
    with pytest.raises(InputError, match="day"):
        sell(with_types, name="x", price="1 ADA", fields=[{"id": "text", "type": "string", "name": "T"}])
    with pytest.raises(InputError, match="text"):
        sell(with_model, name="x", price="1 ADA", fields=[{"id": "n", "type": "number", "name": "N"}])


def test_the_sellers_own_fields_come_first():
    service = sell(with_rest, name="x", price="1 ADA", fields=Order)

    assert [field["id"] for field in served(service.offer.spec)["input_data"]] == ["text", "n"]


def test_a_function_without_parameters_that_makes_no_crew_is_work():
    def joke() -> str:
        return "knock knock"

    assert ids(joke) == [] and run(joke, {}) == "knock knock"


@pytest.mark.parametrize("wrong", [None, 5, "text", [], {}])
def test_what_cannot_be_sold_is_said(wrong):
    with pytest.raises(InputError, match="cannot be sold"):
        sell(wrong, name="x", price="1 ADA")


@pytest.mark.parametrize(
    "more",
    [
        {"price": "1"},
        {"price": "1 DOGE"},
        {"price": "-1 ADA"},
        {"name": " "},
        {"workers": 0},
        {"pay_within_s": 60},
        {"pay_within_s": 3600, "deliver_within_s": 4000},
        {"unlock_after_s": 100},
        {"dispute_after_s": 100},
    ],
)
def test_terms_that_the_node_would_refuse_are_refused_before(more):
    with pytest.raises(InputError):
        sell(with_rest, **{"name": "x", "price": "1 ADA", **more})


@pytest.mark.parametrize("price", [None, 0, "free", "0", "0 ADA", []])
def test_prices_that_are_free(price):
    assert sell(with_rest, name="x", price=price).offer.free


def test_several_units_are_one_price():
    offer = sell(with_rest, name="x", price=["1 ADA", "2 tUSDM"]).offer

    assert [row["amount"] for row in offer.pricing()["FixedPricing"]["Amounts"]] == ["1000000", "2000000"]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (" as it is\n", " as it is\n"),
        ({"a": "ü", "b": [1]}, '{"a": "ü", "b": [1]}'),
        ([1, 2.5, None, True], "[1, 2.5, null, true]"),
        (7, "7"),
        (Order(text="x"), '{"text":"x","n":2}'),
        ({"messages": ["a", "b"]}, '{"messages": ["a", "b"]}'),
    ],
)
def test_results_become_text(result, text):
    assert result_text(result) == text


@pytest.mark.parametrize("result", [None, "", " \n", {"x": {1j}}, float("nan"), object()])
def test_what_is_no_result(result):
    with pytest.raises(WorkFailed):
        result_text(result)


def test_messages_become_their_text():
    messages = pytest.importorskip("langchain_core.messages")
    said = messages.AIMessage

    assert result_text(said("said")) == "said"
    assert result_text(said([{"type": "text", "text": "a"}, "b"])) == "ab"
    assert result_text({"messages": [said("first"), said("last")]}) == "last"
    with pytest.raises(WorkFailed):
        result_text(said(""))


def test_runnables():
    pytest.importorskip("langchain_core")
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.runnables import RunnableLambda

    def model(*texts: str) -> GenericFakeChatModel:
        return GenericFakeChatModel(messages=iter([AIMessage(text) for text in texts]))

    chain = ChatPromptTemplate.from_template("Say {what} to {whom}") | model("hello Ada")
    assert sorted(ids(chain)) == ["what", "whom"]
    assert work_of(chain).missing({"what": "x"}) == {"whom": ["is missing"]}
    assert run(chain, {"what": "hello", "whom": "Ada"}) == "hello Ada"
    assert run(RunnableLambda(lambda text: text.upper()), {"text": "abc"}) == "ABC"
    assert run(model("from a text"), {"text": "abc"}) == "from a text"


def test_an_agent_graph_gets_messages():
    agents = pytest.importorskip("langchain.agents")
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    agent = agents.create_agent(GenericFakeChatModel(messages=iter([AIMessage("the answer")])), [])

    assert ids(agent) == ["text"]
    assert run(agent, {"text": "a question"}) == "the answer"


def test_a_graph_with_a_state_of_its_own():
    graphs = pytest.importorskip("langgraph.graph")

    def graph(state: type) -> object:
        made = graphs.StateGraph(state)
        made.add_node("write", lambda s: {"topic": s["topic"] * s.get("n", 1)})
        made.add_edge(graphs.START, "write")
        made.add_edge("write", graphs.END)
        return made.compile()

    assert ids(graph(State)) == ["topic", "n"]
    assert run(graph(State), {"topic": "ab"}) == '{"topic": "ab"}'
    fields = [{"id": "topic", "type": "string", "name": "Topic"}]
    assert sell(graph(Old), name="x", price="1 ADA", fields=fields).offer.spec.fields[0].id == "topic"


def test_importing_the_seller_loads_no_framework():
    import subprocess
    import sys

    code = (
        "import sys, masumi_tools.seller as s; s.sell; s.ask_human; "
        "bad = {'crewai', 'langchain_core', 'fastapi', 'sqlalchemy', 'uvicorn'} & set(sys.modules); "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "masumi_tools.seller.web.app", raising=False)
    with pytest.raises(MissingExtra, match=r"masumi_tools\[seller\]"):
        sell(with_rest, name="x", price="1 ADA").app  # noqa: B018
