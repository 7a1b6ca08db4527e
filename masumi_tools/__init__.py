"""Give LLM agents a budget to hire paid services on the Masumi Network, and try it all offline.

Names are loaded when they are first used, so importing this package costs next to nothing and needs
no framework. `MasumiAgentTool` and `MasumiToolkit` here are the ones for LangChain; those for CrewAI
are in `masumi_tools.crewai`. Selling is in `masumi_tools.seller`, the simulated network in
`masumi_tools.sandbox`, what can go wrong in `masumi_tools.errors`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from masumi_tools.hire.budget import Budget
    from masumi_tools.hire.buyer import AsyncBuyer, Buyer
    from masumi_tools.hire.receipt import Receipt
    from masumi_tools.langchain import MasumiAgentTool, MasumiToolkit
    from masumi_tools.money import Amount
    from masumi_tools.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "MasumiAgentTool",
    "MasumiToolkit",
    "Buyer",
    "AsyncBuyer",
    "Budget",
    "Amount",
    "Settings",
    "Receipt",
]

_HOME = {
    "MasumiAgentTool": "langchain",
    "MasumiToolkit": "langchain",
    "Buyer": "hire.buyer",
    "AsyncBuyer": "hire.buyer",
    "Budget": "hire.budget",
    "Amount": "money",
    "Settings": "settings",
    "Receipt": "hire.receipt",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'masumi_tools' has no attribute {name!r}")
    value = getattr(import_module(f"masumi_tools.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
