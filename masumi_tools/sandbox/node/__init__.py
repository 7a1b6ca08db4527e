"""The simulated payment node: ``answer(world, request)`` for every route that buyers and sellers meet."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from ..chain.escrow import World
from ..chain.rows import ApiKey
from ..wire import Refusal, Request, Response, failure, success
from .context import Context, NodeCrash
from .routes import Route, Scope, allowed, folded

__all__ = ["BASE", "BODY_CAP", "answer"]

BASE = "/api/v1"
BODY_CAP = 102_400
"""Bytes of a request body that the node still reads (protocol N1)."""
WINDOW_MS = 60_000
MASKED = "Internal Server Error"
_SCOPES = {"read": "read", "pay": "payment", "admin": "admin"}
_NOBODY = ApiKey(id="", token="", can_read=False)


def answer(world: World, request: Request) -> Response:
    """What the node answers. First all jobs that are due run; during the call the world's time stands still."""
    with world.moment():
        try:
            response = _answer(world, request)
        except Refusal as refusal:
            response = refusal.response()
        except NodeCrash as crash:
            response = failure(500, MASKED if world.production else str(crash))
    if request.method == "HEAD":
        response.body = b""
    return response


def _answer(world: World, request: Request) -> Response:
    path = request.path.lower().removesuffix("/")
    newer = world.rails is not None
    verbs = folded(world.dialect, newer).get(path[len(BASE) :]) if path.startswith(BASE) else None
    if verbs is None:
        raise Refusal(404, f"Can not {request.method} {request.path}")
    if request.method == "OPTIONS":
        return Response(200, {"allow": allowed(verbs)})
    route = verbs.get("GET" if request.method == "HEAD" else request.method)
    if route is None:
        raise Refusal(405, f"{request.method} is not allowed", headers={"allow": allowed(verbs)})
    reads_query = request.method in ("GET", "HEAD")
    raw = request.query if reads_query else _body(request)
    key = _NOBODY if route.scope == "none" else _key(world, request, route.scope)
    if route.rate is not None:
        _count(world, key, path, route)
    return success(route.handler(Context(world, key, route.schema.read(raw))))


def _body(request: Request) -> dict[str, Any]:
    """The JSON body; nothing, or another content type, reads as an empty object."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not request.body or kind != "application/json":
        return {}
    request.check_charset()
    if len(request.body) > BODY_CAP:
        raise Refusal(413, "request entity too large")
    try:
        value = json.loads(request.body.decode("utf-8-sig", "replace"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, _parse_error(request.body, error)) from None
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {}
    raise Refusal(400, f"Unexpected token '{_first(request.body)}' is not valid JSON")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _parse_error(body: bytes, error: Exception) -> str:
    place = getattr(error, "pos", 0)
    if body.strip().startswith(b"{") and "property name" in str(error):
        return f"Expected property name or '}}' in JSON at position {place}"
    return f"Unexpected token '{_first(body)}' is not valid JSON (position {place})"


def _first(body: bytes) -> str:
    return body.decode("utf-8", "replace").strip()[:1]


def _key(world: World, request: Request, scope: Scope) -> ApiKey:
    token = request.token
    if not token:
        raise Refusal(401, "Unauthorized, no authentication token provided")
    key = world.keys.get(token)
    if key is None:
        raise Refusal(401, "Unauthorized, invalid authentication token provided")
    if not key.active:
        raise Refusal(401, "Unauthorized, API key is revoked")
    may = {"read": key.can_read or key.can_pay, "pay": key.can_pay, "admin": False}[scope]
    if not (may or key.can_admin):
        raise Refusal(401, f"Unauthorized, {_SCOPES[scope]} access required")
    return key


def _count(world: World, key: ApiKey, path: str, route: Route) -> None:
    """Fixed windows of a minute per key, in memory; admins are exempt."""
    if key.can_admin or route.rate is None:
        return
    now, name = world.now_ms(), (key.id, path)
    start, calls = world.rates.get(name, (now, 0))
    if now - start >= WINDOW_MS:
        start, calls = now, 0
    if calls >= route.rate:
        wait = -(-(start + WINDOW_MS - now) // 1000)
        raise Refusal(429, "Too many requests", headers={"retry-after": str(wait)})
    world.rates[name] = (start, calls + 1)
