"""The tables of the journal, their version, and the steps from each older version to this one."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from masumi_tools.errors import JournalVersionError

metadata = sa.MetaData()
meta = sa.Table(
    "masumi_journal",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("value", sa.Integer, nullable=False),
)
hires = sa.Table(
    "masumi_hires",
    metadata,
    sa.Column("hire_id", sa.String(40), primary_key=True),
    sa.Column("key", sa.String(64), nullable=False, index=True),
    sa.Column("open_key", sa.String(64), unique=True, nullable=True),
    sa.Column("state", sa.String(24), nullable=False),
    sa.Column("is_open", sa.Boolean, nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("budget", sa.String(200), nullable=False),
    sa.Column("service", sa.String(512), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("changed_ms", sa.BigInteger, nullable=False),
    sa.Column("lease_owner", sa.String(64), nullable=True),
    sa.Column("lease_until_ms", sa.BigInteger, nullable=False, default=0),
    sa.Column("record", sa.Text, nullable=False),
)
amounts = sa.Table(
    "masumi_amounts",
    metadata,
    sa.Column("hire_id", sa.String(40), primary_key=True),
    sa.Column("unit", sa.String(250), primary_key=True),
    sa.Column("budget", sa.String(200), nullable=False),
    sa.Column("service", sa.String(512), nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("money", sa.String(12), nullable=False),
    sa.Column("quantity", sa.BigInteger, nullable=False),
    sa.Column("returned", sa.BigInteger, nullable=False),
    sa.Index("masumi_amounts_budget", "budget", "unit"),
)
calls = sa.Table(
    "masumi_calls",
    metadata,
    sa.Column("call_id", sa.String(64), primary_key=True),
    sa.Column("hire_id", sa.String(40), nullable=False),
)
budgets = sa.Table(
    "masumi_budgets",
    metadata,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("limits", sa.Text, nullable=False),
)

notes = sa.Table(
    "masumi_notes",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
)

# Step n leads from version n to n + 1, beginning with 1; a new database gets the tables as they are now.
# A step is never edited after it was released, and names what it makes instead of the tables above.
STEPS: list[Callable[[sa.Connection], object]] = [
    lambda db: db.execute(
        sa.text(
            "CREATE TABLE IF NOT EXISTS masumi_notes"
            " (name VARCHAR(64) NOT NULL PRIMARY KEY, text TEXT NOT NULL)"
        )
    ),
]
# One writer at a time makes or changes tables; on SQLite BEGIN IMMEDIATE sees to that.
_MIGRATION_LOCK = 0x6D6173756D69


def newest() -> int:
    """The version that this package reads and writes."""
    return 1 + len(STEPS)


def version_of(db: sa.Connection) -> int:
    """The version that the database has now; 0 when it is new. Changes nothing."""
    if not sa.inspect(db).has_table(meta.name):
        return 0
    return db.scalar(sa.select(meta.c.value).where(meta.c.name == "version")) or 0


def migrate(db: sa.Connection) -> None:
    """Bring the database to the newest version, in one transaction; JournalVersionError when it is newer."""
    if db.dialect.name == "postgresql":
        db.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
    at, wanted = version_of(db), newest()
    if at > wanted:
        raise JournalVersionError(
            f"the journal has version {at}, this masumi_tools reads up to {wanted}; "
            "install the newer masumi_tools, or name another database"
        )
    if at == 0:
        metadata.create_all(db)
    for step in STEPS[at - 1 :] if at else ():
        step(db)
    db.execute(sa.delete(meta).where(meta.c.name == "version"))
    db.execute(meta.insert().values(name="version", value=wanted))
