"""Changes of a payment or purchase row, with the time stamps and histories that the node keeps of them."""

from __future__ import annotations

from .book import Book
from .rows import Action, Row, Transaction


def set_action(
    world: Book,
    row: Row,
    requested: str,
    *,
    error: tuple[str, str] | None = None,
    result_hash: str | None = None,
) -> None:
    """A new NextAction; the old one goes into ActionHistory."""
    now = world.now_ms()
    row.action.updated_ms = now
    row.action_history.append(row.action)
    kind, note = error or (None, None)
    row.action = Action(world.new_id(), now, now, requested, kind, note, result_hash)
    row.action_changed_ms = now
    _stamp(world, row, now)


def set_error(world: Book, row: Row, kind: str | None, note: str | None) -> None:
    """Note an error on the present NextAction, which stays what it is."""
    now = world.now_ms()
    row.action.error_type, row.action.error_note = kind, note
    row.action.updated_ms = now
    row.action_changed_ms = now
    _stamp(world, row, now)


def chained_note(row: Row, note: str) -> str:
    """How the node adds a note to an older one: ``old(action) -> new`` (protocol N9.6)."""
    old = row.action.error_note
    return f"{old}({row.action.requested}) -> {note}" if old else note


def set_state(world: Book, row: Row, state: str | None, result_hash: str | None) -> None:
    """What the chain says: on-chain state and result hash."""
    now = world.now_ms()
    row.on_chain = state
    row.result_hash = result_hash
    row.state_changed_ms = now
    _stamp(world, row, now)


def set_transaction(world: Book, row: Row, tx: Transaction | None) -> None:
    """A new CurrentTransaction; the old one goes into TransactionHistory."""
    if row.tx is not None and not any(row.tx is old for old in row.tx_history):
        row.tx_history.append(row.tx)
    row.tx = tx
    touch(world, row)


def touch(world: Book, row: Row) -> None:
    """A change that moves only ``updatedAt``."""
    row.updated_ms = world.now_ms()


def _stamp(world: Book, row: Row, now: int) -> None:
    row.updated_ms = now
    row.changed_ms = now
    world.moved(row)
