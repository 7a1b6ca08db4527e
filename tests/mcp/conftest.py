from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools import Buyer, Settings
from masumi_tools.sandbox import Sandbox
from tests.layers import REPO


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
        "MASUMI_NODE_URL": sandbox.node_url,
        "MASUMI_NODE_TOKEN": sandbox.token,
        "MASUMI_REGISTRY_URL": sandbox.registry_url,
        "MASUMI_REGISTRY_TOKEN": sandbox.token,
        "MASUMI_NETWORK": "Preprod",
        "MASUMI_DATABASE_URL": f"sqlite:///{tmp_path / 'journal.sqlite3'}",
        "MASUMI_SANDBOX": "1",
    }


@pytest.fixture
def books(env: dict[str, str]) -> Iterator[Buyer]:
    """A buyer over the journal of the servers, to look at what they did."""
    with Buyer(Settings.from_env(env)) as buyer:
        yield buyer
