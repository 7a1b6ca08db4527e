"""Whose word counts: the node's clock, the node that took the order, and the limits of whoever goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from masumi_tools import Buyer
from masumi_tools.calls.call import Reply
from masumi_tools.clock import Clock
from masumi_tools.errors import StateError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.operations import Fetch, Operation
from masumi_tools.hire.replies.node import elsewhere, node_ids
from masumi_tools.hire.rows import purchase_of
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.hire.clocked import ClockedBuyer, Crash, CrashingJournal, live_by, purchases, sent
from tests.tools.market import settings_of

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


def skewed(
    sandbox: Sandbox, journal: Journal, ahead: Callable[[], int], budget: Budget | None
) -> ClockedBuyer:
    """A buyer on a machine whose clock is `ahead` of the node's."""
    buyer = ClockedBuyer(sandbox, budget, journal)
    live_by(buyer, Clock(lambda: sandbox.now_ms() + ahead(), sandbox.now_ms))
    return buyer


@pytest.mark.parametrize("ahead_ms", [2 * HOUR_MS, -2 * HOUR_MS, 400 * 24 * HOUR_MS])
def test_a_clock_that_is_wrong_ends_nothing(sandbox: Sandbox, sqlite_url: str, ahead_ms: int) -> None:
    journal = Journal(sqlite_url)
    agent = sandbox.service("echo").agent_identifier
    begun = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(agent, {"text": "hello"}, patience_s=0.001)
    assert begun.state in ("paying", "paid", "reserved", "started", "locked")

    sandbox.advance(MINUTE_MS)  # by now it is due
    (swept,) = skewed(sandbox, journal, lambda: ahead_ms, Budget("20 ADA")).sweep()
    assert swept.outcome not in ("lapsed", "refused", "failed"), swept.reason
    made = skewed(sandbox, journal, lambda: ahead_ms, Budget("20 ADA")).hire(
        agent, {"text": "hello"}, patience_s=600
    )

    assert (made.hire_id, made.result) == (begun.hire_id, "HELLO"), made.reason
    assert made.outcome in ("completed", "reused")  # the sweep may have brought it to its end
    assert len(purchases(sandbox)) == 1
    journal.close()


