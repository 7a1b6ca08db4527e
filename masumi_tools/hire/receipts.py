"""Several receipts: a list that shows itself as a table in a notebook and writes itself as CSV."""

from __future__ import annotations

import csv
import io
from os import PathLike
from pathlib import Path
from typing import Any, Final

from masumi_tools.hire.notebook import table
from masumi_tools.hire.receipt import Receipt
from masumi_tools.text import cell

COLUMNS: Final = (
    "hire_id", "outcome", "service", "agent_identifier", "url", "network", "budget", "created_ms", "changed_ms",
    "paid_text", "refunded_text", "fees_ada", "money", "verified", "reason", "blockchain_identifier", "transactions",
)  # fmt: skip
_SHOWN: Final = 50


class Receipts(list[Receipt]):
    """A list of receipts, the newest first where the journal gave them."""

    def to_csv(self, path: str | PathLike[str] | None = None) -> str:
        """The receipts as CSV text, one a line; also written to `path` where one is given.

        Times are ms, amounts text such as "1 ADA". A text of a service that a spreadsheet could take for a
        formula begins with an apostrophe. OSError where the file cannot be written.
        """
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for receipt in self:
            line: dict[str, Any] = receipt.as_json()
            line["transactions"] = " ".join(line["transactions"])
            writer.writerow({name: cell(line[name]) for name in COLUMNS})
        if path is not None:
            Path(path).write_text(out.getvalue(), encoding="utf-8", newline="")
        return out.getvalue()

    def _repr_html_(self) -> str:
        more = f" (the first {_SHOWN})" if len(self) > _SHOWN else ""
        rows = [
            (r.outcome, r.service or r.url, r.paid_text, r.refunded_text, r.result or r.reason, r.hire_id)
            for r in self[:_SHOWN]
        ]
        names = ("outcome", "service", "paid", "refunded", "result or reason", "hire")
        return table(f"{len(self)} receipts{more}", names, rows)
