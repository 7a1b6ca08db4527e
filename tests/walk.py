"""The walk of one call through the files: `python -m tests.walk` prints each step from a file into another.

A step is a call that leaves one file of the package for another, counted from `MasumiAgentTool.invoke` to the
moment at which the first request of the hire leaves.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import masumi_tools
from masumi_tools import Budget, MasumiAgentTool
from masumi_tools.hire.buyer import Buyer
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox

PACKAGE = Path(masumi_tools.__file__).parent
SANDBOX = "sandbox/"  # the other side: where it begins, the request has left


class Walk:
    """The calls between files, in order, until the first request."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str, str]] = []
        self.sent = False

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Every call in here is looked at, in all threads that begin in here."""
        threading.setprofile(self._see)
        sys.setprofile(self._see)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _see(self, frame: FrameType, event: str, _arg: Any) -> None:
        if event != "call" or self.sent:
            return
        here = _file(frame)
        if here is None:
            return
        if here.startswith(SANDBOX):  # the clock of the sandbox is asked before anything is sent
            self.sent = frame.f_code.co_name == "handle_request"
            return
        before = _caller(frame)
        if before is not None and before != here and not before.startswith(SANDBOX):
            self.steps.append((before, here, frame.f_code.co_name))


def _file(frame: FrameType) -> str | None:
    path = Path(frame.f_code.co_filename)
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else None


def _caller(frame: FrameType) -> str | None:
    """The nearest file of the package below this call, past the libraries between."""
    below = frame.f_back
    while below is not None:
        if (found := _file(below)) is not None:
            return found
        below = below.f_back
    return None


def walk_of_a_tool() -> Walk:
    """One `invoke` of the tool for one service, with everything imported and known as in a long-lived agent."""
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox, tempfile.TemporaryDirectory() as folder:
        from tests.hire.clocked import ClockedBuyer

        journal = Journal(f"sqlite:///{Path(folder) / 'journal.sqlite3'}")
        buyer: Buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
        tool = MasumiAgentTool.for_agent(sandbox.service("echo").agent_identifier, buyer=buyer)
        tool.invoke({"text": "first"})
        walk = Walk()
        with walk.followed():
            tool.invoke({"text": "hello"})
        journal.close()
        return walk


if __name__ == "__main__":
    done = walk_of_a_tool()
    for before, after, name in done.steps:
        print(f"{before:32} -> {after:32} {name}")
    files = {place for before, after, _ in done.steps for place in (before, after)}
    print(f"{len(done.steps)} steps between {len(files)} files before the first request")
