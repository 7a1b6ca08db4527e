"""``searchQuery`` of the lists: id, transaction, agent, wallet, state or amount (protocol N5)."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

from ..chain.moves import ON_CHAIN_STATES
from ..chain.rows import Row

DECIMALS = 6
_AMOUNT = re.compile(r"[0-9]+\.?([0-9]*)")
_WORD = re.compile("(?<=[a-z])(?=[A-Z])")
_STATES = {state: (state.lower(), _WORD.sub(" ", state).lower()) for state in ON_CHAIN_STATES}


def fits(row: Row, query: str) -> bool:
    """Whether any of the searched fields of ``row`` fits ``query``; case does not matter, spaces do."""
    wanted = query.lower()
    texts = [row.id, row.agent_identifier, row.agent_name]
    if row.tx is not None:
        texts.append(row.tx.hash)
    if row.wallet is not None:
        texts.append(row.wallet.address)
    pattern = _pattern(wanted)
    if any(pattern.fullmatch(text.lower()) for text in texts if text):
        return True
    if row.on_chain and any(wanted in name for name in _STATES[row.on_chain]):
        return True
    bounds = _bounds(wanted)
    return bounds is not None and any(bounds[0] <= held < bounds[1] for held, _ in row.funds)


@lru_cache(maxsize=256)
def _pattern(wanted: str) -> re.Pattern[str]:
    """The texts that hold ``wanted``. The node hands it to SQL as it is: ``%`` is any text, ``_`` any character."""
    parts = re.findall(r"\\.|.", f"%{wanted}%", re.DOTALL)
    named = {"%": ".*", "_": "."}
    return re.compile("".join(named.get(part) or re.escape(part[-1]) for part in parts), re.DOTALL)


def _bounds(text: str) -> tuple[Decimal, Decimal] | None:
    """The base units of all amounts whose decimal text starts like that: ``3`` means 3 up to 4."""
    shape = _AMOUNT.fullmatch(text)
    if shape is None:
        return None
    least, step = Decimal(text), Decimal(1).scaleb(-len(shape[1]))
    return least.scaleb(DECIMALS), (least + step).scaleb(DECIMALS)
