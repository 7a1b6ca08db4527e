"""A tool's name leads to one service, and its description fits every provider, whatever a listing says."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masumi_tools import Budget, Settings
from masumi_tools.errors import InputError
from masumi_tools.hire.quote import Quote
from masumi_tools.inputs import InputSpec
from masumi_tools.models import Listing, PricingType
from masumi_tools.models.price import Price
from masumi_tools.money import Amount
from masumi_tools.sandbox import Sandbox
from masumi_tools.tools.wording import DESCRIPTION_LIMIT, tool_description, tool_name

LONG = "Example Research Agent for Finance and Markets"


def quote(name: str, description: str = "", price: tuple[Amount, ...] = (), target: str = "ab" * 40) -> Quote:
    listing = Listing(target, name, description, "https://s.example", Price(PricingType.FIXED, price))
    return Quote(target, listing, price, not price, False, InputSpec(), 0, None)


def test_names_that_agree_in_their_beginning_are_two_names() -> None:
    names = {tool_name(quote(f"{LONG} {place}", target=place * 57)) for place in ("EU", "US")}

    assert len(names) == 2
    assert all(len(name) < 64 and name.startswith("hire_example_research_agent") for name in names)
    assert tool_name(quote("Echo")) == "hire_echo"


@given(st.text(max_size=120), st.text(max_size=120))
def test_a_name_is_one_that_providers_take(one: str, other: str) -> None:
    first, second = tool_name(quote(one, target="ab" * 40)), tool_name(quote(other, target="cd" * 40))

    for name in (first, second):
        assert 6 <= len(name) < 64 and name.isascii() and name.replace("_", "a").isalnum()
    if len(first) > 45 or len(second) > 45:
        assert first != second


def test_a_description_fits_whatever_the_listing_says() -> None:
    unit = "ab" * 28 + "cd" * 32
    price = (Amount(900_000_000_000_000, unit),)

    made = tool_description(quote("n" * 60, "d" * 600, price))

    assert len(made) <= DESCRIPTION_LIMIT == 1_024
    assert "900000000000000" in made and "says of itself" in made


@given(
    st.text(max_size=300),
    st.text(max_size=2_000),
    st.lists(st.text("0123456789abcdef", min_size=57, max_size=120), max_size=9),
)
def test_no_listing_makes_a_long_description(name: str, words: str, units: list[str]) -> None:
    price = tuple(Amount(10**18, unit) for unit in dict.fromkeys(units))

    assert len(tool_description(quote(name, words, price))) <= DESCRIPTION_LIMIT


@pytest.fixture(params=["langchain", "crewai"])
def toolkit(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[tuple[Sandbox, Any]]:
    pytest.importorskip("langchain_core" if request.param == "langchain" else "crewai")
    module = importlib.import_module(f"masumi_tools.{request.param}")
    with Sandbox() as sandbox:
        settings = Settings.from_sandbox(sandbox, database_url=f"sqlite:///{tmp_path / 'j.sqlite3'}")
        kit = module.MasumiToolkit(settings=settings, budget=Budget("20 ADA"))
        yield sandbox, kit
        kit.close()


def test_a_toolkit_gives_no_two_services_one_name(toolkit: tuple[Sandbox, Any]) -> None:
    sandbox, kit = toolkit
    one = sandbox.register_service("Twin", f"{sandbox.origin}/services/echo", "1 ADA")
    two = sandbox.register_service("TWIN!", f"{sandbox.origin}/services/liar", "4 ADA")
    first = kit.for_agent(one.agent_identifier)

    with pytest.raises(InputError, match="two tools would be named 'hire_twin'"):
        kit.for_agent(two.agent_identifier)
    with pytest.raises(InputError, match="two tools would be named 'masumi_hire'"):
        kit.for_agent(two.agent_identifier, name="masumi_hire")

    assert first.name == "hire_twin" and kit.for_agent(one.agent_identifier).name == "hire_twin"
    assert kit.for_agent(two.agent_identifier, name="hire_other_twin").name == "hire_other_twin"


def test_a_description_is_within_the_limit_as_the_framework_sends_it(toolkit: tuple[Sandbox, Any]) -> None:
    sandbox, kit = toolkit
    name = "Long " + "n" * 55
    long = sandbox.register_service(name, f"{sandbox.origin}/services/echo", "1 ADA", description="d" * 600)

    tools = [*kit.get_tools(), kit.for_agent(long.agent_identifier)]

    for tool in tools:
        words = tool.description.rpartition("Tool Description: ")[2]
        assert 20 < len(words) <= DESCRIPTION_LIMIT
    assert len({tool.name for tool in tools}) == 8
