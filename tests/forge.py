"""Python processes that others start, forked from one that has imported what they need.

`Forge(python, folder, modules)` starts that one. `forge.python` stands for `[sys.executable]` in a command,
also in one that is given to somebody else to run: `-m` and `-c` are understood. Such a process has its own pid, memory and sockets, and the environment, folder and streams of whoever ran the
command; when that command is killed, it is killed. Only the second of importing is saved.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from pathlib import Path

MOST = 1 << 20


class Forge:
    """Use it as a context manager. `python` needs what the modules need; it may be another one than ours."""

    def __init__(self, python: str, folder: Path, *modules: str) -> None:
        import subprocess

        from tests.layers import REPO

        self._socket = str(folder / "forge")
        self.python = [python, "-IS", __file__, self._socket]
        self._process = subprocess.Popen(
            [python, "-m", "tests.forge", self._socket, *modules],
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "the forge did not start"

    def __enter__(self) -> Forge:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


def serve(path: str) -> None:
    """Fork for each command that comes, until our own stdin is closed."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    gc.freeze()  # no child looks through what is here, which would copy it all
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who watch
    os.write(1, b"ready\n")
    while True:
        ready, _, _ = select.select([listening, 0], [], [])
        if 0 in ready:
            return
        asking, _ = listening.accept()
        if not os.fork():
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _watch(asking)
        asking.close()


def _watch(asking: socket.socket) -> None:
    """Run what is asked for in a process of its own; it ends with whoever asked, who is told how it ended."""
    told, given, _, _ = socket.recv_fds(asking, MOST, 4)
    while not told.endswith(b"\n"):
        told += asking.recv(MOST)
    ended, lives = os.pipe()
    made = os.fork()
    if not made:
        asking.close()
        _become(json.loads(told), *given)
    for stream in (0, 1, lives, *given):
        os.close(stream)
    if ended not in select.select([ended, asking], [], [])[0]:
        os.kill(made, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(made, 0)[1])
    with contextlib.suppress(OSError):
        asking.sendall(json.dumps(status).encode())
    os._exit(0)


def _become(order: dict[str, Any], *given: int) -> NoReturn:
    """Go on as the process that was asked for, to its end."""
    import runpy

    *streams, folder = given
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.fchdir(folder)
    for stream in given:
        os.close(stream)
    # Made anew: those of the forge have looked at what was there before.
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(order["env"])
    kind, *sys.argv = order["words"]
    if kind == "-m":
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        code, sys.argv[0] = sys.argv[0], kind
        exec(code, {"__name__": "__main__"})
    sys.exit()


def ask(path: str, words: list[str]) -> int:
    """Have the forge run these words with our environment, folder and streams; how that ended."""
    with socket.socket(socket.AF_UNIX) as forge:
        forge.connect(path)
        socket.send_fds(forge, [b" "], [0, 1, 2, os.open(".", os.O_RDONLY)])
        forge.sendall(json.dumps({"words": words, "env": dict(os.environ)}).encode() + b"\n")
        return int(forge.recv(16))


if __name__ == "__main__":
    if sys.flags.isolated:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
    import importlib

    for module in sys.argv[2:]:
        importlib.import_module(module)
    serve(sys.argv[1])
