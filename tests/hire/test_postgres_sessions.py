"""What the environment, the URL, the role or the database set for a session: nothing of it costs money or results."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from masumi_tools.errors import JournalError
from masumi_tools.hire.budget import Budget
from masumi_tools.journal.database import explained, open_engine
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, purchases

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: the extra postgres brings it")
pytestmark = pytest.mark.postgres

TEXT = "žluť 漢字 🎉"


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
@pytest.mark.parametrize("way", ["url", "options", "environment"])
def test_every_text_is_sent_whatever_a_session_is_to_speak(postgres_url: str, monkeypatch, encoding, way):
    url = postgres_url
    if way == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", encoding)
    else:
        named = "client_encoding=" if way == "url" else "options=-c%20client_encoding%3D"
        url = f"{postgres_url}?{named}{encoding}"
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(url))
        receipt = buyer.hire(sandbox.service("echo").agent_identifier, {"text": TEXT}, patience_s=100)

        assert buyer.receipt(receipt.hire_id).result == TEXT.upper()
        assert len(purchases(sandbox)) == 1
        buyer.journal.close()


@pytest.mark.parametrize("level", ["serializable", r"repeatable\ read"])
def test_who_waited_for_the_budget_reads_what_is_there_then(postgres_url: str, monkeypatch, level):
    monkeypatch.setenv("PGOPTIONS", f"-c default_transaction_isolation={level}")
    engine = open_engine(postgres_url)
    with engine.begin() as db:
        assert db.scalar(sa.text("SHOW transaction_isolation")) == "read committed"
    engine.dispose()


@pytest.mark.parametrize(
    ("asked", "kept"), [("off", "local"), ("local", "local"), ("remote_apply", "remote_apply")]
)
def test_what_was_committed_is_on_the_disk(postgres_url: str, monkeypatch, asked, kept):
    monkeypatch.setenv("PGOPTIONS", f"-c synchronous_commit={asked}")
    engine = open_engine(postgres_url)
    with engine.begin() as db:
        assert db.scalar(sa.text("SHOW synchronous_commit")) == kept
    engine.dispose()


def test_tables_that_end_with_their_session_are_no_journal(postgres_url: str, monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c search_path=pg_temp")
    with pytest.raises(JournalError, match="is temporary"):
        Journal(postgres_url)


def test_tables_that_a_crash_empties_are_no_journal(postgres_url: str):
    Journal(postgres_url).close()
    with psycopg.connect(postgres_url) as db:
        db.execute("ALTER TABLE masumi_hires SET UNLOGGED")
    with pytest.raises(JournalError, match="masumi_hires is unlogged"):
        Journal(postgres_url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("//nobody@", 'the server says no: role "nobody" does not exist'),
        ("/t", "the server says no: database"),
    ],
)
def test_a_server_that_says_no_is_not_out_of_reach(postgres_url: str, url, words):
    wrong = postgres_url.replace("//masumi@", url) if "@" in url else f"{postgres_url}full"
    engine = open_engine(wrong)
    with pytest.raises(JournalError, match=words), explained("opening it"):
        engine.connect()
    engine.dispose()
