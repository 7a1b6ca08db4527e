"""The journal is the journal: one file or database of its owner, the same to the end, in every process."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from masumi_tools import clock
from masumi_tools.errors import JournalBusy, JournalError, JournalVersionError, SettingsError
from masumi_tools.hire.budget import Budget
from masumi_tools.journal import database
from masumi_tools.journal.database import within
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.hire.clocked import ClockedBuyer, sent
from tests.hire.test_journal import row


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "journal.sqlite3"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_a_new_journal_is_for_its_owner_alone(file: Path) -> None:
    old = os.umask(0o022)
    try:
        journal = Journal(f"sqlite:///{file}")
        journal.add(row())
    finally:
        os.umask(old)

    rights = {path.name: path.stat().st_mode & 0o777 for path in (file.parent, *file.parent.iterdir())}
    assert rights.pop("kept") == 0o700 and set(rights.values()) == {0o600} and len(rights) == 3
    journal.close()


def delete(file: Path) -> None:
    file.unlink()


def move(file: Path) -> None:
    file.rename(file.with_suffix(".moved"))


def replace_by_a_copy(file: Path) -> None:
    shutil.copy(file, file.with_suffix(".copy"))
    file.with_suffix(".copy").replace(file)


def delete_the_log(file: Path) -> None:
    file.with_name(f"{file.name}-wal").unlink()


def overwrite_by_a_backup(file: Path) -> None:
    """The same file to the operating system, with what it held before."""
    shutil.copy(file.with_suffix(".backup"), file)


def overwrite_by_another_journal(file: Path) -> None:
    """One that knows of more writes than this one."""
    other = file.with_suffix(".other")
    with contextlib.closing(Journal(f"sqlite:///{other}")) as journal:
        for number in range(9):
            journal.add(row(f"other{number}", f"other{number}"))
        checkpoint(other)
        shutil.copy(other, file)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def overwrite_by_something_else(file: Path) -> None:
    file.write_bytes(b"my thesis\n" * 1_000)


HARMS = [
    delete,
    move,
    replace_by_a_copy,
    delete_the_log,
    overwrite_by_a_backup,
    overwrite_by_another_journal,
    empty,
    overwrite_by_something_else,
]


def checkpoint(file: Path) -> None:
    """As SQLite does by itself now and then: what is in the log goes into the file."""
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint").close()


@pytest.mark.parametrize("harm", HARMS)
def test_a_file_that_is_not_the_same_any_more_is_noticed_before_anything_is_sent(
    file: Path, harm: Callable[[Path], None]
) -> None:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        journal = Journal(f"sqlite:///{file}")
        checkpoint(file)
        shutil.copy(file, file.with_suffix(".backup"))
        journal.add(row("earlier", "earlier"))
        checkpoint(file)
        assert journal.get("earlier") is not None
        harm(file)
        buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)

        with pytest.raises(JournalError, match="deleted, moved, replaced or overwritten while it was in use"):
            buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"})

        assert sent(sandbox) == []
        assert file.exists() == (harm not in (delete, move)), "and none is made in its place"
        journal.close()


def test_many_processes_their_checkpoints_and_a_vacuum_are_no_harm(file: Path) -> None:
    journals = [Journal(f"sqlite:///{file}") for _ in range(3)]
    for number in range(30):
        journals[number % 3].add(row(f"{number}", f"{number}"))
        if number % 4 == 0:
            checkpoint(file)
        if number == 20:
            with contextlib.closing(sqlite3.connect(file)) as db:
                db.execute("VACUUM").close()

    assert [len(list(journal.rows())) for journal in journals] == [30, 30, 30]
    for journal in journals:
        journal.close()


def test_an_old_process_notices_that_the_tables_became_newer(database_url: str) -> None:
    journal = Journal(database_url)
    kept, _ = journal.add(row())
    other = Journal(database_url)
    with other._engine.begin() as db:
        db.exec_driver_sql("UPDATE masumi_journal SET value = value + 1")

    for write in (lambda: journal.add(row("b", "b")), lambda: journal.save(kept)):
        with pytest.raises(JournalVersionError, match="install the newer"):
            write()

    assert journal.get("b") is None
    journal.close()
    other.close()


def test_threads_that_look_at_the_file_while_it_changes_take_nothing_for_harm(file: Path) -> None:
    journal = Journal(f"sqlite:///{file}")
    done = threading.Event()

    def checkpoints() -> None:
        while not done.is_set():
            checkpoint(file)

    def adds(number: int) -> None:
        for name in range(40):
            journal.add(row(f"{number}-{name}", f"{number}-{name}"))

    beside = threading.Thread(target=checkpoints)
    beside.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            for added in [pool.submit(adds, number) for number in range(8)]:
                added.result()
    finally:
        done.set()
        beside.join()

    assert len(list(journal.rows())) == 320
    journal.close()


# Forks ---------------------------------------------------------------------------------------

FORKS = """
import os, sys, threading, traceback
from masumi_tools.journal.store import Journal
from tests.hire.test_journal import row

journal = Journal(sys.argv[1])
journal.add(row("parent", "parent"))
stop = threading.Event()

def write():
    number = 0
    while not stop.is_set():
        number += 1
        journal.add(row(f"t{number}", f"t{number}"))

writer = threading.Thread(target=write)
writer.start()
children = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert journal.get("parent") is not None
            for number in range(10):
                journal.add(row(f"c{child}-{number}", f"c{child}-{number}"))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    children.append(pid)
codes = [os.waitpid(pid, 0)[1] for pid in children]
stop.set()
writer.join()
assert journal.add(row("after", "after"))[1]
print(codes, sum(r.hire_id.startswith("c") for r in journal.rows()))
journal.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_journal_from_before_a_fork_works_in_parent_and_children(database_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, database_url],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (done.stdout.strip(), done.stderr) == ("[0, 0, 0] 30", "")
    journal = Journal(database_url)
    with journal._engine.connect() as db:
        if db.dialect.name == "sqlite":
            assert db.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    journal.close()


