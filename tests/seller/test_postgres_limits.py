"""A PostgreSQL that is silent, restarted, read-only, pooled or of the wrong kind is noticed soon and said in words."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from masumi_tools.errors import JournalError
from masumi_tools.journal import postgres
from masumi_tools.journal.database import explained, open_engine
from masumi_tools.journal.postgres import refuse_pooler, unhurried
from masumi_tools.seller.jobs.job import Rules
from masumi_tools.seller.jobs.table import JobTable
from tests.ports import free_port
from tests.postgres import Server
from tests.seller.support import until

pytestmark = pytest.mark.postgres

HELD = "idle_in_transaction_session_timeout"
# A dead process of a shop is known in 17 s; with what it held, its jobs go on within 30.
PROBES = {
    HELD: "8s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


def test_a_server_that_says_nothing_is_given_up_and_a_new_connection_is_made(postgres_url: str):
    """Its network still acknowledges what is sent, so the system's own limits see nothing."""
    engine = open_engine(postgres_url, 1)
    with engine.connect() as db:
        pid = db.scalar(sa.text("SELECT pg_backend_pid()"))
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        try:
            with pytest.raises(JournalError, match="does not answer"), explained("asking"):
                db.execute(sa.text("SELECT 1"))
            assert time.monotonic() - begun < 5
        finally:
            os.kill(pid, signal.SIGCONT)
    with engine.connect() as db:
        assert db.scalar(sa.text("SELECT pg_backend_pid()")) != pid
    engine.dispose()


