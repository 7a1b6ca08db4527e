"""The tables of a shop, their version, and the steps from each older version to this one."""

from __future__ import annotations

import json

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
    sa.Column("booked", sa.String(24), nullable=False, server_default=""),  # how its price counts; "" for not
    sa.Column(
        "price", sa.String(200), nullable=False, server_default=""
    ),  # as in the record, where it is short
    sa.Index("masumi_jobs_open", "service", "state", "created_ms", "client"),
    sa.Index("masumi_jobs_watched", "service", "watched", "source_type"),
    sa.Index("masumi_jobs_created", "created_ms", "job_id"),
)
_HELD = jobs.c.owner > ""
sa.Index("masumi_jobs_held", jobs.c.owner, sqlite_where=_HELD, postgresql_where=_HELD)
IS_BOOKED = sa.text("booked > ''")
sa.Index(
    "masumi_jobs_booked",
    jobs.c.booked,
    jobs.c.service,
    jobs.c.state,
    jobs.c.created_ms,
    jobs.c.price,
    sqlite_where=IS_BOOKED,
    postgresql_where=IS_BOOKED,
)
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


def _booked(db: sa.Connection) -> None:
    """3: how the price of each job counts stands beside its record, in an index that sums are made from."""
    for statement in (
        "ALTER TABLE masumi_jobs ADD COLUMN booked VARCHAR(24) NOT NULL DEFAULT ''",
        "ALTER TABLE masumi_jobs ADD COLUMN price VARCHAR(200) NOT NULL DEFAULT ''",
    ):
        db.execute(sa.text(statement))
    # In the order in which they lie on the disk: in another one each page would be written many times.
    page = sa.text(
        "SELECT job_id, created_ms, record FROM masumi_jobs WHERE (created_ms, job_id) > (:at_ms, :after)"
        " ORDER BY created_ms, job_id LIMIT 500"
    )
    book = sa.text("UPDATE masumi_jobs SET booked = :booked, price = :price WHERE job_id = :job_id")
    at_ms, after = -1, ""
    while rows := list(db.execute(page, {"at_ms": at_ms, "after": after})):
        at_ms, after = rows[-1].created_ms, rows[-1].job_id
        booked = [found for row in rows if (found := _booking(row.job_id, row.record))["booked"]]
        if booked:
            db.execute(book, booked)
    db.execute(
        sa.text(
            "CREATE INDEX masumi_jobs_booked ON masumi_jobs (booked, service, state, created_ms, price)"
            " WHERE booked > ''"
        )
    )


def _booking(job_id: str, record: str) -> dict[str, str]:
    """How a job of this record counts, in the words of version 3."""
    job = json.loads(record)
    state, chain = job.get("state"), (job.get("chain") or {}).get("state") or ""
    ends = {"Withdrawn": "earned", "RefundWithdrawn": "refunded", "DisputedWithdrawn": "split"}
    booked = {**ends, "FundsOrDatumInvalid": "unclear"}.get(
        chain, "expected" if state == "completed" else "locked"
    )
    if chain in ("RefundRequested", "Disputed"):
        booked += " contested"
    price = json.dumps(job.get("price", []), separators=(",", ":"))
    none = not chain or job.get("free")
    return {"job_id": job_id, "booked": "" if none else booked, "price": price if len(price) <= 200 else ""}


SCHEMA = Schema("the table of jobs", metadata, facts, [_processes_beat, _booked], lock=7236011)
