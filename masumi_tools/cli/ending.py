"""SIGTERM and a closed terminal stop a command as Ctrl-C does: where it waits, and it says where the money is."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_came: list[int] = []


def told_when_ended(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, in which these signals come as a KeyboardInterrupt; one that the system ignores stays ignored."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return command(*args, **options)
        given = signal.getsignal(signal.SIGINT)

        def interrupt(number: int, frame: FrameType | None) -> None:
            if _came:
                raise KeyboardInterrupt
            if callable(given):
                given(number, frame)

        def ended(number: int, _frame: FrameType | None) -> None:
            _came.append(number)
            signal.raise_signal(signal.SIGINT)  # heard where that is heard

        ours = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
        signal.signal(signal.SIGINT, interrupt)
        for number in ours:
            signal.signal(number, ended)
        try:
            return command(*args, **options)
        finally:
            for number in ours:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, given)

    return run


def end_as_told() -> None:
    """After the last word: the process ends by the signal that came, which is what who sent it looks for."""
    if _came:
        sys.stdout.flush()
        sys.stderr.flush()
        os.kill(os.getpid(), _came[0])
