"""When a history has ended: every hire has an end, the money adds up to the last unit, the receipts are true."""

from __future__ import annotations

from collections import Counter

from masumi_tools.hire import rows
from masumi_tools.hire.purchase import MISMATCH, ON_DEMAND, Purchase, State
from masumi_tools.hire.receipt import receipt_of
from masumi_tools.sandbox.chain.moves import FINAL
from masumi_tools.sandbox.chain.rows import Purchase as Bought
from tests.worlds.checks import Checks, Violation, not_back
from tests.worlds.stage import Stage


def check_ending(checks: Checks, *, attended_from_ms: int) -> None:
    """Raises Violation. `attended_from_ms`: from then on somebody swept again and again, without trouble."""
    checks.look()
    for row in checks.journal.rows():
        p = rows.purchase_of(row)
        _check_hire(checks, p, attended_from_ms)
    _check_budgets(checks)
    _check_wallets(checks)


def _check_hire(checks: Checks, p: Purchase, attended_from_ms: int) -> None:
    if not p.ended:
        raise Violation(f"hire {p.hire_id} comes to no end: it is {p.state} ({p.reason})")
    row = checks.purchase_of(p.nonce)
    receipt = receipt_of(p)
    checks.told(receipt)
    hire = checks.by_id[p.hire_id]
    if hire.results and p.result not in hire.results:
        raise Violation(f"hire {p.hire_id} has lost the result that it was given")
    state = row.on_chain if row else None
    said = f"hire {p.hire_id} ended as {p.state} ({p.reason})"
    paid_out = row is not None and row.on_chain in FINAL and bool(not_back(row))
    if paid_out and row is not None and p.result is None:
        _check_loss(checks, p, row, attended_from_ms, said)
    _check_wish(checks, p, attended_from_ms)
    match p.state:
        case State.SETTLED if not p.free:
            if not paid_out or p.result is None:
                raise Violation(f"{said}, but the chain says {state}")
        case State.REFUNDED:
            if row is None or not_back(row):
                raise Violation(f"{said}, but the seller kept {not_back(row) if row else None}")
        case State.FAILED if p.free:
            if (given := _given(checks, p)) is not None:
                raise Violation(f"{said} without the result, which the seller still hands out: {given!r}")
        case State.FAILED:
            if state not in ("Withdrawn", "DisputedWithdrawn", "FundsOrDatumInvalid"):
                raise Violation(f"{said}, but the chain says {state}")
        case State.REFUSED | State.LAPSED:
            if row is not None and row.escrow is not None:
                raise Violation(f"{said}, but the chain says {state}")


def _check_loss(checks: Checks, p: Purchase, row: Bought, attended_from_ms: int, said: str) -> None:
    """The seller has money and we have no result: only where nobody could do anything about it."""
    if (given := _given(checks, p)) is not None:
        raise Violation(f"{said} without the result, which the seller still hands out: {given!r}")
    if p.state is not State.FAILED:
        raise Violation(f"{said} without a result, but the chain says {row.on_chain}")
    if row.on_chain == "Withdrawn" and attended_from_ms < row.unlock_ms - 40 * 60_000:
        raise Violation(f"{said}: the seller gave nothing, and the money was not asked back in time")


def _given(checks: Checks, p: Purchase) -> str | None:
    found = checks.stage.job(p.nonce)
    return found[0].given(found[1]) if found else None


def _check_wish(checks: Checks, p: Purchase, attended_from_ms: int) -> None:
    """A refund that we asked for by ourselves is taken back when the result is proved after all."""
    dispute = p.at(State.DISPUTED)
    if dispute is None or p.terms is None or p.verified is not True or p.dialect == "seed":
        return
    late = max(attended_from_ms, dispute) > p.terms.times.external_dispute_unlock_time - 60 * 60_000
    agreed = p.at(State.REFUND_REQUESTED)  # the service had agreed to it before anyone looked again
    if agreed is not None and dispute < agreed < max(attended_from_ms, dispute) + 60_000:
        return
    ours = bool(p.refund_wanted) and p.refund_wanted not in (ON_DEMAND, MISMATCH)
    if ours and not late and not checks.by_id[p.hire_id].cancelled:
        raise Violation(f"hire {p.hire_id} disputes a result that is proved, and nobody took the wish back")


def _check_budgets(checks: Checks) -> None:
    """The lines of each budget agree with the node's rows to the last unit."""
    for name in checks.journal.budgets():
        spent: Counter[str] = Counter()
        for row in checks.stage.world.purchases:
            if checks.hire_of(row).budget == name:
                for unit, amount in checks.committed([row]).items():
                    spent[unit] += amount
        lines = {line.unit: line for line in rows.budget_lines(checks.journal.used(name))}
        for unit in set(lines) | set(spent):
            line = lines.get(unit)
            said = (line.reserved, line.locked, line.spent) if line else (0, 0, 0)
            if said != (0, 0, spent[unit]):
                raise Violation(
                    f"the budget {name!r} says reserved, locked, spent {said} of {unit!r}, the node {spent[unit]}"
                )


def _check_wallets(checks: Checks) -> None:
    """What left the buying wallets is what the purchases cost, with the fees."""
    stage: Stage = checks.stage
    gone: Counter[str] = Counter()
    for wallet in stage.wallets:
        now = stage.world.chain.balance(wallet.address)
        for unit, amount in stage.funds_before[wallet.address].items():
            gone[unit] += amount - now[unit]
    cost: Counter[str] = Counter()
    for row in stage.world.purchases:
        cost.update(not_back(row) if row.escrow is not None else {})
        cost[""] += row.buyer_fees
    for unit in set(gone) | set(cost):
        if gone[unit] != cost[unit]:
            raise Violation(f"{gone[unit]} of {unit!r} left the wallets, the purchases cost {cost[unit]}")
    if stage.world.chain.total() != stage.world.chain.minted:
        raise Violation("the sandbox has made or lost money")
