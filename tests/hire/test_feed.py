"""The shared look at the node: whatever changes is seen, also a row that was the last one seen before."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import sqlalchemy as sa

from masumi_tools.calls import node
from masumi_tools.calls.call import Reply
from masumi_tools.calls.selling import iso
from masumi_tools.errors import JournalBusy, JournalError
from masumi_tools.hire import rows
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.diff_feed import Feed
from masumi_tools.hire.lease import Turn
from masumi_tools.hire.operations import Do, Fetch, Patience
from masumi_tools.hire.purchase import State
from masumi_tools.hire.steps import Ways
from masumi_tools.journal.row import Row
from masumi_tools.journal.store import Journal
from masumi_tools.journal.turns import token
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from masumi_tools.text import Secret
from tests.hire.clocked import ClockedAsyncBuyer, ClockedBuyer, sent
from tests.hire.test_journal import row

HOUR_MS = 3_600_000


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


def test_the_row_at_the_cursor_is_seen_again_when_it_changes_again(
    sandbox: Sandbox, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("masumi_tools.hire.buyer_base.CROWD", 0)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    target = sandbox.service("echo").agent_identifier
    assert buyer.hire(target, {"text": "hello"}).outcome == "completed"
    sandbox.advance(12 * HOUR_MS)  # the seller collects

    buyer.sweep()

    (receipt,) = buyer.hires()
    assert receipt.on_chain_state == "Withdrawn"
    assert "POST /purchase/resolve-blockchain-identifier" not in sent(sandbox)
    buyer.journal.close()


def test_what_the_feed_told_is_told_again_when_it_could_not_be_saved(
    sandbox: Sandbox, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a locked purchase looks unchanged, and lapsed once pay_by has passed."""
    monkeypatch.setattr("masumi_tools.hire.buyer_base.CROWD", 0)

    class Overtaken(Journal):
        overtaken = False

        def save(self, row: Row) -> Row:
            if self.overtaken:
                self.overtaken = False
                raise JournalBusy("another process saved this hire first")
            return super().save(row)

    journal = Overtaken(sqlite_url)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    target = sandbox.service("echo").agent_identifier
    assert buyer.hire(target, {"text": "hello"}, patience_s=0).outcome == "open"
    sandbox.advance(60_000)
    journal.overtaken = True
    buyer.sweep()
    assert not journal.overtaken
    sandbox.advance(30 * 60_000)

    (receipt,) = buyer.sweep()

    assert (receipt.outcome, receipt.result) == ("completed", "HELLO")
    journal.close()


def test_a_row_that_comes_while_its_call_ends_is_kept(
    sandbox: Sandbox, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calls share a hire: one ends while the other's look is under way, and the row must not go by."""
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=0)
    (row,) = buyer.journal.rows()
    p = rows.purchase_of(row)
    sandbox.advance(60_000)
    feed, watched = Feed(buyer._flows.ways), [p]

    look = feed.refresh(buyer.journal, lambda: list(watched), sandbox.now_ms())
    operation = next(look)
    watched.clear()
    with contextlib.suppress(StopIteration):
        while True:
            operation = look.send(buyer._perform(operation))

    reply = feed.reply(p)
    assert reply is not None and reply.status == 200
    buyer.journal.close()


