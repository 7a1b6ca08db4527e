"""``python -m masumi_tools.simulation --histories 100000``: many histories on all cores, and how many a second."""

from __future__ import annotations

import argparse
import os
import sys
import time

from masumi_tools.simulation.many import Summary, run_many

TELL_EVERY_S = 10.0
MOST_VIOLATIONS = 20


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 when all that must hold did, 1 with the failing seed when not."""
    parser = argparse.ArgumentParser(prog="python -m masumi_tools.simulation", description=__doc__)
    parser.add_argument("--histories", type=int, default=2_000, help="how many, from the first seed on")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    told = time.monotonic()

    def tell(summary: Summary) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            say(f"{summary.histories} of {given.histories}, {summary.per_second:.0f} a second")

    seeds = range(given.first, given.first + given.histories)
    summary = run_many(seeds, given.processes, tell, MOST_VIOLATIONS)
    say(str(summary))
    for seed, violation in summary.violations:
        say(f"VIOLATION in seed {seed}: {violation}")
        say(f"step by step: masumi-tools simulate --seed {seed} --trace")
    return 1 if summary.violations else 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
