"""What a person does with the page, by HTTP and in a browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx

SCRIPT = "<script>document.title='owned'</script>"


def csrf(text: str, deed: str) -> str:
    """The token of the form for this deed."""
    found = re.search(rf'/{deed}"[^>]*>\s*<input type="hidden" name="csrf" value="(\w+)"', text)
    assert found is not None, f"no form to {deed}"
    return found[1]


def seen(text: str) -> str:
    """What the form to approve is a yes to."""
    found = re.search(r'name="seen" value="(\w+)"', text)
    assert found is not None
    return found[1]


def press(
    client: httpx.Client, hire_id: str, deed: str, room: str = "waiting", **fields: str
) -> httpx.Response:
    """Send the form of a room as a browser does."""
    token = csrf(client.get(f"/{room}").text, deed)
    origin = {"origin": str(client.base_url).rstrip("/")}
    return client.post(f"/hires/{hire_id}/{deed}", data={"csrf": token, **fields}, headers=origin)


def until(true: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it comes true in time."""
    end = time.monotonic() + seconds
    while not (held := true()) and time.monotonic() < end:
        time.sleep(0.05)
    return held


def resize(browser: Any, width: int, height: int = 844, *, dark: bool = False) -> None:
    """Give the window this size, and the colours of a device."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def shown(browser: Any) -> str:
    """The text of the room; empty while the browser is on its way."""
    return str(browser.execute_script("return document.querySelector('main')?.innerText ?? ''"))
