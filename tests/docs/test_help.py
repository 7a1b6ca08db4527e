"""`help()` of what people import: our words first, and no option that looks like a value."""

from __future__ import annotations

import inspect
import pydoc
from importlib import import_module
from typing import Any

import pytest

TOOLS = [
    pytest.param("masumi_tools.langchain", "MasumiAgentTool", "One agentic service as a tool:"),
    pytest.param("masumi_tools.langchain", "MasumiToolkit", "Tools to find, quote, hire,"),
    pytest.param(
        "masumi_tools.crewai",
        "MasumiAgentTool",
        "One agentic service as a CrewAI tool:",
        marks=pytest.mark.crewai,
    ),
    pytest.param(
        "masumi_tools.crewai", "MasumiToolkit", "CrewAI tools to find, quote, hire,", marks=pytest.mark.crewai
    ),
]
THEIRS = ("Initialize the tool", "Create a new model by parsing", "Initialize self", "Tool that takes in")


def helped(module: str, name: str) -> tuple[Any, list[str]]:
    """The class, and the lines that `help` prints of it."""
    pytest.importorskip(module.rpartition(".")[2])
    kind = getattr(import_module(module), name)
    return kind, pydoc.plain(pydoc.render_doc(kind)).splitlines()


@pytest.mark.parametrize(("module", "name", "words"), TOOLS)
def test_help_of_a_tool_begins_with_our_words(module: str, name: str, words: str) -> None:
    kind, lines = helped(module, name)
    text = [line.removeprefix(" |").strip() for line in lines[3:]]
    first = next(line for line in text if line and not line.startswith(f"{name}("))

    assert first.startswith(words)
    ours = text[: text.index("Method resolution order:") if "Method resolution order:" in text else 12]
    assert any(line.startswith(("tool = ", "tools = ", "agent = ")) for line in ours), "with a line to copy"
    assert not any(their in line for line in ours for their in THEIRS)
    assert inspect.getdoc(kind.__init__) and not any(
        their in inspect.getdoc(kind.__init__) for their in THEIRS
    )


@pytest.mark.parametrize(("module", "name", "words"), TOOLS)
def test_an_option_that_may_be_left_out_is_shown_as_such(module: str, name: str, words: str) -> None:
    kind, lines = helped(module, name)

    assert "budget=...," in lines[3] and "Ellipsis" not in lines[3]
    assert "budget=..." in str(inspect.signature(kind))
