"""Arguments as models send them, end to end through the tools of both frameworks; a table of our own, and the recorded one."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

from masumi_tools.sandbox import Sandbox
from tests.shared import shared_json
from tests.tools.shapes import WAYS, Shapes

pytestmark = pytest.mark.timeout(300)

TOPIC = {"id": "topic", "type": "text", "name": "Topic"}
DEPTH = {
    "id": "depth",
    "type": "number",
    "name": "Depth",
    "validations": [{"validation": "optional", "value": "true"}],
}
TWO = [TOPIC, DEPTH]
TONE = {"id": "tone", "type": "option", "name": "Tone", "data": {"values": ["dry", "warm"]}}


def row(row_id: str, payload: Any, expected: dict[str, Any], schema: Any, arrives: str) -> dict[str, Any]:
    given = {"id": row_id, "payload": payload, "target_schema": schema}
    return {**given, "arrives_as": arrives, "expected": expected}


def accept(
    row_id: str, payload: Any, as_: dict[str, Any], schema: Any = TWO, arrives: str = "input_data"
) -> dict[str, Any]:
    return row(row_id, payload, {"verdict": "accept", "as": as_}, schema, arrives)


def refuse(
    row_id: str, payload: Any, field: str, schema: Any = TWO, arrives: str = "input_data"
) -> dict[str, Any]:
    return row(row_id, payload, {"verdict": "refuse", "field": field}, schema, arrives)


# One of each kind that models were seen to send; values ours.
ROWS = [
    accept("object", {"topic": "tides"}, {"topic": "tides"}),
    accept("JSON text", '{"topic": "tides", "depth": 2}', {"topic": "tides", "depth": 2}),
    accept("fenced", '```json\n{"topic": "tides"}\n```', {"topic": "tides"}),
    accept("with prose", '{"topic": "tides"}\nThought: now I wait', {"topic": "tides"}),
    accept("Python text", "{'topic': 'tides', 'depth': None}", {"topic": "tides"}),
    accept("encoded twice", '"{\\"topic\\": \\"tides\\"}"', {"topic": "tides"}),
    accept("flat call", {"topic": "tides", "depth": 1}, {"topic": "tides", "depth": 1}, arrives="call"),
    accept("wrapped", {"params": {"input_data": {"topic": "tides"}}}, {"topic": "tides"}, arrives="call"),
    accept("text in the call", {"input_data": '{"topic": "tides"}'}, {"topic": "tides"}, arrives="call"),
    accept("null optional", {"topic": "tides", "depth": None}, {"topic": "tides"}),
    accept("number as text", {"topic": "tides", "depth": "2"}, {"topic": "tides", "depth": 2}),
    accept("other case", {"Topic": "tides"}, {"topic": "tides"}),
    accept("choice in other case", {"tone": "Warm"}, {"tone": "warm"}, [TONE]),
    accept("key and value", [{"key": "topic", "value": "tides"}], {"topic": "tides"}),
    refuse("nothing", {}, "topic"),
    refuse("null", "null", "topic", arrives="call"),
    refuse("schema instead of a value", {"topic": {"type": "string", "description": "tides"}}, "topic"),
    refuse("unknown field", {"topic": "tides", "style": "short"}, "style"),
    refuse("twice", {"topic": "a", "TOPIC": "b"}, "topic"),
    refuse("cut off", '{"topic": "tides", "depth": ', "depth"),
    refuse("a list of words", ["tides"], "topic"),
    refuse("number with a unit", {"topic": "tides", "depth": "5 km"}, "depth"),
    refuse("no such choice", {"tone": "cold"}, "tone", [TONE]),
]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shapes]:
    with Sandbox(time_scale=10) as sandbox:
        shapes = Shapes(sandbox, tmp_path_factory.mktemp("shapes"))
        yield shapes
        shapes.buyer.close()


def needs(way: str) -> None:
    library = "crewai" if way.startswith("crewai") else "langchain_core"
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[pytest.mark.crewai] if "crew" in way else []) for way in WAYS]
)
def test_each_kind_of_arguments_ends_as_it_should(shapes, way):
    needs(way)

    wrong = {row["id"]: fault for row in ROWS if (fault := shapes.judge(row, WAYS[way]))}

    assert wrong == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[pytest.mark.crewai] if "crew" in way else []) for way in WAYS]
)
def test_what_models_really_sent_ends_as_it_should(shapes, way):
    rows = shared_json("protocol/wild/argument-shapes.json")
    needs(way)

    wrong = {row["id"]: fault for row in rows if (fault := shapes.judge(row, WAYS[way]))}

    assert wrong == {} and len(rows) >= 69


def test_a_row_that_comes_out_otherwise_is_named(shapes):
    """The judge itself: each verdict, turned round, is missed."""
    needs("langchain tool")
    turned = [
        accept("x", {"topic": "tides"}, {"topic": "waves"}),
        accept("x", {"style": "short"}, {"topic": "tides"}),
        refuse("x", {"topic": "tides"}, "topic"),
        refuse("x", {"topic": "tides", "style": "short"}, "topic"),
        accept("x", {"topic": "tides", "depth": 2}, {"topic": "tides", "depth": "2"}),
    ]

    assert [row["expected"] for row in turned if shapes.judge(row, WAYS["langchain tool"]) is None] == []
