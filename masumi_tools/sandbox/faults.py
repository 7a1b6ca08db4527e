"""Faults on order: what a network, a proxy or a busy host does to one exchange.

A fault is armed with ``{"on": "POST /purchase", "do": "drop-reply", "times": 1, ...}`` and hits the exchanges
that fit, in order. What it means for the money stands at each of ``DEEDS``: *before*, the service never saw
the request; *after*, it did its work and only the answer suffers; *late*, it does its work when the sender has
long given up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .wire import Response

DEEDS: dict[str, Literal["before", "after", "late"]] = {
    "drop-request": "before",  # the connection breaks before the request is read
    "error-500": "before",
    "html-502": "before",  # a proxy's page: the service behind it was not reached
    "rate-limit": "before",  # 429 with Retry-After
    "drop-reply": "after",  # the connection breaks instead of an answer
    "error-500-after-commit": "after",
    "conflict-500": "after",  # what the node does to concurrent duplicates: 500 where a 409 belongs
    "delay": "after",  # the answer comes delay_ms late
    "garbage": "after",  # the right status and type, a body that is cut off and not JSON
    "wrong-content-type": "after",  # the right body called text/html
    "hang": "after",  # no answer, and the connection stays open
    "answer": "after",  # any `status`, `body` and `content_type` in the place of the answer: a gateway's page
    # The connection breaks (or, with a `status`, a page comes) at once, and the request arrives delay_ms later.
    "deliver-late": "late",
}
PAGE = "<html><head><title>403 Forbidden</title></head><body><h1>403 Forbidden</h1></body></html>"

Kind = Literal["node", "registry", "service", "control", "none"]


@dataclass(slots=True, frozen=True)
class Place:
    """Where a request goes: to the node, the registry, or a service by name; ``path`` as that one sees it."""

    kind: Kind
    name: str
    path: str


@dataclass(slots=True)
class Answer:
    """What becomes of an exchange: a response after ``wait_ms``, or none (``end`` says how it ends then)."""

    response: Response | None
    wait_ms: int = 0
    end: Literal["send", "drop", "hang"] = "send"


@dataclass(slots=True)
class Fault:
    """One armed fault; ``times`` and ``after`` count down."""

    method: str
    path: str
    service: str | None
    do: str
    times: int = 1
    after: int = 0
    delay_ms: int = 1000
    retry_after_s: int = 1
    status: int | None = None
    body: Any = PAGE
    content_type: str = "text/html"

    @classmethod
    def read(cls, order: Mapping[str, Any]) -> Fault:
        """The fault of an order; ValueError with a sentence that says what is wrong with it."""
        known = {"on", "service", "do", "times", "after", "delay_ms", "retry_after_s", *_PAGES}
        if strange := set(order) - known:
            raise ValueError(f"A fault has no {sorted(strange)[0]!r}; it has {', '.join(sorted(known))}.")
        on, do, service = order.get("on"), order.get("do"), order.get("service")
        if not isinstance(on, str) or not on.split():
            raise ValueError('A fault needs \'on\', for example "POST /purchase" or "*".')
        if do not in DEEDS:
            raise ValueError(f"'do' is one of {', '.join(DEEDS)}; not {do!r}.")
        if service is not None and not isinstance(service, str):
            raise ValueError('\'service\' is the name of a service, "node" or "registry".')
        words = on.split()
        method, path = ("*", words[0]) if len(words) == 1 else (words[0].upper(), words[1])
        for base in ("/registry/api/v1", "/api/v1"):
            path = path.removeprefix(base)
        if len(words) > 2 or not path.startswith(("/", "*")):
            raise ValueError(f"'on' reads METHOD /path, /path or *; not {on!r}.")
        counts: dict[str, Any] = {}
        for name, least in (("times", 1), ("after", 0), ("delay_ms", 0), ("retry_after_s", 0)):
            value = order.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name!r} is a whole number from {least} on; not {value!r}.")
            counts[name] = value
        return cls(method, path, service, do, **counts, **_page(order))

    def shown(self) -> dict[str, Any]:
        """The fault as it stands now, in the form in which it is ordered."""
        on = self.path if self.method == "*" else f"{self.method} {self.path}"
        shown = {"on": on, "do": self.do, "times": self.times, "after": self.after}
        return shown if self.service is None else {**shown, "service": self.service}

    def fits(self, method: str, place: Place) -> bool:
        """Exact path, or a prefix when ``on`` ends in ``*``; a trailing slash does not matter."""
        if self.method not in ("*", method) or place.kind in ("control", "none"):
            return False
        if self.service is not None and self.service not in (place.name, place.kind):
            return False
        path = place.path.rstrip("/") or "/"
        if self.path.endswith("*"):
            return path.startswith(self.path[:-1])
        return path == (self.path.rstrip("/") or "/")


class Faults:
    """The armed faults, oldest first."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []

    def arm(self, order: Mapping[str, Any]) -> Fault:
        """Arm one fault; ValueError when the order does not make sense."""
        fault = Fault.read(order)
        self._armed.append(fault)
        return fault

    def clear(self) -> None:
        self._armed.clear()

    def shown(self) -> list[dict[str, Any]]:
        """What is still armed."""
        return [fault.shown() for fault in self._armed]

    def take(self, method: str, place: Place, *, conflict: bool = False) -> Fault | None:
        """The fault that hits this exchange, counted down; ``conflict-500`` is only for 409 answers."""
        for fault in self._armed:
            if (fault.do == "conflict-500") != conflict or not fault.fits(method, place):
                continue
            if fault.after:
                fault.after -= 1
                continue
            fault.times -= 1
            if not fault.times:
                self._armed.remove(fault)
            return fault
        return None


