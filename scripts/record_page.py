"""Take the picture of the page for the README, docs/page.png, in Chromium.

python scripts/record_page.py [FILE]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from masumi_tools import Budget, Buyer, Settings
from masumi_tools.page import open_page
from masumi_tools.sandbox import Sandbox

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "page.png"
SIZE = 1000, 640
HIRES = (
    ("echo", {"text": "hello from the agent economy"}),
    ("human", {"text": "Approve the press release of 12 May"}),
)


def record(file: Path) -> None:
    """The room of what waits, with a hire that is above its budget's threshold."""
    from selenium import webdriver

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        raise SystemExit("no Chromium with its driver is installed; the picture stays as it is")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    for flag in (*flags, "--window-size={},{}".format(*SIZE)):
        options.add_argument(flag)
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        settings = Settings.from_sandbox(sandbox, database_url=f"sqlite:///{Path(folder) / 'hires.sqlite3'}")
        budget = Budget("20 ADA", approve_above="1 ADA", name="research")
        with Buyer(settings, budget=budget) as buyer:
            for service, given in HIRES:
                buyer.hire(sandbox.service(service).agent_identifier, given)
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            with open_page(settings, by="ann").running() as page:
                metrics = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False}
                browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
                browser.get(page.link)
                browser.save_screenshot(str(file))
        finally:
            browser.quit()


if __name__ == "__main__":
    picture = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    record(picture)
    print(f"{picture.name}: {picture.stat().st_size // 1000} kB")
