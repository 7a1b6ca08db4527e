"""A graph that asks its buyer, sold by a process of its own: `python -m tests.seller.graph_shop PORT KIND`.

KIND names the memory of the graph: none, or in a file by LangGraph's own saver.
HOLD_FOLDER is where each node leaves word that it began.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from masumi_tools.seller import sell

FOLDER = Path(os.environ["HOLD_FOLDER"])


class Draft(TypedDict, total=False):
    topic: str
    text: str
    review: str


def _left_word(node: str) -> None:
    (FOLDER / f"{node}-{time.monotonic_ns()}").touch()


def write(state: Draft) -> Draft:
    _left_word("write")
    return {"text": f"about {state['topic']}"}


def review(state: Draft) -> Draft:
    _left_word("review")
    return {"review": str(interrupt("good?"))}


def decide(state: Draft) -> str:
    return END if state["review"] == "yes" else "improve"


def improve(state: Draft) -> Draft:
    _left_word("improve")
    return {"text": f"{state['text']}, {state['review']}"}


def graph(checkpointer: Any) -> Any:
    made = StateGraph(Draft)
    for node in (write, review, improve):
        made.add_node(node.__name__, node)
    made.add_edge(START, "write")
    made.add_edge("write", "review")
    made.add_conditional_edges("review", decide, [END, "improve"])
    made.add_edge("improve", "review")
    return made.compile(checkpointer=checkpointer)


def memory(kind: str) -> Any:
    if kind == "file":
        import sqlite3

        from langgraph.checkpoint.sqlite import SqliteSaver

        return SqliteSaver(sqlite3.connect(FOLDER / "memory.sqlite", check_same_thread=False))
    return None


if __name__ == "__main__":
    sell(
        graph(memory(sys.argv[2])),
        name="Graph",
        price="1 ADA",
        interval_s=0.2,
        fields=[{"id": "topic", "type": "string", "name": "Topic"}],
    ).run(port=int(sys.argv[1]))