def test_a_server_that_does_not_even_greet_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = open_engine(f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=1", 1)
        begun = time.monotonic()
        with pytest.raises(JournalError, match="cannot be reached"), explained("opening"):
            engine.connect()
        assert time.monotonic() - begun < 5


def test_a_statement_that_takes_too_long_is_ended_by_the_server_unless_it_may(postgres_url: str):
    engine = open_engine(postgres_url, 1)
    with (
        pytest.raises(JournalError, match="did not answer in time"),
        explained("asking"),
        engine.begin() as db,
    ):
        db.execute(sa.text("SELECT pg_sleep(20)"))
    with engine.begin() as db, unhurried(db):
        assert db.execute(sa.text("SELECT pg_sleep(1.2)")).all()
    with engine.begin() as db:  # the limit is back
        assert db.scalar(sa.text("SHOW statement_timeout")) == "1s"
    engine.dispose()


def test_what_a_vanished_machine_was_writing_is_free_again(postgres_url: str, monkeypatch):
    """And a job that it was about to claim: `SKIP LOCKED` passes by what it holds, as long as it holds it."""
    monkeypatch.setitem(postgres._VANISHED, HELD, 1_000)
    engine, lost = open_engine(postgres_url), open_engine(postgres_url)
    with engine.begin() as db:
        db.execute(sa.text("CREATE TABLE t (a int)"))
        db.execute(sa.text("INSERT INTO t VALUES (1)"))
    gone = lost.connect()
    gone.execute(sa.text("UPDATE t SET a = a + 1"))  # and no word ever after
    with engine.begin() as db:
        assert not db.execute(sa.text("SELECT a FROM t FOR UPDATE SKIP LOCKED")).all()
    with engine.begin() as db:
        assert db.execute(sa.text("UPDATE t SET a = 10 * a RETURNING a")).scalar() == 10
    with pytest.raises(JournalError, match="stood still in it"), explained("saving"):
        gone.commit()  # it was only standing still, and hears that nothing of it was saved
    gone.close()
    lost.dispose()
    engine.dispose()


def test_the_server_itself_finds_out_that_a_machine_is_gone(postgres_url: str):
    engine = open_engine(postgres_url)
    with engine.connect() as db:
        shown = {name: db.scalar(sa.text(f"SHOW {name}")) for name in PROBES}
        with unhurried(db):  # a migration may think longer between two statements, and not for ever
            assert db.scalar(sa.text(f"SHOW {HELD}")) == "1min"
    engine.dispose()
    assert shown == PROBES


def test_a_session_that_cannot_write_any_more_is_renewed(postgres_url: str):
    """As after a failover: the server we are connected to is a standby now."""
    engine = open_engine(postgres_url)
    with engine.begin() as db:
        db.execute(sa.text("CREATE TABLE t (a int)"))
        pid = db.scalar(sa.text("SELECT pg_backend_pid()"))
        db.execute(sa.text("SET default_transaction_read_only = on"))
    with pytest.raises(JournalError, match="cannot be written"), explained("saving"), engine.begin() as db:
        db.execute(sa.text("INSERT INTO t VALUES (1)"))
    with engine.begin() as db:
        db.execute(sa.text("INSERT INTO t VALUES (2)"))
        assert db.scalar(sa.text("SELECT pg_backend_pid()")) != pid
    engine.dispose()


def test_a_database_that_cannot_hold_every_text_is_refused(postgres_server: Server):
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as db:
        db.execute("DROP DATABASE IF EXISTS latin")
        db.execute("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")

    with pytest.raises(JournalError, match=r"LATIN1.*ENCODING 'UTF8'"):
        JobTable(postgres_server.url("latin"), Rules())


def test_a_user_who_may_not_make_tables_hears_what_is_missing(postgres_server: Server, postgres_url: str):
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute("DROP ROLE IF EXISTS guest")
        db.execute("CREATE ROLE guest LOGIN")
        db.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    with pytest.raises(JournalError, match="GRANT CREATE, USAGE ON SCHEMA public"):
        JobTable(postgres_url.replace("masumi@", "guest@"), Rules())

    JobTable(postgres_url, Rules()).close()  # the owner opens it once
    with pytest.raises(JournalError, match="may not read or write"):
        JobTable(postgres_url.replace("masumi@", "guest@"), Rules())


@pytest.fixture(params=["transaction", "session"])
def pooler(
    request: pytest.FixtureRequest, postgres_server: Server, postgres_url: str, tmp_path: Path
) -> Iterator[tuple[str, str]]:
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not installed here")
    if os.geteuid() == 0:
        pytest.importorskip("pwd")
    port = free_port()
    name = postgres_url.rpartition("/")[2]
    (tmp_path / "users").write_text('"masumi" ""\n')
    (tmp_path / "ini").write_text(
        f"[databases]\n{name} = host=127.0.0.1 port={postgres_server.port} user=masumi\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\nunix_socket_dir =\n"
        f"auth_file = {tmp_path}/users\npool_mode = {request.param}\n"
        "ignore_startup_parameters = options,extra_float_digits\n"
    )
    who = {"user": "nobody"} if os.geteuid() == 0 else {}
    if who:
        for path in (tmp_path, tmp_path / "users", tmp_path / "ini"):
            path.chmod(0o755)
        for parent in list(tmp_path.parents)[:3]:
            parent.chmod(0o755)
    process = subprocess.Popen(
        [program, str(tmp_path / "ini")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who
    )
    url = f"postgresql://masumi@127.0.0.1:{port}/{name}"

    def answers() -> bool:
        try:
            psycopg.connect(url, connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        until(answers, "the pooler's start")
        yield request.param, url
    finally:
        process.kill()
        process.wait()


def test_a_pooler_that_lends_by_the_transaction_is_refused_and_one_by_the_session_is_not(
    pooler: tuple[str, str],
):
    mode, url = pooler
    if mode == "session":
        JobTable(url, Rules()).close()
        return
    with pytest.raises(JournalError, match="session mode"):
        JobTable(url, Rules())


def test_a_pooler_that_knows_no_options_is_refused_in_the_same_words(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    def refused(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("ERROR: unsupported startup parameter in options: statement_timeout")

    monkeypatch.setattr(psycopg.Connection, "connect", refused)

    with pytest.raises(JournalError, match="session mode"):
        open_engine(postgres_url).connect()


def test_the_server_itself_is_no_pooler(postgres_url: str):
    engine = open_engine(postgres_url)
    refuse_pooler(engine)
    engine.dispose()
