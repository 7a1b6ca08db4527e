"""Requests of the main thread, made in a thread beside it, which is kept for the next one."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import NamedTuple

from masumi_tools.calls.call import Reply


class _Errand(NamedTuple):
    work: Callable[[], Reply]
    context: Context
    reply: Future[Reply]


class _Helper:
    """A thread that does one errand after the other. It holds nobody up: not a process that ends, and no fork."""

    def __init__(self) -> None:
        self.errands: SimpleQueue[_Errand | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._serve, name="masumi-http", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while self._done(self.errands.get()):
            """What an errand held is let go before the next one is waited for."""

    def _done(self, errand: _Errand | None) -> bool:
        if errand is None:
            return False
        try:
            reply = errand.context.run(errand.work)
        except BaseException as error:  # handed to the caller
            _idle.append(self)
            errand.reply.set_exception(error)
        else:
            _idle.append(self)  # first, so that who is answered finds it there
            errand.reply.set_result(reply)
        return True


_idle: list[_Helper] = []


def apart(work: Callable[[], Reply]) -> Reply:
    """Does it in a thread, and waits: Ctrl-C, which comes to the main thread, would leave a pool's lock held for ever.

    A call that was left by Ctrl-C goes on there; the next one gets another thread.
    """
    reply: Future[Reply] = Future()
    try:
        helper = _idle.pop()
    except IndexError:
        helper = _Helper()
    helper.errands.put(_Errand(work, copy_context(), reply))
    return reply.result()


def _before_fork() -> None:
    """Threads do not live in the child, and Python warns who forks beside some: those without work end."""
    with contextlib.suppress(IndexError):
        while True:
            helper = _idle.pop()
            helper.errands.put(None)
            helper.thread.join()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
