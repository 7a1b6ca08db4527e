"""What an operator's machines ask: /health (the process lives), /ready (it can do its work) and /metrics."""

from __future__ import annotations

import hmac
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from masumi_tools.seller.web.door import Door
from masumi_tools.seller.web.requests import Refusal
from masumi_tools.settings import Serving

_HERE = {"127.0.0.1", "::1"}
_FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip")


def add_to(app: FastAPI, door: Door, serving: Serving) -> None:
    """The three routes. They answer HEAD as GET, and stand in no contract: buyers do not need them."""

    @app.api_route("/health", methods=["GET", "HEAD"], include_in_schema=False)
    async def health() -> JSONResponse:
        return JSONResponse({"status": "alive"})

    @app.api_route("/ready", methods=["GET", "HEAD"], include_in_schema=False)
    async def ready() -> JSONResponse:
        try:
            checks = (await door.open()).health.checks()
        except Refusal:
            raise
        except Exception as error:  # such as a database that is down when the first request comes
            checks = {"open": str(error)}
        wrong = {name: why for name, why in checks.items() if isinstance(why, str)}
        body: dict[str, Any] = {"status": "not ready" if wrong else "ready", "checks": checks}
        return JSONResponse(body, 503 if wrong else 200, {"Retry-After": "10"} if wrong else None)

    @app.api_route("/metrics", methods=["GET", "HEAD"], include_in_schema=False)
    async def metrics(request: Request) -> Response:
        if not _may_see(request, serving):
            raise Refusal(404, "Not Found")
        shop = await door.open()
        if shop.metrics is None:
            raise Refusal(404, "metrics need the extra: pip install 'masumi_tools[metrics]'")
        text, kind = shop.metrics.shown(shop.health.now())
        return Response(text, media_type=kind)


def _may_see(request: Request, serving: Serving) -> bool:
    """Figures of the business are for this machine, not through a proxy, and for who has the token."""
    if serving.metrics_token is not None:
        expected = f"Bearer {serving.metrics_token.reveal()}".encode()
        if hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
            return True
    here = request.client is not None and request.client.host in _HERE
    return here and not any(name in request.headers for name in _FORWARDED)
