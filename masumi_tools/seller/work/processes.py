"""Work in processes of their own: each job gets one that no other job has used, and it can be killed.

The processes are multiprocessing's (spawn), with one that is started ahead. No pool is used: the end of one
process breaks the pools of concurrent.futures and loky, and pebble's has a fixed number of processes, which jobs
that wait for people would hold. A process ends with its job, with its shop, and with all that it has started.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputSpec
from masumi_tools.seller.work.base import Work, WorkBroke, WorkFailed
from masumi_tools.seller.work.human import Abandoned
from masumi_tools.seller.work.inherit import at_work, carry_jobs_into_threads
from masumi_tools.seller.work.loop import LoopLost
from masumi_tools.seller.work.work import work_of

log = logging.getLogger("masumi_tools.seller")

_LOOK_S = 0.2
_AGAIN_S = 1.0  # what killed it, such as want of memory, may pass
_INSTEAD = (
    "give a function or a class at the top of a module (it may make the Crew or graph), or sell it without "
    'workers="process"'
)
_processes = multiprocessing.get_context("spawn")


class ProcessDied(LoopLost):
    """The process of a job ended by itself, so the work has to begin again."""


def portable(work: object) -> bytes:
    """The work as another process can make it; InputError says why none can."""
    main = sys.modules.get("__main__")
    if getattr(work, "__module__", None) == "__main__" and getattr(main, "__file__", None) is None:
        raise InputError(f"this work was typed, and no other process can read it: {_INSTEAD}", phase="sell")
    try:
        return pickle.dumps(work)
    except Exception as error:  # pickle lets through whatever the parts of an object raise
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(f"no other process can have this work ({why}): {_INSTEAD}", phase="sell") from None


def imported_for_work() -> bool:
    """Whether this is a process of ours that just reads the seller's file: it serves nothing."""
    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))


# In the shop -----------------------------------------------------------------------------------------


class ProcessWork:
    """Work of which each job runs in a process of its own. It is killed when nobody wants the job any more."""

    def __init__(self, work: Work, spec: InputSpec, carried: bytes) -> None:
        self._work = work
        self._told = (carried, spec)
        self._guard = threading.Lock()
        self._spare: _Worker | None = None
        self._closed = False
        self._alive: set[_Worker] = set()

    def derived(self) -> InputSpec:
        return self._work.derived()

    def bind(self, spec: InputSpec) -> None:
        self._work.bind(spec)

    def missing(self, values: Mapping[str, Any]) -> dict[str, list[str]]:
        return self._work.missing(values)

    def start(self) -> None:
        """Have a process ready for the first job."""
        atexit.register(self.close)  # before multiprocessing's own hook, which waits for all processes
        with self._guard:
            self._closed = False
            self._spare = self._spare or self._started()

    def close(self) -> None:
        """End every process."""
        atexit.unregister(self.close)
        with self._guard:
            self._closed, self._spare = True, None
            alive = list(self._alive)
        for worker in alive:
            self._end(worker)

    def run(self, values: Mapping[str, Any], context: Any) -> str:
        worker: _Worker | None = None
        try:
            worker = self._take()
            worker.send("job", context.job_id, dict(values))
            return _followed(worker, context)
        except (EOFError, OSError) as error:
            if context.ended.is_set():
                raise Abandoned from None
            log.warning("job %s: its process could not be started, or ended by itself", context.job_id)
            context.ended.wait(_AGAIN_S)
            raise ProcessDied from error
        finally:
            if worker is not None:
                self._end(worker)

    def _take(self) -> _Worker:
        with self._guard:
            if self._closed:
                raise Abandoned
            worker, self._spare = self._spare or self._started(), None
            self._spare = self._started()
            return worker

    def _started(self) -> _Worker:
        worker = _Worker(self._told)
        self._alive.add(worker)
        return worker

    def _end(self, worker: _Worker) -> None:
        worker.kill()
        with self._guard:
            self._alive.discard(worker)


