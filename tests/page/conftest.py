"""A hire that waits for a person, the page over it, and a browser to look at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

pytest.importorskip("jinja2")
pytest.importorskip("starlette")

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import Buyer
from masumi_tools.page import Page, open_page
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.browser import chromium
from tests.page.person import SCRIPT


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def settings(sandbox: Sandbox, sqlite_url: str) -> Settings:
    return Settings.from_sandbox(sandbox, database_url=sqlite_url)


@pytest.fixture
def waiting(sandbox: Sandbox, settings: Settings) -> str:
    """A hire that waits for a yes; its process is gone."""
    with Buyer(settings, budget=Budget("20 ADA", approve_above="0.5 ADA")) as agent:
        return agent.hire(sandbox.service("echo").agent_identifier, {"text": f"hello {SCRIPT}"}).hire_id


@pytest.fixture
def page(settings: Settings, waiting: str) -> Iterator[Page]:
    with open_page(settings, by="ann").running() as page:
        yield page


@pytest.fixture
def person(page: Page) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page.url, follow_redirects=True) as client:
        assert client.get(page.link).status_code == 200
        yield client


@pytest.fixture
def browser() -> Iterator[Any]:
    """A Chromium of the size of a phone; skipped where there is none."""
    with chromium() as started:
        yield started
