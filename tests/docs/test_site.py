"""The built pages: whole without a network, from files too, and readable on a phone."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium
from tests.docs.pages import REPO
from tests.page.person import resize, until

MKDOCS = REPO / ".envs" / "docs" / "bin" / "mkdocs"
BUILT = REPO / "site"
PHONE = 390
SOURCES = ("mkdocs.yml", "docs/**/*", "masumi_tools/**/*.py", "scripts/docs_hooks.py")
LOADS = re.compile(
    r"<(?:script|img|iframe|source|embed|object|video|audio)\b[^>]*?\b(?:src|srcset|data)=[\"']?(?:https?:)?//"
    r"|<link\b(?=[^>]*rel=[\"']?(?:stylesheet|preload|icon|preconnect|modulepreload|manifest))[^>]*href=[\"']?(?:https?:)?//"
    r"|@import\s+[\"']?(?:url\()?[\"']?(?:https?:)?//|url\([\"']?(?:https?:)?//",
    re.IGNORECASE,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


def fresh() -> bool:
    """Whether `make docs` was run since the last change of what it reads."""
    index = BUILT / "index.html"
    made = index.stat().st_mtime if index.exists() else 0.0
    return all(file.stat().st_mtime <= made for pattern in SOURCES for file in REPO.glob(pattern))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as `make docs` made them, or made here where it was not run."""
    if fresh():
        return BUILT
    if not MKDOCS.exists():
        pytest.skip("the environment of the pages is not there: make docs")
    folder = tmp_path_factory.mktemp("site")
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(
        [MKDOCS, "build", "--strict", "--quiet", "--site-dir", folder], cwd=REPO, env=env, check=True
    )
    return folder


@pytest.fixture(scope="module")
def phone(site: Path) -> Iterator[Any]:
    with chromium(loggingPrefs={"performance": "ALL"}) as browser:
        resize(browser, PHONE)
        yield browser


def requested(browser: Any) -> set[str]:
    """The addresses that were asked for since this was called last, but those of files and of the page itself."""
    found = set()
    for line in browser.get_log("performance"):
        message = json.loads(line["message"])["message"]
        if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            found.add(message["params"].get("request", message["params"])["url"])
    return {url for url in found if not url.startswith(("file:", "data:", "blob:", "about:"))}


def test_no_page_or_style_names_anything_to_load_from_the_network(site: Path) -> None:
    files = [file for kind in ("*.html", "*.css") for file in site.rglob(kind)]

    assert len(files) > 20
    named = {
        f"{file.name}: {found[0]}" for file in files for found in LOADS.finditer(file.read_text("utf-8"))
    }
    assert named == set()


def test_every_page_reads_on_a_phone_from_files_without_a_network(site: Path, phone: Any) -> None:
    pages = sorted(site.glob("*.html"))
    wide, fetched = {}, {}
    for page in pages:
        if (
            page.name == "404.html"
        ):  # it is served in the place of another page, so its links begin at the root
            continue
        phone.get(page.as_uri())
        width = phone.execute_script("return document.documentElement.scrollWidth")
        if width > PHONE:
            wide[page.name] = width
        if urls := requested(phone):
            fetched[page.name] = urls

    assert len(pages) > 20
    assert fetched == {}
    assert wide == {}, "the page scrolls sideways"


def drawn_on(browser: Any, wanted: int) -> bool:
    """Whether this many diagrams stand on the page; what was not drawn is a line of text, or nothing."""
    heights = (
        "return [...document.querySelectorAll('div.mermaid')].map(d => d.getBoundingClientRect().height)"
    )
    return [height > 60 for height in browser.execute_script(heights)] == [True] * wanted


def test_diagrams_are_drawn_from_files(site: Path, phone: Any) -> None:
    drawn = 0
    for page in sorted(site.glob("*.html")):
        wanted = page.read_text("utf-8").count('class="mermaid"')
        if not wanted:
            continue
        phone.get(page.as_uri())
        assert until(partial(drawn_on, phone, wanted)), page.name
        drawn += wanted

    assert drawn >= 1
    assert requested(phone) == set()


def test_search_finds_a_page_from_files(site: Path, phone: Any) -> None:
    phone.get((site / "index.html").as_uri())

    phone.find_element("css selector", "label.md-header__button[for=__search]").click()
    query = phone.find_element("css selector", "[data-md-component=search-query]")
    assert until(query.is_displayed)
    query.send_keys("approve_above")

    found = "return [...document.querySelectorAll('.md-search-result__link')].map(a => a.href)"
    assert until(lambda: any("budgets.html" in href for href in phone.execute_script(found)))
    assert requested(phone) == set()
