from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.city import City, city
from tests.processes.nest import Nest


@pytest.fixture(scope="session")
def nest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nest]:
    """Where the processes of these tests come from."""
    with Nest(tmp_path_factory.mktemp("nest")) as nest:
        yield nest


@pytest.fixture
def town(tmp_path: Path) -> Iterator[City]:
    """A sandbox in a process of its own."""
    with city(tmp_path) as town:
        yield town
