"""The shop behind the routes: opened when the server starts, or by the first request where nobody starts it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from masumi_tools.seller.shop import Shop
from masumi_tools.seller.web.requests import Refusal

OpenShop = Callable[[], Awaitable[Shop]]


class Door:
    """`open` gives the shop. A mounted app is never told of a start, so the first request opens it."""

    def __init__(self, open_shop: OpenShop) -> None:
        self._open_shop = open_shop
        self.shop: Shop | None = None
        self._opening: asyncio.Task[Shop] | None = None

    async def open(self) -> Shop:
        """The shop of this event loop; what keeps it from being opened is raised, and tried again next time."""
        if self.shop is not None:
            if self.shop.loop is not asyncio.get_running_loop():
                raise Refusal(
                    503,
                    "the service was opened in another event loop; run its lifespan, "
                    "as in: async with service.app.router.lifespan_context(service.app)",
                )
            return self.shop
        if self._opening is None or self._opening.done():
            self._opening = asyncio.ensure_future(self._open_shop())
        self.shop = await asyncio.shield(self._opening)
        return self.shop

    async def close(self, wait_s: float = 5.0) -> None:
        """Close it; work in progress gets `wait_s`."""
        shop, self.shop = self.shop, None
        if shop is not None:
            await shop.stop(0.0 if shop.draining else wait_s)
