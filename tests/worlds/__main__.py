"""``python -m tests.worlds``: histories from their seeds on all cores, or one step by step."""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.worlds.many import Summary, many, run_many, run_one

TELL_EVERY_S = 10.0
MOST_VIOLATIONS = 20


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 when all that must hold did, 1 with the failing seed when not."""
    parser = argparse.ArgumentParser(prog="python -m tests.worlds", description=__doc__)
    parser.add_argument("--histories", type=int, default=2_000, help="how many, from the first seed on")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trace", action="store_true", help="print each step; one process")
    given = parser.parse_args(arguments)
    told, violations = time.monotonic(), 0

    def tell(summary: Summary) -> None:
        nonlocal told, violations
        for seed, violation in summary.violations[violations:]:  # at once: who ends a long run has them
            violations += 1
            say(f"VIOLATION in seed {seed}: {violation}")
            say(f"step by step: make simulate SEED={seed} TRACE=1")
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            say(f"{summary.histories} of {given.histories}, {summary.per_second:.0f} a second")

    many()
    seeds = range(given.first, given.first + given.histories)
    if given.trace:
        return trace(seeds)
    summary = run_many(seeds, given.processes, tell, MOST_VIOLATIONS)
    say(str(summary))
    return 1 if summary.violations else 0


def trace(seeds: range) -> int:
    """Every step of these histories as it happens."""
    summary = Summary()
    for seed in seeds:
        summary.add(run_one(seed, say))
    say(str(summary))
    for seed, violation in summary.violations:
        say(f"VIOLATION in seed {seed}: {violation}")
    return 1 if summary.violations else 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
