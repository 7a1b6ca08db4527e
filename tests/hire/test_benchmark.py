"""The benchmark of the journal still runs: its rows go in by bulk, past the journal's own methods."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from masumi_tools.journal.store import Journal

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "journal.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("benchmark_of_the_journal", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.median_ms, "__defaults__", (2,))
    yield module


def test_its_rows_are_counted_as_those_of_hires_are(script: ModuleType, sqlite_url: str) -> None:
    with closing(Journal(sqlite_url)) as journal:
        script.fill(journal, 0, 120, is_open=False)
        script.fill(journal, 120, 150, is_open=True)
        steps = script.steps(journal, 100, iter(range(1_000, 2_000)))

        assert sorted(steps) == ["add", "lease", "reserve", "save", "used"]
        assert sum(line.quantity for line in journal.used(script.BUDGET)) == (150 + 2) * 1_000_000
        assert script.look(journal, 30)[1] == 1 and script.page_through(journal)[0] >= 30