_PAGES = ("status", "body", "content_type")


def _page(order: Mapping[str, Any]) -> dict[str, Any]:
    """The page of an order: `status` 200 to 599, `body` as text or a JSON value, `content_type` as text."""
    page = {name: order[name] for name in _PAGES if order.get(name) is not None}
    if not page:
        return {}
    if order.get("do") not in ("answer", "deliver-late"):
        raise ValueError(f"Only 'answer' and 'deliver-late' take {', '.join(_PAGES)}.")
    status, kind = page.get("status"), page.get("content_type", "")
    if status is not None and (isinstance(status, bool) or status not in range(200, 600)):
        raise ValueError(f"'status' is a whole number from 200 to 599; not {status!r}.")
    if not isinstance(kind, str) or not kind.isprintable():
        raise ValueError("'content_type' is a text of one line.")
    if "body" in page and not isinstance(page["body"], str):
        page["body"] = json.dumps(page["body"])
        page.setdefault("content_type", "application/json")
    return page


def page(fault: Fault) -> Answer:
    """What stands in the place of the answer."""
    headers = {"content-type": fault.content_type}
    return Answer(Response(fault.status or 403, headers, str(fault.body).encode("utf-8", "surrogatepass")))


def late(fault: Fault) -> Answer:
    """What the sender learns of a request that has not arrived yet."""
    return Answer(None, end="drop") if fault.status is None else page(fault)


def without_service(fault: Fault, place: Place) -> Answer:
    """The outcome of an exchange whose request the service never saw."""
    if fault.do == "drop-request":
        return Answer(None, end="drop")
    if fault.do == "html-502":
        page = (
            b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
        )
        return Answer(Response(502, {"content-type": "text/html"}, page))
    if fault.do == "rate-limit":
        limited = _error(place, 429, "Too many requests")
        limited.headers["retry-after"] = str(fault.retry_after_s)
        return Answer(limited)
    return Answer(_error(place, 500, "Internal Server Error"))


def spoilt(fault: Fault, place: Place, response: Response) -> Answer:
    """The outcome of an exchange that the service answered with ``response``."""
    if fault.do in ("error-500-after-commit", "conflict-500"):
        return Answer(_error(place, 500, "Internal Server Error"))
    if fault.do == "answer":
        return page(fault)
    if fault.do == "delay":
        return Answer(response, wait_ms=fault.delay_ms)
    if fault.do == "garbage":
        cut = response.body[: len(response.body) // 2] + b"\x00\xff{"
        return Answer(Response(response.status, dict(response.headers), cut))
    if fault.do == "wrong-content-type":
        headers = {**response.headers, "content-type": "text/html; charset=utf-8"}
        return Answer(Response(response.status, headers, response.body))
    return Answer(None, end="hang" if fault.do == "hang" else "drop")


def _error(place: Place, status: int, message: str) -> Response:
    """An error in the envelope of who was asked: node and registry share one, services have FastAPI's."""
    value: dict[str, Any]
    if place.kind == "service":
        value = {"detail": message}
    else:
        value = {"status": "error", "error": {"message": message}}
    return Response(status, {"content-type": "application/json"}, json.dumps(value).encode())