def test_whether_a_payment_was_made_at_all_is_asked_of_the_node_itself(
    sandbox: Sandbox, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the shared look did not show is no proof that nothing was locked."""
    monkeypatch.setattr("masumi_tools.hire.buyer_base.CROWD", 0)
    monkeypatch.setattr(Feed, "reply", lambda self, p: Reply(304))
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=0)
    sandbox.advance(40 * 60_000)

    (made,) = buyer.sweep()

    assert made.outcome == "completed"
    buyer.journal.close()


def test_purchases_of_both_kinds_of_escrow_are_seen_through_the_feed(
    sandbox: Sandbox, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a filter the node's feed lists the first kind only: one that asks plainly never sees the second."""
    monkeypatch.setattr("masumi_tools.hire.buyer_base.CROWD", 0)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    for name in ("echo", "echo-v2"):
        done = buyer.hire(sandbox.service(name).agent_identifier, {"text": "hello"})
        assert done.outcome == "completed"
    sandbox.advance(12 * HOUR_MS)  # both sellers collect
    before = len(sent(sandbox))

    buyer.sweep()

    assert {receipt.on_chain_state for receipt in buyer.hires()} == {"Withdrawn"}
    asked = sent(sandbox)[before:]
    assert asked.count("GET /purchase/diff") >= 2
    assert "POST /purchase/resolve-blockchain-identifier" not in asked
    buyer.journal.close()


# Up to where it was read ------------------------------------------------------------------------------

ME = "me"
V1, V2 = "Web3CardanoV1", "Web3CardanoV2"
NOW_MS = 1_900_000_000_000
WAYS = Ways(node="http://node.test/api/v1", registry=None, network="Preprod")


def news(identifier: str, at_ms: int, row_id: str = "") -> dict[str, Any]:
    """A row of the feed, of a kind that nobody can read but for whose it is and when it changed."""
    changed = {"nextActionOrOnChainStateOrResultLastChangedAt": iso(at_ms)}
    return {"id": row_id or f"r{at_ms}", "blockchainIdentifier": identifier, **changed}


def look(
    feed: Feed, journal: Journal, rows: list[dict[str, Any]], now: int = NOW_MS, most: int | None = None
) -> tuple[list[dict[str, str]], int | None]:
    """Let the feed be read from a node that has these rows of the first kind: what was asked, what came of it.

    The process dies at the request after `most`.
    """
    asked: list[dict[str, str]] = []
    flow = feed.refresh(journal, list, now)
    try:
        operation = next(flow)
        while True:
            if isinstance(operation, Do):
                try:
                    operation = flow.send(operation.work())
                except JournalError as error:
                    operation = flow.throw(error)
                continue
            assert isinstance(operation, Fetch)
            query = dict(parse_qsl(urlsplit(operation.call.url).query))
            asked.append(query)
            if most is not None and len(asked) > most:
                return asked, None
            mine = rows if query["filterPaymentSourceType"] == V1 else []
            known = [n for n, one in enumerate(mine) if one["id"] == query.get("cursorId")]
            since = [one for one in mine if changed_of(one) >= query["lastUpdate"]]
            page = (mine[known[0] :] if known else since)[:100]
            operation = flow.send(Reply(200, {"status": "success", "data": {"Purchases": page}}))
    except StopIteration as end:
        return asked, end.value


def changed_of(one: dict[str, Any]) -> str:
    return str(one["nextActionOrOnChainStateOrResultLastChangedAt"])


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    """With one open hire, begun an hour ago, that is due in an hour."""
    journal = Journal(database_url)
    begun = row("h1", created_ms=NOW_MS - HOUR_MS, due_ms=NOW_MS + HOUR_MS, token=token(ME))
    journal.add(begun)
    yield journal
    journal.close()


def due(journal: Journal, now: int = NOW_MS) -> list[str]:
    return [one.hire_id for one in journal.due(now, (0, ""), lambda _: False)]


def test_news_in_thousands_are_read_to_the_end_and_make_their_hire_due(journal: Journal) -> None:
    rows = [news(f"another {n}", NOW_MS - 60_000 + n) for n in range(2_450)]
    rows[2_300] = news(ME, NOW_MS - 60_000 + 2_300)
    assert due(journal) == []

    asked, heard = look(Feed(WAYS), journal, rows)

    assert heard == NOW_MS and due(journal) == ["h1"]
    assert len(asked) == 26, (
        "25 pages, of which each begins with the last row of the one before, and one of V2"
    )
    assert asked[0]["lastUpdate"] == iso(NOW_MS - HOUR_MS - 5 * 60_000), "before the oldest open hire began"


def test_a_process_that_was_down_goes_on_from_where_any_process_was(journal: Journal) -> None:
    rows = [news("another", NOW_MS - 60_000)]
    look(Feed(WAYS), journal, rows)
    rows.append(news(ME, NOW_MS + 5 * HOUR_MS))

    asked, _ = look(Feed(WAYS), journal, rows, NOW_MS + 9 * HOUR_MS)

    assert (asked[0]["lastUpdate"], asked[0]["cursorId"]) == (changed_of(rows[0]), rows[0]["id"])
    assert due(journal) == ["h1"]


@pytest.mark.parametrize("most", range(4))
def test_a_process_that_dies_between_two_pages_leaves_the_rest_to_the_next_one(
    journal: Journal, most: int
) -> None:
    rows = [news(f"another {n}", NOW_MS - 60_000 + n) for n in range(250)]
    rows[240] = news(ME, NOW_MS - 60_000 + 240)
    look(Feed(WAYS), journal, rows, most=most)
    assert (due(journal) == ["h1"]) == (most > 2)

    look(Feed(WAYS), journal, rows)

    assert due(journal) == ["h1"]


def test_news_that_could_not_be_kept_are_read_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, rows = Feed(WAYS), [news(ME, NOW_MS - 60_000)]

    with monkeypatch.context() as patch:
        patch.setattr("masumi_tools.journal.turns._TOLD", sa.text("UPDATE no_such_table SET at_ms = 1"))
        assert look(feed, journal, rows)[1] == 0, "the place is kept with the news or not at all"

    assert due(journal) == [] and not feed.usable
    assert look(feed, journal, rows)[1] == NOW_MS and due(journal) == ["h1"]


def test_news_that_the_record_knows_make_nothing_due(journal: Journal) -> None:
    (kept,) = journal.rows()
    journal.save(replace(kept, due_ms=NOW_MS + HOUR_MS, token=token(ME), known_ms=NOW_MS - 60_000))

    look(Feed(WAYS), journal, [news(ME, NOW_MS - 60_000)])

    assert due(journal) == []


def test_neither_a_save_nor_a_sweep_that_has_not_seen_the_news_puts_them_off(journal: Journal) -> None:
    (seen,) = journal.due(NOW_MS + 2 * HOUR_MS, (0, ""), lambda _: False)
    look(Feed(WAYS), journal, [news(ME, NOW_MS - 60_000)])

    journal.save(replace(seen, due_ms=NOW_MS + HOUR_MS, known_ms=NOW_MS - 70_000))
    journal.put_off([(seen, NOW_MS + HOUR_MS)])
    assert due(journal) == ["h1"]

    (seen,) = journal.due(NOW_MS, (0, ""), lambda _: False)
    look(Feed(WAYS), journal, [news(ME, NOW_MS - 50_000)])
    journal.put_off([(seen, NOW_MS + HOUR_MS)])
    assert due(journal) == ["h1"], "there were other news meanwhile"

    journal.save(replace(seen, due_ms=NOW_MS + HOUR_MS, known_ms=NOW_MS - 50_000))
    assert due(journal) == []


def test_a_place_that_the_nodes_clock_has_not_reached_is_left(journal: Journal) -> None:
    """The node's clock was ahead for a while, and was set right: what changes from now on comes before that row."""
    look(Feed(WAYS), journal, [news("another", NOW_MS + 9 * HOUR_MS)], NOW_MS + 9 * HOUR_MS)

    asked, _ = look(Feed(WAYS), journal, [news(ME, NOW_MS - 1000)])

    assert asked[0]["lastUpdate"] == iso(NOW_MS - 5 * 60_000) and due(journal) == ["h1"]
    kept = journal.heard_to(f"{WAYS.node} Preprod {V1}")
    assert kept is not None and kept.changed == iso(NOW_MS - 1000)


def test_each_key_of_a_node_goes_on_from_its_own_place(journal: Journal) -> None:
    look(Feed(WAYS, "one"), journal, [news("another", NOW_MS - 1000)])

    asked, _ = look(Feed(WAYS, "two"), journal, [])

    assert asked[0]["lastUpdate"] == iso(NOW_MS - HOUR_MS - 5 * 60_000)


def test_buyers_of_one_process_share_a_look_at_a_node(
    sandbox: Sandbox, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("masumi_tools.hire.buyer_base.CROWD", 0)
    buyers = [ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url)) for _ in range(2)]
    other = replace(Settings.from_sandbox(sandbox), node_token=Secret("another-key"))
    apart = ClockedBuyer(sandbox, None, buyers[0].journal, settings=other)
    target = sandbox.service("silent").agent_identifier
    ids = [buyer.hire(target, {"text": str(n)}, patience_s=0).hire_id for n, buyer in enumerate(buyers)]
    bought = [rows.purchase_of(row) for row in buyers[0].journal.records(ids)]

    assert buyers[0]._look is buyers[1]._look is not apart._look
    buyers[0]._flows.driven["h", "o"] = Turn("o", Patience.of(0, time.monotonic), known=bought[0])
    buyers[1]._flows._swept["h"] = bought[1]
    assert {p.hire_id for p in buyers[0]._look.watched()} == {bought[0].hire_id, bought[1].hire_id}
    for buyer in buyers:
        buyer.journal.close()


