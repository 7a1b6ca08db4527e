from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools.sandbox import Sandbox
from tests.seller.support import Market


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def market(sandbox: Sandbox, tmp_path: Path) -> Market:
    return Market(sandbox, tmp_path)
