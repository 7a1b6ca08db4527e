"""What the journal knows of a service from its own hires, and the limit for services that never delivered here."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from masumi_tools import Budget, Settings
from masumi_tools.hire import driver
from masumi_tools.hire.buyer import Buyer
from masumi_tools.hire.known import MOST, Known, identity
from masumi_tools.hire.purchase import State
from masumi_tools.hire.rows import purchase_of, row_of
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.tools.actions import Actions
from tests.hire.clocked import ClockedBuyer, purchases

NEW = Budget("20 ADA", per_new_service="1 ADA")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def clocked(tmp_path: Path):
    journal = Journal(f"sqlite:///{tmp_path}/j.sqlite3")
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield lambda budget=None: ClockedBuyer(sandbox, budget, journal)
    journal.close()


def test_a_quote_and_a_search_say_what_became_of_the_hires_here(clocked):
    buyer = clocked(Budget("20 ADA"))
    echo, silent = (buyer.sandbox.service(name).agent_identifier for name in ("echo", "silent"))
    assert str(buyer.quote(echo).known) == "never hired here"
    for text in ("1", "2"):
        assert buyer.hire(echo, {"text": text}).ok
    assert buyer.hire(silent, {"text": "x"}, patience_s=86_400).outcome == "refunded"
    buyer.hire(echo, {"no": "such field"})  # refused: that was no hire

    known = buyer.quote(echo).known
    assert (known.hired, known.delivered, known.refunded, known.capped) == (2, 2, 0, False)
    assert str(known).startswith("hired 2 times here: 2 delivered, median ")
    assert str(buyer.known(silent)) == "hired 1 time here: 1 refunded"

    actions = Actions(buyer=buyer)
    found = actions.run(actions.find())
    ours = found.text.rpartition("From the journal of hires here:")[2]  # outside of what services say
    assert f"- agent {echo}: hired 2 times here: 2 delivered" in ours
    assert f"- agent {silent}: hired 1 time here: 1 refunded" in ours
    assert "The others were never hired here." in ours
    (entry,) = (entry for entry in found.data if entry["agent_identifier"] == echo)
    assert entry["known_counts"]["delivered"] == 2 and entry["known"].startswith("hired 2 times")
    quoted = actions.run(actions.quote(echo))
    assert "hired 2 times here: 2 delivered" in quoted.text and quoted.data["known_counts"]["hired"] == 2


def test_a_wrong_result_is_no_delivery(clocked):
    buyer = clocked(Budget("20 ADA"))
    liar = buyer.sandbox.service("liar").agent_identifier
    assert buyer.hire(liar, {"text": "x"}).verified is False
    assert (buyer.known(liar).delivered, buyer.known(liar).failed) == (0, 1)
    limited = clocked(Budget("20 ADA", per_new_service="0.5 ADA", name="other"))
    assert "never delivered here" in limited.hire(liar, {"text": "y"}).reason


def test_a_service_that_never_delivered_here_gets_no_more_than_the_limit(clocked):
    buyer = clocked(NEW)
    human, echo = (buyer.sandbox.service(name).agent_identifier for name in ("human", "echo"))
    assert "never delivered here" in (buyer.quote(human).refusal or "")
    refused = buyer.hire(human, {"text": "x"})  # 2 ADA
    assert refused.outcome == "refused" and purchases(buyer.sandbox) == []
    assert "1 ADA" in refused.reason and "for a service that has never delivered here" in refused.reason
    assert buyer.hire(echo, {"text": "x"}).ok  # 1 ADA: within the limit

    trusting = clocked(Budget("20 ADA", name="trusting"))
    asked = trusting.hire(human, {"text": "x"})
    assert clocked(NEW).hire(human, {"text": "y"}).outcome == "refused"  # it has not delivered yet
    trusting.answer(asked.hire_id, {"approve": True})
    trusting.sweep()
    assert clocked(NEW).hire(human, {"text": "y"}).outcome == "needs_input"  # whichever budget it was


def test_the_limit_holds_for_all_hires_of_the_service_that_are_on_their_way(clocked):
    buyer = clocked(Budget("20 ADA", per_new_service="1.5 ADA"))
    slow = buyer.sandbox.service("slow").agent_identifier
    first = buyer.hire(slow, {"text": "1"}, patience_s=1)
    assert first.outcome in ("open", "completed")
    if first.outcome == "open":
        assert "0.5 ADA" in buyer.hire(slow, {"text": "2"}).reason


def test_what_was_reserved_before_the_limit_came_is_refused_before_anything_is_sent(clocked, monkeypatch):
    buyer = clocked(Budget("20 ADA"))
    human = buyer.sandbox.service("human").agent_identifier

    class Gone(BaseException):
        pass

    def reserved(*_: Any) -> Any:
        raise Gone

    monkeypatch.setattr(driver.rows.Reserving, "saved", reserved)
    with pytest.raises(Gone):
        buyer.hire(human, {"text": "x"})
    monkeypatch.undo()
    (left,) = buyer.hires()
    assert left.state is State.RESERVED

    ended = clocked(NEW).resume(left.hire_id)
    assert ended.outcome == "refused" and "never delivered here" in ended.reason
    assert purchases(buyer.sandbox) == []


def test_the_limit_bites(clocked, monkeypatch):
    """The mutation: without the look into the journal the limit does nothing."""
    monkeypatch.setattr(driver, "is_new", lambda *_: False)
    human = clocked(NEW).sandbox.service("human").agent_identifier
    assert clocked(NEW).hire(human, {"text": "x"}).outcome == "needs_input"


def test_a_url_that_claims_to_be_a_trusted_agent_is_known_by_its_url_and_key(clocked):
    buyer = clocked(Budget("20 ADA"))
    echo = buyer.sandbox.service("echo")
    assert buyer.hire(echo.agent_identifier, {"text": "x"}).ok
    by_url = buyer.quote(echo.url)
    assert by_url.listing is not None and by_url.listing.agent_identifier == echo.agent_identifier
    assert str(by_url.known) == "never hired here"
    limited = clocked(Budget("20 ADA", per_new_service="0.5 ADA", name="other"))
    assert "never delivered here" in limited.hire(echo.url, {"text": "y"}).reason
    assert limited.hire(echo.agent_identifier, {"text": "z"}).ok
    assert buyer.hire(echo.url, {"text": "u"}).ok
    assert str(buyer.quote(echo.url).known).startswith("hired 1 time here: 1 delivered")
    other = dataclasses.replace(by_url.listing, seller_vkey="0" * 56)
    assert identity(echo.url, other) != identity(echo.url, by_url.listing)


def test_it_is_read_by_an_index_and_costs_the_same_with_a_long_history(clocked, database_url):
    buyer = clocked(Budget("20 ADA"))
    echo = buyer.sandbox.service("echo").agent_identifier
    buyer.hire(echo, {"text": "x"})
    (row,) = buyer.journal.rows()
    done = purchase_of(row).but(state=State.SETTLED)
    journal = Journal(database_url)
    for number in range(200):
        made = done.but(hire_id=f"h{number}", key=f"k{number}", created_ms=done.created_ms + number)
        journal.add(row_of(made))
    found = journal.of_service(row.service, ("settled", "refunded"), MOST + 1)
    assert {one.hire_id for one in found} == {f"h{number}" for number in range(179, 200)}
    with journal._reading.connect() as db:
        if db.dialect.name == "sqlite":
            plan = db.exec_driver_sql(
                "EXPLAIN QUERY PLAN SELECT hire_id FROM masumi_hires WHERE service = 'a' AND state = 'b'"
                " ORDER BY created_ms DESC LIMIT 21"
            ).all()
            assert "masumi_hires_ends" in str(plan) and "TEMP B-TREE" not in str(plan)
    journal.close()


@pytest.mark.parametrize(
    "known, words",
    [
        (Known(), "never hired here"),
        (Known(3, 2, 1, median_ms=40_000), "hired 3 times here: 2 delivered, 1 refunded, median 40 s"),
        (Known(1, failed=1), "hired 1 time here: 1 failed"),
        (Known(20, 20, median_ms=7_300_000, capped=True), "the last 20 hires here: 20 delivered, median 2 h"),
    ],
)
def test_what_is_known_in_words(known, words):
    assert str(known) == words


def test_the_command_line_has_the_limit(sandbox, tmp_path, monkeypatch, capsys):
    pytest.importorskip("typer")
    from masumi_tools.cli import main

    here = Settings.from_sandbox(sandbox, database_url=f"sqlite:///{tmp_path}/h.sqlite3")
    with Buyer(here) as buyer:
        human = buyer.quote(sandbox.service("human").agent_identifier)
    flags = ["--node-url", sandbox.node_url, "--node-token", sandbox.token, "--sandbox"]
    flags += ["--registry-url", sandbox.registry_url, "--registry-token", sandbox.token]
    flags += ["--database-url", here.database_url]
    words = ["hire", human.target, "text=x", "--budget", "20 ADA", "--per-new-service", "1 ADA"]
    monkeypatch.setattr("sys.argv", ["masumi-tools", *flags, *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert "never delivered here" in " ".join(capsys.readouterr().out.split())
