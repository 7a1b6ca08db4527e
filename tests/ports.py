"""Ports for servers that tests start: each is handed out once, and by no system in the meantime.

A port that was free a moment ago may be another's by the time a server binds it: systems give out those from 32768 on
for every connection that is made. So these lie below, and each worker of a run has a block of its own.
"""

from __future__ import annotations

import os
import socket
from itertools import count

FIRST, BLOCK, BLOCKS = 10_000, 500, 20  # below those of a sandbox with a seed

_worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
_block = int(_worker) if _worker.isdigit() else os.getpid()
_taken = count(os.getpid())


def free_port() -> int:
    """A port of this worker's that no server has now."""
    for number in _taken:
        port = FIRST + _block % BLOCKS * BLOCK + number % BLOCK
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("a count never ends")
