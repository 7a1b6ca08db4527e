"""Patience: by how much the slowest call outlives it, over every endpoint, every fault, and slow nodes.

    python benchmarks/patience.py            # all of it, on the sandbox's own clock

Each row is one kind of call: the worst overrun in seconds, and the endpoint, fault and latency that made it.
POST /purchase, the one request that may finish beyond the patience, is not counted. Exit status 1 when a call
outlives its patience by more than the constant that its docstring names.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from masumi_tools.hire.operations import GRACE_S
from masumi_tools.sandbox.faults import DEEDS
from tests.hire.test_faults import ENDPOINTS
from tests.hire.test_patience import overruns

LATENCIES_S = (0.0, 0.5, 1.0, 2.0, 3.0)


def main() -> int:
    worst: dict[str, tuple[float, str]] = {}
    runs = 0
    for endpoint in sorted(ENDPOINTS):
        for deed in sorted(DEEDS):
            for latency_s in LATENCIES_S:
                runs += 1
                with tempfile.TemporaryDirectory() as folder:
                    for call, late in overruns(endpoint, deed, latency_s, Path(folder)).items():
                        where = f"{endpoint}, {deed}, latency {latency_s:g} s"
                        worst[call] = max(worst.get(call, (float("-inf"), "")), (late, where))
    print(f"{runs} combinations; allowed are {GRACE_S:g} s")
    for call, (late, where) in sorted(worst.items(), key=lambda one: -one[1][0]):
        print(f"{call:8} {late:+7.2f} s   {where}")
    return 0 if all(late <= GRACE_S + 0.01 for late, _ in worst.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
