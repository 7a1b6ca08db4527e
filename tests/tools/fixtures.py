"""One sandbox over loopback for each file of tests; each test has its own journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import Buyer
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.tools.market import Counter, settings_of


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def settings(sandbox: Sandbox, tmp_path: Path) -> Settings:
    return settings_of(sandbox, tmp_path)


@pytest.fixture
def buyer(settings: Settings) -> Iterator[Buyer]:
    with Buyer(settings, budget=Budget("20 ADA", per_hire="5 ADA", name="test")) as buyer:
        yield buyer


@pytest.fixture
def counter(sandbox: Sandbox) -> Counter:
    return Counter(sandbox)
