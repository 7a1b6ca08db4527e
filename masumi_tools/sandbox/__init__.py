"""A simulated Masumi network to try everything on: node, registry and sellers, offline, with no keys.

``with Sandbox() as sandbox: ...`` in Python, ``python -m masumi_tools.sandbox`` as a process of its own.
It imports nothing of the package outside this folder, so that one misreading of the wire cannot hide on both
sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .sandbox import Sandbox
from .services import Service

__all__ = ["Sandbox", "Service"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import sandbox

        return getattr(sandbox, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
