"""What comes back from strangers: read when it is JSON, cut when it is too much, and never an exception."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
import zlib

import pytest

from masumi_tools.calls.call import Call
from masumi_tools.settings import Secret, Settings
from tests.http.conftest import MakeClient
from tests.http.peer import Client, Handler, Peer, Seen, always, answer

CAP = 50_000


def writes(*pieces: bytes) -> Handler:
    """Writes the pieces and closes the connection."""

    def handle(seen: Seen, connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return handle


def test_a_json_answer_is_read_with_its_headers_in_lower_case(sandboxed: Client) -> None:
    with Peer(always(200, {"status": "running"}, Retry_After="7", X_Some="Thing")) as peer:
        reply = sandboxed.get(f"{peer.url}/status?job_id=1")
    assert reply.ok and reply.sent and not reply.unknown
    assert (reply.status, reply.body, reply.text) == (200, {"status": "running"}, '{"status": "running"}')
    assert (reply.headers["x-some"], reply.retry_after_s) == ("Thing", 7.0)
    assert peer.seen[0].target == "/status?job_id=1"


def test_the_body_is_sent_as_it_was_made(sandboxed: Client) -> None:
    body = '{"b":1,"a":"ä"}'.encode()
    with Peer(always()) as peer:
        assert sandboxed.post(peer.url, body=body).ok
    seen = peer.seen[0]
    assert (seen.method, seen.body, seen.headers["content-type"]) == ("POST", body, "application/json")


@pytest.mark.parametrize("kind", ["text/html", "text/plain; charset=iso-8859-1", ""])
def test_json_counts_whatever_its_content_type_says(sandboxed: Client, kind: str) -> None:
    with Peer(always(200, {"ok": "ä"}, Content_Type=kind)) as peer:
        assert sandboxed.get(peer.url).body == {"ok": "ä"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"<html>hello</html>", "not JSON"),
        (b'{"a":1', "not JSON"),
        (b'{"a":NaN}', "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b"[1e999]", "range"),
        (b"[" + b"9" * 5000 + b"]", "digits"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b"[" * 101 + b"]" * 101, "deeper than 100"),
        (b'{"a":' * 60_000 + b"1" + b"}" * 60_000, "deeper than 100"),
        (b"[" * 200_000, "deeper than 100"),
    ],
)
def test_an_unreadable_2xx_answer_leaves_the_effect_unknown(sandboxed: Client, body: bytes, why: str) -> None:
    with Peer(always(200, body)) as peer:
        reply = sandboxed.post(peer.url)
    assert (reply.status, reply.fault, reply.body) == (200, "not-json", None)
    assert why in reply.detail
    assert reply.unknown and not reply.ok


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"[" * 100 + b"]" * 100, None),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b"[9007199254740993]", [2**53 + 1]),
        (b"[" + b"9" * 300 + b"]", [10**300 - 1]),
        (b'{"\\ud83d\\ude00":"x"}', {"\U0001f600": "x"}),
        (b'["a\\ud800b", {"\\uDC00": 1}]', ["a\ufffdb", {"\ufffd": 1}]),
        (b'"' + b"[" * 500 + b'\\"\\\\"', "[" * 500 + '"\\'),
        (b"null", None),
    ],
)
def test_odd_but_harmless_json_is_read(sandboxed: Client, body: bytes, value: object) -> None:
    with Peer(always(200, body)) as peer:
        reply = sandboxed.get(peer.url)
    assert reply.ok
    if value is not None:
        assert reply.body == value


def test_many_brackets_and_escapes_take_no_time(sandboxed: Client) -> None:
    body = b'["' + b'\\"[' * 1_000_000 + b'"]'
    with Peer(always(200, body)) as peer:
        began = time.monotonic()
        assert sandboxed.get(peer.url).ok
    assert time.monotonic() - began < 5


def test_an_html_502_is_unknown_and_keeps_its_text(sandboxed: Client) -> None:
    page = b"<html><h1>502 Bad Gateway</h1></html>"
    with Peer(always(502, page, Content_Type="text/html")) as peer:
        reply = sandboxed.post(peer.url)
    assert (reply.status, reply.fault, reply.unknown) == (502, "not-json", True)
    assert reply.text == page.decode()


def test_a_refusal_that_is_no_json_is_still_a_refusal(sandboxed: Client) -> None:
    with Peer(always(404, b"not here")) as peer:
        reply = sandboxed.post(peer.url)
    assert (reply.status, reply.fault, reply.unknown, reply.ok) == (404, "not-json", False, False)


def test_the_text_of_a_reply_is_cut(sandboxed: Client) -> None:
    with Peer(always(500, b"\xff" + "ä".encode() * 30_000)) as peer:
        reply = sandboxed.get(peer.url)
    assert len(reply.text) == 10_000 and reply.text.startswith("\ufffdää")


# ---- size -----------------------------------------------------------------------------------------------


def test_an_announced_size_over_the_cap_is_not_even_read(sandboxed: Client) -> None:
    sent: list[int] = []

    def handle(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5000000000\r\n\r\n")
        sent.append(len(connection.recv(1)))

    with Peer(handle) as peer:
        reply = sandboxed.get(peer.url, cap_bytes=CAP)
    assert (reply.status, reply.fault, reply.unknown) == (200, "too-large", True)


@pytest.mark.parametrize("status", [200, 400, 503])
def test_an_endless_answer_is_cut_at_the_cap(sandboxed: Client, status: int) -> None:
    sent = 0
    gone = threading.Event()

    def handle(seen: Seen, connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(f"HTTP/1.1 {status} OK\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        try:
            while sent < 200_000_000:
                connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
        except OSError:
            gone.set()

    with Peer(handle) as peer:
        reply = sandboxed.get(peer.url, cap_bytes=CAP)
        assert gone.wait(10)
    assert (reply.status, reply.fault) == (status, "too-large")
    assert reply.text == "x" * 10_000
    assert reply.unknown == (status != 400)


def test_an_answer_of_exactly_the_cap_is_read(sandboxed: Client) -> None:
    body = b'"' + b"x" * (CAP - 2) + b'"'
    with Peer(always(200, body)) as peer:
        assert sandboxed.get(peer.url, cap_bytes=CAP).ok
        assert sandboxed.get(peer.url, cap_bytes=CAP - 1).fault == "too-large"


def test_gzip_is_unpacked(sandboxed: Client) -> None:
    with Peer(always(200, gzip.compress(b'{"a":"b"}'), Content_Encoding="gzip")) as peer:
        assert sandboxed.get(peer.url).body == {"a": "b"}


def test_a_gzip_bomb_costs_no_more_than_the_cap(sandboxed: Client) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    bomb = b"".join(packer.compress(b"0" * 1_000_000) for _ in range(150)) + packer.flush()
    with Peer(always(200, bomb, Content_Encoding="gzip")) as peer:
        tracemalloc.start()
        reply = sandboxed.get(peer.url, cap_bytes=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (reply.status, reply.fault) == (200, "too-large")
    assert peak < 12_000_000


def test_packed_bytes_that_unpack_to_nothing_are_cut_too(sandboxed: Client) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    begin = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    nothing = b"\x00\x00\x00\xff\xff" * 5000  # empty blocks, as many as one likes
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n"
    with Peer(writes(head, begin, *[nothing] * 100)) as peer:
        assert sandboxed.get(peer.url, cap_bytes=CAP).fault == "too-large"


def test_gzip_that_breaks_off_is_lost(sandboxed: Client) -> None:
    packed = gzip.compress(b'{"a":"' + bytes(range(97, 123)) * 50 + b'"}')
    with Peer(always(200, packed[:-20], Content_Encoding="gzip")) as peer:
        reply = sandboxed.get(peer.url)
    assert (reply.status, reply.fault, reply.unknown) == (200, "lost", True)


def test_gzip_that_is_none_is_lost(sandboxed: Client) -> None:
    with Peer(always(200, b'{"a":1}', Content_Encoding="gzip")) as peer:
        reply = sandboxed.get(peer.url)
    assert (reply.status, reply.fault, reply.unknown) == (200, "lost", True)


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip"])
def test_an_encoding_that_was_not_asked_for_is_not_unpacked(sandboxed: Client, encoding: str) -> None:
    with Peer(always(200, b"whatever", Content_Encoding=encoding)) as peer:
        reply = sandboxed.get(peer.url)
    assert peer.seen[0].headers["accept-encoding"] == "gzip"
    assert (reply.status, reply.fault) == (200, "not-json")


# ---- time -----------------------------------------------------------------------------------------------


def drips(head: bytes, drop: bytes, stop: threading.Event) -> Handler:
    """Begins an answer and goes on a byte at a time, faster than any single read would time out."""

    def handle(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(head)
        while not stop.wait(0.05):
            connection.sendall(drop)

    return handle


@pytest.mark.parametrize(
    ("head", "drop", "status"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", b" ", 200),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n", 200),
        (b"HTTP/1.1 200 OK\r\nx-long: ", b"x", None),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", None),
    ],
    ids=["body", "chunks", "headers", "continue"],
)
def test_a_dripping_answer_ends_when_the_call_s_time_is_over(
    sandboxed: Client, head: bytes, drop: bytes, status: int | None
) -> None:
    stop = threading.Event()
    with Peer(drips(head, drop, stop)) as peer:
        began = time.monotonic()
        reply = sandboxed.get(peer.url, timeout_s=0.5)
        took = time.monotonic() - began
        stop.set()
    assert (reply.status, reply.fault, reply.unknown, reply.sent) == (status, "lost", True, True)
    assert 0.4 < took < 3


def test_no_answer_at_all_is_lost(sandboxed: Client) -> None:
    stop = threading.Event()
    with Peer(lambda seen, connection: stop.wait(10)) as peer:
        reply = sandboxed.post(peer.url, timeout_s=0.3)
        stop.set()
    assert (reply.status, reply.fault, reply.unknown) == (None, "lost", True)
    assert reply.detail == "no answer within 0.3 s"
    assert len(peer.seen) == 1


# ---- connections that fail ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ((), None),
        ((b"HTTP/1.1 200 OK\r\ncontent-le",), None),
        ((b"nonsense\r\n\r\n",), None),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",), 200),
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",), 200),
        ((b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"y" * 300_000 + b"\r\n\r\n{}",), None),
    ],
    ids=["silence", "half a head", "no http", "half a body", "bad chunk", "endless header"],
)
def test_a_post_whose_answer_broke_off_is_lost_and_not_repeated(
    sandboxed: Client, pieces: tuple[bytes, ...], status: int | None
) -> None:
    with Peer(writes(*pieces)) as peer:
        reply = sandboxed.post(peer.url)
    assert (reply.status, reply.fault, reply.unknown, reply.sent) == (status, "lost", True, True)
    assert len(peer.seen) == 1


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_refused_connection_was_never_sent(sandboxed: Client) -> None:
    reply = sandboxed.post(f"http://127.0.0.1:{closed_port()}/start_job")
    assert (reply.status, reply.fault, reply.sent, reply.unknown) == (None, "unsent", False, False)
    assert "no connection" in reply.detail


def test_a_name_that_nobody_knows_was_never_sent(make_client: MakeClient) -> None:
    reply = make_client().post("https://nowhere.example/start_job")
    assert (reply.status, reply.fault, reply.sent) == (None, "unsent", False)
    assert "nowhere.example was not found" in reply.detail


def test_a_name_service_that_does_not_answer_is_given_up_in_time(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    def hang(host: str, port: int) -> list[str]:
        stop.wait(10)
        return []

    monkeypatch.setattr("masumi_tools.net.dialling.resolve", hang)
    began = time.monotonic()
    reply = make_client().post("https://slow.example/start_job", timeout_s=0.3)
    took = time.monotonic() - began
    stop.set()
    assert (reply.fault, reply.sent) == ("unsent", False)
    assert "name service" in reply.detail and took < 3


class Opens(threading.Thread):
    """Opens a port shortly after somebody knocked at it in vain."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.knocked = threading.Event()
        self.listener: socket.socket | None = None
        self.requests = 0

    def run(self) -> None:
        self.knocked.wait(10)
        self.listener = socket.create_server(("127.0.0.1", self.port))
        connection, _ = self.listener.accept()
        with connection:
            connection.recv(65536)
            self.requests += 1
            connection.sendall(answer(200, {"late": True}))