# Waiting -------------------------------------------------------------------------------------


def test_a_call_waits_for_another_writer_no_longer_than_its_caller_has_patience(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LEAST_WAIT_S", 0.2)
    journal = Journal(f"sqlite:///{file}")
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with within(0), pytest.raises(JournalBusy):
            journal.add(row())
        waited = time.monotonic() - began
    other.close()
    journal.close()

    assert waited < 10 < database.BUSY_TIMEOUT_S


@pytest.mark.postgres
def test_on_postgres_too(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LEAST_WAIT_S", 0.2)
    journal, other = Journal(postgres_url), Journal(postgres_url)
    kept, _ = journal.add(row())
    with other._engine.begin() as db:
        db.exec_driver_sql("UPDATE masumi_hires SET version = version")
        began = time.monotonic()
        with within(0), pytest.raises(JournalBusy, match="did not answer in time"):
            journal.save(kept)
        waited = time.monotonic() - began
    journal.save(kept)
    journal.close()
    other.close()

    assert waited < 10 < database.BUSY_TIMEOUT_S


# Names and text ------------------------------------------------------------------------------


def test_a_driver_of_a_machine_with_a_long_name_fits_in_its_column(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock.socket, "gethostname", lambda: "pod-" * 60)
    clock._place.cache_clear()
    journal = Journal(database_url)
    with clock.turn() as owner:
        _, made = journal.add(row(), owner=owner, lease_ms=1000)

        assert made and not journal.take_lease("a", "other", 1000, clock.is_dead)
        assert journal.take_lease("a", owner, 1000, clock.is_dead)
    journal.close()
    clock._place.cache_clear()


def test_a_process_of_another_container_is_never_judged_by_its_pid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two containers may share a host name: a pid that is free in one is a living driver in the other."""
    clock._place.cache_clear()
    here = clock._place()
    other = f"{'0' * 16}:{2**22 - 1}:{'a' * 16}"
    gone = f"{here}:{2**22 - 1}:{'a' * 16}"

    assert (clock.is_dead(gone), clock.is_dead(other)) == (True, False)


@pytest.mark.postgres
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_text_is_refused_at_opening(
    postgres_server: object, encoding: str
) -> None:
    import psycopg

    name = f"e_{encoding.lower()}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as db:  # type: ignore[attr-defined]
        db.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")

    with pytest.raises(JournalError, match=f"keeps text as {encoding}"):
        Journal(postgres_server.url(name))  # type: ignore[attr-defined]


@pytest.mark.postgres
def test_what_the_environment_says_of_encodings_spoils_nothing(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    journal = Journal(postgres_url)
    text = '{"result": "日本 Ω 🜚"}'
    journal.add(row(record=text))

    kept = journal.get("a")
    assert kept is not None and kept.record == text
    journal.close()


@pytest.mark.parametrize("url", ["sqlite:////tmp/a\0b.sqlite3", "sqlite:////tmp/\ud800.sqlite3"])
def test_an_address_that_no_file_can_have_is_one_sentence(url: str) -> None:
    with pytest.raises(JournalError, match="character"):
        Journal(url)


@pytest.mark.skipif(os.name == "nt", reason="homes are found otherwise")
def test_without_a_home_the_journal_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be a folder named "~" wherever the process runs, and each place had its own journal."""
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])

    with pytest.raises(SettingsError, match="MASUMI_DATABASE_URL must say where hires are kept"):
        Settings()


def test_threads_may_open_one_new_journal_at_once(file: Path) -> None:
    done: list[int] = []

    def opened() -> None:
        journal = Journal(f"sqlite:///{file}")
        done.append(journal.schema_version())
        journal.close()

    threads = [threading.Thread(target=opened) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(set(done)) == 1 and len(done) == 6


ELSEWHERE = """
import sqlite3, sys
from masumi_tools.journal.store import Journal

journal = Journal(f"sqlite:///{sys.argv[1]}")
journal.note(sys.argv[2], "from elsewhere")
if sys.argv[3] == "checkpoint":
    with sqlite3.connect(sys.argv[1]) as db:
        db.execute("PRAGMA wal_checkpoint(FULL)")
    db.close()
journal.close()
"""


def elsewhere(file: Path, name: str, how: str = "") -> None:
    """Another process that opens the journal, writes, and ends."""
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(file), name, how], check=True, timeout=50)


def test_two_buyers_of_a_process_keep_their_journal_when_another_process_ends(file: Path) -> None:
    """SQLite's locks are the process's: to close the file for one of them takes them from the other."""
    url = f"sqlite:///{file}"
    with contextlib.closing(Journal(url)) as first, contextlib.closing(Journal(url)) as second:
        first.note("one", "1")
        second.note("two", "2")
        elsewhere(file, "three", "checkpoint")  # the file changed, and each of them looks into it
        first.note("four", "4")
        second.note("five", "5")
        with contextlib.closing(Journal(url)) as third:
            third.note("six", "6")
        elsewhere(file, "seven")

        first.note("eight", "8")
        second.note("nine", "9")

    with contextlib.closing(Journal(url)) as later:
        names = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
        assert [name for name in names if later.noted(name) is None] == []


def test_a_journal_that_nobody_closed_is_closed_when_it_is_let_go(file: Path) -> None:
    journal = Journal(f"sqlite:///{file}")
    journal.note("a", "1")
    with journal._engine.connect() as db:
        connection: Any = db.connection.driver_connection
    connection.execute("SELECT 1").close()
    del journal, db
    gc.collect()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
