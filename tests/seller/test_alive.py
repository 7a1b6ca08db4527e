"""Who lives: by beats that go on, never by the end of a connection; nobody dies because a database was down."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from masumi_tools.errors import JournalError
from masumi_tools.seller.jobs import alive
from masumi_tools.seller.jobs.alive import BEAT_S, GRACE_S, Life, Sign, Watched, has_ended, process_name
from masumi_tools.seller.jobs.job import JobState, Rules
from masumi_tools.seller.jobs.table import JobTable, service_key
from tests.seller.test_jobs import NOW, job


def never(_: str) -> bool:
    return False


def sign(name: str, beat: int, since_ms: int = 0, turning: bool = True) -> Sign:
    return Sign(name, beat, since_ms, turning)


def seen(watched: Watched, until_s: float, signs: Callable[[float], list[Sign]], since_s: float = 0) -> None:
    """Look every other second from `since_s` on, up to and with `until_s`."""
    at = since_s
    while at <= until_s:
        watched.look(signs(at), at)
        at += BEAT_S


def test_a_beat_that_stands_still_for_the_grace_is_a_death_and_not_earlier():
    watched = Watched(never)
    seen(watched, GRACE_S - 1, lambda _: [sign("a", 7)])
    assert not watched.dead("a")

    seen(watched, GRACE_S + 2, lambda _: [sign("a", 7)], since_s=GRACE_S - 1)
    assert watched.dead("a")


def test_a_beat_that_goes_on_is_a_life():
    watched = Watched(never)
    seen(watched, 60, lambda at: [sign("a", int(at / 10))])

    assert not watched.dead("a")


def test_who_was_cut_off_himself_declares_nobody_dead():
    """The database was down for a minute: every beat stood still, and everybody lives."""
    watched = Watched(never)
    seen(watched, 10, lambda _: [sign("a", 7)])
    assert watched.look([sign("a", 7)], 70) == []
    assert not watched.dead("a")

    seen(watched, 70 + GRACE_S + 2, lambda _: [sign("a", 7)], since_s=72)
    assert watched.dead("a")  # but who is silent from then on is


def test_who_was_thought_dead_and_beats_again_lives():
    watched = Watched(never)
    seen(watched, GRACE_S + 2, lambda _: [sign("a", 7)])
    assert watched.dead("a")
    watched.look([], GRACE_S + 4)  # its row was taken away, which proves nothing new
    assert watched.dead("a")
    watched.look([sign("a", 8)], GRACE_S + 6)

    assert not watched.dead("a")


def test_an_owner_that_never_beat_gets_the_grace_too():
    """Such as one of an earlier version, or one whose row was taken away just before the taker died."""
    watched = Watched(never)
    watched.look([], 0)
    assert not watched.dead("process-1-abc")
    seen(watched, GRACE_S + 2, lambda _: [], since_s=2)

    assert watched.dead("process-1-abc")


def test_what_the_system_says_of_a_pid_needs_no_grace():
    watched = Watched(lambda name: name == "a")
    assert watched.look([sign("a", 7), sign("b", 7)], 0) == [sign("a", 7)]
    assert watched.dead("a") and not watched.dead("b")


def test_the_oldest_that_lives_and_turns_leads():
    watched = Watched(never)
    everybody = [sign("old", 1, 10, turning=False), sign("mid", 1, 20), sign("new", 1, 30)]
    watched.look(everybody, 0)
    assert watched.leader() == "mid"  # the oldest one's watch stands still

    seen(watched, GRACE_S + 2, lambda at: [everybody[0], everybody[1], sign("new", int(at), 30)], since_s=2)
    assert watched.leader() == "new"


# Names ----------------------------------------------------------------------------------------------


linux = pytest.mark.skipif(not alive.machine(), reason="only Linux says which boot and PID namespace this is")


@linux
def test_a_process_that_ended_here_is_known_by_its_name():
    code = (
        "from masumi_tools.seller.jobs.alive import process_name; print(process_name(), flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert not has_ended(name)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and nobody has asked for its end yet
        assert has_ended(name)
        child.wait()
        assert has_ended(name)
    assert not has_ended(process_name())


@linux
def test_a_pid_that_is_used_again_is_another_process():
    first, here, pid, born, chance = process_name().split("-")

    assert has_ended("-".join((first, here, pid, str(int(born) - 1), chance)))


@pytest.mark.parametrize("name", ["process-1-abc", "", "process-x-1-2-ab", "process-0123456789ab-1-2-ab"])
def test_of_a_name_from_elsewhere_nothing_is_known(name: str):
    """Two hosts of one name, two containers with their own pid 1: not the same machine, so no proof."""
    assert not has_ended(name)


def test_no_two_processes_have_one_name():
    assert process_name() != process_name()


# The beats in the database --------------------------------------------------------------------------


@pytest.fixture
def lives(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Life]]:
    """Processes of one service, all in this one; they beat when they are told to, at times that are told."""
    JobTable(database_url, Rules()).close()
    monkeypatch.setattr(Life, "_run", lambda self: None)
    made: list[Life] = []

    def one(name: str, service: str = "s", turning: Callable[[], bool] = lambda: True) -> Life:
        made.append(Life(database_url, service, name, turning))
        made[-1].start()
        return made[-1]

    yield one
    for life in made:
        life.stop()


class Hands:
    """A clock that is moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 1000.0
        monkeypatch.setattr(alive.time, "monotonic", lambda: self.at)

    def pass_by(self, seconds: float, *beating: Life) -> None:
        end = self.at + seconds
        while self.at < end:
            self.at += BEAT_S
            for life in beating:
                life.beat()


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    return Hands(monkeypatch)


