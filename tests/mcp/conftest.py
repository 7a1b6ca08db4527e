from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from masumi_tools import Buyer, Settings
from masumi_tools.sandbox import Sandbox
from tests.forge import Forge
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


@pytest.fixture(scope="session")
def forged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., list[str]]]:
    """What stands for a Python in a command, where its processes are to be forked: the SDK is imported once."""
    forges: dict[str, Forge] = {}
    with ExitStack() as stack:

        def python(path: str = sys.executable) -> list[str]:
            if path not in forges:
                needed = ("tests.mcp.client", "masumi_tools.cli.run", "masumi_tools.mcp.serving")
                made = Forge(path, tmp_path_factory.mktemp("forge"), *needed)
                forges[path] = stack.enter_context(made)
            return forges[path].python

        yield python
