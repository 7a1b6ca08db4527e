"""The notebooks as they lie in the repository: made from their sources by running, without a fault.

`make notebooks` runs them; CI does so too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

jupytext = pytest.importorskip("jupytext")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SOURCES = sorted(EXAMPLES.glob("[0-9][0-9]_*.py"))
NAMES = [
    "01_hire_with_langchain",
    "02_hire_with_crewai",
    "03_sell_your_crew",
    "04_find_and_compare",
    "05_from_sandbox_to_preprod",
]

each = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)


def cells(path: Path) -> list[Any]:
    return list(jupytext.read(path).cells)


def outputs(source: Path) -> list[Any]:
    return [output for cell in cells(source.with_suffix(".ipynb")) for output in cell.get("outputs", ())]


def test_these_are_the_notebooks():
    assert [source.stem for source in SOURCES] == NAMES


@each
def test_a_notebook_is_made_from_its_source(source: Path):
    def plain(path: Path) -> list[tuple[str, str]]:
        return [(cell.cell_type, cell.source) for cell in cells(path)]

    assert plain(source.with_suffix(".ipynb")) == plain(source), "make notebooks"


@each
def test_every_cell_was_run_in_order(source: Path):
    counts = [
        cell.execution_count for cell in cells(source.with_suffix(".ipynb")) if cell.cell_type == "code"
    ]

    assert counts == list(range(1, len(counts) + 1))


@each
def test_no_cell_failed_or_warned(source: Path):
    kinds = {output.output_type for output in outputs(source)}
    streams = {output.name for output in outputs(source) if output.output_type == "stream"}

    assert kinds <= {"stream", "display_data", "execute_result"}
    assert streams <= {"stdout"}


@each
def test_a_notebook_tells_of_hires_that_were_paid_and_checked(source: Path):
    printed = "".join(output.get("text", "") for output in outputs(source))

    assert re.search(r"completed \([\d.]+ t?\w+ paid, the result matches the hash on the chain\)", printed)


def test_spending_is_drawn():
    pictures = [output for output in outputs(SOURCES[3]) if "image/png" in output.get("data", {})]

    assert len(pictures) == 2
