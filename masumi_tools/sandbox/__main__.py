"""``python -m masumi_tools.sandbox``: the sandbox as a process of its own, until it is told to end."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Literal, TextIO, cast

from .sandbox import Sandbox

MOST_SEED = 999_999_999
FIRST_PORT, PORTS = 20_000, 10_000  # a seed has a port of its own, below those that systems give out


def run(
    port: int = 0,
    ready_file: str | Path | None = None,
    time_scale: float = 1.0,
    dialect: Literal["today", "seed"] = "today",
    realistic: bool = False,
    latency_ms: int = 0,
    seed: int | None = None,
    out: TextIO | None = None,
) -> None:
    """Serve a sandbox until SIGTERM or Ctrl-C; tells people on ``out`` and programs in ``ready_file`` where.

    The file appears whole, when the sandbox answers: ``{"node_url", "registry_url", "token", "services"}``.
    With a ``seed`` all that it prints is the same in each run: port (unless one is given), token, keys,
    identifiers and journal, which is emptied. OSError when the port is taken or a file cannot be written.
    """
    if seed is not None and port == 0:
        port = FIRST_PORT + seed % PORTS
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    with (
        Sandbox(
            time_scale=time_scale,
            dialect=dialect,
            realistic=realistic,
            port=port,
            latency_ms=latency_ms,
            seed=seed,
        ) as sandbox,
        journal_folder(seed) as folder,
    ):
        before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            if ready_file is not None:
                write_ready_file(Path(ready_file), sandbox)
            shown = out or sys.stdout
            shown.write(welcome(sandbox, f"sqlite:///{folder}/journal.sqlite3") + "\n")
            shown.flush()
            ended.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def journal_folder(seed: int | None) -> Iterator[str]:
    """An empty folder that ends with the sandbox; for a seed the same one in each run, in the user's cache."""
    if seed is None:
        with tempfile.TemporaryDirectory(prefix="masumi-sandbox-", ignore_cleanup_errors=True) as folder:
            yield folder
        return
    import platformdirs  # not needed by those who embed a sandbox

    place = platformdirs.user_cache_path("masumi_tools", appauthor=False) / f"sandbox-{seed}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700, parents=True)
    try:
        yield str(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def write_ready_file(path: Path, sandbox: Sandbox) -> None:
    """Write the sandbox's addresses to ``path``; a reader sees nothing or all of it."""
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(sandbox.ready(), indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def welcome(sandbox: Sandbox, database_url: str) -> str:
    """What a person needs to use the sandbox: the environment to paste, the services, the control routes.

    ``database_url`` is a journal that ends with the sandbox: its hires mean nothing to the next one.
    """
    lines = [
        "A simulated Masumi network; no keys, no money, everything ends with this process.",
        "",
        f"  export MASUMI_NODE_URL={sandbox.node_url}",
        f"  export MASUMI_NODE_TOKEN={sandbox.token}",
        f"  export MASUMI_REGISTRY_URL={sandbox.registry_url}",
        f"  export MASUMI_REGISTRY_TOKEN={sandbox.token}",
        f"  export MASUMI_NETWORK={sandbox.world.network}",
        f"  export MASUMI_DATABASE_URL={database_url}",
        "  export MASUMI_SANDBOX=1",
        "",
        "Services:",
    ]
    for service in sandbox.services:
        lines.append(f"  {service.name:<8} {service.price:<6} {service.url}")
        lines.append(f"  {'':<15} {service.agent_identifier}")
    lines += [
        "",
        f"Look inside, move its clock, arm faults: {sandbox.origin}/_sandbox",
        "End it with Ctrl-C.",
    ]
    return "\n".join(lines)


def read_seed(text: str) -> int:
    """A seed, a whole number of 0 or more; ValueError for anything else."""
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()):
        raise ValueError(f"a seed is a whole number from 0 to {MOST_SEED}, not {text!r}")
    return int(text)


def milliseconds(text: str) -> int:
    """A short time as people write it, "150ms", "0.5s" or "150"; ValueError for anything else or over a minute."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|)", text.strip())
    found = -1.0 if match is None else float(match[1]) * (1000 if match[2] == "s" else 1)
    if not 0 <= found <= 60_000:
        raise ValueError(f"a latency is written 150ms or 0.5s, up to a minute, not {text!r}")
    return round(found)


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and ``run``; 0 when ended, 1 when the port or the file cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m masumi_tools.sandbox",
        description="Serve a simulated Masumi network (node, registry, services) on loopback.",
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--ready-file", metavar="F", help="write addresses, token and services to F as JSON")
    parser.add_argument(
        "--time-scale", type=float, default=1.0, metavar="N", help="run the clock N times faster"
    )
    parser.add_argument(
        "--dialect", choices=("today", "seed"), default="today", help="buyer routes of the node"
    )
    parser.add_argument(
        "--realistic", action="store_true", help="the node's own intervals instead of quick ones"
    )
    parser.add_argument(
        "--latency", default="0ms", metavar="T", help="how long each answer takes, 150ms or 1s"
    )
    parser.add_argument(
        "--seed", metavar="N", help="the same port, token, keys and identifiers in each run with this number"
    )
    read = parser.parse_args(arguments)
    if not 0 <= read.port <= 65_535 or not 0 < read.time_scale <= 1_000_000:
        parser.error("--port is 0 to 65535, --time-scale above 0 and at most 1000000")
    dialect = cast(Literal["today", "seed"], read.dialect)
    try:
        latency_ms = milliseconds(read.latency)
        seed = None if read.seed is None else read_seed(read.seed)
        run(read.port, read.ready_file, read.time_scale, dialect, read.realistic, latency_ms, seed)
    except (OSError, ValueError) as wrong:
        sys.stderr.write(f"The sandbox cannot start: {wrong}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
