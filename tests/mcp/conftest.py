from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools import Buyer, Settings
from masumi_tools.sandbox import Sandbox
from tests.layers import REPO
from tests.tools.market import environment_of


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


@pytest.fixture
def env(sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    """The environment of a server process: the sandbox, and a journal of this test's own."""
    return {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "XDG_DATA_HOME")},
        "PYTHONPATH": str(REPO),
        **environment_of(sandbox, f"sqlite:///{tmp_path / 'journal.sqlite3'}"),
        "MASUMI_NETWORK": "Preprod",
    }


@pytest.fixture
def books(env: dict[str, str]) -> Iterator[Buyer]:
    """A buyer over the journal of the servers, to look at what they did."""
    with Buyer(Settings.from_env(env)) as buyer:
        yield buyer
