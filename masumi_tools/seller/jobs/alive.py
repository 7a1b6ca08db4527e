"""Who lives: every process of a service beats in a table, and the others look whether its beat goes on.

A process is taken for dead when its beat stood still for `GRACE_S` before the eyes of one that could read
all the time. Who was cut off from the database begins to count anew when it is back, so a database that
was down for an hour makes nobody dead; and no two clocks are ever compared. A process of this machine is
dead as soon as the system says that its pid has ended.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import sqlalchemy as sa

from masumi_tools.errors import JournalError
from masumi_tools.journal.database import explained, let_go_with, open_engine
from masumi_tools.seller.jobs.murmur import Murmur
from masumi_tools.seller.jobs.tables import processes

log = logging.getLogger("masumi_tools.seller")

BEAT_S = 2.0
GRACE_S = 15.0  # longer than it takes to notice a broken connection (4 s) and to make a new one (4 s), twice
_CALL_LIMIT_S = 2.0  # and three seconds
_GAP_S = 3 * BEAT_S


# Names, which prove a death on the same machine ------------------------------------------------------


def machine() -> str:
    """A name for where pids mean the same: this system since it was started, and its PID namespace. "" if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return ""
    return sha256(f"{boot} {namespace}".encode()).hexdigest()[:12]


def process_name() -> str:
    """A name for this process that no other ever has: where it runs, its pid, when it began, and chance."""
    pid = os.getpid()
    return f"process-{machine() or 'x'}-{pid}-{_born(pid) or 'x'}-{os.urandom(6).hex()}"


def has_ended(name: str) -> bool:
    """Whether the system says that this process has ended; False where it cannot know."""
    parts = name.split("-")
    here = machine()
    if len(parts) != 5 or not here or parts[1] != here or not parts[2].isdigit():
        return False
    pid = int(parts[2])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's, so there is one
        pass
    born = _born(pid)
    return born == "ended" or (born is not None and parts[3] != "x" and born != parts[3])


def _born(pid: int) -> str | None:
    """When the process with this pid began, as its system counts; "ended" for a zombie, None if unknown."""
    try:
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return None
    return "ended" if fields[0] in "ZX" else fields[19]


# What one process saw of the others ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sign:
    """A row of the table: `beat` counts up; `turning` says that the process looks after the jobs too."""

    name: str
    beat: int
    since_ms: int
    turning: bool


class Watched:
    """What was seen of the processes of a service, and who is dead by it. Times are seconds of one clock."""

    def __init__(self, ended: Callable[[str], bool] = has_ended) -> None:
        self._ended = ended
        self._still: dict[str, tuple[int | None, float]] = {}  # the beat, and since when it stands still
        self._dead: set[str] = set()
        self._signs: list[Sign] = []
        self._looked_s = float("-inf")

    def look(self, signs: Iterable[Sign], at_s: float) -> list[Sign]:
        """Take in the table as it was read at `at_s`; those that are dead by it."""
        if at_s - self._looked_s > _GAP_S:
            self._still.clear()  # we were cut off: their silence may have been ours
        self._looked_s = at_s
        self._signs = list(signs)
        beats: dict[str, int | None] = {sign.name: sign.beat for sign in self._signs}
        for name in [*self._still, *beats]:
            beat = beats.get(name)
            if name not in self._still or self._still[name][0] != beat:
                self._still[name] = (beat, at_s)
                if beat is not None:  # it lives after all; a row that is gone proves nothing
                    self._dead.discard(name)
        self._dead |= {name for name in self._still if self._silent(name, at_s)}
        return [sign for sign in self._signs if sign.name in self._dead]

    def _silent(self, name: str, at_s: float) -> bool:
        return at_s - self._still[name][1] >= GRACE_S or self._ended(name)

    def dead(self, name: str) -> bool:
        """Whether this process lives no more, by the last look. One that never beat is given the grace too."""
        if name not in self._still:
            self._still[name] = (None, self._looked_s)
        return name in self._dead or self._ended(name)

    @property
    def living(self) -> int:
        """How many live, by the last look."""
        return sum(1 for sign in self._signs if not self.dead(sign.name))

    def leader(self) -> str | None:
        """The one that looks after the jobs: the oldest of the living whose watch turns."""
        living = [sign for sign in self._signs if sign.turning and not self.dead(sign.name)]
        return min(living, key=lambda sign: (sign.since_ms, sign.name)).name if living else None


