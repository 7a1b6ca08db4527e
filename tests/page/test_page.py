"""The page over a real server: who is kept out, what a form does, and what it shows."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from typing import Any

import httpx
import pytest

pytest.importorskip("jinja2")

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import Buyer
from masumi_tools.page import Page, open_page
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.page.person import csrf, seen, until
from tests.tools.market import reprice


def test_the_link_opens_once_and_its_token_is_gone_afterwards(page: Page) -> None:
    with httpx.Client() as client:
        assert client.get(f"{page.url}/waiting").status_code == 401
        answer = client.get(page.link)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        port = page.url.rsplit(":", 1)[1]
        assert cookie.startswith(f"masumi_page_{port}=")
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and "Secure" not in cookie
    assert httpx.get(page.link).status_code == 401


def test_every_answer_forbids_scripts_frames_and_foreign_forms(person: httpx.Client) -> None:
    for path in ("/waiting", "/nothing", "/static/page.css"):
        headers = person.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["referrer-policy"] == "same-origin"


def test_who_does_not_belong_here_changes_nothing(person: httpx.Client, page: Page, waiting: str) -> None:
    token = csrf(person.get("/waiting").text, "approve")
    path, mine = f"/hires/{waiting}/approve", {"origin": page.url}

    assert person.get("/waiting", headers={"host": "evil.example"}).status_code == 421
    for origin in ({"origin": "https://evil.example"}, {"origin": "null"}, {}):
        assert person.post(path, data={"csrf": token}, headers=origin).status_code == 403
    assert person.post(path, headers=mine).status_code == 403
    other = csrf(person.get("/waiting").text, "deny")
    assert person.post(path, data={"csrf": other}, headers=mine).status_code == 403
    assert httpx.post(page.url + path, data={"csrf": token}, headers=mine).status_code == 401
    assert person.get(path).status_code == 405
    assert waiting in person.get("/waiting").text


def test_a_yes_buys_once_and_a_second_one_is_told(
    person: httpx.Client, page: Page, waiting: str, sandbox: Sandbox
) -> None:
    before = len(sandbox.world.purchases)
    room = person.get("/waiting").text
    form, mine = {"csrf": csrf(room, "approve"), "seen": seen(room)}, {"origin": page.url}

    first = person.post(f"/hires/{waiting}/approve", data=form, headers=mine)
    second = person.post(f"/hires/{waiting}/approve", data=form, headers=mine)

    assert (first.status_code, second.status_code) == (200, 409)
    assert "approved by ann already" in second.text
    assert until(lambda: "delivered" in person.get(f"/hires/{waiting}").text)
    assert len(sandbox.world.purchases) == before + 1


@pytest.mark.parametrize("room", ["waiting", "hires/{}"])
def test_a_yes_is_to_what_the_tab_shows_and_to_nothing_that_came_in_its_place(
    person: httpx.Client, page: Page, waiting: str, settings: Settings, sandbox: Sandbox, room: str
) -> None:
    before = len(sandbox.world.purchases)
    shown = person.get("/" + room.format(waiting)).text
    with Buyer(settings) as other:
        with other.journal._engine.begin() as db:  # so long ago that the price is looked up again
            db.exec_driver_sql("UPDATE masumi_approvals SET asked_ms = 1")
        reprice(sandbox, "echo", 2_000_000)
        asked_anew = other.approve(waiting, by="bob")
        reprice(sandbox, "echo", 1_000_000)
    form = {"csrf": csrf(shown, "approve"), "seen": seen(shown)}

    for given in (form, {"csrf": form["csrf"]}):
        late = person.post(f"/hires/{waiting}/approve", data=given, headers={"origin": page.url})
        assert late.status_code == 409 and "another price or service than was seen" in late.text
    assert asked_anew.outcome == "needs_approval" and "Approve 2 ADA" in person.get(f"/hires/{waiting}").text
    assert len(sandbox.world.purchases) == before


def test_foreign_text_is_text_and_every_room_opens(person: httpx.Client, waiting: str) -> None:
    for room in (
        "waiting",
        "spending",
        "hires",
        f"hires/{waiting}",
        "shop",
        "hires?q=echo&state=waiting&page=9",
    ):
        answer = person.get(f"/{room}")
        assert answer.status_code == 200, answer.text
        assert "<script>document" not in answer.text and "style=" not in answer.text
    assert person.get("/hires.csv").text.startswith("hire,outcome,")
    assert waiting in person.get("/waiting.csv").text
    assert person.get("/hires/none").status_code == 404


def test_the_sums_are_those_of_the_command_line(
    person: httpx.Client, settings: Settings, sandbox: Sandbox, monkeypatch: Any, capsys: Any
) -> None:
    from masumi_tools.cli.run import run

    with Buyer(settings, budget=Budget("7 ADA", name="other")) as agent:
        agent.hire(sandbox.service("echo").agent_identifier, {"text": "x"})
    monkeypatch.setenv("MASUMI_DATABASE_URL", settings.database_url)
    run(["budget", "--json"])
    told = json.loads(capsys.readouterr().out)["budgets"]["other"][0]

    lines = person.get("/spending.csv").text.splitlines()
    shown = dict(
        zip(lines[0].split(","), next(x for x in lines if x.startswith("other")).split(","), strict=True)
    )
    assert {name: told[name] for name in ("left", "locked", "spent")} == {
        name: shown[name] for name in ("left", "locked", "spent")
    }


def test_a_page_that_only_shows_has_no_forms_that_do_anything(settings: Settings, waiting: str) -> None:
    with open_page(settings, read_only=True).running() as page, httpx.Client(follow_redirects=True) as client:
        assert 'method="post"' not in client.get(page.link).text
        assert (
            client.post(f"{page.url}/hires/{waiting}/approve", headers={"origin": page.url}).status_code
            == 403
        )


def test_it_ends_within_three_seconds_with_a_tab_open(settings: Settings) -> None:
    with open_page(settings).running() as page, httpx.Client(follow_redirects=True) as client:
        client.get(page.link)
        with client.stream("GET", f"{page.url}/events") as events:
            read = events.iter_text()
            assert next(read).startswith(": here")
            began = time.monotonic()
            page.stop()
            list(read)
    assert time.monotonic() - began < 3


@pytest.mark.slow
def test_the_demo_ends_with_the_command_that_shows_what_it_did(capsys: Any, monkeypatch: Any) -> None:
    pytest.importorskip("langchain")
    from masumi_tools.cli import paging
    from masumi_tools.cli.run import run

    assert run(["page", "--demo"]) == 2
    assert "masumi-tools demo" in capsys.readouterr().err
    assert run(["demo"]) == 0
    last = capsys.readouterr().out.rstrip().splitlines()[-1]
    command = shlex.split(last.partition("`")[2].rstrip("`."))
    assert last.startswith("See all of it in a browser: `") and command[-2:] == ["page", "--demo"]
    assert shutil.which(command[0]), "the command can be typed here"
    shown: list[str] = []

    def look(page: Page) -> None:
        with page.running(), httpx.Client(follow_redirects=True) as client:
            client.get(page.link)
            shown.append(client.get(f"{page.url}/hires").text)

    monkeypatch.setattr(paging, "_serve", look)
    assert run(["page", "--demo"]) == 0
    assert (
        all(words in shown[0] for words in ("delivered", "refunded", "refused"))
        and '<form method="post"' not in shown[0]
    )
