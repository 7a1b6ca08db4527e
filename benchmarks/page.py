"""The page over a journal of 10,000 hires: how long each room takes, against the same rooms over ten hires.

    python benchmarks/page.py            # a minute
    python benchmarks/page.py --hires 1000

Each room is read 40 times over HTTP by one client; the 95th percentile is at most 300 ms.

Exit status 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from masumi_tools import Budget, Buyer, Settings
from masumi_tools.journal.store import Journal
from masumi_tools.page import open_page
from masumi_tools.sandbox import Sandbox
from tests.page.crowd import crowd

MOST_MS = 300
TIMES = 40


def rooms(hire_id: str) -> tuple[str, ...]:
    """The addresses that are read."""
    return (
        "waiting",
        "spending",
        "hires",
        "hires?page=100",
        "hires?q=echo&state=delivered",
        f"hires/{hire_id}",
    )


def measured(settings: Settings, hire_id: str) -> dict[str, float]:
    """The 95th percentile of each room, in ms."""
    found = {}
    with open_page(settings).running() as page, httpx.Client(follow_redirects=True, timeout=60) as client:
        client.get(page.link).raise_for_status()
        for room in rooms(hire_id):
            times = []
            for _ in range(TIMES):
                began = time.perf_counter()
                client.get(f"{page.url}/{room}").raise_for_status()
                times.append((time.perf_counter() - began) * 1000)
            found[room.replace(hire_id, "one")] = statistics.quantiles(times, n=20)[-1]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hires", type=int, default=10_000)
    number = parser.parse_args().hires
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        settings = Settings.from_sandbox(
            sandbox, database_url=f"sqlite:///{Path(folder) / 'journal.sqlite3'}"
        )
        with Buyer(settings, budget=Budget("200 ADA", approve_above="4 ADA")) as buyer:
            for service in ("echo", "failing", "human"):
                made = buyer.hire(sandbox.service(service).agent_identifier, {"text": service}, patience_s=3)
            buyer.answer(made.hire_id, {"approve": True})
            for _ in range(60):  # to their ends: most hires of a journal have ended
                sandbox.advance(30 * 60_000)
                buyer.sweep()
            ends = Counter(one.outcome for one in buyer.hires())
            made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "one more"})
        few = measured(settings, made.hire_id)
        journal = Journal(settings.database_url)
        crowd(journal, number, units=40)
        journal.close()
        many = measured(settings, made.hire_id)
    slow = 0
    print(f"copies of {dict(ends)} and one that is open")
    print(f"{'room':32} {'few hires':>10} {f'{number:,} hires':>14}   (ms, 95th percentile)")
    for room, ms in many.items():
        slow += ms > MOST_MS
        print(f"{room:32} {few[room]:10.0f} {ms:14.0f}{'   too slow' if ms > MOST_MS else ''}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
