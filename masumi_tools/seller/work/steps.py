"""Sync code deep inside a coroutine may have to wait, for people above all, without holding the event loop.

Each step of a task runs in a greenlet, which can be left in the middle while the loop goes on with others
(SQLAlchemy does the same for its async engines).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from greenlet import getcurrent, greenlet


def task_in_steps(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
    """A task factory for a loop whose tasks may wait in the middle of a step."""
    return asyncio.Task(_InSteps(work), loop=loop, **more)


def wait_in_the_middle(future: asyncio.Future[Any]) -> None:
    """Returns when the future is done; the loop goes on with its other tasks until then."""
    step = getcurrent()
    if not isinstance(step, _Step) or step.parent is None:
        raise RuntimeError("this code was not called from a task of the work")
    future._asyncio_future_blocking = True  # as an await hands it to the task
    step.parent.switch(future)


class _Step(greenlet):  # type: ignore[misc]  # greenlet has no types
    """One step of a coroutine, from one await to the next."""


class _InSteps(Coroutine[Any, Any, Any]):
    """A coroutine each step of which runs in a greenlet."""

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._work = work
        self._step: _Step | None = None
        self.__name__ = getattr(work, "__name__", "work")
        self.__qualname__ = getattr(work, "__qualname__", "work")

    def send(self, value: Any) -> Any:
        if self._step is not None:
            return self._until_left(self._step.switch)
        return self._until_left(self._begun(self._work.send), value)

    def throw(self, *error: Any) -> Any:
        if self._step is not None:
            return self._until_left(self._step.throw, *error)
        return self._until_left(self._begun(self._work.throw), *error)

    def close(self) -> None:
        if self._step is None:
            self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self._work.__await__())

    def _begun(self, step: Callable[..., Any]) -> Callable[..., Any]:
        self._step = _Step(step)
        self._step.gr_context = getcurrent().gr_context
        begin: Callable[..., Any] = self._step.switch
        return begin

    def _until_left(self, go_on: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return go_on(*arguments)
        finally:
            if self._step is not None and self._step.dead:
                self._step = None