def test_a_sweep_in_a_new_process_looks_at_what_has_news_and_at_nothing_else(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    with closing(Journal(sqlite_url)) as journal:
        buyer = ClockedBuyer(sandbox, Budget("200 ADA"), journal)
        silent = sandbox.service("silent").agent_identifier
        ids = [buyer.hire(silent, {"text": f"{n}"}, patience_s=5).hire_id for n in range(6)]
        sandbox.advance(10 * 60_000)
        buyer.sweep()
        (mine,) = (rows.purchase_of(row) for row in journal.records(ids[2:3]))
        assert mine.terms is not None and mine.state is State.LOCKED
        ways = buyer._flows.ways
        buyer._http.send(node.request_refund(ways.node, mine.terms.blockchain_identifier, ways.network))
        with journal._engine.begin() as db:
            db.exec_driver_sql(f"UPDATE masumi_turns SET due_ms = {sandbox.now_ms() + HOUR_MS}")
        del buyer
    before = len(sent(sandbox))

    with closing(Journal(sqlite_url)) as journal:
        (told,) = ClockedBuyer(sandbox, None, journal).sweep()

    assert (told.hire_id, told.state) == (mine.hire_id, State.REFUND_REQUESTED)
    asked = [one for one in sent(sandbox)[before:] if "purchase" in one]
    assert asked == [*["GET /purchase/diff"] * 2, "POST /purchase/resolve-blockchain-identifier"]


def test_an_awaiting_sweep_looks_at_the_feed_once_for_all_that_is_due(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    with closing(Journal(sqlite_url)) as journal:
        buyer = ClockedBuyer(sandbox, Budget("200 ADA"), journal)
        silent = sandbox.service("silent").agent_identifier
        for number in range(6):
            buyer.hire(silent, {"text": f"{number}"}, patience_s=5)
        sandbox.advance(10 * 60_000)
        buyer.sweep()
        sandbox.advance(12 * 60_000)
        before = len(sent(sandbox))

        made = asyncio.run(ClockedAsyncBuyer(sandbox, None, journal).sweep())

    assert len(made) == 6
    assert [one for one in sent(sandbox)[before:] if "purchase" in one] == ["GET /purchase/diff"] * 2


def test_a_hire_waits_for_the_disk_ten_times_at_the_most(sandbox: Sandbox, sqlite_url: str) -> None:
    """From its record to its receipt: begun, reserved, started, paying, paid, locked, delivered, proved."""
    with closing(Journal(sqlite_url)) as journal:
        buyer, commits = ClockedBuyer(sandbox, Budget("20 ADA"), journal), []

        def committed(db: sa.Connection) -> None:
            if db.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
                commits.append(db)

        sa.event.listen(journal._engine, "commit", committed)
        made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"})

    assert made.outcome == "completed" and len(commits) <= 10, len(commits)
