"""The two books that must agree: what a journal says of its hires, and what the sandbox's ledger holds of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from masumi_tools.hire import rows
from masumi_tools.hire.purchase import Purchase, State
from masumi_tools.journal.store import Journal
from masumi_tools.money import parse_amounts
from masumi_tools.proof import identifier

# Where money that was ordered is, by the node's word for it.
WITH_US = {"RefundWithdrawn", "FundsOrDatumInvalid"}


@dataclass(frozen=True)
class Books:
    """All hires of one journal beside the purchases of the ledger that are theirs."""

    hires: list[Purchase]
    purchases: list[dict[str, Any]]
    lines: list[rows.BudgetLine]

    @property
    def last(self) -> Purchase:
        return self.hires[0]

    def used(self) -> int:
        """Base units of ADA that the budget says are reserved, locked or spent."""
        return sum(line.used for line in self.lines if line.unit == "")

    def gone(self) -> int:
        """Base units of ADA that the ledger says are in escrow or with a seller."""
        return sum(
            int(fund["amount"])
            for row in self.purchases
            if row["onChainState"] not in WITH_US
            for fund in row["PaidFunds"]
        )

    def check(self) -> None:
        """One purchase at most for what was asked, none that nobody knows, and both books in balance."""
        nonces = Counter(nonce_of(row) for row in self.purchases)
        known = {p.nonce for p in self.hires}
        assert all(nonce in known and count == 1 for nonce, count in nonces.items())
        assert len(self.purchases) <= 1, [row["onChainState"] for row in self.purchases]
        assert self.used() == self.gone(), (self.used(), self.gone(), [p.state for p in self.hires])
        for p in self.hires:
            if p.state in (State.REFUSED, State.LAPSED):
                assert p.nonce not in nonces or self.purchases[0]["onChainState"] in WITH_US


def nonce_of(row: dict[str, Any]) -> str:
    return identifier.decode(row["blockchainIdentifier"]).purchaser_identifier


def books(url: str, purchases: list[dict[str, Any]], limit: str = "20 ADA") -> dict[str, Books]:
    """Read the journal at `url`: by the name of each budget, its hires and their purchases in the ledger."""
    journal = Journal(url)
    try:
        hires = [rows.purchase_of(row) for row in journal.rows()]
        lines = {
            name: rows.budget_lines(journal.used(name), parse_amounts(limit))
            for name in {p.budget for p in hires}
        }
    finally:
        journal.close()
    found = {}
    for name, of_budget in lines.items():
        mine = [p for p in hires if p.budget == name]
        nonces = {p.nonce for p in mine}
        found[name] = Books(mine, [row for row in purchases if nonce_of(row) in nonces], of_budget)
    return found
