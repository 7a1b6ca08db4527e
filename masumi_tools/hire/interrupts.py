"""Where Ctrl-C is heard: while a hire waits for a server, a clock or a person, and never between two writes.

An interrupt raises wherever the interpreter happens to be. In the middle of a commit it comes out as another
error, and between taking a lock or a connection and noting it down it leaves one that nobody gives back.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
_crew: ContextVar[Crew | None] = ContextVar("masumi_crew", default=None)


class _Later:
    """Stands for the handler `before` until it may run. Whoever presses twice does not wait."""

    def __init__(self, before: Callable[[int, FrameType | None], Any]) -> None:
        self.before = before
        self.came = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            self.before(number, frame)
        self.came = True

    def run(self) -> None:
        """What came meanwhile is heard now: of Python's own handler that is a KeyboardInterrupt."""
        if self.came:
            self.came = False
            self.before(signal.SIGINT, None)


def _handler() -> Any:
    """What Ctrl-C does in this thread: nothing outside of the main one."""
    return signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None


@contextlib.contextmanager
def held() -> Iterator[None]:
    """In this block Ctrl-C waits for the next `heard`, or for the end."""
    before = _handler()
    if not callable(before) or isinstance(before, _Later):
        yield
        return
    later = _Later(before)
    signal.signal(signal.SIGINT, later)
    try:
        yield
    finally:
        if _handler() is later:
            signal.signal(signal.SIGINT, before)
        later.run()


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """In this block of a `held` one Ctrl-C acts at once."""
    if (crew := _crew.get()) is not None:
        crew.hear()
    later = _handler()
    if not isinstance(later, _Later):
        yield
        return
    signal.signal(signal.SIGINT, later.before)
    try:
        later.run()
        yield
    finally:
        if _handler() is later.before:
            signal.signal(signal.SIGINT, later)


def rest(seconds: float) -> None:
    """Sleep; in a crew only until the thread that waits for it hears Ctrl-C."""
    if (crew := _crew.get()) is None:
        time.sleep(seconds)
    else:
        crew.hear(seconds)


class Crew:
    """Threads that end with the one that waits for them: only the main thread is ever told of Ctrl-C."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def run(self, work: Callable[[], T]) -> T:
        """The work, in a thread of its own; KeyboardInterrupt where it would wait after the end."""
        self.hear()
        _crew.set(self)
        return work()

    def hear(self, within_s: float = 0) -> None:
        """KeyboardInterrupt when the end has come, or comes within that time."""
        if self._over.wait(within_s):
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def awaited(self) -> Iterator[None]:
        """Wait for the threads in this block: they end early where it is interrupted, by Ctrl-C or by a handler that
        exits. What one of them raises is waited for, and so is each of the others.
        """
        try:
            yield
        except Exception:
            raise
        except BaseException:
            self._over.set()
            raise
