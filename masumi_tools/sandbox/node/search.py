"""``searchQuery`` of the lists: id, transaction, agent, wallet, state or amount (node-api section 5)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from ..rows import Row

DECIMALS = 6


def fits(row: Row, query: str) -> bool:
    """Whether any of the searched fields of ``row`` fits ``query``; case does not matter."""
    wanted = query.strip().lower()
    texts = [row.id, row.agent_identifier, row.agent_name]
    if row.tx is not None:
        texts.append(row.tx.hash)
    if row.wallet is not None:
        texts += [row.wallet.address, row.wallet.vkey]
    if row.other_wallet is not None:
        texts.append(row.other_wallet[1])
    if any(wanted in text.lower() for text in texts if text):
        return True
    if row.on_chain and wanted.replace(" ", "") in row.on_chain.lower():
        return True
    amount = _base_units(wanted)
    return amount is not None and any(amount == held for held, _ in row.funds)


def _base_units(text: str) -> int | None:
    """An amount as people write it, in base units of a currency with six decimals; None for anything else."""
    try:
        units = Decimal(text).scaleb(DECIMALS)
    except InvalidOperation:
        return None
    return int(units) if units.is_finite() and units == units.to_integral_value() else None
