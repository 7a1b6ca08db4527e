"""Many hires at once in one async process: one budget, one look at the node for all of them."""

from __future__ import annotations

import asyncio

from langchain_core.messages import ToolMessage

from masumi_tools import AsyncBuyer, Budget, MasumiAgentTool
from masumi_tools.hire.purchase import State

MANY = 40


async def test_requests_to_the_node_do_not_grow_with_the_number_of_open_hires(sandbox, settings):
    locked = asyncio.Event()
    seen: set[str] = set()

    def on_progress(progress):
        if progress.state is State.LOCKED:
            seen.add(progress.hire_id)
            if len(seen) == MANY:
                locked.set()

    target = sandbox.service("slow").agent_identifier
    async with AsyncBuyer(settings, budget=Budget("1000 ADA"), on_progress=on_progress) as buyer:
        orders = [(target, {"text": str(number), "seconds": 3600}) for number in range(MANY)]
        hiring = asyncio.create_task(buyer.hire_many(orders))
        await asyncio.wait_for(locked.wait(), 50)
        await asyncio.sleep(0.5)
        before = sum(one.to == "node" for one in sandbox.requests)
        await asyncio.sleep(2)
        asked = sum(one.to == "node" for one in sandbox.requests) - before
        hiring.cancel()
        await asyncio.gather(hiring, return_exceptions=True)

    # Two kinds of escrow are looked at four times a second; alone, each hire would ask as often itself.
    assert 0 < asked <= 24


async def test_many_calls_of_one_tool_share_the_budget(sandbox, settings, counter):
    async with AsyncBuyer(settings, budget=Budget("10 ADA")) as buyer:
        tool = await MasumiAgentTool.afor_agent(sandbox.service("echo").agent_identifier, buyer=buyer)
        calls = [
            {"name": tool.name, "args": {"text": f"t{n}"}, "id": f"c{n}", "type": "tool_call"}
            for n in range(25)
        ]

        messages: list[ToolMessage] = await asyncio.gather(*(tool.ainvoke(call) for call in calls))

    outcomes = [message.artifact.outcome for message in messages]
    assert sorted(set(outcomes)) == ["completed", "refused"]
    assert outcomes.count("completed") == 10
    assert counter.both == (10, 10)
