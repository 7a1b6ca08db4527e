"""Call and Reply: one request to make, and what came of it, as plain values without any I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final, Literal

Target = Literal["node", "registry", "service", "notice"]
CALLED: Final[Mapping[Target, str]] = {
    "node": "the payment node",
    "registry": "the registry",
    "service": "the service",
    "notice": "the address of notices",
}
Fault = Literal["unsent", "lost", "refused-address", "too-large", "not-json"]

# Replies of a stranger's service are capped; 4 MB holds any text that an agent can use.
DEFAULT_CAP_BYTES = 4_000_000
# What one answer says of the time to come is no lasting fact: a deadline may be nearer.
LONGEST_RETRY_S = 300.0


_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def encode(body: Any) -> bytes:
    """The JSON bytes of a request body: made once, so that a repeat sends the same bytes."""
    return _encoded(body).encode()


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request: `name` as "POST /purchase", to whom, and the exact bytes of its body."""

    name: str
    to: Target
    url: str
    body: bytes | None = None
    timeout_s: float = 30.0
    cap_bytes: int = DEFAULT_CAP_BYTES
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def method(self) -> str:
        return self.name.split(" ", 1)[0]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a Call.

    `status` is None when no answer came; then `fault` tells whether the request ever left
    ("unsent", "refused-address": it did not) or may have had its effect ("lost"). An answer that was
    too large or no JSON has its status and the fault "too-large" or "not-json". `as_of_ms` is when it was
    asked: until then it is true for certain, however late it is read (a machine may have slept meanwhile).
    """

    status: int | None
    body: Any = None
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    detail: str = ""
    as_of_ms: int | None = None

    @property
    def ok(self) -> bool:
        """A 2xx answer with a JSON body."""
        return self.status is not None and 200 <= self.status < 300 and self.fault is None

    @property
    def content(self) -> Any:
        """The JSON value of the answer, or its text where it is not JSON."""
        return self.body if self.fault is None else self.text

    @property
    def sent(self) -> bool:
        """Whether the request may have reached the other side."""
        return self.fault not in ("unsent", "refused-address")

    @property
    def unknown(self) -> bool:
        """Whether the request may have had its effect although no definite answer came."""
        if self.status is None:
            return self.sent
        return (
            self.status >= 500
            or self.status == 408
            or 300 <= self.status < 400
            or (200 <= self.status < 300 and self.fault is not None)
        )

    @property
    def passing(self) -> bool:
        """Whether the same request may be answered later: no answer, a busy or broken server, a body that is not JSON."""
        if self.status is None:
            return self.fault != "refused-address"
        broken = self.status < 300 and not self.ok
        return self.status >= 500 or self.status in (408, 425, 429) or broken

    @property
    def dated_ms(self) -> int | None:
        """The time of the Date header in ms, whole seconds; None where it says none."""
        return _dated_ms(self.headers.get("date", ""))

    @property
    def retry_after_s(self) -> float | None:
        """Seconds of the Retry-After header when it holds a number; at most five minutes, whoever says it."""
        try:
            seconds = float(self.headers.get("retry-after", ""))
        except ValueError:
            return None
        return min(seconds, LONGEST_RETRY_S) if seconds >= 0 else None


@lru_cache(maxsize=64)  # many answers come in one second
def _dated_ms(text: str) -> int | None:
    try:
        at = parsedate_to_datetime(text)
        return int(at.timestamp()) * 1000 if at.tzinfo is not None and at.year > 1970 else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None
