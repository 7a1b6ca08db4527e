"""The sandbox's own routes under ``/_sandbox``: look inside, register services, arm faults, set the clock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from .chain.escrow import World
from .faults import Faults
from .services import Seen, Service
from .wire import Request, Response, reply


class Controlled(Protocol):
    """What of a sandbox is seen and moved from outside."""

    @property
    def requests(self) -> list[Seen]: ...
    @property
    def world(self) -> World: ...
    @property
    def faults(self) -> Faults: ...
    @property
    def token(self) -> str: ...
    def ready(self) -> dict[str, Any]: ...
    def now_ms(self) -> int: ...
    def advance(self, ms: int) -> int: ...
    def ledger(self) -> dict[str, Any]: ...
    def arm(self, fault: Mapping[str, Any]) -> None: ...
    def register_service(
        self,
        name: str,
        url: str,
        price: str | None = None,
        pricing_type: Any = None,
        metadata_version: Any = 1,
        *,
        description: str | None = None,
        tags: Iterable[str] = (),
    ) -> Service: ...


def answer_control(sandbox: Controlled, request: Request) -> Response:
    """Answer one control request; 400 with a sentence when it makes no sense."""
    route = (request.method, request.path.rstrip("/").removeprefix("/_sandbox"))
    try:
        if route == ("GET", ""):
            return reply(200, _info(sandbox))
        if route == ("GET", "/ledger"):
            return reply(200, sandbox.ledger())
        if route == ("GET", "/requests"):
            names = ("method", "path", "to", "status", "at_ms")
            return reply(200, {"requests": [{k: getattr(r, k) for k in names} for r in sandbox.requests]})
        if route == ("POST", "/services"):
            return reply(200, _register(sandbox, _body(request)))
        if route == ("POST", "/faults"):
            sandbox.arm(_body(request))
            return reply(200, {"faults": sandbox.faults.shown()})
        if route == ("GET", "/faults"):
            return reply(200, {"faults": sandbox.faults.shown()})
        if route == ("DELETE", "/faults"):
            sandbox.faults.clear()
            return reply(200, {"faults": []})
        if route == ("POST", "/clock"):
            return reply(200, {"now_ms": sandbox.advance(_milliseconds(_body(request)))})
    except ValueError as wrong:
        return reply(400, {"error": str(wrong)})
    return reply(
        404, {"error": f"The sandbox has no {request.method} {request.path}; GET /_sandbox lists all."}
    )


def _info(sandbox: Controlled) -> dict[str, Any]:
    world = sandbox.world
    return {
        **sandbox.ready(),
        "now_ms": sandbox.now_ms(),
        "clock": world.clock.mode,
        "time_scale": world.clock.scale,
        "dialect": world.dialect,
        "realistic": world.realistic,
        "network": world.network,
        "faults": sandbox.faults.shown(),
        "routes": [
            "GET /_sandbox",
            "GET /_sandbox/ledger",
            "GET /_sandbox/requests",
            "POST /_sandbox/services",
            "GET, POST, DELETE /_sandbox/faults",
            "POST /_sandbox/clock",
        ],
    }


def _register(sandbox: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    known = {"name", "url", "price", "pricing_type", "metadata_version", "description", "tags"}
    if strange := set(body) - known:
        raise ValueError(f"A service has no {sorted(strange)[0]!r}; it has {', '.join(sorted(known))}.")
    for name in ("name", "url"):
        if not isinstance(body.get(name), str):
            raise ValueError(f"A service needs {name!r}, a text.")
    for name in ("price", "pricing_type", "description"):
        if not isinstance(body.get(name, ""), str | None):
            raise ValueError(f"{name!r} is a text.")
    tags = body.get("tags", ["sandbox"])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError("'tags' is a list of texts.")
    service = sandbox.register_service(
        body["name"],
        body["url"],
        body.get("price"),
        body.get("pricing_type"),
        body.get("metadata_version", 1),
        description=body.get("description"),
        tags=tags,
    )
    return {
        **service.listed(),
        "seller_vkey": service.seller_vkey,
        "pricing_type": service.pricing_type,
        "payment_source_type": service.source_type,
        "token": sandbox.token,
        "network": sandbox.world.network,
    }


def _milliseconds(body: dict[str, Any]) -> int:
    value = body.get("advance_ms")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10 * 365 * 86_400_000:
        raise ValueError('The clock takes {"advance_ms": n}, a whole number of milliseconds from 0 on.')
    return value


def _body(request: Request) -> dict[str, Any]:
    try:
        read = json.loads(request.body)
    except (ValueError, RecursionError):
        raise ValueError("The body is not JSON.") from None
    if not isinstance(read, dict):
        raise ValueError("The body is not a JSON object.")
    return read
