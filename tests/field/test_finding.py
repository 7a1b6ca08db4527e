"""Finding as models do it: bounds and order in the tool's arguments, what is offline said, notes before a hire."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masumi_tools import Budget, Buyer, Settings
from masumi_tools.errors import InputError
from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.registry import routes
from masumi_tools.tools.actions import Actions
from masumi_tools.tools.toolset import cards


@pytest.fixture(scope="module")
def market() -> Iterator[Sandbox]:
    with Sandbox() as made:
        made.list_every_kind()
        yield made


@pytest.fixture
def shopper(market: Sandbox, tmp_path: Path) -> Iterator[Buyer]:
    settings = Settings.from_sandbox(market, database_url=f"sqlite:///{tmp_path}/j.sqlite")
    with Buyer(settings, budget=Budget("20 ADA")) as made:
        yield made


def found(actions: Actions, **arguments: Any) -> tuple[str, list[str]]:
    """What the tool says, and the names in its list, when a model calls it with these arguments."""
    card = next(card for card in cards(actions) if card.name == "masumi_find")
    given = card.args.model_validate(arguments).model_dump()
    said = actions.run(card.act(given, None))  # type: ignore[arg-type]
    names = [entry["name"] for entry in said.data or []]
    return said.text, names


def test_a_model_bounds_price_uptime_and_freshness_and_orders(shopper: Buyer) -> None:
    actions = Actions(buyer=shopper)
    _, cheap = found(actions, max_price="1 ADA", sort_by="price")
    assert cheap[0] == "Free" and "Echo" in cheap and "Human" not in cheap
    _, dear = found(actions, min_price="2 ADA")
    assert "Human" in dear and {"Free", "Echo"}.isdisjoint(dear)
    _, alive = found(actions, min_uptime=41)
    assert "Echo" in alive and {"Never checked", "Shaky"}.isdisjoint(alive)
    _, fresh = found(actions, checked_within_hours="1")
    assert "Never checked" not in fresh and "Echo" in fresh
    text, by_uptime = found(actions, sort_by="uptime")
    assert by_uptime.index("Shaky") < by_uptime.index("Never checked")
    assert "40 % uptime" in text


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"min_price": "2 ADA", "max_price": "1 ADA"}, "min_price is above max_price"),
        ({"min_uptime": 130}, "0 to 100"),
        ({"checked_within_hours": -1}, "above 0"),
    ],
)
def test_a_bound_that_nothing_keeps_is_told_in_words(shopper: Buyer, wrong: Any, words: str) -> None:
    text, names = found(Actions(buyer=shopper), **wrong)
    assert words in text and names == []


def test_an_order_that_there_is_not_is_refused_by_the_arguments(shopper: Buyer) -> None:
    with pytest.raises(ValueError, match="sort_by"):
        found(Actions(buyer=shopper), sort_by="name")


@pytest.mark.crewai
@pytest.mark.timeout(180)
@pytest.mark.parametrize("framework", ["langchain", "crewai"])
def test_both_toolkits_show_the_same_arguments(shopper: Buyer, framework: str) -> None:
    pytest.importorskip("langchain_core" if framework == "langchain" else "crewai")
    toolkit = importlib.import_module(f"masumi_tools.{framework}").MasumiToolkit(buyer=shopper)
    wanted = {"min_price", "max_price", "min_uptime", "checked_within_hours", "sort_by"}
    tool: Any = next(tool for tool in toolkit.get_tools() if tool.name == "masumi_find")
    schema = tool.args_schema.model_json_schema()
    assert wanted <= set(schema["properties"])
    assert "recency" in json.dumps(schema["properties"]["sort_by"])


@pytest.fixture
def offline(market: Sandbox) -> Iterator[None]:
    entries = [e for e in routes.state_of(market.world).entries if e["name"] == "Human"]
    before = [entry["status"] for entry in entries]
    for entry in entries:
        entry["status"] = "Offline"
    yield
    for entry, status in zip(entries, before, strict=True):
        entry["status"] = status


@pytest.mark.usefixtures("offline")
def test_what_matches_and_is_offline_is_said(shopper: Buyer) -> None:
    hits = shopper.find("human", max_price="5 ADA")
    assert list(hits) == [] and hits.offline == 1
    assert hits.left_out.endswith("offline.")
    text, _ = found(Actions(buyer=shopper), query="Human")
    assert "matches but is offline" in text
    with pytest.raises(InputError, match=r"\(1 offline\)"):
        shopper.quote("Human")


def test_where_something_fits_nothing_more_is_asked(market: Sandbox, shopper: Buyer) -> None:
    before = len(market.requests)
    hits = shopper.find("echo")
    asked = [seen for seen in list(market.requests)[before:] if seen.to == "registry"]
    assert hits and hits.offline == 0 and len(asked) == 1


def test_a_price_of_nothing_and_an_unknown_unit_are_said_before_a_hire(
    market: Sandbox, shopper: Buyer
) -> None:
    market.register_service("Zero", "http://127.0.0.1:9/zero", "1 ADA")
    shopper.find("zero")  # the registry has seen it now
    entry = next(e for e in routes.state_of(market.world).entries if e["name"] == "Zero")
    unit = "ab" * 28 + "cafe"
    for amount, of, words in (("0", "lovelace", "never set one"), ("5", unit, "decimals")):
        pricing = entry["AgentPricing"]["FixedPricing"]["Amounts"]
        pricing[:] = [{"amount": amount, "unit": of}]
        text, names = found(Actions(buyer=shopper), query="zero", everything=True)
        assert names == ["Zero"] and words in text
        [hit] = shopper.find("zero")
        assert words in " ".join(hit.notes)
        quoted = Actions(buyer=shopper)
        assert words in quoted.run(quoted.quote(hit.agent_identifier)).text


def test_a_word_that_was_read_as_nothing_is_said(market: Sandbox, shopper: Buyer) -> None:
    from masumi_tools.inputs import read_input_schema
    from masumi_tools.tools.arguments import read_arguments

    fields = [
        {"id": "text", "type": "text"},
        {"id": "style", "type": "text", "validations": [{"validation": "optional", "value": "true"}]},
    ]
    notes: list[str] = []
    spec = read_input_schema(fields)
    assert read_arguments(spec, {"text": "a", "style": "None"}, notes) == {"text": "a"}
    assert notes == ["style was left out: None was read as nothing."]
