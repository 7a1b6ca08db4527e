"""The page in a real Chromium: approved on a phone, by keyboard alone, without JavaScript, and how it fits."""

from __future__ import annotations

from typing import Any

from masumi_tools.page import Page
from tests.page.person import SCRIPT, resize, shown, until


def test_a_yes_on_a_screen_of_the_size_of_a_phone_ends_the_hire(
    browser: Any, page: Page, waiting: str
) -> None:
    resize(browser, 390)
    browser.get(page.link)
    assert browser.current_url == f"{page.url}/waiting"
    assert browser.title != "owned" and SCRIPT in browser.find_element("css selector", "pre.input").text

    browser.find_element("css selector", 'form[action$="/approve"] button').click()

    assert until(lambda: "delivered" in shown(browser)), shown(browser)
    assert browser.current_url == f"{page.url}/hires/{waiting}"
