"""Many hires at once, without hiring: copies of real records with other names, amounts, times and states."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, replace

from masumi_tools.hire import rows
from masumi_tools.hire.purchase import Purchase
from masumi_tools.journal import tables, totals
from masumi_tools.journal.row import Row
from masumi_tools.journal.store import Journal

NAMES = (
    "Echo",
    "N" * 200,
    "خدمة ترجمة النصوص من العربية وإليها",
    "שירות תרגום " * 12,
    "<b>bold</b> & \"quoted\" 'name'",
    "翻訳サービス",
    "a_name_without_any_space_" * 8,
)
DAY_MS = 24 * 3_600_000


def crowd(journal: Journal, number: int, *, units: int = 1) -> None:
    """Add `number` hires, copies of those that are in the journal, with amounts in so many units."""
    known = [rows.purchase_of(row) for row in journal.rows()]
    rng = random.Random(number)
    made: list[Row] = []
    for index in range(number):
        made.append(_copy(known[index % len(known)], index, rng, units))
    lines = [(row.hire_id, line) for row in made for line in _lines(row)]
    with journal._engine.begin() as db:
        db.execute(tables.hires.insert(), [_columns(row) for row in made])
        waiting = [
            {"hire_id": row.hire_id, "due_ms": 2**53, "lease_until_ms": 0} for row in made if row.is_open
        ]
        if waiting:
            db.execute(tables.turns.insert(), waiting)
        if lines:
            db.execute(tables.amounts.insert(), [asdict(line) | {"hire_id": one} for one, line in lines])
            sums = totals.changes((), [line for _, line in lines])
            db.execute(
                tables.totals.insert(), [{**key._asdict(), **both._asdict()} for key, both in sums.items()]
            )
            db.execute(tables.budgets.insert(), {"name": "crowd", "limits": ""})


def _copy(p: Purchase, index: int, rng: random.Random, units: int) -> Row:
    record = json.loads(p.model_dump_json())
    record |= {
        "hire_id": f"c{index:015d}",
        "budget": "crowd",
        "created_ms": p.created_ms - rng.randrange(60 * DAY_MS),
    }
    if record["listing"]:
        record["listing"]["name"] = NAMES[index % len(NAMES)]
    unit = "" if index % units == 0 else f"{index % units:056x}{'54' * (1 + index % 12)}"
    record["price"] = [{"quantity": rng.randrange(1, 5_000_000), "unit": unit}]
    row = rows.row_of(Purchase.model_validate(record))
    return replace(row, service=f"{row.service[:-6]}{index % 50:06d}", at_ms=row.created_ms)


def _lines(row: Row) -> list[totals.Line]:
    rest = row.budget, row.service, row.at_ms, row.money
    return [totals.Line(one.unit, *rest, one.quantity, one.returned) for one in row.entries]


def _columns(row: Row) -> dict[str, object]:
    names = ("hire_id", "state", "is_open", "budget", "service", "created_ms", "changed_ms", "record")
    return {name: getattr(row, name) for name in names} | {
        "key": row.hire_id, "open_key": None, "version": 1, "lease_until_ms": 0,
    }  # fmt: skip
