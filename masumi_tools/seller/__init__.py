"""Sell a crew, a LangChain Runnable or a function as a paid MIP-003 service.

    from masumi_tools.seller import sell, ask_human
    service = sell(crew, name="Research crew", description="...", price="2 ADA")
    service.run()

Importing this loads no framework; CrewAI's telemetry and signal handlers are switched off on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from masumi_tools.settings import hush_crewai

if TYPE_CHECKING:
    from masumi_tools.seller.offering import Deadlines, Limits, Refunds
    from masumi_tools.seller.service import Service, sell
    from masumi_tools.seller.work.base import WorkFailed
    from masumi_tools.seller.work.human import ask_human, report_progress

hush_crewai()

_PLACES = {
    "sell": "service",
    "Service": "service",
    "ask_human": "work.human",
    "report_progress": "work.human",
    "Deadlines": "offering",
    "Limits": "offering",
    "Refunds": "offering",
    "WorkFailed": "work.base",
}

__all__ = [
    "sell",
    "ask_human",
    "report_progress",
    "Service",
    "Deadlines",
    "Limits",
    "Refunds",
    "WorkFailed",
]


def __getattr__(name: str) -> Any:
    """The public names, loaded when they are used."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
