"""Whatever bytes another side sends, in whatever place: a call ends with a reply, and nothing is raised."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from masumi_tools.calls.call import Call
from masumi_tools.net.http import Http
from masumi_tools.settings import Settings
from tests.http.conftest import MakeClient
from tests.http.peer import Client, Peer, Seen, answer

FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

# What breaks readers, beside what chance finds.
NASTY = (
    b"https://xn--0/", b"https://xn--a-\xff/", b"http://[::1", b"https://[v1.x]/", b"//", b"https://\xe2\x80\xae/",
    b"https://" + b"a" * 300 + b".example/", b"https://a:99999/", b"https://a:x/", b"https://%00/", b"\x00",
    b"https://user:pw@host/", b"javascript:1", b"https://host\\@other/", b"https://\xc3\x9f.\xf0\x9f\x92\xa9/",
    b"nan", b"inf", b"-1", b"1e400", b"9" * 5000, b"\xd9\xa3", b"Mon, 99 Foo 0000 99:99:99 GMT",
    b"gzip", b"gzip, gzip", b"br", b"deflate", b"GZIP\xff", b"\xad", b"application/json; charset=utf-7", b"text/html; charset=\xff",
    b"text/plain; charset=rot13", b"; ; ;", b"\x1b]0;x\x07", b"\xed\xa0\x80", b'"\\ud800"', b"{" * 200, b"[1e999]",
)  # fmt: skip
words = st.one_of(st.sampled_from(NASTY), st.binary(max_size=60))
in_line = words.map(lambda text: text.replace(b"\r", b" ").replace(b"\n", b" "))
PLACES = ("Location", "Content-Type", "Content-Encoding", "Retry-After", "Content-Length", "Transfer-Encoding",
          "Date", "Sandbox-Now", "Set-Cookie", "Connection")  # fmt: skip


@pytest.fixture
def stranger() -> Iterator[Peer]:
    """Sends back what `stranger.data` holds, byte for byte, and hangs up."""

    def handle(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(peer.data)  # type: ignore[attr-defined]

    with Peer(handle) as peer:
        peer.data = b""  # type: ignore[attr-defined]
        yield peer


def _all_replies(client: Client, peer: Peer, caplog: pytest.LogCaptureFixture, data: bytes) -> None:
    peer.data = data  # type: ignore[attr-defined]
    for made in (client.get(peer.url, timeout_s=5), client.post(peer.url, timeout_s=5)):
        assert made.status is None or isinstance(made.status, int)
        assert made.retry_after_s is None or 0 <= made.retry_after_s <= 300
        assert made.detail.isprintable()
    assert made.sent, "it reached the other side: whatever that answered, it may have had its effect"
    assert [line.message for line in caplog.records if "unforeseen" in line.message] == []


@FEW
@given(data=words)
def test_an_answer_of_any_bytes(
    sandboxed: Client, stranger: Peer, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    _all_replies(sandboxed, stranger, caplog, data)


@FEW
@given(line=in_line)
def test_any_status_line(
    sandboxed: Client, stranger: Peer, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    _all_replies(sandboxed, stranger, caplog, b"HTTP/1.1 " + line + b"\r\ncontent-length: 2\r\n\r\n{}")


@FEW
@given(
    status=st.sampled_from([200, 204, 301, 302, 303, 307, 308, 304, 400, 404, 429, 500, 503, 599, 999]),
    headers=st.dictionaries(st.sampled_from(PLACES), in_line, max_size=4),
    body=words,
)
def test_any_headers_and_body(
    sandboxed: Client,
    stranger: Peer,
    caplog: pytest.LogCaptureFixture,
    status: int,
    headers: dict[str, bytes],
    body: bytes,
) -> None:
    head = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in headers.items())
    _all_replies(sandboxed, stranger, caplog, b"HTTP/1.1 %d X\r\n%s\r\n" % (status, head) + body)


@pytest.mark.parametrize("place", ["https://xn--0/", "http://[::1", "https://a:x/"])
def test_a_place_that_is_no_address_does_not_make_an_order_unsent(
    make_client: MakeClient, place: str
) -> None:
    """An order that a gateway answers with a broken redirect may have been carried out behind it."""
    with Peer(lambda seen, connection: connection.sendall(answer(302, b"", Location=place))) as peer:
        client = make_client(Settings(node_url=peer.url, sandbox=True))
        made = client.post(f"{peer.url}/api/v1/purchase", to="node")
        read = client.get(f"{peer.url}/status")
    assert (made.status, made.sent, made.unknown) == (302, True, True)
    assert read.fault in ("refused-address", "unsent") and not read.ok


def test_an_error_that_nobody_thought_of_is_a_reply_and_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        def handle_request(self, request: object) -> object:
            raise LookupError("masumi-payment-abcdefghijklmnop")

    with caplog.at_level(logging.ERROR, "masumi_tools.http"):
        http = Http(Settings(sandbox=True), transport=Broken())  # type: ignore[arg-type]
        reply = http.send(Call("POST /start_job", "service", "http://127.0.0.1:9/start_job", b"{}"))
    assert (reply.status, reply.fault, reply.sent) == (None, "lost", True)
    assert "LookupError at test_arbitrary_bytes.py" in caplog.text
    assert "abcdefghijklmnop" not in caplog.text + reply.detail
