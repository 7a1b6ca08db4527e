"""The address guard: which URLs and addresses of strangers' services we connect to.

A service's URL comes from a stranger. Allowed is https to public addresses, on port 80, 443 or any from
1024 up (below that live mail, shells and the like, which must not be fed requests), without user
information. The sandbox adds loopback, also over plain http and on any port, and nothing else.

The URL is checked before a name is resolved (`check_url`), and every answer of the resolver before a
connection is made (`check_addresses`); then the checked address itself is dialled, so that a second
answer cannot differ. The tables are those of the IANA special-purpose registries, written out so that
no Python version changes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

from masumi_tools.errors import AddressRefused
from masumi_tools.text import redact

_LOCAL_NAMES = ("localhost",)
_LOWEST_PORT, _HIGHEST_PORT = 1024, 65535
_WEB_PORTS = (80, 443)

_CLOSED_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a carrier's shared address"),
        ("127.0.0.0/8", "a loopback address"),
        ("168.63.129.16/32", "a cloud metadata address"),
        ("169.254.0.0/16", "a link-local or metadata address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a documentation address"),
        ("192.88.99.0/24", "a reserved address"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
    )
)
# Only 2000::/3 is given out as global unicast; these parts of it are not public.
_GLOBAL_V6 = IPv6Network("2000::/3")
_CLOSED_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "a documentation address"),
        ("3fff::/20", "a documentation address"),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_LOOPBACK_V4 = IPv4Network("127.0.0.0/8")
_LOOPBACK_V6 = IPv6Address("::1")

_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
# What browsers and inet_aton read as an IPv4 address: the last label is a number.
_NUMERIC_NAME = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)


def check_url(url: str | httpx.URL, *, sandbox: bool = False) -> None:
    """Raises AddressRefused when a service's URL is none that we connect to; resolves no name.

    `sandbox` allows loopback, over http too.
    """
    try:
        parsed = httpx.URL(url)
        port = parsed.port
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise _refused(f"{redact(url, 100)} is not an address: {redact(error, 100)}") from None
    host = parsed.raw_host.decode("ascii", "replace")
    shown = redact(host, 100)
    if parsed.userinfo:
        raise _refused(f"the address of {shown} holds a user name or password")
    if not host:
        raise _refused(f"{redact(url, 100)} names no host")
    address = _literal(host)
    local = sandbox and _is_local(host)
    web = port is None or port in _WEB_PORTS or _LOWEST_PORT <= port <= _HIGHEST_PORT
    if not web and not (local and port is not None and 0 < port < _LOWEST_PORT):
        raise _refused(f"{shown} is on port {port}, which is not allowed: use 80, 443, or a port above 1023")
    if address is None and (_HOST_NAME.fullmatch(host) is None or _NUMERIC_NAME.fullmatch(host) is not None):
        raise _refused(f"{shown} is neither a host name nor a plainly written address")
    if parsed.scheme != "https" and not (local and parsed.scheme == "http"):
        raise _refused(f"{parsed.scheme}://{shown} is not https")
    if address is not None:
        check_addresses(host, [host], sandbox=sandbox)


def check_addresses(host: str, addresses: Sequence[str], *, sandbox: bool = False) -> None:
    """Raises AddressRefused when any one of the resolver's answers for `host` is not public.

    `sandbox` allows loopback; a local name ("localhost") then must lead to loopback.
    """
    for text in addresses:
        address = _literal(text)
        why = "an address that cannot be read" if address is None else _closed(address)
        loopback = address is not None and _is_loopback(address)
        if sandbox and loopback:
            why = None
        if why is None and not loopback and host.lower() in _LOCAL_NAMES:
            why = "not this machine"
        if why is not None:
            raise _refused(f"{redact(host, 100)} leads to {redact(text, 60)}, {why}")


def _refused(why: str) -> AddressRefused:
    return AddressRefused(f"Refused to connect: {why}.", phase="connect")


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _is_loopback(address: IPv4Address | IPv6Address) -> bool:
    return address in _LOOPBACK_V4 if isinstance(address, IPv4Address) else address == _LOOPBACK_V6


def _is_local(host: str) -> bool:
    address = _literal(host)
    return host.lower() in _LOCAL_NAMES if address is None else _is_loopback(address)


def _closed(address: IPv4Address | IPv6Address) -> str | None:
    """What kind of non-public address this is, or None for a public one."""
    if isinstance(address, IPv4Address):
        return next((what for network, what in _CLOSED_V4 if address in network), None)
    if address.scope_id is not None:
        return "a link-local address"
    for inner in _carried(address):
        what = _closed(inner)
        if what is not None:
            return f"{what} inside an IPv6 address"
    if address.ipv4_mapped is not None or address in _NAT64 or address.sixtofour or address.teredo:
        return None
    if address == _LOOPBACK_V6:
        return "a loopback address"
    if address not in _GLOBAL_V6:
        return "not a public address"
    return next((what for network, what in _CLOSED_V6 if address in network), None)


def _carried(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that a gateway or relay would read out of an IPv6 address."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address in _NAT64:
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    return address.teredo or ()
