"""A short cut to the two routes that are called most. It saves a third of such a request's CPU time.

It leads from method and path to the same functions that the routes call, past FastAPI's own machinery, and
steps aside for every request as soon as somebody extends or instruments the app: a middleware, a mount, a
dependency, an exception handler, a route before ours, OpenTelemetry's or anybody else's wrapper.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Handle = Callable[[Request], Awaitable[Response]]


class QuickApp(FastAPI):
    """FastAPI, and `shorten` for its two busiest routes."""

    _quick: Mapping[tuple[str, str], Handle]
    _answer: Callable[[Exception], Response | None]
    _made: tuple[Any, ...]

    def shorten(
        self, quick: Mapping[tuple[str, str], Handle], answer: Callable[[Exception], Response | None]
    ) -> None:
        """Serve these from now on by the short cut, as long as the app stays as it is now.

        `answer` makes of what a handler raised its response; None lets it be raised.
        """
        self._quick, self._answer = quick, answer
        self._made = tuple(part.copy() for part in self._looks())

    def _looks(self) -> tuple[Any, ...]:
        """All by which somebody may have changed what a request meets."""
        router = self.router
        return (
            router.routes,
            self.exception_handlers,
            self.user_middleware,
            self.dependency_overrides,
            router.dependencies,
        )

    @property
    def untouched(self) -> bool:
        """Whether a request would meet nothing but our own routes."""
        if "build_middleware_stack" in vars(self) or getattr(
            self, "_is_instrumented_by_opentelemetry", False
        ):
            return False
        native = getattr(self, "_native_telemetry", None)  # FastAPI's own, where OpenTelemetry is set up
        if native is not None and native.enabled():
            return False
        return not self.user_middleware and not _wrapped() and self._looks() == self._made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handle = None
        if scope["type"] == "http" and not scope.get("root_path"):
            handle = self._quick.get((scope["method"], scope["path"]))
        if handle is None or not self.untouched:
            await super().__call__(scope, receive, send)
            return
        try:
            response = await handle(Request(scope, receive))
        except ClientDisconnect:
            return
        except Exception as error:
            answer = self._answer(error)
            if answer is None:
                raise
            response = answer
        await response(scope, receive, send)


def _wrapped() -> bool:
    """Whether a tracer has put itself around what every FastAPI app does."""
    return (FastAPI.__call__, Starlette.__call__, FastAPI.build_middleware_stack) != _THEIR_OWN


_THEIR_OWN = (FastAPI.__call__, Starlette.__call__, FastAPI.build_middleware_stack)
