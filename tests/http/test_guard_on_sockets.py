"""The address guard on real sockets: a canary on loopback that no URL of a stranger may reach.

Only names are faked. tests/http/namespace.py does the same where whole private networks are at hand.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import httpx
import pytest

from masumi_tools.settings import Secret, Settings
from tests.http.conftest import MakeClient, Names
from tests.http.peer import Client, Handler, Peer, Seen, always, answer

# {port} is the canary's; names of .example are answered as NAMES says.
URLS = [
    "http://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "https://localhost:{port}/",
    "https://127.1:{port}/",
    "https://127.0.0.1.:{port}/",
    "https://2130706433:{port}/",
    "https://0x7f000001:{port}/",
    "https://0x7f.0.0.1:{port}/",
    "https://017700000001:{port}/",
    "https://0177.0.0.1:{port}/",
    "https://0.0.0.0:{port}/",
    "https://0:{port}/",
    "https://[::1]:{port}/",
    "https://[::]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:7f00:1]:{port}/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]:{port}/",
    "https://[64:ff9b::127.0.0.1]:{port}/",
    "https://[2002:7f00:1::]:{port}/",
    "https://user@127.0.0.1:{port}/",
    "https://seller.example@127.0.0.1:{port}/",
    "https://seller.example:{port}@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\\@seller.example/",
    "https://loopback.example:{port}/",
    "https://mixed.example:{port}/",
    "https://mixed-v6.example:{port}/",
    "https://zero.example:{port}/",
    "https://mapped.example:{port}/",
    "https://private.example:{port}/",
    "https://shared.example:{port}/",
    "https://metadata.example:{port}/",
    "https://nat64.example:{port}/",
    "http://public.example:{port}/",
]
NAMES = {
    "loopback.example": ["127.0.0.1"],
    "mixed.example": ["93.184.215.14", "127.0.0.1"],
    "mixed-v6.example": ["127.0.0.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
    "zero.example": ["0.0.0.0"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "private.example": ["10.0.0.1"],
    "shared.example": ["100.64.0.1"],
    "metadata.example": ["169.254.169.254"],
    "nat64.example": ["64:ff9b::a9fe:a9fe"],
    "public.example": ["127.0.0.1"],
}


class Canary(Peer):
    """Listens on loopback in both families; any connection at all is one too many."""

    def __init__(self) -> None:
        super().__init__(always(200, {"inside": True}))
        self._listener.close()
        self._listener = socket.create_server(("", self.port), family=socket.AF_INET6, dualstack_ipv6=True)


@pytest.fixture
def canary() -> Iterator[Canary]:
    with Canary() as canary:
        yield canary


@pytest.fixture
def faked(names: Names) -> Names:
    for name, addresses in NAMES.items():
        names.set(name, addresses)
    return names


def test_the_table_is_long_and_the_canary_can_be_reached(canary: Canary, sandboxed: Client) -> None:
    assert len(URLS) >= 20
    assert sandboxed.get(f"http://127.0.0.1:{canary.port}/").body == {"inside": True}
    assert sandboxed.get(f"http://[::1]:{canary.port}/").body == {"inside": True}
    assert canary.connections == 2


@pytest.mark.parametrize("url", URLS)
def test_no_url_of_a_stranger_connects_inside(
    canary: Canary, faked: Names, make_client: MakeClient, url: str
) -> None:
    client = make_client()
    for reply in (client.get(url.format(port=canary.port)), client.post(url.format(port=canary.port))):
        assert (reply.status, reply.fault, reply.sent) == (None, "refused-address", False)
        assert reply.detail.startswith("Refused to connect")
    assert canary.connections == 0


@pytest.mark.parametrize("url", URLS)
def test_the_wrong_node_in_a_call_is_guarded_as_a_stranger(
    canary: Canary, faked: Names, make_client: MakeClient, url: str
) -> None:
    settings = Settings(node_url="https://node.example", node_token=Secret("node-token-1"))
    reply = make_client(settings).get(url.format(port=canary.port), to="node")
    assert reply.fault == "refused-address"
    assert canary.connections == 0


def test_a_name_that_leads_elsewhere_after_the_check_is_not_asked_twice(
    canary: Canary, names: Names, make_client: MakeClient
) -> None:
    names.set("rebinding.example", ["192.0.0.8"], ["127.0.0.1"])
    names.set("rebinding-2.example", ["127.0.0.2"], ["127.0.0.1"])
    assert make_client().get(f"https://rebinding.example:{canary.port}/").fault == "refused-address"
    # Where the first answer is allowed, that one address is dialled, and nobody is listening there.
    with socket.create_server(("127.0.0.3", 0)) as closed:
        port = closed.getsockname()[1]
    names.set("rebinding-2.example", ["127.0.0.3"], ["127.0.0.1"])
    reply = make_client(Settings(sandbox=True)).get(f"https://rebinding-2.example:{port}/")
    assert reply.fault == "unsent"
    assert (
        names.asked == ["rebinding.example"] + ["rebinding-2.example"] * 2
    )  # the second try is a new connect
    assert canary.connections == 0


# ---- redirects ------------------------------------------------------------------------------------------


def redirects(*targets: str, status: int = 302, then: bytes = answer(200, {"arrived": True})) -> Handler:
    """Sends the first callers on, one target each, and answers the last."""
    left = list(targets)

    def handle(seen: Seen, connection: socket.socket) -> bool:
        connection.sendall(answer(status, b"", Location=left.pop(0)) if left else then)
        return True

    return handle


@pytest.mark.parametrize(
    "target",
    [
        "http://10.0.0.1:{port}/",
        "https://10.0.0.1:{port}/",
        "http://0.0.0.0:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://2130706433:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "//0.0.0.0:{port}/",
        "http://user@127.0.0.1:{port}/",
        "https://mapped.example:{port}/",
        "http://public.example:{port}/",
        "file:///etc/passwd",
        "https://[::1",
    ],
)
def test_a_redirect_inward_is_refused(canary: Canary, faked: Names, sandboxed: Client, target: str) -> None:
    with Peer(redirects(target.format(port=canary.port))) as peer:
        reply = sandboxed.get(f"{peer.url}/status")
    assert reply.fault == "refused-address" and not reply.ok
    assert (len(peer.seen), canary.connections) == (1, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_get_is_redirected_with_every_step_checked(sandboxed: Client, status: int) -> None:
    with (
        Peer(always(200, {"arrived": True})) as last,
        Peer(redirects("/there?a=b", f"{last.url}/end", status=status)) as peer,
    ):
        reply = sandboxed.get(f"{peer.url}/status?job_id=1")
    assert (reply.status, reply.body) == (200, {"arrived": True})
    assert [seen.target for seen in peer.seen + last.seen] == ["/status?job_id=1", "/there?a=b", "/end"]
    assert peer.connections == 1  # the connection is kept from redirect to redirect


def test_a_redirect_without_a_place_is_an_answer(sandboxed: Client) -> None:
    with Peer(always(302, {"nowhere": True})) as peer:
        reply = sandboxed.get(peer.url)
    assert (reply.status, reply.body, reply.ok) == (302, {"nowhere": True}, False)


def test_redirects_end_after_five(sandboxed: Client) -> None:
    with Peer(always(302, b"", Location="/again")) as peer:
        reply = sandboxed.get(peer.url)
    assert (reply.status, reply.fault, reply.ok, len(peer.seen)) == (302, None, False, 6)
    assert "/again" in reply.detail


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_post_is_never_redirected(sandboxed: Client, status: int) -> None:
    with Peer(always(status, b"", Location="/start_job")) as peer:
        reply = sandboxed.post(f"{peer.url}/start_job/")
    assert (reply.status, reply.unknown, reply.ok, len(peer.seen)) == (status, True, False, 1)
    assert reply.headers["location"] == "/start_job" and "not followed" in reply.detail


# ---- TLS ------------------------------------------------------------------------------------------------


@pytest.fixture
def trusting_client(make_client: MakeClient, trusting: ssl.SSLContext) -> Client:
    return make_client(Settings(sandbox=True), ssl_context=trusting)


def test_tls_is_checked_against_the_name_and_not_the_address(
    trusting_client: Client, names: Names, certificate: ssl.SSLContext
) -> None:
    names.set("seller.example", ["127.0.0.1"])
    names.set("other.example", ["127.0.0.1"])
    with Peer(always(200, {"tls": True}), tls=certificate) as peer:
        assert trusting_client.get(f"https://seller.example:{peer.port}/").body == {"tls": True}
        assert trusting_client.get(f"https://127.0.0.1:{peer.port}/").body == {"tls": True}
        before = peer.connections
        reply = trusting_client.post(f"https://other.example:{peer.port}/")
    assert (reply.status, reply.fault) == (None, "unsent")
    assert "certificate verify failed" in reply.detail.lower()
    assert len(peer.seen) == 2 and peer.connections == before + 1  # a wrong certificate is not tried again


def test_a_certificate_that_nobody_vouches_for_is_refused(
    sandboxed: Client, names: Names, certificate: ssl.SSLContext
) -> None:
    names.set("seller.example", ["127.0.0.1"])
    with Peer(always(), tls=certificate) as peer:
        assert sandboxed.get(f"https://seller.example:{peer.port}/").fault == "unsent"
    assert peer.seen == []


def test_the_next_address_is_tried_when_the_first_does_not_answer(
    trusting_client: Client, names: Names, certificate: ssl.SSLContext
) -> None:
    names.set("seller.example", ["127.0.0.9", "127.0.0.1"])
    with Peer(always(200, {"second": True}), tls=certificate) as peer:
        assert trusting_client.get(f"https://seller.example:{peer.port}/").body == {"second": True}


# ---- what strangers get to see --------------------------------------------------------------------------


def test_the_token_goes_to_its_own_origin_alone(make_client: MakeClient) -> None:
    with (
        Peer(always(200, {}, Set_Cookie="session=abc")) as node,
        Peer(always(200, {}, Set_Cookie="session=abc")) as registry,
        Peer(always(200, {}, Set_Cookie="session=abc")) as service,
    ):
        client = make_client(
            Settings(
                node_url=node.url,
                node_token=Secret("node-token-1"),
                registry_url=registry.url,
                registry_token=Secret("registry-token-1"),
                sandbox=True,
            )
        )
        for _ in range(2):
            client.get(f"{node.url}/api/v1/health", to="node")
            client.get(f"{registry.url}/api/v1/health", to="registry")
            client.get(f"{service.url}/status")
        client.get(f"{node.url}/status")  # a service that says that it lives where our node is
        client.get(f"{registry.url}/api/v1/health", to="node")
        reply = client.get(f"{service.url}/api/v1/health", to="node")
    assert [seen.headers.get("token") for seen in node.seen] == ["node-token-1"] * 2 + [None]
    assert [seen.headers.get("token") for seen in registry.seen] == ["registry-token-1"] * 2 + [None]
    assert [seen.headers.get("token") for seen in service.seen] == [None] * 3
    assert not any("cookie" in seen.headers for seen in node.seen + registry.seen + service.seen)
    assert "set-cookie" not in reply.headers


def test_no_redirect_of_the_node_is_followed(make_client: MakeClient) -> None:
    with Peer(always(200, {})) as other, Peer(always(307, b"", Location=f"{other.url}/x")) as node:
        client = make_client(Settings(node_url=node.url, node_token=Secret("node-token-1")))
        for reply in (client.get(node.url, to="node"), client.post(node.url, to="node")):
            assert reply.status == 307 and other.url in reply.detail
    assert other.seen == []


def test_a_redirect_to_the_node_carries_no_token(make_client: MakeClient) -> None:
    with (
        Peer(always(200, {})) as node,
        Peer(always(302, b"", Location=f"{node.url}/api/v1/purchase")) as service,
    ):
        settings = Settings(node_url=node.url, node_token=Secret("node-token-1"), sandbox=True)
        assert make_client(settings).get(service.url).ok
    assert "token" not in node.seen[0].headers


def test_proxies_of_the_environment_are_not_used(
    canary: Canary, sandboxed: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    with Peer(always(200, {"direct": True})) as peer:
        assert sandboxed.get(peer.url).body == {"direct": True}
    assert canary.connections == 0


def test_a_transport_of_one_s_own_gets_no_refused_url(make_client: MakeClient) -> None:
    asked: list[str] = []

    def answer_all(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"ok": True})

    client = make_client(Settings(), transport=httpx.MockTransport(answer_all))
    assert client.get("https://seller.example/status").ok
    assert client.get("https://10.0.0.1/status").fault == "refused-address"
    assert asked == ["https://seller.example/status"]
