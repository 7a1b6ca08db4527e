"""Foreign text in a message: on one line, cut, and without a secret."""

from __future__ import annotations

import gc
import time

import pytest

from masumi_tools.text import Secret, redact


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain words stay", "plain words stay"),
        ("https://user:word@host/path", "https://****@host/path"),
        ("https://user@host/", "https://****@host/"),
        ("postgresql+psycopg://u:p%40@db:5432/x", "postgresql+psycopg://****@db:5432/x"),
        ("GET /x?token=abc123&job_id=7", "GET /x?token=****&job_id=7"),
        ("/x?api_key=abc123#top", "/x?api_key=****#top"),
        ("X-API-Key: abc123", "X-API-Key: ****"),
        ('{"token": "abc123", "job": 1}', '{"token": "****", "job": 1}'),
        ("{'access_token': 'abc123'}", "{'access_token': '****'}"),
        ("Authorization: Bearer abc.def-123", "Authorization: ****"),
        ("sent bearer abc.def-123 along", "sent bearer **** along"),
        ("cookie: session=abc123; theme=dark", "cookie: ****; theme=dark"),
        ("password=hunter2", "password=****"),
        ("key masumi-payment-cm1234567890abcd is revoked", "key **** is revoked"),
        ("key masumi-registry-cm1234567890abcd is revoked", "key **** is revoked"),
        ("the masumi-payment-service is down", "the masumi-payment-service is down"),
        ("Unauthorized, no authentication token provided", "Unauthorized, no authentication token provided"),
        ("two\nlines\r\nand\ttabs", "two lines and tabs"),
        ("\x1b[31mred\x1b[0m\x00", "[31mred [0m"),
        ("safe\u202ednuof\u202c", "safe dnuof"),
        ("half \ud800 pair", "half pair"),
        (ValueError("an error"), "an error"),
        (404, "404"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: object, clean: str) -> None:
    assert redact(text) == clean


def test_living_secrets_are_hidden_wherever_they_stand() -> None:
    secret, twin = Secret("sEcReT-42"), Secret("sEcReT-42")
    assert redact("you sent sEcReT-42, twice: sEcReT-42") == "you sent ****, twice: ****"
    del secret
    gc.collect()
    assert redact("sEcReT-42") == "****"
    del twin
    gc.collect()
    assert redact("sEcReT-42") == "sEcReT-42"


def test_a_very_short_secret_does_not_blot_out_all_text() -> None:
    secret = Secret("a")
    assert redact("a banana") == "a banana"
    assert secret.reveal() == "a"


def test_long_text_is_cut_with_a_mark() -> None:
    assert redact("x" * 1000) == "x" * 299 + "…"
    assert redact("x" * 1000, 10) == "x" * 9 + "…"
    assert redact("x" * 10, 10) == "x" * 10


def test_a_secret_is_hidden_before_the_text_is_cut() -> None:
    secret = Secret("0123456789abcdef")
    assert "0123" not in redact("x" * 290 + secret.reveal())


@pytest.mark.parametrize("piece", ["token=", "://a", "bearer ", "token-", '":"', " ", "a@", "cookie: x "])
def test_hostile_text_takes_no_time(piece: str) -> None:
    began = time.monotonic()
    assert len(redact(piece * 1_000_000)) <= 300
    assert time.monotonic() - began < 2
