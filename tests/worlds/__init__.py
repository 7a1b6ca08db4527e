"""Whole worlds from a seed: buyers that crash, sellers of every temper, a node that fails, and what must hold.

In the manner of deterministic simulation testing: one process, one thread, no real time, no chance but the
seed. Each history runs the real flows step by step against the sandbox's world, lets things go wrong, ends in
calm with sweeps until nothing is open, and then checks the money to the last unit.

    python -m tests.worlds --histories 100000     many, on all cores
    make simulate SEED=42 TRACE=1                  one, step by step
"""

from __future__ import annotations

from tests.worlds.history import History, Outcome, run
from tests.worlds.many import Summary, run_many

__all__ = ["History", "Outcome", "Summary", "run", "run_many"]
