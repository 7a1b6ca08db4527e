"""``python -m masumi_tools.sandbox``: the sandbox as a process of its own, until it is told to end."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Literal, TextIO, cast

from .sandbox import Sandbox


def run(
    port: int = 0,
    ready_file: str | Path | None = None,
    time_scale: float = 1.0,
    dialect: Literal["today", "seed"] = "today",
    realistic: bool = False,
    latency_ms: int = 0,
    out: TextIO | None = None,
) -> None:
    """Serve a sandbox until SIGTERM or Ctrl-C; tells people on ``out`` and programs in ``ready_file`` where.

    The file appears whole, when the sandbox answers: ``{"node_url", "registry_url", "token", "services"}``.
    OSError when the port is taken or the file cannot be written.
    """
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    with (
        Sandbox(
            time_scale=time_scale, dialect=dialect, realistic=realistic, port=port, latency_ms=latency_ms
        ) as sandbox,
        tempfile.TemporaryDirectory(prefix="masumi-sandbox-", ignore_cleanup_errors=True) as folder,
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
    read = parser.parse_args(arguments)
    if not 0 <= read.port <= 65_535 or not 0 < read.time_scale <= 1_000_000:
        parser.error("--port is 0 to 65535, --time-scale above 0 and at most 1000000")
    dialect = cast(Literal["today", "seed"], read.dialect)
    try:
        run(read.port, read.ready_file, read.time_scale, dialect, read.realistic, milliseconds(read.latency))
    except (OSError, ValueError) as wrong:
        sys.stderr.write(f"The sandbox cannot start: {wrong}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
