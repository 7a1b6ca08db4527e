"""The tables of the journal, their version, and the steps from each older version to this one."""

from __future__ import annotations

import sqlalchemy as sa

from masumi_tools.journal.versions import Schema, Step

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

# Each is one step from the version before it; see `Schema`.
STEPS: list[Step] = [
    lambda db: db.execute(
        sa.text(
            "CREATE TABLE IF NOT EXISTS masumi_notes"
            " (name VARCHAR(64) NOT NULL PRIMARY KEY, text TEXT NOT NULL)"
        )
    ),
]


def schema() -> Schema:
    """The tables of the journal as this package reads and writes them."""
    return Schema("the journal", metadata, meta, STEPS, lock=0x6D6173756D69)
