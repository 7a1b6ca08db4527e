"""The contract's moves (protocol N9.2) and how often the node's jobs look (protocol N10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..timetext import MINUTE
from .rows import V1, Row

Party = Literal["buyer", "seller"]
FINAL = frozenset({"Withdrawn", "RefundWithdrawn", "DisputedWithdrawn"})
ON_CHAIN_STATES = (
    "FundsLocked",
    "FundsOrDatumInvalid",
    "ResultSubmitted",
    "RefundRequested",
    "Disputed",
    "WithdrawAuthorized",
    "RefundAuthorized",
    "Withdrawn",
    "RefundWithdrawn",
    "DisputedWithdrawn",
)
SLACK_MS = 10 * MINUTE
"""The node starts refunds and withdrawals that long after their time, and adds it to cooldowns."""
LOCK_GRACE_MS = 5 * MINUTE
TX_TIMEOUT_MS = 7 * MINUTE
BATCH_MARGIN_MS = 57_000
BATCH_SIZE = 10


@dataclass(frozen=True)
class Intervals:
    """How often each job runs, in ms; ``block`` is the time from submitting to being in a block."""

    batch: int
    block: int
    check: int
    submit: int
    refund: int
    collect_refund: int
    collect: int
    authorize: int
    decide: int
    register: int


NODE = Intervals(
    batch=30_000,
    block=20_000,
    check=20_000,
    submit=15_000,
    refund=15_000,
    collect_refund=15_000,
    collect=15_000,
    authorize=15_000,
    decide=30_000,
    register=15_000,
)
QUICK = Intervals(50, 40, 50, 50, 50, 50, 50, 50, 50, 50)


@dataclass(frozen=True)
class Move:
    """One transition of the contract, started by the NextAction ``name`` + ``Requested``."""

    name: str
    party: Party
    interval: str
    v1: dict[str, str]
    v2: dict[str, str]

    def steps(self, row: Row) -> dict[str, str]:
        """On-chain state before to state after."""
        return self.v1 if row.source.source_type == V1 else self.v2

    def in_time(self, row: Row, now_ms: int) -> bool:
        """Whether the node's job would still, or already, send it at ``now_ms``."""
        match self.name:
            case "SetRefundRequested":
                return row.unlock_ms > now_ms + 3 * MINUTE
            case "SubmitResult":
                rotates = row.source.source_type != V1 and bool(row.result_hash)
                return (row.dispute_ms if rotates else row.submit_result_ms) > now_ms + 5 * MINUTE
            case "WithdrawRefund":
                return row.on_chain == "RefundAuthorized" or row.submit_result_ms <= now_ms
            case "Withdraw":
                return row.on_chain == "WithdrawAuthorized" or row.unlock_ms <= now_ms
            case _:
                return True


_SUBMIT = {
    "FundsLocked": "ResultSubmitted",
    "ResultSubmitted": "ResultSubmitted",
    "RefundRequested": "Disputed",
    "Disputed": "Disputed",
}
_REQUEST = {"FundsLocked": "RefundRequested", "ResultSubmitted": "Disputed"}
_BACK = {"FundsLocked": "RefundWithdrawn", "RefundRequested": "RefundWithdrawn"}
_BACK_V2 = _BACK | {"RefundAuthorized": "RefundWithdrawn"}
_OPEN = ("FundsLocked", "ResultSubmitted", "RefundRequested", "Disputed")

MOVES: dict[str, Move] = {
    move.name: move
    for move in (
        Move("SetRefundRequested", "buyer", "refund", _REQUEST, _REQUEST),
        Move(
            "UnSetRefundRequested",
            "buyer",
            "refund",
            {"RefundRequested": "FundsLocked", "Disputed": "ResultSubmitted"},
            {},
        ),
        Move("AuthorizeWithdrawal", "buyer", "refund", {}, {"Disputed": "WithdrawAuthorized"}),
        Move("WithdrawRefund", "buyer", "collect_refund", _BACK, _BACK_V2),
        Move("SubmitResult", "seller", "submit", _SUBMIT, _SUBMIT),
        Move(
            "AuthorizeRefund",
            "seller",
            "authorize",
            {"Disputed": "RefundRequested"},
            dict.fromkeys(_OPEN, "RefundAuthorized"),
        ),
        Move(
            "Withdraw",
            "seller",
            "collect",
            {"ResultSubmitted": "Withdrawn"},
            {"ResultSubmitted": "Withdrawn", "WithdrawAuthorized": "Withdrawn"},
        ),
    )
}


def move_of(requested_action: str) -> Move | None:
    """The move that ``...Requested`` asks for, None for the waiting actions and for locks."""
    if not requested_action.endswith("Requested"):
        return None
    return MOVES.get(requested_action[: -len("Requested")])