def database_ms(db: sa.Connection) -> int:
    """The database's own clock, ms; for SQLite that is the machine's."""
    if db.dialect.name != "postgresql":
        return time.time_ns() // 1_000_000
    return int(db.scalar(sa.text("SELECT (extract(epoch from clock_timestamp()) * 1000)::bigint")) or 0)


class Life:
    """Beats for this process in a thread of its own. `dead` and `leads` answer from memory, without a wait."""

    def __init__(self, url: str, service: str, name: str, turning: Callable[[], bool]) -> None:
        self.name = name
        self._service = service
        self._turning = turning
        self._watched = Watched()
        self._guard = threading.Lock()
        self._beat = 0
        self._beaten_s = float("-inf")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._murmur = Murmur(log)
        memory = url.partition("://")[2] in ("", "/", "/:memory:")
        self._engine = None if memory else let_go_with(self, open_engine(url, _CALL_LIMIT_S))

    def start(self) -> None:
        """Beat for the first time; JournalError where that cannot be. From then on this process is known."""
        if self._engine is None:
            return
        self.beat()
        self._thread = threading.Thread(target=self._run, name="alive", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; what this process holds is free at once."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(2 * _CALL_LIMIT_S)
        if self._engine is None:
            return
        try:
            with explained("leaving"), self._engine.begin() as db:
                db.execute(processes.delete().where(processes.c.name == self.name))
        except JournalError as error:  # the others find out by themselves
            log.warning("this process could not sign off: %s", error)
        self._engine.dispose()

    def _run(self) -> None:
        while not self._stopping.wait(BEAT_S):
            try:
                self.beat()
            except JournalError as error:
                self._murmur.warning("this process cannot say that it lives: %s", error)
            else:
                self._murmur.passed("this process can say again that it lives")

    def beat(self) -> None:
        """Say that we live, and see who else does."""
        if self._engine is None:
            return
        with explained("saying that this process lives"), self._engine.begin() as db:
            if self._engine.dialect.name == "postgresql":
                db.execute(sa.text("SET LOCAL synchronous_commit = off"))  # a beat need not outlive a crash
            now_ms = database_ms(db)
            self._beat += 1
            mine = {"beat": self._beat, "beat_ms": now_ms, "turning": self._turning()}
            done = db.execute(processes.update().where(processes.c.name == self.name).values(**mine))
            if done.rowcount == 0:
                born = {"name": self.name, "service": self._service, "since_ms": now_ms}
                db.execute(processes.insert().values(**mine, **born))
            rows = db.execute(sa.select(processes).where(processes.c.service == self._service)).all()
        at = time.monotonic()
        with self._guard:
            dead = self._watched.look(
                [Sign(row.name, row.beat, row.since_ms, row.turning) for row in rows], at
            )
            self._beaten_s = at
        if dead:
            with explained("burying the dead"), self._engine.begin() as db:
                for sign in dead:
                    known = (processes.c.name == sign.name, processes.c.beat == sign.beat)
                    db.execute(processes.delete().where(*known))

    @property
    def silent_s(self) -> float:
        """For how long this process could not say that it lives."""
        return 0.0 if self._engine is None else time.monotonic() - self._beaten_s

    def dead(self, name: str) -> bool:
        """Whether this process of the service lives no more; False while that is not known."""
        if name == self.name or self.silent_s > _GAP_S:
            return False
        with self._guard:
            return self._watched.dead(name)

    @property
    def leads(self) -> bool:
        """Whether it is this process that looks after everybody's jobs."""
        if self._engine is None:
            return True
        if self.silent_s > _GAP_S:
            return False
        with self._guard:
            return self._watched.leader() == self.name

    @property
    def living(self) -> int:
        """How many processes of the service live."""
        with self._guard:
            return 1 if self._engine is None else self._watched.living
