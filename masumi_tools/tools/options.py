"""What every tool and toolkit takes as keywords, once for all frameworks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypedDict

from masumi_tools.hire.budget import AmountsLike, Budget
from masumi_tools.hire.buyer import AsyncBuyer, Buyer
from masumi_tools.hire.flows import Progress
from masumi_tools.hire.request import Judge, Policy
from masumi_tools.settings import Settings
from masumi_tools.tools.actions import Actions


class ToolOptions(TypedDict, total=False):
    """The options of a tool or toolkit.

    `budget` and `max_price` bound what is paid; `settings` say where node and registry are. A `buyer` is
    given in place of budget and settings. `on_mismatch` says what becomes of a result that does not match
    its hash: "keep", "refund", or a function that is shown the receipt. `patience_s` bounds how long one
    call waits; `result_limit` how much of a result a model is shown; `reuse_within_s` how long a finished
    hire answers an equal call. `trace_content` lets spans hold input and result.
    """

    budget: Budget | None
    settings: Settings | None
    buyer: Buyer | AsyncBuyer | None
    max_price: AmountsLike | None
    on_mismatch: Policy | Judge
    on_progress: Callable[[Progress], None] | None
    patience_s: float
    reuse_within_s: float
    result_limit: int
    trace_content: bool


_OWN: Final = frozenset(ToolOptions.__annotations__)


def split(options: Mapping[str, Any], actions: Actions | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the actions, and those of the tool itself; TypeError for such as do nothing beside `actions`."""
    own = {name: value for name, value in options.items() if name in _OWN}
    if actions is not None and own:
        raise TypeError(f"{', '.join(own)} would do nothing beside actions=, which have their own")
    return own, {name: value for name, value in options.items() if name not in _OWN}