class _Worker:
    """A process that waits for its one job, and the pipe to it."""

    def __init__(self, told: tuple[bytes, InputSpec]) -> None:
        self.pipe, theirs = _processes.Pipe()
        self._sending = threading.Lock()
        self._ending = threading.Lock()
        self._process = _processes.Process(target=_serve_one_job, args=(theirs,), name="masumi-work")
        self._process.start()
        theirs.close()
        with contextlib.suppress(OSError):  # it has ended already, which its job will notice
            self.send(*told)

    def send(self, *message: Any) -> None:
        with self._sending:
            self.pipe.send(message)

    def kill(self) -> None:
        """End it, with all that it has started; it may have ended before."""
        with self._ending:
            pid = self._process.pid
            if pid is None or self.pipe.closed:
                return
            if hasattr(os, "killpg"):
                with contextlib.suppress(OSError):  # it does not lead its group yet, or has none any more
                    os.killpg(pid, signal.SIGKILL)
            self._process.kill()
            self._process.join(5)
            self.pipe.close()


def _followed(worker: _Worker, context: Any) -> str:
    """What the process says until its job is done; its questions are asked here."""
    while not context.ended.is_set():
        if not worker.pipe.poll(_LOOK_S):
            continue
        match worker.pipe.recv():
            case ("progress", text):
                context.progress(text)
            case ("ask", number, spec, message, key, resumed):
                worker.send("answer", number, context.ask(spec, message, key, resumed))
            case ("result", text):
                return str(text)
            case ("failed", words):
                raise WorkFailed(words)
            case ("broke", kind, trace):
                raise WorkBroke(kind, trace)
    raise Abandoned


# In the process --------------------------------------------------------------------------------------


def _serve_one_job(pipe: Connection) -> None:
    """The life of a process: it makes the work, waits for its job, and does it."""
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # the shop ends it; who stops the whole group drains the shop
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "setsid"):
        os.setsid()
    line = _Line(pipe)
    try:
        carried, spec = pipe.recv()
        work, trouble = _made(carried, spec)
        _, job_id, values = pipe.recv()
    except (EOFError, OSError):  # the shop is gone
        os._exit(0)
    context = _Context(job_id, line)
    threading.Thread(target=context.listen, daemon=True).start()
    line.send(*(trouble or _outcome(work, values, context)))
    threading.Event().wait()  # the shop reads, and ends this process


def _made(carried: bytes, spec: InputSpec) -> tuple[Any, tuple[Any, ...] | None]:
    try:
        work = work_of(pickle.loads(carried))  # noqa: S301 - it comes from our own shop
        work.bind(spec)
    except BaseException as error:
        return None, _broke(error)
    return work, None


def _outcome(work: Work, values: Mapping[str, Any], context: _Context) -> tuple[Any, ...]:
    carry_jobs_into_threads()
    try:
        with at_work(context):
            return "result", work.run(values, context)
    except WorkFailed as error:
        return "failed", str(error)
    except BaseException as error:
        return _broke(error)


def _broke(error: BaseException) -> tuple[Any, ...]:
    kind = error.kind if isinstance(error, WorkBroke) else type(error).__name__
    return "broke", kind, "".join(traceback.format_exception(error))


class _Line:
    """The pipe to the shop, for every thread of the work."""

    def __init__(self, pipe: Connection) -> None:
        self._guard = threading.Lock()
        self.pipe = pipe

    def send(self, *message: Any) -> None:
        with self._guard:
            self.pipe.send(message)


class _Context:
    """What `ask_human` and progress reach from inside the work: the shop, which knows the job."""

    def __init__(self, job_id: str, line: _Line) -> None:
        self.job_id = job_id
        self.ended = threading.Event()
        self._line = line
        self._numbers = count()
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}

    def ask(self, spec: InputSpec, message: str, key: str = "", resumed: bool = False) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._answers[number] = queue.SimpleQueue()
        self._line.send("ask", number, spec, message, key, resumed)
        return answer.get()

    def progress(self, text: str) -> None:
        self._line.send("progress", text)

    def listen(self) -> None:
        """Hear answers. When the shop is gone, so is this process, with all that it has started."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                _, number, answer = self._line.pipe.recv()
                self._answers[number].put(answer)
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)
