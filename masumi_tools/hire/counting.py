"""How a hire counts against its budget, by its state. Budgets and receipts say the same of the money by it."""

from __future__ import annotations

from masumi_tools.hire.purchase import Purchase, State

# Before RESERVED nothing is held yet.
COUNTS: dict[State, str] = {
    State.ASKED: "",
    State.LISTED: "",
    State.AWAITING: "",
    State.RESERVED: "reserved",
    State.STARTED: "reserved",
    State.PAYING: "reserved",
    State.PAID: "reserved",
    State.LOCKED: "locked",
    State.RUNNING: "released",
    State.NEEDS_INPUT: "locked",
    State.DELIVERED: "locked",
    State.REFUND_REQUESTED: "locked",
    State.DISPUTED: "locked",
    State.SETTLED: "spent",
    State.REFUNDED: "refunded",
    State.REFUSED: "released",
    State.LAPSED: "released",
    State.FAILED: "spent",
    State.WRITTEN_OFF: "released",
}


def counts(p: Purchase) -> str:
    """How the price of this hire counts against its budget: "reserved", "locked", "spent", "refunded", "released",
    or "" for not at all. What a receipt says of the money follows from the same."""
    if p.at(State.RESERVED) is None:
        return ""
    if p.free:
        return "released"
    return "spent" if p.money == "spent" else COUNTS[p.state]
