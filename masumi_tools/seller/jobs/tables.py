"""The tables of a shop, their version, and the steps from each older version to this one."""

from __future__ import annotations

import sqlalchemy as sa

from masumi_tools.journal.versions import Schema

metadata = sa.MetaData()
facts = sa.Table(
    "masumi_shop",
    metadata,
    sa.Column("name", sa.String(250), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
jobs = sa.Table(
    "masumi_jobs",
    metadata,
    sa.Column("job_id", sa.String(40), primary_key=True),
    sa.Column("service", sa.String(250), nullable=False),
    sa.Column("state", sa.String(24), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("owner", sa.String(80), nullable=False),  # "" once the job has ended
    sa.Column("payment", sa.String(64), nullable=False, index=True),
    sa.Column("source_type", sa.String(24), nullable=False),
    sa.Column("watched", sa.Boolean, nullable=False),
    sa.Column("client", sa.String(80), nullable=False),
    sa.Column("due_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("changed_ms", sa.BigInteger, nullable=False),
    sa.Column("record", sa.Text, nullable=False),
    sa.Index("masumi_jobs_open", "service", "state", "created_ms", "client"),
    sa.Index("masumi_jobs_watched", "service", "watched", "source_type"),
    sa.Index("masumi_jobs_created", "created_ms", "job_id"),
)
_HELD = jobs.c.owner > ""
sa.Index("masumi_jobs_held", jobs.c.owner, sqlite_where=_HELD, postgresql_where=_HELD)
processes = sa.Table(
    "masumi_processes",
    metadata,
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("service", sa.String(250), nullable=False),
    sa.Column("since_ms", sa.BigInteger, nullable=False),
    sa.Column("beat", sa.Integer, nullable=False),
    sa.Column("beat_ms", sa.BigInteger, nullable=False),
    sa.Column("turning", sa.Boolean, nullable=False),
)


def _processes_beat(db: sa.Connection) -> None:
    """2: who lives stands in a table; indexes fit what is asked, whatever the history."""
    for statement in (
        "CREATE TABLE IF NOT EXISTS masumi_processes (name VARCHAR(80) NOT NULL PRIMARY KEY,"
        " service VARCHAR(250) NOT NULL, since_ms BIGINT NOT NULL, beat INTEGER NOT NULL,"
        " beat_ms BIGINT NOT NULL, turning BOOLEAN NOT NULL)",
        "UPDATE masumi_jobs SET owner = '' WHERE owner > '' AND state IN ('completed', 'failed', 'lapsed')",
        "DROP INDEX IF EXISTS masumi_jobs_state",
        "DROP INDEX IF EXISTS masumi_jobs_owner",
        "CREATE INDEX masumi_jobs_open ON masumi_jobs (service, state, created_ms, client)",
        "CREATE INDEX masumi_jobs_created ON masumi_jobs (created_ms, job_id)",
        "CREATE INDEX masumi_jobs_held ON masumi_jobs (owner) WHERE owner > ''",
    ):
        db.execute(sa.text(statement))


SCHEMA = Schema("the table of jobs", metadata, facts, [_processes_beat], lock=7236011)