def test_a_clock_that_was_ahead_and_comes_back_leaves_the_node_asked(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    journal = Journal(sqlite_url)
    ahead = [2 * HOUR_MS]
    # Gateways may take the Date away: then this machine's clock is all that there is.
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    live_by(buyer, Clock(lambda: sandbox.now_ms() + ahead[0]))
    buyer._flows._node.hear = lambda reply: None  # type: ignore[method-assign]
    agent = sandbox.service("slow").agent_identifier
    begun = buyer.hire(agent, {"text": "hello", "seconds": 60}, patience_s=20)
    assert begun.outcome in ("open", "refused")

    ahead[0] = 0
    if begun.outcome == "open":
        asked = len(sent(sandbox))
        buyer.sweep()
        assert len(sent(sandbox)) > asked
    journal.close()


class Napping(ClockedBuyer):
    """Its machine stands still for two minutes when the first answer has come, and before it is read."""

    ahead_ms: dict[
        str, int
    ]  # how far the node's clock was thought to be ahead at each request to it, by its name

    def _perform(self, operation: Operation) -> Any:
        if not isinstance(operation, Fetch) or operation.call.to != "node":
            return super()._perform(operation)
        first = not self.ahead_ms
        self.ahead_ms.setdefault(operation.call.name, self._clock.ahead_ms)
        came = super()._perform(operation)
        if first:
            self.sandbox.advance(2 * MINUTE_MS)
        return came


def test_the_time_that_counts_for_an_order_is_that_of_several_answers(sandbox: Sandbox, sqlite_url: str):
    """By one that met a machine that stood still, an offer would be taken that is nearly over."""
    buyer = Napping(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    buyer.ahead_ms = {}
    live_by(buyer, Clock(sandbox.now_ms, sandbox.now_ms))
    buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=600)

    assert "GET /health" in buyer.ahead_ms
    assert abs(buyer.ahead_ms["POST /purchase"]) < 1_000
    buyer.journal.close()


def test_a_service_that_was_found_paid_by_a_clock_a_year_ahead_is_waited_for_a_day_and_not_a_year(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    journal, year_ms = Journal(sqlite_url), 400 * 24 * HOUR_MS
    ahead = [0]
    buyer = skewed(sandbox, journal, lambda: ahead[0], Budget("20 ADA"))
    buyer._flows._node.hear = lambda reply: None  # type: ignore[method-assign]
    sandbox.arm({"on": "GET /status", "do": "error-500", "times": 10_000})
    made = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=60)
    sandbox.advance(24 * HOUR_MS)
    ahead[0] = year_ms
    live_by(buyer, Clock(lambda: sandbox.now_ms() + ahead[0]))
    buyer._flows._node.hear = lambda reply: None  # type: ignore[method-assign]
    buyer.sweep()
    row = journal.get(made.hire_id)
    assert row is not None and purchase_of(row).paid_out_ms > sandbox.now_ms() + year_ms - HOUR_MS

    ahead[0] = 0
    for _ in range(6):
        buyer.sweep()
        sandbox.advance(12 * HOUR_MS)

    assert buyer.receipt(made.hire_id).outcome == "failed"
    journal.close()


def test_the_clock_follows_the_node_and_passes_one_strange_answer_over() -> None:
    wall, steady = [1_000_000_000_000], [0]
    clock = Clock(lambda: wall[0], lambda: steady[0])
    assert clock.stale
    for _ in range(3):
        clock.hear(wall[0] - 7_200_000)
    assert abs(clock.now() - (wall[0] - 7_200_000)) < 1_000 and not clock.stale
    clock.hear(wall[0] + 10**9)
    assert abs(clock.now() - (wall[0] - 7_200_000)) < 1_000
    before = clock.now()

    wall[0] -= 7_200_000  # somebody sets this machine right

    assert abs(clock.now() - before) < 10 and clock.stale


@pytest.mark.parametrize(
    ("date", "known"), [("Sat, 28 Nov 2026 20:00:00 GMT", True), ("soon", False), ("", False)]
)
def test_only_a_date_is_a_date(date: str, known: bool) -> None:
    assert (Reply(200, headers={"date": date}).dated_ms is not None) is known


# Which node ---------------------------------------------------------------------------------------


def test_what_one_node_took_is_not_ordered_at_another(sandbox: Sandbox, sqlite_url: str) -> None:
    journal = Journal(sqlite_url)
    sandbox.arm({"on": "POST /purchase", "do": "drop-reply"})
    begun = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(
        sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=0.001
    )
    with Sandbox(manual_clock=True, listen=False, seed=2) as other:
        swapped = ClockedBuyer(other, Budget("20 ADA"), journal)

        made = swapped.resume(begun.hire_id, patience_s=600)

        assert (made.outcome, made.money) == ("open", "maybe")
        assert "belongs to another payment node" in made.reason and "MASUMI_NODE_URL" in made.reason
        assert purchases(other) == [] and not [path for path in sent(other) if path.startswith("POST")]
    journal.close()


def test_nothing_is_ordered_while_no_node_says_which_it_is(sandbox: Sandbox, sqlite_url: str) -> None:
    """Another node behind the same address, and a gateway that turns the question away which node it is."""
    journal = Journal(sqlite_url)
    sandbox.arm({"on": "POST /purchase", "do": "drop-reply"})
    begun = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(
        sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=0.001
    )
    with Sandbox(manual_clock=True, listen=False, seed=2) as other:
        other.arm({"on": "GET /payment-source", "do": "answer", "status": 413, "times": 3})
        swapped = ClockedBuyer(other, Budget("20 ADA"), journal)

        short = swapped.resume(begun.hire_id, patience_s=15)
        made = swapped.resume(begun.hire_id, patience_s=120)

        assert (short.outcome, made.outcome, made.money) == ("open", "open", "maybe")
        assert "belongs to another payment node" in made.reason
        assert "POST /purchase" not in sent(other)
    sandbox.arm({"on": "GET /payment-source", "do": "answer", "status": 413, "times": 3})
    sandbox.advance(5 * MINUTE_MS)  # both nodes tell the same time
    own = ClockedBuyer(sandbox, Budget("20 ADA"), journal).resume(begun.hire_id, patience_s=30)
    journal.close()

    assert (own.state, own.money, len(purchases(sandbox))) == ("locked", "locked", 1)


def test_a_node_that_never_says_again_which_it_is_is_named_and_a_person_may_close_the_books(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    journal = Journal(sqlite_url)
    sandbox.arm({"on": "POST /purchase", "do": "drop-request"})
    agent = sandbox.service("silent").agent_identifier
    begun = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(agent, {"text": "hello"}, patience_s=0.001)
    sandbox.arm({"on": "GET /payment-source", "do": "answer", "status": 403, "times": 10_000})
    buyer, asked = ClockedBuyer(sandbox, Budget("20 ADA"), journal), len(sent(sandbox))

    for _day in range(3):
        sandbox.advance(24 * HOUR_MS)
        buyer.sweep()
    told = buyer.receipt(begun.hire_id)
    closed = buyer.write_off(begun.hire_id)
    journal.close()

    assert (told.outcome, told.money) == ("open", "maybe") and "hires write-off" in told.reason
    assert "does not say which node it is" in told.reason
    assert "POST /purchase" not in sent(sandbox)[asked:] and purchases(sandbox) == []
    assert (closed.state, closed.paid) == ("written_off", ())


def test_another_network_is_named_and_not_asked(sandbox: Sandbox, sqlite_url: str) -> None:
    journal = Journal(sqlite_url)
    begun = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(
        sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=60
    )
    mainnet = ClockedBuyer(
        sandbox,
        None,
        journal,
        settings=Settings.from_sandbox(sandbox, network="Mainnet", database_url=sqlite_url),
    )
    before = len(sent(sandbox))

    made = mainnet.resume(begun.hire_id, patience_s=600)

    assert (made.outcome, len(sent(sandbox))) == ("open", before)
    assert "MASUMI_NETWORK=Preprod" in made.reason
    journal.close()


def test_what_was_asked_for_on_one_network_is_not_begun_on_another(sandbox: Sandbox, sqlite_url: str) -> None:
    url = sandbox.service("echo").url
    budget = Budget("20 ADA")
    settings = Settings.from_sandbox(sandbox, network="Mainnet", database_url=sqlite_url)
    with pytest.raises(Crash):
        crashing = CrashingJournal(sqlite_url, 1, after=True)
        ClockedBuyer(sandbox, budget, crashing, settings=settings).hire(url, {"text": "hello"}, patience_s=60)
    journal = Journal(sqlite_url)
    preprod = ClockedBuyer(sandbox, budget, journal)

    (made,) = preprod.sweep()

    assert made.outcome == "refused" and "MASUMI_NETWORK=Mainnet" in made.reason
    assert purchases(sandbox) == [] and "POST /start_job" not in sent(sandbox)
    journal.close()


def test_a_node_is_known_by_its_sources_whatever_its_host_is_called() -> None:
    rows = {"status": "success", "data": {"PaymentSources": [{"id": "b"}, {"id": "a"}, {"id": 7}, "x"]}}
    assert node_ids(Reply(200, rows)) == ("a", "b")
    assert node_ids(Reply(403, {"message": "no"})) == node_ids(Reply(200, {"data": rows["data"]})) == ()

    class Here:
        network, node_url, node_ids = "Preprod", "https://old.example/api/v1", ("a", "b")

    where: Any = Here()
    assert elsewhere(where, "Preprod", "https://new.example/api/v1", ("b", "c")) is None
    assert elsewhere(where, "Preprod", "https://old.example/api/v1", ("c",)) is not None
    assert elsewhere(where, "Preprod", "https://old.example/api/v1", ()) is None
    assert elsewhere(where, "Preprod", "https://new.example/api/v1", ()) is not None


def test_a_node_that_forgot_is_named_and_a_person_may_close_the_books(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    journal = Journal(sqlite_url)
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    begun = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=60)
    with pytest.raises(StateError, match="the node knows the purchase"):
        buyer.write_off(begun.hire_id)
    sandbox.world.purchases.clear()  # restored from a backup of yesterday
    sandbox.world._purchases.clear() if hasattr(sandbox.world, "_purchases") else None
    unknown = {"status": "error", "error": {"message": "Purchase not found"}}
    route = "POST /purchase/resolve-blockchain-identifier"
    sandbox.arm({"on": route, "do": "answer", "status": 404, "times": 10_000, "body": unknown})

    told = buyer.resume(begun.hire_id, patience_s=300)

    assert told.outcome == "open" and "does not know the purchase that it accepted" in told.reason
    assert "masumi-tools hires write-off" in told.reason
    assert [line.locked for line in buyer.budget_lines()] == [3_000_000]
    closed = buyer.write_off(begun.hire_id)
    assert (closed.outcome, closed.state, closed.paid) == ("failed", "written_off", ())
    assert closed.states[-1].state == "written_off" and "written off by hand" in closed.reason
    assert [(line.locked, line.left) for line in buyer.budget_lines()] == [(0, 20_000_000)]
    journal.close()


# Limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [2, 3, 4])
@pytest.mark.parametrize(
    "budget",
    [
        None,
        Budget("20 ADA", per_hire="0.5 ADA"),
        Budget("20 ADA", name="other"),
        Budget("20 ADA", deny=["00" * 40]),
    ],
    ids=["none", "less", "other", "denies"],
)
def test_limits_hold_until_the_money_leaves(
    sandbox: Sandbox, sqlite_url: str, write: int, budget: Budget | None
) -> None:
    """It died when it had reserved, when it had the offer, and when it was about to order the payment."""
    agent = sandbox.service("echo").agent_identifier
    if budget is not None and budget.deny:
        budget = Budget("20 ADA", deny=[agent])
    crashing = CrashingJournal(sqlite_url, at=write, after=True)
    with pytest.raises(Crash):
        ClockedBuyer(sandbox, Budget("20 ADA"), crashing).hire(agent, {"text": "hello"}, patience_s=60)
    crashing.close()
    assert purchases(sandbox) == []
    journal = Journal(sqlite_url)
    other = ClockedBuyer(sandbox, budget, journal)

    for _ in range(3):
        other.sweep()
        sandbox.advance(30_000)

    assert purchases(sandbox) == []
    made = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(agent, {"text": "hello"}, patience_s=600)
    assert made.outcome == "completed" and len(purchases(sandbox)) == 1
    journal.close()


def test_a_call_knows_at_once_that_the_clock_of_the_sandbox_was_moved(tmp_path) -> None:
    with (
        Sandbox() as sandbox,
        Buyer(settings_of(sandbox, tmp_path), budget=Budget("9 ADA")) as buyer,
    ):
        asked = buyer.hire("failing", {"text": "a"}, patience_s=20)
        sandbox.advance(12 * HOUR_MS)  # within the second in which the buyer heard its time
        told = buyer.resume(asked.hire_id)

    assert asked.outcome in ("open", "refund_requested")
    assert told.outcome == "refunded"
