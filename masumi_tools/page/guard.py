"""Who may see and press what: Host, cookie, Origin and a token per form are checked before any room is entered."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

MOST_BYTES = 1_000_000
POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
# `same-origin` and not `no-referrer`: with that, browsers send "Origin: null" with our own forms.
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
Next = Callable[[Request], Awaitable[Response]]


@dataclass
class Guard:
    """The guard of one page, which is reached at `origins` alone. `link_token` opens it once."""

    port: int
    origins: tuple[str, ...]
    secure: bool
    link_token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    _sessions: set[str] = field(default_factory=set, repr=False)
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @property
    def cookie(self) -> str:
        """Ports of one machine share their cookies, so that the port is in the name."""
        return f"masumi_page_{self.port}"

    async def __call__(self, request: Request, go_on: Next) -> Response:
        """The answer to this request; nothing of the page is reached by one that does not belong here."""
        response = await self._answer(request, go_on)
        for name, value in HEADERS.items():
            response.headers[name] = value
        return response

    async def _answer(self, request: Request, go_on: Next) -> Response:
        if request.headers.get("host", "").lower() not in {
            urlsplit(origin).netloc for origin in self.origins
        }:
            return PlainTextResponse("This page is not served under that name.", 421)
        if request.method not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("No such method.", 405)
        if request.url.path.startswith("/static/"):
            return await go_on(request)
        if request.method == "POST" and request.headers.get("origin") not in self.origins:
            return PlainTextResponse("This form was not sent from this page.", 403)
        if request.url.path == "/login":
            return self._login(request)
        if self.session(request) is None:
            return PlainTextResponse(
                "Open this page with the link that `masumi-tools page` printed. If you came by another link and "
                "have opened it before, load this page again.",
                401,
            )
        if request.method == "POST":
            form = await read_form(request)
            if not hmac.compare_digest(form.get("csrf", ""), self.csrf(request, request.url.path)):
                return PlainTextResponse("This form is not from this session; load the page again.", 403)
        return await go_on(request)

    def _login(self, request: Request) -> Response:
        given = request.query_params.get("token", "")
        if not self.link_token or not hmac.compare_digest(given.encode(), self.link_token.encode()):
            if self.session(request) is not None:
                return RedirectResponse("/", 303)
            return PlainTextResponse("This link was used before. `masumi-tools page` prints a new one.", 401)
        self.link_token = ""
        session = secrets.token_urlsafe(32)
        self._sessions.add(session)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            self.cookie, session, httponly=True, samesite="strict", secure=self.secure, path="/"
        )
        return response

    def session(self, request: Request) -> str | None:
        """The session of this request, when it has one."""
        given = request.cookies.get(self.cookie, "")
        return given if given in self._sessions else None

    def csrf(self, request: Request, path: str) -> str:
        """The token of the form that posts to `path` in this session."""
        session = self.session(request) or ""
        return hmac.new(self._key, f"{session}\x00{path}".encode(), sha256).hexdigest()


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a posted form, at most a megabyte; several values of one name stand in several lines."""
    known: Any = getattr(request.state, "form", None)
    if known is None:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                break
        text = bytes(body[:MOST_BYTES]).decode("utf-8", "replace")
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=1_000)
        known = request.state.form = {name: "\n".join(values) for name, values in fields.items()}
    form: dict[str, str] = known
    return form
