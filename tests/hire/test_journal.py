"""The journal on SQLite and PostgreSQL: versions, unique open keys, leases, reservations, and every way to fail."""

from __future__ import annotations

import multiprocessing as mp
import os
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from masumi_tools.errors import JournalBusy, JournalError
from masumi_tools.journal.database import explained
from masumi_tools.journal.row import Entry, Reservation, Row, Usage
from masumi_tools.journal.store import Journal
from masumi_tools.journal.tables import schema

PROCESSES, EACH, LIMIT = 8, 200, 1000


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    journal = Journal(database_url)
    yield journal
    journal.close()


def row(hire_id: str = "a", key: str = "k", **changes: object) -> Row:
    made = Row(
        hire_id=hire_id,
        key=key,
        state="reserved",
        is_open=True,
        joinable=True,
        budget="default",
        service="s",
        created_ms=10,
        changed_ms=10,
        money="reserved",
        record="{}",
        entries=(Entry("", 5),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_one_open_record_per_key(journal: Journal) -> None:
    first, made = journal.add(row("a"))
    second, made_again = journal.add(row("b"))

    assert (made, made_again, second.hire_id) == (True, False, first.hire_id)


def test_a_key_is_free_again_when_its_hire_can_no_longer_be_joined(journal: Journal) -> None:
    first, _ = journal.add(row("a"))
    journal.save(replace(first, joinable=False, is_open=False))

    second, made = journal.add(row("b"))

    assert made and second.hire_id == "b"


def test_a_record_that_was_made_since_the_caller_looked_is_answered_though_it_has_ended(
    journal: Journal,
) -> None:
    first, _ = journal.add(row("a", after=""))
    journal.save(replace(first, joinable=False, is_open=False))

    overtaken, made = journal.add(row("b", after=""))
    knowing, made_knowing = journal.add(row("b", after="a"))

    assert (overtaken.hire_id, made, knowing.hire_id, made_knowing) == ("a", False, "b", True)


def test_a_record_that_may_be_joined_again_lets_a_newer_one_be_joined(journal: Journal) -> None:
    first, _ = journal.add(row("a"))
    delivered = journal.save(replace(first, joinable=False))
    journal.add(row("b", created_ms=11))

    disputed = journal.save(replace(delivered, joinable=True, record='{"disputed": true}'))

    joined, made = journal.add(row("c"))
    assert (joined.hire_id, made) == ("b", False)
    kept = journal.get("a")
    assert kept is not None and (kept.record, kept.version) == ('{"disputed": true}', disputed.version)


def test_a_call_id_keeps_its_own_hire(journal: Journal) -> None:
    first, _ = journal.add(row("a"), call_id="c1")
    journal.save(replace(first, joinable=False))

    again, made = journal.add(row("b", key="other"), call_id="c1")

    assert (again.hire_id, made) == ("a", False)


def test_a_new_call_id_joins_the_open_hire_and_is_remembered(journal: Journal) -> None:
    journal.add(row("a"), call_id="c1")
    journal.add(row("b"), call_id="c2")

    found = journal.by_call("c2")

    assert found is not None and found.hire_id == "a"


def test_who_saves_over_an_older_version_loses_and_changes_nothing(journal: Journal) -> None:
    first, _ = journal.add(row())
    journal.save(replace(first, record='{"n": 1}'))

    with pytest.raises(JournalBusy):
        journal.save(replace(first, record='{"n": 2}'))

    kept = journal.get("a")
    assert kept is not None and (kept.record, kept.version) == ('{"n": 1}', 2)


def test_a_lease_is_held_until_it_is_given_back_or_its_owner_is_dead(journal: Journal) -> None:
    journal.add(row())

    def alive(owner: str) -> bool:
        return False

    assert journal.take_lease("a", "one", 60_000, alive)
    assert journal.take_lease("a", "one", 60_000, alive)
    assert not journal.take_lease("a", "two", 60_000, alive)
    assert journal.take_lease("a", "two", 60_000, lambda owner: owner == "one")
    journal.drop_lease("a", "two")
    assert journal.take_lease("a", "three", -1, alive)
    assert journal.take_lease("a", "four", 60_000, alive), "a lease that ran out is free"


def test_an_open_hire_is_joined_whatever_a_reservation_would_say(journal: Journal) -> None:
    first, _ = journal.add(row("a"))

    def decide(usage: Usage) -> Row:
        raise AssertionError("the equal hire is open: nothing is decided")

    asked = row("b", entries=(), money="")
    same, made = journal.add(asked, "call", "me", 1_000, Reservation(asked, decide))

    assert (same.hire_id, made) == (first.hire_id, False)
    linked = journal.by_call("call")
    assert linked is not None and linked.hire_id == first.hire_id


def test_a_new_record_is_what_its_reservation_makes_of_the_sums(journal: Journal) -> None:
    journal.add(row("a", "other", entries=(Entry("", 7),)))
    asked = row("b", entries=(), money="")

    def decide(usage: Usage) -> Row:
        return replace(asked, state=f"after {usage.total['']}", money="reserved", entries=(Entry("", 2),))

    kept, made = journal.add(asked, money=Reservation(asked, decide, limits="20"))

    assert (kept.state, kept.version, made) == ("after 7", 1, True)
    read = journal.get("b")
    assert read is not None and read.state == "after 7"
    assert journal.usage(row("new", "new"), 0).total == {"": 9}
    assert journal.budgets() == {"default": "20"}


def test_usage_counts_what_is_reserved_locked_and_spent_and_not_what_came_back(journal: Journal) -> None:
    for number, (money, returned) in enumerate(
        [("reserved", 0), ("locked", 0), ("spent", 0), ("refunded", 4), ("released", 0)]
    ):
        journal.add(row(str(number), str(number), money=money, entries=(Entry("", 5, returned),)))

    usage = journal.usage(row("new", "new"), 0)

    assert usage == Usage({"": 16}, {"": 16}, {"": 16})


def _reserve(url: str, worker: int, passed: mp.Queue[int]) -> None:
    journal, done = Journal(url), 0
    for number in range(EACH):
        asked = row(f"{worker}-{number}", f"{worker}-{number}", money="", entries=())
        saved = journal.add(asked)[0] if number % 2 else asked

        def decide(usage: Usage, saved: Row = saved) -> Row:
            fits = usage.total.get("", 0) + 1 <= LIMIT
            return replace(saved, money="reserved" if fits else "released", entries=(Entry("", 1),))

        taking = Reservation(saved, decide)
        kept = journal.save_decided(taking) if number % 2 else journal.add(asked, money=taking)[0]
        done += kept.money == "reserved"
    passed.put(done)
    journal.close()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_eight_processes_never_reserve_more_than_the_budget(database_url: str) -> None:
    url = database_url
    Journal(url).close()
    # New processes as by "spawn", of which each would import all of it.
    context = mp.get_context("forkserver")
    context.set_forkserver_preload([__name__, "sqlalchemy.dialects.sqlite", "psycopg"])
    passed: mp.Queue[int] = context.Queue()
    workers = [context.Process(target=_reserve, args=(url, number, passed)) for number in range(PROCESSES)]
    for worker in workers:
        worker.start()
    total = sum(passed.get(timeout=200) for _ in workers)
    for worker in workers:
        worker.join(30)

    assert total == LIMIT
    journal = Journal(url)
    assert journal.usage(row("new", "new"), 0).total == {"": LIMIT}
    journal.close()


# Ways to fail --------------------------------------------------------------------------------


def test_a_new_database_is_version_0_until_it_is_opened(tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path / 'j.sqlite3'}")

    assert journal.schema_version() == schema().newest


@pytest.mark.parametrize(
    ("content", "words"), [(b"this is no database, but a text of some length" * 30, "not a database")]
)
def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "j.sqlite3"
    file.write_bytes(content)

    with pytest.raises(JournalError, match=words):
        Journal(f"sqlite:///{file}")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "j.sqlite3"
    journal = Journal(f"sqlite:///{file}")
    for number in range(200):
        journal.add(row(str(number), str(number), record="x" * 500))
    journal.close()
    data = bytearray(file.read_bytes())
    data[4096 : len(data)] = b"\xff" * (len(data) - 4096)
    file.write_bytes(data)

    with pytest.raises(JournalError, match="damaged"):
        Journal(f"sqlite:///{file}").rows()


def test_a_full_disk_stops_before_anything_is_sent(tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path / 'j.sqlite3'}")
    with journal._engine.connect() as db:
        db.exec_driver_sql("PRAGMA max_page_count = 1")

    with pytest.raises(JournalError, match="disk is full"):
        for number in range(400):
            journal.add(row(str(number), str(number), record="x" * 4000))


@pytest.mark.parametrize(
    ("said", "told"),
    [("disk I/O error", "quota or limit"), ("something new\nwith password=hunter222", r"something new$")],
)
def test_an_error_of_the_database_is_told_in_words(said: str, told: str) -> None:
    """A limit of file sizes (`ulimit -f`, a quota) is an I/O error; what nobody knows says what it said itself."""
    with pytest.raises(JournalError, match=told), explained("saving"):
        raise sa.exc.OperationalError("", {}, sqlite3.OperationalError(said))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write read-only files")
def test_a_read_only_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "j.sqlite3"
    Journal(f"sqlite:///{file}").close()
    file.chmod(stat.S_IREAD)
    tmp_path.chmod(stat.S_IREAD | stat.S_IEXEC)

    with pytest.raises(JournalError, match="cannot be written"):
        Journal(f"sqlite:///{file}").add(row())


def test_a_read_only_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "j.sqlite3"
    Journal(f"sqlite:///{file}").close()

    with pytest.raises(JournalError, match="cannot be written"):
        Journal(f"sqlite:///file:{file}?mode=ro&uri=true").add(row())


def test_a_locked_database_is_busy_and_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("masumi_tools.journal.database.BUSY_TIMEOUT_S", 0)
    file = tmp_path / "j.sqlite3"
    journal = Journal(f"sqlite:///{file}")
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")

        with pytest.raises(JournalBusy) as caught:
            journal.add(row())

    other.close()
    assert caught.value.repeatable and caught.value.money == "none"


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "sqlite:////proc/none/journal.sqlite3"])
def test_a_url_that_cannot_be_used_is_refused_in_words(url: str) -> None:
    with pytest.raises(JournalError) as caught:
        Journal(url)

    assert str(caught.value)
