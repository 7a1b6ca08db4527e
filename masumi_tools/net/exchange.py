"""One HTTP call without its I/O: the next request to send, what a stranger's answer may be, and the reply.

The clients in http.py do the waiting; every rule that both share is here.
"""

from __future__ import annotations

import logging
import ssl
import time
import traceback
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx

from masumi_tools.calls.call import Call, Fault, Reply
from masumi_tools.errors import AddressRefused
from masumi_tools.net.dialling import ConnectTime, Deadline
from masumi_tools.net.guard import check_addresses, check_url
from masumi_tools.net.json import read_json
from masumi_tools.settings import Secret, Settings
from masumi_tools.text import redact

logger = logging.getLogger("masumi_tools.http")

MOST_REDIRECTS = 5
CONNECT_S = 10.0
TEXT_CAP = 10_000
REPEAT_AFTER_S = 0.1
_REDIRECTS = (301, 302, 303, 307, 308)

OnSandboxNow = Callable[[int], None]
Origin = tuple[str, str, int | None]
Header = tuple[bytes, bytes]
_HEADERS: list[Header] = [
    (b"user-agent", b"masumi_tools"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip"),
]
# What building, sending and reading are known to raise because of the network or the other side. Anything
# else becomes a reply as well, and a line in the log.
_KNOWN = (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, zlib.error, AddressRefused)


ENDED = "this sandbox has ended: run `masumi-tools sandbox` again"


class Party:
    """What both clients know: whose origin gets which token, and whether this is the sandbox."""

    def __init__(self, settings: Settings, on_sandbox_now: OnSandboxNow | None) -> None:
        self.sandbox = settings.sandbox
        self.ca_bundle = settings.ca_bundle
        self.on_sandbox_now = on_sandbox_now
        self.own: dict[str, tuple[Origin, tuple[Header, ...]]] = {}
        if settings.node_url is not None:
            self.own["node"] = _own(settings.node_api, settings.node_token)
        if settings.registry_url is not None:
            self.own["registry"] = _own(settings.registry_api, settings.registry_token)
        if settings.notify_url is not None:
            self.own["notice"] = _own(settings.notify_url, None)

    def check(self, host: str, addresses: Sequence[str]) -> None:
        check_addresses(host, addresses, sandbox=self.sandbox)


# To read a URL takes as long as to send a short request, and most go to the same few.
_url = lru_cache(maxsize=256)(httpx.URL)


class Exchange:
    """One call on its way, apart from the I/O: which request is next, what came, and the reply in the end."""

    def __init__(self, party: Party, call: Call, within_s: float | None = None) -> None:
        self._party = party
        self._call = call
        self._started = time.monotonic()
        self._seconds = call.timeout_s if within_s is None else min(call.timeout_s, max(within_s, 0.0))
        self._deadline = Deadline(self._seconds)
        self._begun = False
        self._url: httpx.URL | None = None
        self._redirects = 0
        self._repeated = False
        self._response: httpx.Response | None = None
        self._headers: dict[str, str] = {}
        self._unzip: Any = None
        self._body = bytearray()
        self._raw_bytes = 0
        self._fault: tuple[Fault, str] | None = None
        self.guarded = True
        self.reply: Reply | None = None

    def request(self) -> httpx.Request:
        """The next request to send; raises for a URL that is refused."""
        call, self._begun = self._call, False
        self._response, self._fault, self._unzip = None, None, None
        self._body, self._raw_bytes = bytearray(), 0
        url = self._url = _url(call.url) if self._url is None else self._url
        headers = [(b"host", url.netloc), *_HEADERS]
        if call.body is not None:
            headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(call.body))]
        elif call.method != "GET":
            headers.append((b"content-length", b"0"))
        headers += [(name.encode(), value.encode()) for name, value in call.headers]
        origin, token = self._party.own.get(call.to, (None, ()))
        self.guarded = origin != _origin(url)
        if self.guarded:
            check_url(url, sandbox=self._party.sandbox)
        else:
            headers += token
        whole = Deadline(max(self._deadline.left_s(), 0.0))  # the pool reads it as a plain number
        timeouts = {"connect": ConnectTime(CONNECT_S, whole), "read": whole, "write": whole, "pool": whole}
        # A body given as `content` would have httpx make the headers once more.
        request = httpx.Request(
            call.method,
            url,
            headers=headers,
            stream=httpx.ByteStream(call.body or b""),
            extensions={"timeout": timeouts},
        )
        request.read()
        self._begun = True
        return request

    def opened(self, response: httpx.Response) -> bool:
        """The head of an answer has come; whether its body is to be read."""
        self._response = response
        headers = self._headers = dict(response.headers.items())
        if self._party.sandbox and self._party.on_sandbox_now is not None:
            now = headers.get("sandbox-now", "")
            if now.isascii() and now.isdigit() and len(now) <= 16:
                self._party.on_sandbox_now(int(now))
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > self._call.cap_bytes:
            return self._too_large()
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding in ("gzip", "x-gzip"):
            self._unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        elif encoding not in ("", "identity"):
            self._fault = ("not-json", f"the answer is encoded as {redact(encoding, 40)}, not asked for")
            return False
        return True

    def late(self) -> None:
        """The time was over before the request had its turn."""
        self._finish("unsent", "there was no time left for the request")

    def take(self, chunk: bytes) -> bool:
        """A piece of the body; whether more is wanted."""
        if self._deadline.left_s() <= 0:
            raise httpx.ReadTimeout("the time for this call is over")
        cap = self._call.cap_bytes
        self._raw_bytes += len(chunk)
        if self._unzip is not None:
            chunk = self._unzip.decompress(chunk, cap + 1 - len(self._body))
        self._body += chunk[: cap + 1 - len(self._body)]
        # Packed bytes count as they come, too: they may go on for ever and unpack to nothing.
        return True if max(len(self._body), self._raw_bytes) <= cap else self._too_large()

    def closed(self, request: httpx.Request, response: httpx.Response) -> None:
        """The answer is in: a redirect to follow makes the next request, anything else the reply."""
        status, location = response.status_code, self._headers.get("location")
        if status in _REDIRECTS and location:
            if self._call.method == "GET" and self.guarded and self._redirects < MOST_REDIRECTS:
                self._redirects += 1
                try:
                    self._url = request.url.join(location)
                except (httpx.InvalidURL, ValueError) as error:
                    why = f"Refused to connect: redirected to {redact(location, 200)}: {_words(error)}."
                    self._finish("refused-address", why)
                return
            # Not read any further: what another side's Location is must not change what became of the call.
            self._finish(None, f"redirected to {redact(location, 200)}, which is not followed")
            return
        if self._fault is None and self._unzip is not None and not self._unzip.eof:
            self._fault = ("lost", "the answer broke off")
        if self._fault is not None:
            self._finish(*self._fault)
            return
        try:
            self._finish(None, "", read_json(bytes(self._body)))
        except ValueError as error:
            self._finish("not-json", redact(error))

    def failed(self, error: Exception) -> bool:
        """Settles what an exception means; True when the request never left and may be made once more."""
        if not isinstance(error, _KNOWN):
            where = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
            logger.error("%s: an unforeseen %s became a reply", self._call.name, what)
        if self._response is not None and not isinstance(error, httpx.InvalidURL):
            self._finish("lost", f"the answer broke off: {_words(error)}")
        elif isinstance(error, AddressRefused):
            self._finish("refused-address", error.message)
        elif not self._begun or isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
            self._finish("refused-address", f"Refused to connect: {_words(error)}.")
        elif isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            transient = isinstance(error, httpx.ConnectError) and not _is_tls(error)
            if transient and not self._repeated and self._deadline.left_s() > 2 * REPEAT_AFTER_S:
                self._repeated = True
                return True
            gone = self._party.sandbox and self._call.to in ("node", "registry") and _is_refused(error)
            self._finish("unsent", ENDED if gone else f"no connection: {_words(error)}")
        elif isinstance(error, httpx.TimeoutException):
            self._finish("lost", f"no answer within {self._seconds:.3g} s")
        else:
            self._finish("lost", f"no answer: {_words(error)}")
        return False

    def logged(self, reply: Reply) -> Reply:
        """The reply, after one line in the log: no path, query, header or body."""
        if logger.isEnabledFor(logging.DEBUG):
            host = redact(self._url.netloc.decode("ascii", "replace"), 100) if self._url else "?"
            spent_ms = (time.monotonic() - self._started) * 1000
            what = reply.status if reply.fault is None else f"{reply.status or ''} {reply.fault}".strip()
            logger.debug("%s %s -> %s in %d ms", self._call.name, host, what, spent_ms)
        return reply

    def _too_large(self) -> bool:
        self._fault = ("too-large", f"the answer is larger than {self._call.cap_bytes} bytes")
        return False

    def _finish(self, fault: Fault | None, detail: str, body: Any = None) -> None:
        response = self._response
        if response is None:
            self.reply = Reply(None, fault=fault, detail=detail)
            return
        text = bytes(self._body[: 4 * TEXT_CAP]).decode("utf-8", "replace")[:TEXT_CAP]
        headers = {name: value for name, value in self._headers.items() if name != "set-cookie"}
        self.reply = Reply(response.status_code, body, text, headers, fault, detail)


def _own(url: str, token: Secret | None) -> tuple[Origin, tuple[Header, ...]]:
    return _origin(httpx.URL(url)), () if token is None else ((b"token", token.reveal().encode()),)


def _origin(url: httpx.URL) -> Origin:
    # Not `url.host`: that decodes names, and raises for those that cannot be. httpx leaves a scheme's port out.
    return url.scheme, url.raw_host.decode("ascii", "replace").lower(), url.port


def _words(error: Exception) -> str:
    return redact(str(error) or type(error).__name__, 200)


def _is_refused(error: BaseException | None) -> bool:
    """Whether nothing listens at the address any more."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__  # httpcore raises its own from None
    return False
