"""The node's background jobs: what becomes of rows after the API answered (protocol N4.2, N6, N9, N10).

Nothing polls: each job is planned for the moment at which the node's own loop would find the row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from ..timetext import MINUTE
from . import identifier
from .book import Book
from .changes import chained_note, set_action, set_error, set_state, set_transaction, touch
from .guard import DENIED
from .moves import (
    BATCH_MARGIN_MS,
    BATCH_SIZE,
    FINAL,
    LOCK_GRACE_MS,
    NODE,
    QUICK,
    SLACK_MS,
    TX_TIMEOUT_MS,
    Move,
    Party,
    move_of,
)
from .rows import V1, Escrow, Funds, Payment, PaymentSource, Purchase, Row, Transaction, Wallet
from .sums import FEE, InsufficientMoney, as_sums, collateral_for

WAITING = "WaitingForExternalAction"
MANUAL = "WaitingForManualAction"
NO_LOCK = (
    "{} request payByTime ({}) passed without on-chain lock; no FundsLocked tx observed within 300s grace."
)
TOO_LATE = "Unexpected state change detected. Possible a action could not be executed in time"
BY_OTHERS = "Unexpected state change detected. Possible a action was executed externally"
MANUAL_CHANGED = "State change detected after manual action was required"
WRONG_AMOUNTS = "Payment amounts do not match. Expected and found amounts differ."


class Jobs:
    """The loops of one node over the rows of a world. ``running=False`` leaves rows as the API made them."""

    def __init__(self, world: Book, *, realistic: bool, running: bool) -> None:
        self.world = world
        self.intervals = NODE if realistic else QUICK
        self.running = running
        self._queues: dict[str, deque[Purchase]] = {}

    # What the API calls

    def offered(self, payment: Payment) -> None:
        """A new payment: it waits for its lock, and not for ever."""
        self._plan_expiry(payment)

    def ordered(self, purchase: Purchase) -> None:
        """A new purchase: the next batch takes it."""
        self._plan_expiry(purchase)
        self.requested(purchase)

    def requested(self, row: Row) -> None:
        """The row's NextAction was set to ``...Requested``: plan the job that takes it."""
        if isinstance(row, Purchase) and row.action.requested == "FundsLockingRequested":
            queue = self._queues.setdefault(row.source.id, deque())
            queue.append(row)
            if len(queue) == 1:
                self._plan_batch(row.source)
            return
        move = move_of(row.action.requested)
        if move is not None:
            self._plan_move(row, move, self.world.now_ms())

    def settled(self, row: Row) -> None:
        """An operator cleared the row's error: what the node decides by itself is planned again."""
        self._decide_later(row)

    def split(self, row: Row, seller_permille: int) -> None:
        """The admins end a dispute: the seller gets that share, the buyer the rest.

        ValueError when the row is not disputed or its externalDisputeUnlockTime has not passed.
        """
        escrow = row.escrow
        disputed = escrow is not None and escrow.state == "Disputed" and not escrow.busy
        if escrow is None or not disputed or self.world.now_ms() < row.dispute_ms:
            raise ValueError("only a dispute past its externalDisputeUnlockTime can be split")
        seller: Funds = [(amount * seller_permille // 1000, unit) for amount, unit in escrow.funds]
        buyer: Funds = [(a - s, unit) for (a, unit), (s, _) in zip(escrow.funds, seller, strict=True)]
        tx = self._transaction(row.on_chain, "DisputedWithdrawn")
        tx.status, tx.confirmations = "Confirmed", 1
        self._pay_out(escrow, seller, buyer, fee_permille=0)
        self._show(escrow, "DisputedWithdrawn", None, tx)

    # Batches of locks

    def _plan_batch(self, source: PaymentSource) -> None:
        self.plan(self.world.now_ms(), self.intervals.batch, lambda: self._batch(source))

    def _batch(self, source: PaymentSource) -> None:
        queue = self._queues[source.id]
        held: list[Purchase] = []
        for _ in range(BATCH_SIZE if source.source_type == V1 else len(queue)):
            if not queue:
                break
            row = queue.popleft()
            if self._held_back(row):
                held.append(row)
            else:
                self._send_lock(row)
        queue.extend(held)
        if queue:
            self._plan_batch(source)

    def _held_back(self, row: Purchase) -> bool:
        """Whether the wallet's policy denies the lock for now; what it denies for good waits for its operator."""
        if row.action.requested != "FundsLockingRequested" or row.action.error_type or row.on_chain or row.tx:
            return False
        answer = self.world.guard.take()
        if answer is None:
            if row.action.error_note:
                set_error(self.world, row, None, None)
            return False
        note, lasting = answer
        if lasting:
            set_action(self.world, row, MANUAL, error=(DENIED, note))
        else:
            set_error(self.world, row, None, note)
        self.world.changed(row)
        return not lasting

    def _send_lock(self, row: Purchase) -> None:
        now = self.world.now_ms()
        action = row.action
        if action.requested != "FundsLockingRequested" or action.error_type or row.on_chain or row.tx:
            return
        if row.pay_by_ms < now + BATCH_MARGIN_MS:
            return  # the node's query never finds it again
        if row.submit_result_ms < now + 5 * MINUTE:
            set_error(self.world, row, "Unknown", "Transaction timeout before sending")
            self.world.changed(row)
            return
        wallet = self._wallet_for(row)
        if wallet is None:
            error = ("InsufficientFunds", "Not enough funds in wallets")
            set_action(self.world, row, MANUAL, error=error)
            self.world.changed(row)
            return
        chain = self.world.chain
        parts = identifier.decode(row.identifier)
        escrow = Escrow(
            identifier=identifier.encode(parts) if parts else row.identifier,
            funds=list(row.funds),
            collateral=collateral_for(row.funds),
            buyer_wallet=wallet,
            buyer_address=row.buyer_return or wallet.collection_address or wallet.address,
            seller_address=row.seller_return,
            busy=True,
        )
        row.wallet = wallet
        row.collateral = escrow.collateral
        tx = self._transaction(None, "FundsLocked")
        self._begin(row, "FundsLocking", tx)
        lost = chain.loses()
        # A spelling that is not canonical is on the chain under another text: its own row never matches it.
        matches = row.identifier == escrow.identifier
        if lost or not matches:
            self.world.at(now + TX_TIMEOUT_MS, lambda: self._time_out(row, tx))
        if lost:
            return
        chain.pay_fee(wallet.address)
        chain.lock(escrow)
        escrow.purchase = row if matches else None
        seen = tx if matches else replace(tx)
        land = now + self.intervals.block
        self.plan(land, self.intervals.check, lambda: self._land_lock(row, escrow, seen))

    def _land_lock(self, row: Purchase, escrow: Escrow, tx: Transaction) -> None:
        escrow.busy = False
        if escrow.purchase is not None and row.on_chain is None:
            row.escrow = escrow
        else:
            escrow.purchase = None
        payment = self.world.payment(row.source.network, escrow.identifier)
        if payment is not None and payment.on_chain is None:
            if _covers(escrow.funds, payment.funds):
                escrow.payment = payment
                payment.escrow = escrow
                payment.collateral = escrow.collateral
                wallet = escrow.buyer_wallet
                payment.other_wallet = (self.world.base_id(row.source, wallet.vkey), wallet.vkey)
            else:
                self._invalid(payment, chained_note(payment, WRONG_AMOUNTS))
        self._confirm(escrow, tx, "buyer")
        self._show(escrow, "FundsLocked", None, tx)

    def _wallet_for(self, row: Purchase) -> Wallet | None:
        key = self.world.key_by_id(row.requested_by)
        allowed = key.wallet_ids if row.scoped and key else None
        for wallet in self.world.wallets:
            if wallet.source is not row.source or wallet.kind != "Purchasing":
                continue
            if (allowed is None or wallet.id in allowed) and self.world.chain.can_lock(
                wallet.address, row.funds
            ):
                return wallet
        return None

    def _plan_expiry(self, row: Row) -> None:
        self.plan(row.pay_by_ms + LOCK_GRACE_MS, self.intervals.check, lambda: self._expire(row))

    def _expire(self, row: Row) -> None:
        """Give up on a lock, but not on one that was sent and may still come."""
        idle = "FundsLockingRequested" if isinstance(row, Purchase) else WAITING
        if row.on_chain is None and (row.action.requested == idle or row.action.error_type):
            self._invalid(row, NO_LOCK.format(type(row).__name__, row.pay_by_ms))

    def _invalid(self, row: Row, note: str) -> None:
        set_action(self.world, row, MANUAL, error=("Unknown", note))
        set_state(self.world, row, "FundsOrDatumInvalid", row.result_hash)
        self.world.changed(row)

    # Moves of a locked escrow

    def _plan_move(self, row: Row, move: Move, from_ms: int) -> None:
        interval = getattr(self.intervals, move.interval)
        self.plan(from_ms, interval, lambda: self._send_move(row, move))

    def _send_move(self, row: Row, move: Move) -> None:
        escrow, now = row.escrow, self.world.now_ms()
        if row.action.requested != move.name + "Requested" or row.action.error_type or escrow is None:
            return
        if escrow.state not in move.steps(row) or not move.in_time(row, now):
            return  # stays queued, as on the node; a later state may let it go
        cooldown = row.buyer_cooldown_ms if move.party == "buyer" else row.seller_cooldown_ms
        if now < cooldown or escrow.busy:
            self._plan_move(row, move, max(now, cooldown))
            return
        wallet = row.wallet
        if wallet is None:
            return
        lost = self.world.chain.loses()
        try:
            if not lost:
                self.world.chain.pay_fee(wallet.address)
        except InsufficientMoney:
            kind = "InsufficientFunds" if move.party == "buyer" else "Unknown"
            set_action(self.world, row, MANUAL, error=(kind, "Not enough funds in wallets"))
            self.world.changed(row)
            return
        result = row.action.result_hash
        tx = self._transaction(escrow.state, move.steps(row)[escrow.state])
        escrow.busy = True
        self._begin(row, move.name, tx)
        if lost:
            self.world.at(now + TX_TIMEOUT_MS, lambda: self._time_out(row, tx))
            return
        land = now + self.intervals.block
        self.plan(land, self.intervals.check, lambda: self._land_move(row, move, tx, result))

    def _land_move(self, row: Row, move: Move, tx: Transaction, result: str | None) -> None:
        escrow = row.escrow
        if escrow is None:
            return
        escrow.busy = False
        self._confirm(escrow, tx, move.party)
        state = move.steps(row)[escrow.state]
        if move.name == "Withdraw":
            self._pay_out(escrow, escrow.funds, [], fee_permille=row.source.fee_permille)
        elif move.name == "WithdrawRefund":
            self._pay_out(escrow, [], escrow.funds, fee_permille=0)
        if state not in FINAL:
            self._cool_down(escrow, move, self.world.now_ms() + row.source.cooldown_ms + SLACK_MS)
        shown = {"SubmitResult": result, "AuthorizeRefund": None}.get(move.name, row.result_hash)
        self._show(escrow, state, shown, tx)

    def _cool_down(self, escrow: Escrow, move: Move, until_ms: int) -> None:
        """Who has just moved may not move again at once."""
        for side in (escrow.purchase, escrow.payment):
            if side is not None:
                side.buyer_cooldown_ms = until_ms if move.party == "buyer" else 0
                side.seller_cooldown_ms = until_ms if move.party == "seller" else 0

    def _pay_out(self, escrow: Escrow, seller: Funds, buyer: Funds, *, fee_permille: int) -> None:
        payment = escrow.payment
        fees: Funds = [(amount * fee_permille // 1000, unit) for amount, unit in seller]
        rest: Funds = [(a - f, unit) for (a, unit), (f, _) in zip(seller, fees, strict=True)]
        collateral: Funds = [(escrow.collateral, "")] if escrow.collateral else []
        own = payment.wallet if payment else None
        fallback = (own.collection_address or own.address) if own else escrow.buyer_address
        source = escrow.buyer_wallet.source
        shares = [
            (escrow.seller_address or fallback, rest),
            (source.fee_address or fallback, fees),
            (escrow.buyer_address, buyer + collateral),
        ]
        self.world.chain.unlock(escrow, shares)
        for row in (escrow.purchase, payment):
            if row is not None:
                row.withdrawn_seller = [pair for pair in rest if pair[0]]
                row.withdrawn_buyer = [pair for pair in buyer + collateral if pair[0]]

    # What both nodes see

    def _show(self, escrow: Escrow, state: str, result: str | None, tx: Transaction) -> None:
        escrow.state = state
        for row in (escrow.purchase, escrow.payment):
            if row is None:
                continue
            if row.tx is not tx:
                seen = replace(tx, id=self.world.new_id(), created_ms=tx.updated_ms)
                set_transaction(self.world, row, seen)
            empty = "" if isinstance(row, Payment) else None
            set_state(self.world, row, state, result or empty)
            self._react(row, state)
            self._decide_later(row)
            self.world.changed(row)

    def _react(self, row: Row, state: str) -> None:
        requested = row.action.requested
        if requested.endswith("Initiated") or requested == WAITING:
            set_action(self.world, row, "None" if state in FINAL else WAITING)
            return
        if requested == MANUAL:
            note = chained_note(row, MANUAL_CHANGED)
            set_action(self.world, row, MANUAL, error=(row.action.error_type or "Unknown", note))
            return
        move = move_of(requested)
        if move is None:
            return
        survives = move.name in ("SubmitResult", "SetRefundRequested")
        if survives and state in ("RefundAuthorized", "WithdrawAuthorized"):
            set_action(self.world, row, MANUAL, error=("Unknown", BY_OTHERS))
        elif state in FINAL or (state not in move.steps(row) and not survives):
            set_action(self.world, row, MANUAL, error=("Unknown", TOO_LATE))
        else:
            self._plan_move(row, move, self.world.now_ms())

    def _decide_later(self, row: Row) -> None:
        due = self._decision_due(row)
        if due is not None:
            self.plan(due, self.intervals.decide, lambda: self._decide(row))

    def _decide(self, row: Row) -> None:
        due = self._decision_due(row)
        if due is None or due > self.world.now_ms():
            return
        name = "WithdrawRefund" if isinstance(row, Purchase) else "Withdraw"
        set_action(self.world, row, name + "Requested")
        self.world.changed(row)
        self.requested(row)

    @staticmethod
    def _decision_due(row: Row) -> int | None:
        if row.action.requested != WAITING or row.action.error_type or row.escrow is None:
            return None
        if isinstance(row, Purchase):
            if row.on_chain == "RefundAuthorized":
                return row.state_changed_ms
            waits = row.on_chain in ("FundsLocked", "RefundRequested") and not row.result_hash
            return row.submit_result_ms + SLACK_MS if waits else None
        if row.on_chain == "WithdrawAuthorized":
            return row.state_changed_ms
        return row.unlock_ms + SLACK_MS if row.on_chain == "ResultSubmitted" else None

    # Small things

    def _begin(self, row: Row, name: str, tx: Transaction) -> None:
        set_transaction(self.world, row, tx)
        set_action(self.world, row, name + "Initiated", result_hash=row.action.result_hash)
        row.action.tx_hash = tx.hash
        self.world.changed(row)

    def _time_out(self, row: Row, tx: Transaction) -> None:
        if row.escrow is not None:
            row.escrow.busy = False
        tx.status = "FailedViaTimeout"
        if row.tx is tx and row.action.requested.endswith("Initiated"):
            set_action(self.world, row, WAITING, error=("Unknown", "Timeout when waiting for transaction"))
            self._plan_expiry(row)
        touch(self.world, row)
        self.world.changed(row)

    def _confirm(self, escrow: Escrow, tx: Transaction, party: Party) -> None:
        now = self.world.now_ms()
        tx.status, tx.updated_ms, tx.confirmations, tx.fees = "Confirmed", now, 1, FEE
        tx.block_time_s, tx.block_height = now // 1000, self.world.block_height()
        for row in (escrow.purchase, escrow.payment):
            if row is not None and party == "buyer":
                row.buyer_fees += FEE
            elif row is not None:
                row.seller_fees += FEE

    def _transaction(self, old: str | None, new: str | None) -> Transaction:
        now = self.world.now_ms()
        tx = Transaction(self.world.new_id(), now, now, "Pending", self.world.new_hash())
        tx.old_state, tx.new_state = old, new
        return tx

    def plan(self, from_ms: int, interval: int, event: Callable[[], None]) -> None:
        """Run ``event`` at the first turn of a loop of that interval after ``from_ms`` and after now."""
        if self.running:
            start = max(from_ms, self.world.now_ms())
            self.world.at((start // interval + 1) * interval, event)


def _covers(locked: Funds, asked: Funds) -> bool:
    """The seller's check of a lock: tokens exact, lovelace may be more, no other token (protocol N12)."""
    found, wanted = as_sums(locked), as_sums(asked)
    if found.keys() != wanted.keys():
        return False
    return all(found[unit] >= n if unit == "" else found[unit] == n for unit, n in wanted.items())
