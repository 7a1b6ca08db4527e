"""A seller as a process of its own, which can be told to stand still at a named point so that it can be killed there.

Hatched by tests/processes/nest.py; HOLD_AT names the point, HOLD_FOLDER is where it leaves word.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from masumi_tools.seller import ask_human, sell
from masumi_tools.seller.jobs import alive
from masumi_tools.seller.jobs.job import Job
from masumi_tools.seller.jobs.table import JobTable
from masumi_tools.seller.payment_node import SellerNode
from masumi_tools.seller.shop import Shop

if os.environ.get("MACHINE"):  # as if this process ran elsewhere: no pid proves anything to the others
    alive.machine = lambda: os.environ["MACHINE"]
HOLD_AT = os.environ.get("HOLD_AT", "")
FOLDER = Path(os.environ["HOLD_FOLDER"])


def reached(point: str, job: str = "") -> bool:
    """Leave word that the point is reached; whether this process is to stand still there."""
    (FOLDER / f"{point}-{os.getpid()}-{time.monotonic_ns()}").write_text(job)
    return point == HOLD_AT


def work(text: str) -> str:
    if reached("working", text):
        time.sleep(3600)
    if text.startswith("ask"):
        return f"{text}: {ask_human('what?')['answer']}"
    if text.startswith("slow"):
        time.sleep(float(text.split()[1]))
    return text.upper()


_submit = SellerNode.submit


async def submit(self: SellerNode, identifier: str, result_hash: str) -> Any:
    if reached("before-hash"):
        await asyncio.sleep(3600)
    answer = await _submit(self, identifier, result_hash)
    if reached("after-hash"):
        await asyncio.sleep(3600)
    return answer


SellerNode.submit = submit  # type: ignore[method-assign]
_claim = JobTable.claim


def claim(self: JobTable, how: Callable[[Job], Job], now_ms: int, limit: int) -> list[Job]:
    def held(job: Job) -> Job:
        if HOLD_AT == "claiming" and reached("claiming"):  # in the middle of the transaction
            time.sleep(3600)
        return how(job)

    return _claim(self, held, now_ms, limit)


JobTable.claim = claim  # type: ignore[method-assign]
_start = Shop.start


async def start(self: Shop) -> None:
    await _start(self)
    reached("started")


Shop.start = start  # type: ignore[method-assign]

service = sell(
    work,
    name="Shop",
    price="1 ADA",
    workers=int(os.environ.get("WORKERS", "4")),
    interval_s=0.2,
)


def main(port: int | str) -> None:
    if port == "worker":
        service.work()
    else:
        service.run(port=int(port))
