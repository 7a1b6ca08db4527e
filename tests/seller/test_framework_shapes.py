"""What LangChain and LangGraph make may be given to `sell`, as any other shape."""

from __future__ import annotations

import typing
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from masumi_tools.errors import InputError
from masumi_tools.seller import sell
from tests.seller.support import Market, not_delivered

LANGGRAPH = find_spec("langgraph") is not None
pytest.importorskip("langchain_core")


class Row(typing.TypedDict):
    name: str


def frameworks() -> dict[str, tuple[Any, dict[str, Any], str]]:
    """Shapes of LangChain and LangGraph."""
    found: dict[str, tuple[Any, dict[str, Any], str]] = {}
    from langchain_core.documents import Document
    from langchain_core.language_models import FakeListChatModel
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.runnables import RunnableLambda, RunnableParallel
    from langchain_core.tools import tool

    model = FakeListChatModel(responses=["said"])
    chain = ChatPromptTemplate.from_template("About {topic}") | model

    @tool
    def shout(topic: str) -> str:
        """Shouts."""
        return topic.upper()

    found |= {
        "chat model": (model, {"text": "hi"}, "said"),
        "chain": (chain, {"topic": "x"}, "said"),
        "chain with a parser": (chain | StrOutputParser(), {"topic": "x"}, "said"),
        "parallel steps": (
            RunnableParallel(said=chain | StrOutputParser(), loud=lambda given: given["topic"].upper()),
            {"topic": "x"},
            '{"said": "said", "loud": "X"}',
        ),
        "lambda Runnable": (RunnableLambda(lambda text: text.upper()), {"text": "x"}, "X"),
        "documents": (
            lambda topic: [Document(page_content=topic, metadata={"n": 1})],
            {"topic": "x"},
            '[{"id": null, "metadata": {"n": 1}, "page_content": "x", "type": "Document"}]',
        ),
        "tool": (shout, {"topic": "x"}, "X"),
        "function that makes a chain": (lambda: chain, {"topic": "x"}, "said"),
        "function of the input that makes a chain": (lambda topic: chain, {"topic": "x"}, "said"),
    }
    if LANGGRAPH:
        from langgraph.graph import START, StateGraph

        found |= written_graphs()
        graph = StateGraph(Row)
        graph.add_node("shout", lambda row: {"name": row["name"].upper()})
        graph.add_edge(START, "shout")
        found |= {
            "graph": (graph.compile(), {"name": "x"}, '{"name": "X"}'),
            "graph that is not compiled": (graph, {"name": "x"}, '{"name": "X"}'),
            "function that makes a graph": (graph.compile, {"name": "x"}, '{"name": "X"}'),
        }
    return found


class Research(typing.TypedDict):
    topic: str
    plan: list[str]
    report: str


def plans(state: Research) -> dict[str, Any]:
    return {"plan": [state["topic"]], "topic": state["topic"].strip()}


def changes(state: Research) -> Research:
    state["report"] = state["topic"] + "!"
    return state


def written_graphs() -> dict[str, tuple[Any, dict[str, Any], str]]:
    """Graphs that find out themselves what their state lists."""
    from langgraph.graph import START, StateGraph

    inner = StateGraph(Research).add_node("plan", plans).add_edge(START, "plan").compile()
    late = StateGraph(Research).add_node("plan", plans).add_edge(START, "plan")
    late.add_node("report", lambda state: {"report": state["plan"][0].upper()})
    late.add_conditional_edges("plan", lambda state: "report")
    outer = StateGraph(Research).add_node("inner", inner).add_node("change", changes)
    outer.add_edge(START, "inner").add_edge("inner", "change")
    return {
        "graph that fills its state": (
            late.compile(), {"topic": "x"}, '{"topic": "x", "plan": ["x"], "report": "X"}',
        ),
        "graph in a graph": (
            outer.compile(), {"topic": " x"}, '{"topic": "x", "plan": [" x"], "report": "x!"}',
        ),
    }  # fmt: skip


@pytest.mark.skipif(not LANGGRAPH, reason="langgraph is not installed")
def test_a_key_that_a_node_reads_before_one_writes_it_is_asked_of_the_buyer():
    from langgraph.graph import START, StateGraph

    def needed(*nodes: Callable[..., Any]) -> list[str]:
        graph = StateGraph(Research)
        for number, node in enumerate(nodes):
            graph.add_node(str(number), node)
            graph.add_edge(str(number - 1) if number else START, str(number))
        return [field.id for field in sell(graph, name="x", price="1 ADA").offer.spec.required]

    def reads(state: Research) -> dict[str, Any]:
        return {"report": "".join(state.get("plan", [])) + state["topic"]}

    def hands_on(state: Research) -> dict[str, Any]:
        return {"report": reads(state)["report"], "plan": []}

    assert needed(plans, reads) == ["topic"]
    assert needed(reads, plans) == ["topic", "plan"]
    assert needed(hands_on) == ["topic", "plan", "report"]


def test_a_chain_that_adds_to_a_dict_says_that_it_needs_fields():
    from langchain_core.runnables import RunnablePassthrough

    chain = RunnablePassthrough.assign(loud=lambda given: given["topic"].upper())

    with pytest.raises(InputError, match="does not say which keys; give fields="):
        sell(chain, name="x", price="1 ADA")
    assert sell(chain, name="x", price="1 ADA", fields=[{"id": "topic", "type": "text", "name": "Topic"}])


def test_chains_and_graphs_of_every_shape_are_delivered(market: Market):
    assert not_delivered(market, frameworks(), {}) == {}


def test_a_prompt_alone_is_refused():
    from langchain_core.prompts import ChatPromptTemplate

    with pytest.raises(InputError, match="pipe it into a model"):
        sell(ChatPromptTemplate.from_template("Secret recipe for {topic}"), name="x", price="1 ADA")


def test_no_service_is_described_by_langchain():
    for name, (work, _, _) in frameworks().items():
        said = sell(work, name=name, price="1 ADA").offer.description
        assert said in ("", "Shouts."), name
