"""A terminal of 100 columns, or others, in which the commands of a page are typed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

from tests.docs.pages import REPO

COLUMNS = 100
# These go on until they are stopped: they run beside the rest of the page.
STAYING = ("masumi-tools sandbox", "masumi-tools serve", "masumi-tools worker")
WAITS_S = 90


class Terminal:
    """Types commands one after the other, all in the root of the repository; use it as a context manager.

    What a sandbox prints as `export` lines is set for every later command, as if it had been pasted.
    """

    def __init__(self, home: Path, columns: int = COLUMNS) -> None:
        tools = Path(sys.executable).parent
        self.env = {
            **os.environ,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "XDG_DATA_HOME": str(home),
            "TERM": "xterm",
            "COLUMNS": str(columns),
            "PYTHONIOENCODING": "utf-8",
        }
        self._home = home
        self._columns = columns
        self._beside: list[_Run] = []

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        for run in reversed(self._beside):
            run.stop()

    def type(self, line: str, expected: str) -> str:
        """What the command prints, on both channels; of one that stays, all until it is quiet."""
        run = _Run(line, self.env, self._columns)
        if not line.startswith(STAYING) or "--help" in line:
            return run.to_its_end()
        self._beside.append(run)
        printed = run.until_quiet(_last_line(expected))
        self.env |= dict(re.findall(r"^\s*export (\w+)=(\S+)$", printed, re.MULTILINE))
        return printed


def _last_line(expected: str) -> str:
    """What a staying command prints last, so that nobody waits longer than needed."""
    lines = [line for line in expected.splitlines() if line.strip() and line != "..."]
    return lines[-1].split("http")[0].strip() if lines else ""


class _Run:
    def __init__(self, line: str, env: dict[str, str], columns: int) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self._line = line
        self._screen = ours
        self._printed = bytearray()
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", f"exec {line}" if shlex.split(line)[0] == "masumi-tools" else line],
            cwd=REPO,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        os.close(theirs)
        self._readers = [
            threading.Thread(target=self._read, args=(end,), daemon=True)
            for end in (ours, self._process.stderr.fileno())  # type: ignore[union-attr]
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, end: int) -> None:
        while True:
            try:
                data = os.read(end, 65_536)
            except OSError:  # the other side of a terminal was closed
                return
            if not data:
                return
            self._printed += data

    @property
    def printed(self) -> str:
        return self._printed.decode(errors="replace").replace("\r\n", "\n")

    def to_its_end(self) -> str:
        self._process.wait(WAITS_S)
        for reader in self._readers:
            reader.join(5)
        self._close()
        return self.printed

    def until_quiet(self, last: str) -> str:
        end = time.monotonic() + WAITS_S
        while last not in self.printed or not self.printed.endswith("\n"):
            assert self._process.poll() is None, f"{self._line} ended:\n{self.printed}"
            assert time.monotonic() < end, f"{self._line} printed only:\n{self.printed}"
            time.sleep(0.05)
        time.sleep(0.3)
        return self.printed

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(20)
        self._close()

    def _close(self) -> None:
        os.close(self._screen)
        if self._process.stderr is not None:
            self._process.stderr.close()
