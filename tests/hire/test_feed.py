"""The shared look at the node: whatever changes is seen, also a row that was the last one seen before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from masumi_tools.calls.call import Reply
from masumi_tools.errors import JournalBusy
from masumi_tools.hire import rows
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.diff_feed import Feed
from masumi_tools.hire.operations import Fetch
from masumi_tools.journal.store import Journal, Row
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, sent

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

    look = feed.refresh(lambda: list(watched), sandbox.now_ms())
    operation = next(look)
    watched.clear()
    with contextlib.suppress(StopIteration):
        while True:
            assert isinstance(operation, Fetch)
            operation = look.send(buyer._http.send(operation.call))

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
