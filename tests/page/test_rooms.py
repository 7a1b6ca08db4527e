"""What the rooms show of many hires, and what their forms do."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from masumi_tools.errors import StateError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import Buyer
from masumi_tools.hire.purchase import State
from masumi_tools.journal.store import Journal
from masumi_tools.page import Page, open_page, views
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.page.crowd import crowd
from tests.page.person import csrf, press, seen, until


def test_every_state_is_in_one_group_of_the_filter() -> None:
    groups = [state for states in views.GROUPS.values() for state in states]

    assert sorted(groups) == sorted(state.value for state in State)


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
    """The SQL statements of this block, whichever thread runs them."""
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(sa.Engine, "before_cursor_execute", note)


def test_a_room_asks_the_database_as_often_for_many_hires_as_for_few(
    person: httpx.Client, settings: Settings, waiting: str, sandbox: Sandbox
) -> None:
    with Buyer(settings, budget=Budget("20 ADA", name="other")) as agent:
        agent.hire(sandbox.service("echo").agent_identifier, {"text": "once"})
    rooms = (
        "/waiting",
        "/spending",
        "/hires",
        "/hires?q=hello",
        "/hires?state=delivered",
        f"/hires/{waiting}",
    )

    def statements() -> list[int]:
        found = []
        for room in rooms:
            with counted() as seen:
                assert person.get(room).status_code == 200
            found.append(len(seen))
        return found

    with contextlib.closing(Journal(settings.database_url)) as journal:
        crowd(journal, 20)
        few = statements()
        with journal._engine.begin() as db:
            for table in ("hires", "amounts", "turns", "totals", "budgets"):
                column = "hire_id LIKE 'c0%'" if table in ("hires", "amounts", "turns") else "1 = 1"
                column = "name = 'crowd'" if table == "budgets" else column
                column = "budget = 'crowd'" if table == "totals" else column
                db.exec_driver_sql(f"DELETE FROM masumi_{table} WHERE {column}")
        crowd(journal, 600)

    assert statements() == few


def test_the_pages_of_the_hires_hold_each_of_them_once(
    person: httpx.Client, settings: Settings, waiting: str
) -> None:
    with contextlib.closing(Journal(settings.database_url)) as journal:
        crowd(journal, 120)
        ids = {row.hire_id for row in journal.rows()}

    texts = [person.get(f"/hires?page={number}").text for number in (1, 2, 3)]

    assert sum(text.count('<a href="/hires/') for text in texts) == len(ids) == 121
    assert all(any(f'"/hires/{one}"' in text for text in texts) for one in ids)
    assert "3 of 3" in person.get("/hires?page=9999").text


@pytest.mark.parametrize(("words", "found"), [("HELLO", True), ("nothing%", False), ("h_llo", False)])
def test_words_are_found_as_they_are_written_in_any_capitals(
    person: httpx.Client, waiting: str, words: str, found: bool
) -> None:
    assert (f"/hires/{waiting}" in person.get("/hires", params={"q": words}).text) is found


def test_a_service_is_answered_by_the_form_of_its_fields(
    sandbox: Sandbox, settings: Settings, page: Page, person: httpx.Client
) -> None:
    with Buyer(settings, budget=Budget("20 ADA", name="human")) as agent:
        made = agent.hire(sandbox.service("human").agent_identifier, {"text": "ask me"})
    assert made.outcome == "needs_input"
    assert 'name="field.approve"' in person.get("/waiting").text

    question = views.mark(made.question)
    for stale in ({}, {"seen": views.mark({"input_data": []})}):
        refused = press(person, made.hire_id, "answer", **{"field.approve": "true", **stale})
        assert refused.status_code == 409 and "asks something else by now; nothing was sent" in refused.text
    assert f'name="seen" value="{question}"' in person.get("/waiting").text
    assert f'name="seen" value="{question}"' in person.get(f"/hires/{made.hire_id}").text
    empty = press(person, made.hire_id, "answer", **{"field.approve": "", "seen": question})
    assert empty.status_code == 409 and "approve" in empty.text
    answered = press(person, made.hire_id, "answer", **{"field.approve": "true", "seen": question})

    assert answered.status_code == 200
    assert until(lambda: "delivered" in person.get(f"/hires/{made.hire_id}").text)


def test_a_no_is_in_the_receipt_with_its_reason_and_nothing_is_paid(
    person: httpx.Client, settings: Settings, waiting: str, sandbox: Sandbox
) -> None:
    before = len(sandbox.world.purchases)

    assert press(person, waiting, "deny", why="too expensive").status_code == 200

    with Buyer(settings) as buyer:
        made = buyer.receipt(waiting)
    assert made.outcome == "refused" and "ann did not approve the price: too expensive" in made.reason
    assert len(sandbox.world.purchases) == before


def test_a_tab_and_the_command_line_at_once_buy_once_and_both_are_told(
    person: httpx.Client, settings: Settings, waiting: str, sandbox: Sandbox
) -> None:
    before = len(sandbox.world.purchases)
    room = person.get("/waiting").text
    form = {"csrf": csrf(room, "approve"), "seen": seen(room)}
    ready, told = threading.Barrier(2), []

    def command_line() -> None:
        with Buyer(settings) as buyer:
            ready.wait()
            try:
                told.append(buyer.approve(waiting, by="bob").outcome)
            except StateError as error:
                told.append(str(error))

    other = threading.Thread(target=command_line)
    other.start()
    ready.wait()
    origin = {"origin": str(person.base_url).rstrip("/")}
    answer = person.post(f"/hires/{waiting}/approve", data=form, headers=origin)
    other.join()

    late = [
        answer.status_code == 409 and "approved by bob already" in answer.text,
        "approved by ann already" in told[0],
    ]
    assert late.count(True) == 1, (answer.status_code, told)
    assert until(lambda: "delivered" in person.get(f"/hires/{waiting}").text)
    assert len(sandbox.world.purchases) == before + 1


def test_looking_holds_no_lock_that_a_hire_waits_for(settings: Settings, sandbox: Sandbox) -> None:
    """Each room is read while another connection holds the only lock for writing that SQLite has."""
    with Buyer(settings, budget=Budget("20 ADA")) as agent:
        made = agent.hire(sandbox.service("echo").agent_identifier, {"text": "held"})
    with open_page(settings).running() as page, httpx.Client(follow_redirects=True, timeout=5) as client:
        client.get(page.link)
        with contextlib.closing(Journal(settings.database_url)) as journal, journal._engine.begin():
            for room in ("waiting", "spending", "hires", f"hires/{made.hire_id}", "spending.csv"):
                assert client.get(f"{page.url}/{room}").status_code == 200


def test_the_room_of_the_shop_shows_jobs_and_income_with_their_units(settings: Settings) -> None:
    job: dict[str, Any] = {
        "job_id": "j1",
        "state": "completed",
        "price": ["2 ADA", "1 USDM"],
        "money": "earned",
        "created_ms": 1_700_000_000_000,
        "on_chain": None,
    }
    shop = {
        "jobs": [job],
        "states": {"completed": 1},
        "income": ["2 ADA", "1 USDM"],
        "expected": ["3 ADA"],
        "refunded": [],
        "disputes": [job | {"job_id": "j2", "on_chain": "Disputed"}],
        "periods": {"2026-11": ["2 ADA", "1 USDM"]},
        "left_out": 7,
        "contested": 3,
    }
    asked: list[int] = []

    def jobs(most: int) -> dict[str, Any]:
        asked.append(most)
        return shop

    with (
        open_page(settings, shop=jobs).running() as page,
        httpx.Client(follow_redirects=True) as client,
    ):
        client.get(page.link)
        text, table = client.get(f"{page.url}/shop").text, client.get(f"{page.url}/shop.csv").text

    assert all(words in text for words in ("2 ADA", "1 USDM", "3 ADA", "2026-11", "j2"))
    assert "and 7 more" in text and "3 jobs are contested" in text and "and 7 more" in table
    assert asked == [200, 100_000]
    assert table.startswith("job_id,state,price")
