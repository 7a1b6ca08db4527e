"""Tables that carry a version, and numbered steps that bring older ones to this one. For the journal and the jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import event

from masumi_tools.errors import JournalVersionError
from masumi_tools.journal.database import explained
from masumi_tools.journal.postgres import refuse_passing, unhurried
from masumi_tools.journal.statement import first

Step = Callable[[sa.Connection], object]
_NAME = "version"
_TAKES = " (with a million rows this takes a minute or two, and others wait for it)"


@dataclass(frozen=True, slots=True)
class Schema:
    """Tables of one purpose, known by their version in the database.

    `what` names them in errors. `facts` is the table of (name, value) that holds the version. Step n of
    `steps` leads from version n to n + 1, beginning with 1; a new database gets the tables as they are now.
    A step is never edited after it was released, and names what it makes instead of the tables of today.
    `lock` is a number of its own for PostgreSQL, where one writer at a time makes or changes tables.
    """

    what: str
    metadata: sa.MetaData
    facts: sa.Table
    steps: Sequence[Step]
    lock: int

    @property
    def newest(self) -> int:
        """The version that this package reads and writes."""
        return 1 + len(self.steps)

    def version(self, db: sa.Connection) -> int:
        """The version that the database has now; 0 when it is new. Changes nothing."""
        if not sa.inspect(db).has_table(self.facts.name):
            return 0
        return self._saved(db)

    def bring(self, engine: sa.Engine) -> None:
        """Bring the tables to this version, and see to it that this engine writes to no newer ones.

        It is one transaction: a process that is killed in it leaves the tables as they were, and the next one
        begins anew. JournalBusy where another process is at it for longer than the caller waits.
        """
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as db:
            known = self.version(db)
            refuse_passing(db, list(self.metadata.tables))
        if known != self.newest:
            doing = f"bringing {self.what} to version {self.newest}{_TAKES if known else ''}"
            with explained(doing), engine.begin() as db:
                self.migrate(db)
                refuse_passing(db, list(self.metadata.tables))
        self._guard(engine)

    def _guard(self, engine: sa.Engine) -> None:
        """From now on no transaction of this engine writes to tables that became newer meanwhile."""

        def check(db: sa.Connection) -> None:
            if db.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
                return  # it reads
            at = self._saved(db)
            if at != self.newest:
                raise self._too_new(at)

        event.listen(engine, "begin", check)

    def migrate(self, db: sa.Connection) -> None:
        """Bring the tables to this version in this transaction; JournalVersionError when they are newer."""
        if db.dialect.name == "postgresql":
            db.execute(sa.select(sa.func.pg_advisory_xact_lock(self.lock)))
        at = self.version(db)
        if at > self.newest:
            raise self._too_new(at)
        if at == self.newest:
            return
        with unhurried(db):
            if at == 0:
                self.metadata.create_all(db)
            for step in self.steps[at - 1 :] if at else ():
                step(db)
        db.execute(sa.delete(self.facts).where(self.facts.c.name == _NAME))
        value = self.facts.c.value.type.python_type(self.newest)
        db.execute(self.facts.insert().values(name=_NAME, value=value))

    def _saved(self, db: sa.Connection) -> int:
        query = f"SELECT value FROM {self.facts.name} WHERE name = '{_NAME}'"  # noqa: S608
        return int(first(db, query) or 0)  # each transaction asks

    def _too_new(self, at: int) -> JournalVersionError:
        return JournalVersionError(
            f"{self.what} has version {at}, this masumi_tools reads up to {self.newest}; "
            "install the newer masumi_tools, or name another database"
        )
