"""The simulated payment node: ``answer(world, request)`` for every route that buyers and sellers meet."""

from __future__ import annotations

from ..escrow import World
from ..wire import Request, Response, failure


def answer(world: World, request: Request) -> Response:
    """What the node answers; never raises for what a client sends."""
    world.tick()
    return failure(404, f"Can not {request.method} {request.path}")
