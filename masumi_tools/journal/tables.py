"""The tables of the journal, their version, and the steps from each older version to this one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

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
    sa.Column("is_open", sa.Boolean, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("budget", sa.String(200), nullable=False),
    sa.Column("service", sa.String(512), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("changed_ms", sa.BigInteger, nullable=False),
    sa.Column("lease_until_ms", sa.BigInteger, nullable=False, default=0),  # of older versions: unused
    sa.Column("record", sa.Text, nullable=False),
    sa.Index("masumi_hires_created", "created_ms", "hire_id"),
    sa.Index("masumi_hires_open", "is_open", "created_ms", "hire_id"),
    sa.Index("masumi_hires_budget", "budget", "created_ms", "hire_id"),
    sa.Index("masumi_hires_state", "state", "created_ms"),
    sa.Index("masumi_hires_service", "service", "created_ms"),
    sa.Index("masumi_hires_ends", "service", "state", "created_ms"),
)
turns = sa.Table(
    "masumi_turns",
    metadata,
    sa.Column("hire_id", sa.String(40), primary_key=True),
    sa.Column("due_ms", sa.BigInteger, nullable=False),
    sa.Column("lease_owner", sa.String(200), nullable=True),
    sa.Column("lease_until_ms", sa.BigInteger, nullable=False),
    sa.Column("token", sa.String(32), nullable=False, server_default=""),
    sa.Column("known_ms", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("news_ms", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("unlock_ms", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("masumi_turns_due", "due_ms", "hire_id"),
    sa.Index("masumi_turns_token", "token"),
)
feeds = sa.Table(
    "masumi_feeds",
    metadata,
    sa.Column("feed", sa.String(700), primary_key=True),
    sa.Column("changed", sa.String(40), nullable=False),
    sa.Column("row_id", sa.String(200), nullable=False),
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
    sa.Index("masumi_amounts_at", "budget", "at_ms"),
)


def _sums(name: str) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column("budget", sa.String(200), primary_key=True),
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("service", sa.String(512), primary_key=True),
        sa.Column("slot_ms", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("unit", sa.String(250), primary_key=True),
        sa.Column("money", sa.String(12), primary_key=True),
        # SQLite would go on with a rounded number where PostgreSQL says that it is too large.
        sa.Column("quantity", sa.BigInteger, sa.CheckConstraint(_MOST.format("quantity")), nullable=False),
        sa.Column("returned", sa.BigInteger, sa.CheckConstraint(_MOST.format("returned")), nullable=False),
    )


_MOST = "{} <= 9223372036854775807"
totals = _sums("masumi_totals")
archived = _sums("masumi_archived")  # what the archived hires count in each sum
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
approvals = sa.Table(
    "masumi_approvals",
    metadata,
    sa.Column("hire_id", sa.String(40), primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("asked_ms", sa.BigInteger, nullable=False),
    sa.Column("until_ms", sa.BigInteger, nullable=False),
    sa.Column("answer", sa.String(12), nullable=False),
    sa.Column("answered_by", sa.String(200), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("tellings", sa.Integer, nullable=False),
    sa.Column("tell_ms", sa.BigInteger, nullable=False),
)
pages = sa.Table(
    "masumi_pages",
    metadata,
    sa.Column("url", sa.String(500), primary_key=True),
    sa.Column("until_ms", sa.BigInteger, nullable=False),
)


def _approvals(db: sa.Connection) -> None:
    db.execute(
        sa.text(
            "CREATE TABLE IF NOT EXISTS masumi_approvals"
            " (hire_id VARCHAR(40) NOT NULL, digest VARCHAR(64) NOT NULL, asked_ms BIGINT NOT NULL,"
            " until_ms BIGINT NOT NULL, answer VARCHAR(12) NOT NULL, answered_by VARCHAR(200) NOT NULL,"
            " why TEXT NOT NULL, at_ms BIGINT NOT NULL, tellings INTEGER NOT NULL, tell_ms BIGINT NOT NULL,"
            " PRIMARY KEY (hire_id, digest))"
        )
    )
    db.execute(
        sa.text(
            "CREATE TABLE IF NOT EXISTS masumi_pages"
            " (url VARCHAR(500) NOT NULL PRIMARY KEY, until_ms BIGINT NOT NULL)"
        )
    )


def _looks(db: sa.Connection) -> None:
    """What people look up is found without reading every record."""
    for name, columns in (("state", "state, created_ms"), ("service", "service, created_ms")):
        db.execute(sa.text(f"CREATE INDEX IF NOT EXISTS masumi_hires_{name} ON masumi_hires ({columns})"))


def _notes(db: sa.Connection) -> None:
    db.execute(
        sa.text(
            "CREATE TABLE IF NOT EXISTS masumi_notes"
            " (name VARCHAR(64) NOT NULL PRIMARY KEY, text TEXT NOT NULL)"
        )
    )


def _totals(db: sa.Connection) -> None:
    """Sums beside the lines, and every budget by its name."""
    for name in ("masumi_totals", "masumi_archived"):
        db.execute(
            sa.text(
                f"CREATE TABLE {name} (budget VARCHAR(200) NOT NULL, kind VARCHAR(8) NOT NULL,"
                " service VARCHAR(512) NOT NULL, slot_ms BIGINT NOT NULL, unit VARCHAR(250) NOT NULL,"
                " money VARCHAR(12) NOT NULL, quantity BIGINT NOT NULL CHECK (quantity <= 9223372036854775807),"
                " returned BIGINT NOT NULL CHECK (returned <= 9223372036854775807),"
                " PRIMARY KEY (budget, kind, service, slot_ms, unit, money))"
            )
        )
    for kind, service, slot in (
        ("budget", "''", "0"),
        ("service", "service", "0"),
        ("slot", "''", "at_ms - at_ms % 900000"),
    ):
        named = ", ".join(
            part for part in ("budget", service, slot, "unit", "money") if part not in ("''", "0")
        )
        db.execute(
            sa.text(
                f"INSERT INTO masumi_totals SELECT budget, '{kind}', {service}, {slot}, unit, money,"  # noqa: S608
                f" SUM(quantity), SUM(returned) FROM masumi_amounts GROUP BY {named}"
            )
        )
    db.execute(sa.text("CREATE INDEX masumi_amounts_at ON masumi_amounts (budget, at_ms)"))
    db.execute(sa.text("DROP INDEX IF EXISTS masumi_amounts_budget"))
    db.execute(
        sa.text(
            "INSERT INTO masumi_budgets (name, limits) SELECT DISTINCT budget, '' FROM masumi_hires"
            " WHERE budget NOT IN (SELECT name FROM masumi_budgets)"
        )
    )


def _turns(db: sa.Connection) -> None:
    """When open hires are due and who drives them, beside their records; all are due, the oldest first.

    A process of the older version that still runs finds its column gone, and stops before it sends anything.
    """
    for statement in (
        "CREATE TABLE masumi_turns (hire_id VARCHAR(40) NOT NULL PRIMARY KEY, due_ms BIGINT NOT NULL,"
        " lease_owner VARCHAR(200), lease_until_ms BIGINT NOT NULL)",
        "INSERT INTO masumi_turns SELECT hire_id, created_ms, lease_owner, lease_until_ms FROM masumi_hires"
        " WHERE is_open",
        "CREATE INDEX masumi_turns_due ON masumi_turns (due_ms, hire_id)",
        "CREATE INDEX masumi_hires_created ON masumi_hires (created_ms, hire_id)",
        "ALTER TABLE masumi_hires RENAME COLUMN lease_owner TO lease_owner_before_turns",
    ):
        db.execute(sa.text(statement))


def _of_service(db: sa.Connection) -> None:
    """What is known of one service is read by an index."""
    db.execute(
        sa.text("CREATE INDEX IF NOT EXISTS masumi_hires_ends ON masumi_hires (service, state, created_ms)")
    )


def _feeds(db: sa.Connection) -> None:
    """Up to where the node's feed was read, and for each open hire by which name the feed knows it.

    What the node has told of a hire so far is looked at once more: nothing is taken as known.
    """
    for statement in (
        "ALTER TABLE masumi_turns ADD COLUMN token VARCHAR(32) NOT NULL DEFAULT ''",
        "ALTER TABLE masumi_turns ADD COLUMN known_ms BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE masumi_turns ADD COLUMN news_ms BIGINT NOT NULL DEFAULT 0",
        "CREATE TABLE masumi_feeds (feed VARCHAR(700) NOT NULL PRIMARY KEY, changed VARCHAR(40) NOT NULL,"
        " row_id VARCHAR(200) NOT NULL)",
    ):
        db.execute(sa.text(statement))
    _fill_turns(db, "UPDATE masumi_turns SET token = :value WHERE hire_id = :hire_id", _token_in)
    db.execute(sa.text("CREATE INDEX masumi_turns_token ON masumi_turns (token)"))


def _fill_turns(db: sa.Connection, update: str, value: Callable[[str], str | int]) -> None:
    """Run `update` for each open hire, with what `value` reads in its record, a page at a time."""
    page = sa.text(
        "SELECT t.hire_id, h.record FROM masumi_turns t JOIN masumi_hires h ON h.hire_id = t.hire_id"
        " WHERE t.hire_id > :after ORDER BY t.hire_id LIMIT 500"
    )
    after = ""
    while rows := list(db.execute(page, {"after": after})):
        after = rows[-1].hire_id
        values = [{"hire_id": row.hire_id, "value": value(row.record)} for row in rows]
        db.execute(sa.text(update), values)


def _of_budget(db: sa.Connection) -> None:
    """The newest hires of a budget, and the newest that are open, are read by an index."""
    for name, first in (("open", "is_open"), ("budget", "budget")):
        statement = f"CREATE INDEX masumi_hires_{name} ON masumi_hires ({first}, created_ms, hire_id)"
        db.execute(sa.text(statement))
    db.execute(sa.text("DROP INDEX IF EXISTS ix_masumi_hires_is_open"))


def _unlocks(db: sa.Connection) -> None:
    """The nearest unlock_time comes first among what is due."""
    db.execute(sa.text("ALTER TABLE masumi_turns ADD COLUMN unlock_ms BIGINT NOT NULL DEFAULT 0"))
    _fill_turns(db, "UPDATE masumi_turns SET unlock_ms = :value WHERE hire_id = :hire_id", _unlock_in)


def _unlock_in(record: str) -> int:
    """The unlock_time in this record; 0 where it holds none."""
    try:
        found = json.loads(record)["terms"]["times"]["unlock_time"]
        return found if isinstance(found, int) and 0 < found < 2**60 else 0
    except (ValueError, LookupError, TypeError):
        return 0


def _token_in(record: str) -> str:
    """The start of the SHA-256 of the identifier in this record; "" where it holds none."""
    try:
        identifier = json.loads(record)["terms"]["blockchain_identifier"]
        return hashlib.sha256(identifier.encode()).hexdigest()[:32]
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


# Each is one step from the version before it; see `Schema`.
STEPS: list[Step] = [_notes, _totals, _turns, _approvals, _looks, _of_service, _feeds, _of_budget, _unlocks]


def schema() -> Schema:
    """The tables of the journal as this package reads and writes them."""
    return Schema("the journal", metadata, meta, STEPS, lock=0x6D6173756D69)
