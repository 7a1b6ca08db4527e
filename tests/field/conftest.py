"""Fixtures of the field's tests: a sandbox and a street whose clocks are moved by hand, and a journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.gallery.street import OpenStreet
from tests.tools.fixtures import buyer, counter, settings

__all__ = ["buyer", "counter", "journal", "sandbox", "settings", "street"]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[OpenStreet]:
    with OpenStreet(tmp_path) as street:
        yield street


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def journal(sqlite_url: str) -> Iterator[Journal]:
    journal = Journal(sqlite_url)
    yield journal
    journal.close()
