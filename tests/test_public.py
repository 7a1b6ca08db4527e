"""The public face: which names there are, and what importing them costs."""

from __future__ import annotations

import importlib
import inspect

import pytest

import masumi_tools
from tests import fresh

TOOLS = ["MasumiAgentTool", "MasumiToolkit"]
PUBLIC = [*TOOLS, "Buyer", "AsyncBuyer", "Budget", "Amount", "Settings", "Receipt"]
FRAMEWORKS = {"langchain", "langchain_core", "langgraph", "crewai", "fastapi", "typer"}
# httpx loads rich where it is installed, so only the bare package can do without.
HEAVY = FRAMEWORKS | {
    "rich",
    "starlette",
    "sqlalchemy",
    "nacl",
    "cbor2",
    "psycopg",
    "uvicorn",
    "httpx",
    "pydantic",
}


def loaded_by(code: str) -> set[str]:
    """The top packages that are loaded after `code` in a new process."""
    return {
        name.split(".")[0]
        for name in fresh.run(f"{code}\nimport sys, json\nprint(json.dumps([*sys.modules]))")
    }


def test_the_public_names_are_these():
    assert masumi_tools.__all__ == PUBLIC


@pytest.mark.parametrize(
    ("room", "library", "names"),
    [
        ("langchain", "langchain_core", TOOLS),
        ("crewai", "crewai", TOOLS),
        ("seller", "fastapi", ["sell", "ask_human"]),
        ("sandbox", "httpx", ["Sandbox"]),
    ],
)
def test_the_rooms_have_their_names(room, library, names):
    pytest.importorskip(library)
    module = importlib.import_module(f"masumi_tools.{room}")

    assert set(names) <= set(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_there_and_documented(name):
    if name in TOOLS:
        pytest.importorskip("langchain_core")

    value = getattr(masumi_tools, name)

    assert value.__name__ == name
    assert inspect.getdoc(value)


def test_the_names_are_listed_before_they_are_loaded():
    listed = fresh.run("import json, masumi_tools\nprint(json.dumps(dir(masumi_tools)))")

    assert set(PUBLIC) <= set(listed)
    assert "__version__" in listed


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'Wallet'"):
        _ = masumi_tools.Wallet


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import masumi_tools") & HEAVY == set()


@pytest.mark.parametrize("name", ["Amount", "Settings", "Budget", "Receipt"])
def test_values_load_neither_a_framework_nor_the_database_nor_signatures(name):
    loaded = loaded_by(f"from masumi_tools import {name}")

    assert loaded & (FRAMEWORKS | {"sqlalchemy", "nacl", "cbor2"}) == set()


@pytest.mark.parametrize("name", ["Buyer", "AsyncBuyer"])
def test_a_buyer_loads_no_framework(name):
    assert loaded_by(f"from masumi_tools import {name}") & FRAMEWORKS == set()


def test_the_langchain_tool_loads_neither_crewai_nor_langgraph():
    pytest.importorskip("langchain_core")

    loaded = loaded_by("from masumi_tools import MasumiAgentTool")

    assert loaded & {"crewai", "langgraph", "langchain", "fastapi"} == set()
