"""Recorded exchanges with the sandbox are played back with no network, and nowhere is a secret in them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools.calls.call import Call
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from masumi_tools.text import Secret
from tests.http.conftest import MakeClient
from tests.http.peer import Peer, always
from tests.http.stories import CASSETTES, HIDDEN, STORIES, Place, cassette, tell

NAMES = sorted(STORIES)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True) as sandbox:
        yield sandbox


def test_there_is_a_cassette_for_each_story_and_no_other() -> None:
    assert sorted(path.stem for path in CASSETTES.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_story_is_told_from_its_cassette_with_sockets_off(
    make_client: MakeClient, socket_disabled: None, name: str
) -> None:
    client = make_client(Place().settings("not-the-token-of-the-recording"))
    with cassette(CASSETTES / f"{name}.yaml", "none") as tape:
        calls = tell(STORIES[name], Place(), client.send)
        assert tape.all_played and tape.play_count == calls > 10


@pytest.mark.parametrize("name", NAMES)
def test_a_story_is_true_of_the_living_sandbox(make_client: MakeClient, sandbox: Sandbox, name: str) -> None:
    at = Place(sandbox.origin)
    tell(STORIES[name], at, make_client(at.settings(sandbox.token)).send)


@pytest.mark.parametrize("name", NAMES)
def test_a_story_is_true_of_the_sandbox_without_sockets(
    make_client: MakeClient, socket_disabled: None, name: str
) -> None:
    sandbox = Sandbox(manual_clock=True, listen=False).start()
    at = Place(sandbox.origin)
    tell(STORIES[name], at, make_client(at.settings(sandbox.token), transport=sandbox.transport()).send)
    sandbox.stop()


# ---- secrets --------------------------------------------------------------------------------------------

KEY = re.compile(r"masumi-(payment|registry)-[0-9a-z]{8,}")
HEADER = re.compile(rf"^\s*({'|'.join(HIDDEN)}|set-cookie):", re.IGNORECASE | re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_no_cassette_has_a_token_or_a_cookie(name: str) -> None:
    text = (CASSETTES / f"{name}.yaml").read_text(encoding="utf-8")
    assert "127.0.0.1" in text
    assert KEY.search(text) is None and HEADER.search(text) is None


def test_a_recording_hides_what_is_secret_and_logs_nothing_of_it(
    make_client: MakeClient, sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at, path = Place(sandbox.origin), tmp_path / "new.yaml"
    settings = at.settings(sandbox.token)
    client = make_client(settings)
    with caplog.at_level(logging.DEBUG), cassette(path, "all"):
        tell(STORIES["a_hire_from_price_to_result"], at, client.send)
        with Peer(always(200, {"fine": True}, Set_Cookie="session=s3ss10n")) as peer:
            assert client.get(f"{peer.url}/status").ok
    text = path.read_text(encoding="utf-8")
    assert KEY.search(text) is None and HEADER.search(text) is None and "s3ss10n" not in text
    shown = [caplog.text, repr(settings), repr(client.http), repr(vars(client.http).get("_party"))]
    assert [one for one in (text, *shown) if sandbox.token in one or sandbox.admin_token in one] == []


def test_a_call_is_one_line_in_the_log_without_path_query_body_or_token(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    token = Secret("t0ken-of-mine")
    with Peer(always(200, {"answer": "4nswer"})) as peer:
        client = make_client(Settings(node_url=peer.url, node_token=token, sandbox=True))
        with caplog.at_level(logging.DEBUG):
            client.post(f"{peer.url}/p4th?job=qu3ry", to="node", body=b'{"input":"b0dy"}')
            client.get(f"http://us3r:p4ssword@127.0.0.1:{peer.port}/?token=qu3ry")
            client.get("https://h0st.example\n/")
    ours = [record.getMessage() for record in caplog.records if record.name == "masumi_tools.http"]
    assert [re.sub(r"\d+ ms$", "N ms", line) for line in ours] == [
        f"POST /start_job 127.0.0.1:{peer.port} -> 200 in N ms",
        f"GET /status 127.0.0.1:{peer.port} -> refused-address in N ms",
        "GET /status ? -> refused-address in N ms",
    ]
    for secret in (token.reveal(), "p4th", "qu3ry", "b0dy", "4nswer", "us3r", "p4ssword"):
        assert secret not in caplog.text


def test_logging_is_silent_by_default(make_client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    with Peer(always()) as peer, caplog.at_level(logging.INFO):
        make_client(Settings(sandbox=True)).get(peer.url)
    assert caplog.records == []


def test_no_reply_repeats_our_secrets_in_its_detail(make_client: MakeClient) -> None:
    token = Secret("t0ken-of-mine")
    settings = Settings(node_url="http://127.0.0.1:9", node_token=token, sandbox=True)
    for call in (
        Call("GET /x", "node", "http://127.0.0.1:9/x?token=t0ken-of-mine"),
        Call("GET /x", "service", "https://me:t0ken-of-mine@seller.example/"),
        Call("GET /x", "service", "https://t0ken-of-mine.example/"),
        Call("GET /x", "service", "nonsense t0ken-of-mine"),
    ):
        reply = make_client(settings).send(call)
        assert not reply.sent and reply.detail and "t0ken" not in reply.detail
    with Peer(always(302, b"", Location="/there?token=t0ken-of-mine")) as peer:
        reply = make_client(settings).post(peer.url)
        assert "/there" in reply.detail and "t0ken" not in reply.detail
