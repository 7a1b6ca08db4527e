"""A page in the browser: approve, answer, ask money back, and see what agents spend. It needs the extra `page`."""

from __future__ import annotations

from masumi_tools.errors import MissingExtra

try:
    from masumi_tools.page.serving import Page, open_page
except ModuleNotFoundError as missing:
    raise MissingExtra("the page needs the extra page: pip install 'masumi_tools[page]'") from missing

__all__ = ["Page", "open_page"]