def test_a_connection_that_could_not_be_made_is_tried_once_more(
    sandboxed: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = Opens(closed_port())
    opens.start()
    monkeypatch.setattr("masumi_tools.net.exchange.Exchange.failed", _knocking(opens.knocked))
    reply = sandboxed.post(f"http://127.0.0.1:{opens.port}/start_job")
    opens.join(10)
    assert opens.listener is not None
    opens.listener.close()
    assert reply.body == {"late": True} and opens.requests == 1


def _knocking(knocked: threading.Event):  # type: ignore[no-untyped-def]
    from masumi_tools.net.exchange import Exchange

    failed = Exchange.failed

    def tell(self: Exchange, error: Exception) -> bool:
        knocked.set()
        again = failed(self, error)
        time.sleep(0.05)
        return again

    return tell


def test_the_sandbox_s_clock_is_told_from_every_answer(make_client: MakeClient) -> None:
    told: list[int] = []
    with Peer(always(404, {}, Sandbox_Now="1790000000000")) as peer:
        make_client(Settings(sandbox=True), on_sandbox_now=told.append).get(peer.url)
        own = Settings(node_url=peer.url, node_token=Secret("abcdefgh"))
        make_client(own, on_sandbox_now=told.append).send(Call("GET /health", "node", peer.url))
    assert told == [1790000000000]


@pytest.mark.parametrize("now", ["soon", "-5", "1" * 40, "²", ""])
def test_a_sandbox_clock_that_is_no_time_is_not_told(make_client: MakeClient, now: str) -> None:
    told: list[int] = []
    with Peer(always(200, {}, Sandbox_Now=now)) as peer:
        assert make_client(Settings(sandbox=True), on_sandbox_now=told.append).get(peer.url).ok
    assert told == []
