"""The node's news are asked for once for all services of a process, as often as there can be any."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import Any

import pytest

from masumi_tools.sandbox import Sandbox
from masumi_tools.seller import sell
from masumi_tools.seller.jobs.news import News, Page, news_of
from masumi_tools.seller.payment_node import NodeTrouble, Place
from masumi_tools.settings import Settings
from tests.seller.support import Market


def shout(text: str) -> str:
    return text.upper()


class Node:
    """Answers news, each from its place on, and counts how often it is asked."""

    def __init__(self, rows: int = 0) -> None:
        self.asked = 0
        self.rows = rows
        self.more = False
        self.trouble: NodeTrouble | None = None

    async def news(self, source: str, place: Place) -> tuple[list[Any], Place, bool]:
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.trouble is not None:
            raise self.trouble
        return [object()] * self.rows, Place(place.at_ms + 1000 * self.rows), self.more


async def test_who_wants_news_at_the_same_time_gets_one_answer():
    node, news = Node(rows=1), News()

    pages = await asyncio.gather(*(news.since("V1", Place(n), node.news, 1) for n in (0, 0, 5, 9)))

    assert node.asked == 1
    assert [page.after for page in pages] == [Place(1000)] * 4


async def test_an_answer_that_begins_later_or_is_too_old_does_not_do():
    node, news = Node(), News()
    await news.since("V1", Place(50), node.news, 1)

    await news.since("V1", Place(40), node.news, 1)  # was behind
    assert node.asked == 2
    await news.since("V1", Place(60), node.news, 0)  # wants it now, as after a webhook
    assert node.asked == 3
    await news.since("V2", Place(60), node.news, 1)  # the other kind of escrow
    assert node.asked == 4


async def test_one_page_of_many_is_for_those_whom_it_leads_further():
    node, news = Node(rows=1), News()
    node.more = True
    await news.since("V1", Place(0), node.news, 1)  # to 1000, and more is there

    assert (await news.since("V1", Place(500), node.news, 1)).after == Place(1000)
    assert node.asked == 1
    for further in (Place(1000), Place(5000)):  # else they would be given the same page for ever
        assert (await news.since("V1", further, node.news, 1)).after == Place(further.at_ms + 1000)


async def test_who_was_further_stays_there():
    node, news = Node(), News()
    await news.since("V1", Place(50), node.news, 1)

    assert (await news.since("V1", Place(60), node.news, 1)).after == Place(60)


async def test_a_node_that_fails_is_asked_once_and_all_hear_of_it():
    node, news = Node(), News()
    node.trouble = NodeTrouble("no answer", down=True)

    ends = await asyncio.gather(
        *(news.since("V1", Place(0), node.news, 1) for _ in range(3)), return_exceptions=True
    )
    assert node.asked == 1 and [str(end) for end in ends] == ["no answer"] * 3
    node.trouble = None
    assert isinstance(await news.since("V1", Place(0), node.news, 1), Page)


async def test_who_is_cut_off_while_asking_leaves_the_others_to_ask():
    node, news = Node(), News()
    first = asyncio.create_task(news.since("V1", Place(0), node.news, 1))
    await asyncio.sleep(0)
    second = asyncio.create_task(news.since("V1", Place(0), node.news, 1))
    await asyncio.sleep(0)
    first.cancel()

    assert (await second).rows == () and node.asked == 2


def test_one_node_and_key_have_one_stream_of_news(sandbox: Sandbox):
    mine = news_of(Settings.from_sandbox(sandbox))
    other = Settings(node_url=sandbox.node_url, node_token="another-key", sandbox=True)  # type: ignore[arg-type]

    assert news_of(Settings.from_sandbox(sandbox, agent_identifier="ab")) is mine
    assert news_of(other) is not mine


def asked(sandbox: Sandbox) -> int:
    return sum(1 for one in sandbox.requests if "/payment/diff" in one.path)


def test_three_services_of_a_process_ask_as_often_as_one(market: Market):
    with ExitStack() as stack:
        buyings = [stack.enter_context(market.shop(shout, interval_s=0.5)) for _ in range(3)]
        jobs = [buying.start({"text": "x"}) for buying in buyings]  # unpaid, so all look for news
        time.sleep(1.5)
        before, begun = asked(market.sandbox), time.monotonic()
        time.sleep(4)
        rounds = (time.monotonic() - begun) / 0.5
        count = asked(market.sandbox) - before
        for buying, job in zip(buyings, jobs, strict=True):
            buying.pay(job)
        done = [
            buying.wait(job, "completed", "failed")["result"]
            for buying, job in zip(buyings, jobs, strict=True)
        ]

    assert 0.3 * rounds <= count <= 1.3 * rounds, (count, rounds)
    assert done == ["X"] * 3


@pytest.mark.parametrize(
    ("sandboxed", "given", "every_s"), [(True, None, 1), (False, None, 20), (False, 3.0, 3), (True, 0.1, 0.1)]
)
def test_news_are_asked_for_at_the_pace_at_which_they_come(
    tmp_path: Any, sandboxed: bool, given: float | None, every_s: float
):
    settings = Settings(
        node_url="http://127.0.0.1:9", sandbox=sandboxed, database_url=f"sqlite:///{tmp_path}/jobs.sqlite"
    )
    shop = sell(shout, name="Shop", price="1 ADA", settings=settings, interval_s=given).open_shop()
    shop.table.close()

    assert shop.watch.news_every_s == every_s and shop.watch.interval_s <= 3
