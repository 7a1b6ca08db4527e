"""Target: whom to hire, an agent identifier or the URL of a service, in the one spelling that is compared.

Two spellings that reach the same service are equal: keys, allow and deny lists, quotes and the journal
all compare Targets. In a URL scheme and host are folded, the scheme's own port, dot segments, empty
segments and slashes at the end go away, and each character of the path is escaped in one way. The path
keeps its case. What servers read in more than one way is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any, Final
from urllib.parse import quote, unquote

from masumi_tools.errors import InputError

MOST_CHARACTERS: Final = 500  # what the journal's databases keep of it

_AGENT: Final = re.compile(r"[0-9a-fA-F]{57,250}")
_LIKE_URL: Final = re.compile(r"https?://", re.IGNORECASE)
_URL: Final = re.compile(r"(https?)://([^/?#]*)([^?#]*)", re.IGNORECASE)
_PLACE: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{0,6}))?")
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
# What browsers and inet_aton read as an IPv4 address: the last label is a number.
_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_UNREADABLE: Final = re.compile("[\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\\\\]")
# Escapes that some servers decode into another path and others do not: / \ % ; and controls.
_AMBIGUOUS: Final = re.compile(r"%(?:2f|5c|25|3b|[01][0-9a-f]|7f)|;", re.IGNORECASE)
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SAFE: Final = "/!$&'()*+,=:@~"
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """An agent identifier (lower case) or a service's URL in its canonical spelling, as `text`."""

    text: str

    @classmethod
    def read(cls, given: object) -> Target:
        """The target in what a caller gave; InputError when it is neither an identifier nor a usable URL."""
        text = str(given).strip()
        if not text:
            raise InputError("name a service: by its agent identifier or its https URL")
        if _AGENT.fullmatch(text):
            return cls(text.lower())
        if not _LIKE_URL.match(text):
            raise InputError(
                f"{text[:80]!r} is neither an agent identifier (57 to 250 hex digits) nor an https URL"
            )
        return cls(_canonical(text))

    @classmethod
    @lru_cache(maxsize=1_000)  # one hire asks for the same few again and again
    def kept(cls, text: str) -> Target:
        """The target in a record or a listing: never an error. What cannot be read equals only itself."""
        try:
            return cls.read(text)
        except InputError:
            return cls(text.strip())

    @property
    def is_url(self) -> bool:
        """Whether the service itself is asked for its price; else registry and node are."""
        return _LIKE_URL.match(self.text) is not None

    def __str__(self) -> str:
        return self.text


def is_target(text: str) -> bool:
    """Whether the text is meant as an identifier or a URL, and is not a service's name."""
    return _LIKE_URL.match(text.strip()) is not None or len(text.strip()) >= 57


def targets(entries: Iterable[Any], what: str) -> frozenset[Target]:
    """The services of a list such as `allow` or `deny`.

    InputError for a single text in place of a list, and for an entry that no service can match.
    """
    if isinstance(entries, str | Target):
        raise InputError(
            f"{what} is a list of agent identifiers and URLs: write {what}=[{str(entries)[:80]!r}]"
        )
    found = set()
    for entry in entries:
        try:
            found.add(Target.read(entry))
        except InputError as error:
            raise InputError(f"{what} would match no service: {error.message}") from None
    return frozenset(found)


def _canonical(url: str) -> str:
    found = _URL.fullmatch(url)
    if found is None:
        raise _no_target(url, "a service's URL has no query or fragment" if "?" in url or "#" in url else "")
    if _UNREADABLE.search(url):
        raise _no_target(url, "a service's URL has no backslashes or control characters")
    scheme, place, path = found[1].lower(), found[2], found[3]
    if "@" in place:
        raise InputError("a service's URL holds no user name or password")
    parts = _PLACE.fullmatch(place)
    if parts is None:
        raise _no_target(url, "a service's URL names one host and perhaps a port")
    port = int(parts[2]) if parts[2] else _PORTS[scheme]
    if not 0 < port < 65536:
        raise _no_target(url, "a service's URL has a port from 1 to 65535")
    shown = "" if port == _PORTS[scheme] else f":{port}"
    made = f"{scheme}://{_host(parts[1], url)}{shown}{_path(path, url)}"
    if len(made) > MOST_CHARACTERS:
        raise _no_target(url, f"a service's URL has at most {MOST_CHARACTERS} characters")
    return made


def _host(host: str, url: str) -> str:
    if host.startswith("["):
        try:
            address = ip_address(host[1:-1])
        except ValueError:
            raise _no_target(url, "a service's URL names a host that can be reached") from None
        inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return f"[{address}]" if inner is None else str(inner)
    name = host.lower().removesuffix(".")
    if not name.isascii() or "xn--" in name:
        name = _spelt(name, url)
    if _NUMERIC.fullmatch(name):
        try:
            return str(ip_address(name))
        except ValueError:
            raise _no_target(url, "a service's address is four plain numbers") from None
    if _NAME.fullmatch(name) is None:
        raise _no_target(url, "a service's URL names a host that can be reached")
    return name


def _spelt(name: str, url: str) -> str:
    """A host with letters beyond ASCII as the resolver is asked for it."""
    import httpx

    try:
        read = httpx.URL(f"https://{name}/")
        return httpx.URL(f"https://{read.host}/").raw_host.decode("ascii").removesuffix(".")
    except (httpx.InvalidURL, ValueError):
        raise _no_target(url, "a service's URL names a host that can be spelt") from None


def _path(path: str, url: str) -> str:
    if _AMBIGUOUS.search(path) or _BROKEN_ESCAPE.search(path):
        raise _no_target(
            url, "a service's URL has no escaped slash, backslash or percent sign, and no semicolon"
        )
    try:
        decoded = unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise _no_target(url, "a service's URL is escaped as UTF-8") from None
    kept: list[str] = []
    for segment in decoded.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "".join(f"/{quote(segment, safe=_SAFE)}" for segment in kept)


def _no_target(url: str, why: str) -> InputError:
    return InputError(f"{why or 'this is not the URL of a service'}: {url[:80]!r}")
