"""What the processes of these tests do: hire, answer and sweep as a user's program would, and die on order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from masumi_tools.calls.call import Call, Reply
from masumi_tools.errors import StateError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import AsyncBuyer, Buyer
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.row import Row
from masumi_tools.journal.store import Journal
from masumi_tools.net.exchange import Exchange
from masumi_tools.net.http import AsyncHttp, Http
from masumi_tools.settings import Settings

WRITES = ("add", "save", "save_decided", "take_lease", "drop_lease", "ask", "answer")
REST_S, MOST_REST_S = 0.05, 0.5
CALM_S = 3.0  # nothing has moved for so long: nothing will, before the clock is moved


class Points:
    """Names the moments at which a process may die ("before POST /purchase"), and dies at the one ordered."""

    def __init__(self, kill_at: str | None, colour: str = "sync") -> None:
        self._kill_at = kill_at
        self._seen: Counter[str] = Counter()
        self.colour = colour
        self.passed: list[str] = []

    def reach(self, what: str) -> None:
        self._seen[what] += 1
        name = f"{what} #{self._seen[what]}"
        self.passed.append(name)
        if name == self._kill_at:
            os.write(1, b'{"died": true}\n')
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)


def install(points: Points) -> None:
    """Make every write of the journal and every request of this process pass the points around it."""

    def around(name: str) -> None:
        write: Callable[..., Any] = getattr(Journal, name)

        def writing(self: Journal, *args: Any, **options: Any) -> Any:
            what = f"{name} {args[0].state}" if isinstance(args[0], Row) else name
            points.reach(f"before {what}")
            result = write(self, *args, **options)
            points.reach(f"after {what}")
            return result

        setattr(Journal, name, writing)

    for name in WRITES:
        around(name)
    request, send, send_async = Exchange.request, Http.send, AsyncHttp.send

    def traced(self: Exchange) -> Any:
        made, name = request(self), self._call.name

        def sent(event: str, _info: Any) -> None:
            if event == "http11.send_request_body.complete":
                points.reach(f"sent {name}")

        async def sent_async(event: str, info: Any) -> None:
            sent(event, info)

        made.extensions["trace"] = sent_async if points.colour == "async" else sent
        return made

    def sending(self: Http, call: Call, *rest: Any) -> Reply:
        points.reach(f"before {call.name}")
        reply = send(self, call, *rest)
        points.reach(f"after {call.name}")
        return reply

    async def sending_async(self: AsyncHttp, call: Call, *rest: Any) -> Reply:
        points.reach(f"before {call.name}")
        reply = await send_async(self, call, *rest)
        points.reach(f"after {call.name}")
        return reply

    Exchange.request, Http.send, AsyncHttp.send = traced, sending, sending_async  # type: ignore[method-assign]


def hire(
    target: str,
    data: Any,
    budget: str | None = "20 ADA",
    name: str = "default",
    kill_at: str | None = None,
    answer: Any = None,
    colour: str = "sync",
    approve_above: str | None = None,
    quoted: bool = False,
    **options: Any,
) -> int:
    """Hire, after a quote where it is `quoted`, answer when asked, print the receipt and the points that were passed."""
    points = Points(kill_at, colour)
    install(points)
    bounds = Budget(budget, name=name, approve_above=approve_above) if budget else None
    if quoted:
        with Buyer(Settings.from_env(), budget=bounds) as buyer:
            options["quote"] = buyer.quote(target)
    made = (_hire_async if colour == "async" else _hire)(bounds, target, data, answer, options)
    told = {"outcome": made.outcome, "hire_id": made.hire_id, "result": made.result, "reason": made.reason}
    print(json.dumps(told | {"notes": made.notes, "passed": points.passed}))
    return 0


def _hire(bounds: Budget | None, target: str, data: Any, answer: Any, options: dict[str, Any]) -> Receipt:
    with Buyer(Settings.from_env(), budget=bounds) as buyer:
        made = buyer.hire(target, data, **options)
        if made.outcome == "needs_approval":
            try:
                made = buyer.approve(made.hire_id, by="ann", patience_s=options.get("patience_s", 60))
            except StateError:  # whoever died had said yes already
                made = buyer.resume(made.hire_id, patience_s=options.get("patience_s", 60))
        if made.outcome == "needs_input" and answer is not None:
            made = buyer.answer(made.hire_id, answer, patience_s=options.get("patience_s", 60))
        return made


def _hire_async(
    bounds: Budget | None, target: str, data: Any, answer: Any, options: dict[str, Any]
) -> Receipt:
    async def run() -> Receipt:
        async with AsyncBuyer(Settings.from_env(), budget=bounds) as buyer:
            made = await buyer.hire(target, data, **options)
            if made.outcome == "needs_input" and answer is not None:
                made = await buyer.answer(made.hire_id, answer, patience_s=options.get("patience_s", 60))
            return made

    return asyncio.run(run())


def resume(budget: str) -> int:
    """Go on with every open hire of this budget, as a process that has it; print nothing of them."""
    with Buyer(Settings.from_env(), budget=Budget("20 ADA", name=budget)) as buyer:
        for made in buyer.hires(only_open=True, budget=budget):
            buyer.resume(made.hire_id, patience_s=CALM_S)
    return 0


def sweep(calm_s: float = CALM_S) -> int:
    """Sweep, as `masumi-tools sweep --watch` does, until nothing moves any more; print what is in the journal."""
    with Buyer(Settings.from_env()) as buyer:
        moved, before, rest_s = time.monotonic(), None, REST_S
        while time.monotonic() - moved < calm_s:
            buyer.sweep()
            left = buyer.hires(only_open=True)
            now = [(made.hire_id, made.state, made.on_chain_state, made.verified) for made in left]
            if not now:
                break
            if now != before:
                moved, before, rest_s = time.monotonic(), now, REST_S
            time.sleep(rest_s)
            rest_s = min(rest_s * 1.5, MOST_REST_S)  # what has not moved for a while is looked at less often
        names = ("hire_id", "outcome", "result", "reason", "budget")
        told = [{name: getattr(made, name) for name in names} for made in buyer.hires()]
    print(json.dumps(told))
    return 0


def cli(arguments: list[str]) -> int:
    """One command of `masumi-tools`."""
    from masumi_tools.cli.run import run

    status = run(arguments)
    sys.stdout.flush()
    return status
