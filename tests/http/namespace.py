"""The address guard where inner networks exist: run by test_guard_in_a_namespace.py, not by pytest.

In a network namespace of its own, the loopback device carries private, shared, metadata and public
addresses alike, with one server behind all of them, so every URL of the table would be answered. Only
names are faked. Prints one JSON document: for each URL the addresses at which the server saw a
connection, by bare httpx (the control) and by each of our clients, and what our clients replied.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import threading
import warnings
from typing import Any

import httpx
import trustme

from masumi_tools.calls.call import Call, Reply
from masumi_tools.net.http import AsyncHttp, Http
from masumi_tools.settings import Settings

PORT = 8443
PLAIN_PORT = 8080
PUBLIC, PUBLIC_V6 = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
INSIDE = [
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.0.1",
    "198.18.0.1",
    "192.0.0.192",
    "240.0.0.1",
    "fd00:ec2::254",
    "fec0::1",
    "64:ff9b::a00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:a00:1::1",
    "2001:0:a00:1::f5ff:fffe",
]

NAMES: dict[str, list[list[str]]] = {
    "public.example": [[PUBLIC]],
    "public-v6.example": [[PUBLIC_V6]],
    "private.example": [["10.0.0.1"]],
    "metadata.example": [["169.254.169.254"]],
    "mixed.example": [[PUBLIC, "10.0.0.1"]],
    "mixed-inside-first.example": [["10.0.0.1", PUBLIC]],
    "nat64.example": [["64:ff9b::a9fe:a9fe"]],
    # The first answer is harmless, the second, when somebody asks again to connect, is not.
    "rebinding.example": [[PUBLIC], ["10.0.0.1"]],
    "redirects.example": [[PUBLIC]],
}
GOOD = [
    f"https://public.example:{PORT}/",
    f"https://public-v6.example:{PORT}/",
    f"https://{PUBLIC}:{PORT}/",
    f"https://redirects.example:{PORT}/to?https://public.example:{PORT}/",
]
HIDDEN = f"https://rebinding.example:{PORT}/"
BAD = [
    *(f"https://{f'[{one}]' if ':' in one else one}:{PORT}/" for one in INSIDE),
    *(f"http://{f'[{one}]' if ':' in one else one}:{PLAIN_PORT}/" for one in INSIDE[:6]),
    f"https://127.0.0.1:{PORT}/",
    f"https://0.0.0.0:{PORT}/",
    f"https://[::1]:{PORT}/",
    f"https://[::ffff:10.0.0.1]:{PORT}/",
    f"https://[::ffff:a9fe:a9fe]:{PORT}/",
    f"https://167772161:{PORT}/",
    f"https://0x0a000001:{PORT}/",
    f"https://10.1:{PORT}/",
    f"https://public.example@10.0.0.1:{PORT}/",
    f"https://user:password@public.example:{PORT}/",
    f"http://public.example:{PLAIN_PORT}/",
    "https://public.example:22/",
    f"https://private.example:{PORT}/",
    f"https://metadata.example:{PORT}/",
    f"https://mixed.example:{PORT}/",
    f"https://mixed-inside-first.example:{PORT}/",
    f"https://nat64.example:{PORT}/",
]
# The public server sends the caller on to an inner one.
REDIRECTED = [
    f"https://redirects.example:{PORT}/to?{target}"
    for target in (
        f"http://169.254.169.254:{PLAIN_PORT}/latest/meta-data/",
        f"https://10.0.0.1:{PORT}/",
        f"https://[::ffff:10.0.0.1]:{PORT}/",
        f"https://metadata.example:{PORT}/",
        f"//10.0.0.1:{PORT}/",
        f"http://public.example:{PLAIN_PORT}/",
        f"https://redirects.example:{PORT}/to?http://10.0.0.1:{PLAIN_PORT}/",
    )
]


class Server:
    """Answers on every address of the namespace and notes at which one it was called."""

    def __init__(self, port: int, tls: ssl.SSLContext | None) -> None:
        self.reached: list[str] = []
        self._tls = tls
        self._listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            self.reached.append(connection.getsockname()[0].removeprefix("::ffff:"))
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            target = connection.recv(65536).split(b" ")[1]
            head = b"HTTP/1.1 200 OK\r\n"
            if target.startswith(b"/to?"):
                head = b"HTTP/1.1 302 Found\r\nlocation: " + target[4:] + b"\r\n"
            connection.sendall(head + b"content-length: 2\r\nconnection: close\r\n\r\n{}")
        except (OSError, IndexError):
            pass
        finally:
            connection.close()


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def address(one: str) -> None:
    if ":" in one:
        ip("-6", "addr", "add", f"{one}/128", "dev", "lo", "nodad")
    else:
        ip("addr", "add", f"{one}/32", "dev", "lo")


def fake_names() -> dict[str, int]:
    real, asked = socket.getaddrinfo, dict.fromkeys(NAMES, 0)

    def answer(host: Any, port: Any, *rest: Any, **options: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in NAMES:
            return real(host, port, *rest, **options)
        asked[name] += 1
        answers = NAMES[name][min(asked[name], len(NAMES[name])) - 1]
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, port, 0, 0))
            if ":" in one
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in answers
        ]

    socket.getaddrinfo = answer  # type: ignore[assignment]
    return asked


def main() -> None:
    warnings.simplefilter("ignore")
    ip("link", "set", "lo", "up")
    for one in [PUBLIC, PUBLIC_V6, *INSIDE]:
        address(one)
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(
        *(name for name in NAMES if name.startswith(("public", "redirects", "rebinding"))), PUBLIC
    ).configure_cert(tls)
    servers = [Server(PORT, tls), Server(PLAIN_PORT, None)]
    asked = fake_names()

    async def by_async(call: Call) -> Reply:
        async with AsyncHttp(Settings(), ssl_context=trusting) as http:
            return await http.send(call)

    report: dict[str, Any] = {}
    for url in [*GOOD, HIDDEN, *BAD, *REDIRECTED]:
        row: dict[str, Any] = {}

        def reached() -> list[str]:
            at = [one for server in servers for one in server.reached]
            for server in servers:
                server.reached.clear()
            asked.update(dict.fromkeys(asked, 0))
            return at

        with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL):
            httpx.get(url, verify=False, follow_redirects=True, trust_env=False, timeout=5)
        row["httpx"] = reached()
        call = Call("GET /status", "service", url, timeout_s=5)
        with Http(Settings(), ssl_context=trusting) as http:
            reply = http.send(call)
        row["sync"], row["sync_reply"] = reached(), [reply.status, reply.fault]
        reply = asyncio.run(by_async(call))
        row["async"], row["async_reply"] = reached(), [reply.status, reply.fault]
        report[url] = row
    print(
        json.dumps({"good": GOOD, "hidden": HIDDEN, "bad": BAD, "redirected": REDIRECTED, "report": report})
    )


if __name__ == "__main__":
    main()
