from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools.sandbox import Sandbox
from tests.processes.nest import Nest
from tests.seller.support import Market


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def market(sandbox: Sandbox, tmp_path: Path) -> Market:
    return Market(sandbox, tmp_path)


@pytest.fixture(scope="session")
def nest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nest]:
    """Where shops come from that are killed; what they need is imported once."""
    shops = ("masumi_tools.seller.web.app", "masumi_tools.seller.web.serving", "uvloop", "httptools")
    with Nest(tmp_path_factory.mktemp("nest"), *shops) as nest:
        yield nest
