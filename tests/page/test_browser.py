"""The page in a real Chromium: approved on a phone, by keyboard alone, without JavaScript, and how it fits."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import Buyer
from masumi_tools.journal.store import Journal
from masumi_tools.page import Page
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.page.crowd import crowd
from tests.page.person import SCRIPT, resize, shown, until

AXE = Path(__file__).parents[2] / ".envs" / "axe" / "package" / "axe.min.js"
APPROVE = 'form[action$="/approve"] button'


def test_a_yes_on_a_screen_of_the_size_of_a_phone_ends_the_hire(
    browser: Any, page: Page, waiting: str
) -> None:
    resize(browser, 390)
    browser.get(page.link)
    assert browser.current_url == f"{page.url}/waiting"
    assert browser.title != "owned" and SCRIPT in browser.find_element("css selector", "pre.input").text

    browser.find_element("css selector", APPROVE).click()

    assert until(lambda: "delivered" in shown(browser)), shown(browser)
    assert browser.current_url == f"{page.url}/hires/{waiting}"


def test_the_keyboard_alone_approves(browser: Any, page: Page, waiting: str) -> None:
    browser.get(page.link)

    def focused() -> str:
        return str(browser.execute_script("return document.activeElement.innerText"))

    for _ in range(40):
        browser.switch_to.active_element.send_keys("\ue004")  # Tab
        if focused().startswith("Approve"):
            break
    assert focused() == "Approve 1 ADA"
    browser.switch_to.active_element.send_keys("\ue007")  # Enter

    assert until(lambda: "delivered" in shown(browser)), shown(browser)


def test_without_javascript_a_yes_is_given_all_the_same(browser: Any, page: Page, waiting: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(page.link)

    browser.find_element("css selector", APPROVE).click()

    def delivered() -> bool:
        browser.refresh()
        return "delivered" in browser.find_element("css selector", "main").text

    # A refresh before the answer is there would take the form back.
    assert until(lambda: browser.current_url == f"{page.url}/hires/{waiting}")
    assert until(delivered)


@pytest.fixture
def crowded(settings: Settings, waiting: str, sandbox: Sandbox) -> str:
    """A journal of strange names and many units, and the id of a hire in it with the longest name."""
    with Buyer(settings, budget=Budget("20 ADA", name="b" * 200)) as agent:
        agent.hire(sandbox.service("echo").agent_identifier, {"text": "y" * 3_000})
        agent.hire(sandbox.service("human").agent_identifier, {"text": "a question"})
    with contextlib.closing(Journal(settings.database_url)) as journal:
        crowd(journal, 140, units=40)
    return "c000000000000001"


def _shown_width(browser: Any) -> int:
    return int(browser.execute_script("return document.documentElement.scrollWidth"))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("width", [390, 800, 1440])
def test_nothing_is_wider_than_the_window_whatever_the_data(
    browser: Any, crowded: str, page: Page, width: int
) -> None:
    resize(browser, width)
    browser.get(page.link)
    wide = []
    for room in ("waiting", "spending", "hires", "hires?state=delivered", f"hires/{crowded}", "shop"):
        browser.get(f"{page.url}/{room}")
        # A busy machine may give the new size to a page a moment after it is there.
        if not until(lambda: _shown_width(browser) <= width, seconds=5):
            wide.append((room, _shown_width(browser)))

    assert wide == []


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_checker_finds_no_serious_fault_of_accessibility(
    browser: Any, crowded: str, page: Page, dark: bool
) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not here: make .envs/axe/.made fetches it by npm")
    resize(browser, 800, dark=dark)
    browser.get(page.link)
    faults = []
    for room in ("waiting", "spending", "hires", f"hires/{crowded}", "shop"):
        browser.get(f"{page.url}/{room}")
        browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
        browser.execute_script(AXE.read_text(encoding="utf-8"))
        found = browser.execute_async_script("axe.run().then(arguments[0])")
        faults += [
            f"{room}: {one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    assert faults == []
