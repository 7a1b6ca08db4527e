"""A nest of real processes: each act runs in a fresh fork of one process that has imported everything.

`python -m tests.processes.nest` reads orders, one JSON line each, forks for each of them, ends those whose
time is up with SIGKILL, and writes a JSON line for each that began or ended. The fork has its own memory, sockets
and database connections, and dies as any process dies; only the second of importing is saved.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

KILLED = -signal.SIGKILL
WAITS_S = 120


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit status (negative: the signal), what it printed, and how long it lived."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def killed(self) -> bool:
        return self.status == KILLED

    @property
    def json(self) -> Any:
        """The last line that it printed, which is JSON."""
        return json.loads(self.out.strip().splitlines()[-1])


class Life:
    """A process of the nest, which may still live."""

    def __init__(self, told: queue.SimpleQueue[dict[str, Any]], out: Path, err: Path) -> None:
        self._told, self._out, self._err = told, out, err
        self._ended: Ended | None = None
        self.pid = int(told.get(timeout=WAITS_S)["pid"])

    @property
    def ended(self) -> bool:
        """Whether it has ended by now."""
        return self._ended is not None or not self._told.empty()

    def wait(self) -> Ended:
        """Its end, once it has come."""
        if self._ended is None:
            told = self._told.get(timeout=WAITS_S)
            self._ended = Ended(told["status"], self._out.read_text(), self._err.read_text(), told["seconds"])
        return self._ended

    def kill(self) -> Ended:
        """End it by SIGKILL, unless it has ended."""
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
        return self.wait()


class Nest:
    """Runs acts ("module:function" with JSON arguments) in processes. Safe to share among threads.

    `modules` are imported beforehand, beside those that every hire needs.
    """

    def __init__(self, folder: Path, *modules: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._last = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.processes.nest", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def run(
        self, act: str, /, *, env: dict[str, str], kill_after_s: float | None = None, **given: Any
    ) -> Ended:
        """Run one act to its end; SIGKILL from outside when `kill_after_s` have passed."""
        return self.start(act, env=env, kill_after_s=kill_after_s, **given).wait()

    def start(
        self, act: str, /, *, env: dict[str, str], kill_after_s: float | None = None, **given: Any
    ) -> Life:
        """Begin one act; what is not killed lives as long as it likes."""
        told: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        with self._lock:
            self._last += 1
            number = self._last
            self._waiting[number] = told
            out, err = (self._folder / f"{number}.{kind}" for kind in ("out", "err"))
            out.touch()  # a process may be killed before it prints
            err.touch()
            order = {"number": number, "act": act, "env": env, "kill_after_s": kill_after_s, "given": given}
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order | {"out": str(out), "err": str(err)}) + "\n")
            self._process.stdin.flush()
        return Life(told, out, err)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._reader.join(10)
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            self._waiting[told["number"]].put(told)


# Inside the process ----------------------------------------------------------------------------


@dataclass
class _Brood:
    number: int
    began: float
    dies: float | None


def _hatch(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        _tell(order["number"], pid=pid)
        return pid
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd, name in ((1, "out"), (2, "err")):
            file = os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(file, fd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(order["env"])
        module, _, name = order["act"].partition(":")
        status = getattr(importlib.import_module(module), name)(**order["given"]) or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main(*modules: str) -> None:
    for module in (
        *modules,
        "masumi_tools.cli.run",
        "masumi_tools.hire.buyer",
        "nacl.signing",
        "cbor2",
        "tests.processes.acts",
    ):
        importlib.import_module(module)
    importlib.import_module("tests.processes.rehearsal").rehearse()
    gc.freeze()  # what is here stays: no child looks through it, which would copy it all
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    lives: dict[int, _Brood] = {}
    pending, closing = b"", False
    while lives or not closing:
        due = min((life.dies for life in lives.values() if life.dies is not None), default=None)
        wait = None if due is None else max(due - time.monotonic(), 0)
        for key, _events in selector.select(wait):
            data = os.read(int(key.fd), 65536)
            if key.fd == woken:
                continue
            if not data:
                selector.unregister(0)
                closing = True
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                began, after = time.monotonic(), order["kill_after_s"]
                lives[_hatch(order)] = _Brood(
                    order["number"], began, None if after is None else began + after
                )
        for pid, life in lives.items():
            if life.dies is not None and life.dies <= time.monotonic():
                life.dies = None
                os.kill(pid, signal.SIGKILL)
        _bury(lives)


def _bury(lives: dict[int, _Brood]) -> None:
    while lives:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        life = lives.pop(pid)
        _tell(life.number, status=os.waitstatus_to_exitcode(status), seconds=time.monotonic() - life.began)


def _tell(number: int, **what: Any) -> None:
    sys.stdout.write(json.dumps({"number": number, **what}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
