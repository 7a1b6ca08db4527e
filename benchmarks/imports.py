"""What `import masumi_tools` costs, against `import httpx, pydantic` in the same run.

Each import runs in a process of its own, the two by turns; the least of the times counts, because
everything that disturbs a run makes it longer. Exit status 1 when it costs more than 1.5 times.

    python benchmarks/imports.py [ROUNDS]
"""

from __future__ import annotations

import os
import subprocess
import sys

BASE = "import httpx, pydantic"
MEASURED = {
    "import masumi_tools": 1.5,  # the most it may cost, in times of BASE
    "from masumi_tools import Buyer, Budget, Amount, Settings": None,
    # What `masumi-tools hire` loads: of others alone, and with us.
    "import httpcore, httpx, pydantic, rich.table, sqlalchemy.dialects.sqlite, typer": None,
    "import masumi_tools.cli.run, masumi_tools.hire.buyer": None,
}


def seconds(statement: str) -> float:
    """The time of one import, without the start of Python itself."""
    program = f"import time; begun = time.perf_counter()\n{statement}\nprint(time.perf_counter() - begun)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    return float(done.stdout)


def main(rounds: int) -> int:
    statements = [BASE, *MEASURED]
    times = {statement: [seconds(statement)] for statement in statements}  # writes the bytecode
    for statement in statements * rounds:
        times[statement].append(seconds(statement))
    least = {statement: min(found) for statement, found in times.items()}

    print(f"{least[BASE] * 1000:7.1f} ms  1.00  {BASE}")
    within = True
    for statement, most in MEASURED.items():
        ratio = least[statement] / least[BASE]
        within = within and (most is None or ratio <= most)
        limit = "" if most is None else f"  (at most {most})"
        print(f"{least[statement] * 1000:7.1f} ms  {ratio:.2f}  {statement}{limit}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