def test_a_process_that_beats_no_more_is_dead_to_the_others_and_another_leads(
    lives: Callable[..., Life], hands: Hands
):
    a, b = lives("a"), lives("b")
    hands.pass_by(4, a, b)
    assert (a.leads, b.leads, b.dead("a")) == (True, False, False)

    hands.pass_by(GRACE_S + 2, b)
    assert b.dead("a") and b.leads
    assert not a.leads  # it cannot know that it leads: it has not said that it lives for a while
    a.beat()
    hands.pass_by(2, a, b)
    assert not b.dead("a") and (a.leads, b.leads) == (False, True)


def test_who_signs_off_leaves_the_lead_at_once(lives: Callable[..., Life], hands: Hands):
    a, b = lives("a"), lives("b")
    a.stop()
    hands.pass_by(2, b)

    assert b.leads and b.living == 1


def test_a_watch_that_stands_still_leaves_the_lead(lives: Callable[..., Life], hands: Hands):
    turns = [True]
    a, b = lives("a", turning=lambda: turns[0]), lives("b")
    hands.pass_by(2, a, b)
    assert a.leads
    turns[0] = False
    hands.pass_by(2, a, b)

    assert not a.leads and b.leads


def test_services_of_one_database_know_nothing_of_each_other(lives: Callable[..., Life], hands: Hands):
    a, other = lives("a"), lives("b", service="other")
    hands.pass_by(2, a, other)

    assert a.leads and other.leads and a.living == 1


def test_a_database_that_is_away_kills_nobody(lives: Callable[..., Life], hands: Hands, database_url: str):
    a, b = lives("a"), lives("b")
    hands.pass_by(4, a, b)
    with a._engine.begin() as db:  # type: ignore[union-attr]
        db.execute(sa.text("ALTER TABLE masumi_processes RENAME TO away"))
    for _ in range(30):
        hands.at += BEAT_S
        for life in (a, b):
            with pytest.raises(JournalError):
                life.beat()
    assert not a.leads and not b.dead("a") and not a.dead("b")
    with a._engine.begin() as db:  # type: ignore[union-attr]
        db.execute(sa.text("ALTER TABLE away RENAME TO masumi_processes"))
    b.beat()  # the first one back sees that all beats stood still for a minute
    assert not b.dead("a")
    hands.pass_by(4, a, b)

    assert a.leads and not b.dead("a")


def test_a_database_in_memory_has_one_process():
    life = Life("sqlite://", "s", "a", lambda: True)
    life.start()

    assert life.leads and life.living == 1 and life.dead("b") is False
    life.stop()


# A service of another name ---------------------------------------------------------------------------


def test_a_service_that_was_renamed_keeps_its_jobs(database_url: str):
    old, new = JobTable(database_url, Rules(), "Old"), JobTable(database_url, Rules(), "New")
    assert old.adopt("agent") is None and old.adopt("agent") is None
    old.add([job(), job(JobState.COMPLETED, job_id="done", result="x")], NOW)
    old.set_fact("news V1", "here")

    assert new.adopt("agent") == "Old" and new.adopt("agent") is None
    assert new.get("j") is not None and new.get("done") is not None and old.get("j") is None
    assert new.fact("news V1") == "here"
    for table in (old, new):
        table.close()


def test_jobs_of_an_earlier_name_are_not_taken_from_a_service_that_lives(
    database_url: str, lives: Callable[..., Life]
):
    old, new = JobTable(database_url, Rules(), "Old"), JobTable(database_url, Rules(), "New")
    old.adopt("agent")
    old.add([job()], NOW)
    life = lives("somebody", service=service_key("Old"))
    with pytest.raises(JournalError, match=r"'Old'.*stop that service"):
        new.adopt("agent")
    with life._engine.begin() as db:  # type: ignore[union-attr]
        db.execute(
            sa.text("UPDATE masumi_processes SET beat_ms = beat_ms - 61000")
        )  # it was killed a minute ago

    assert new.adopt("agent") == "Old"
    for table in (old, new):
        table.close()
