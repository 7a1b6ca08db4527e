"""One service however it is spelt: lists, keys and quotes; and two services are two, whatever differs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from masumi_tools.errors import InputError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.request import order_of
from masumi_tools.hire.rows import purchase_of
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, purchases, sent

INPUT = {"text": "hello"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def journal(file: Path) -> Iterator[Journal]:
    journal = Journal(f"sqlite:///{file}")
    yield journal
    journal.close()


def spellings(url: str) -> list[str]:
    """The same address in other words."""
    scheme, _, rest = url.partition("://")
    place, _, path = rest.partition("/")
    start = f"{scheme.upper()}://{place}"
    return [
        f"{url}/",
        f"{start}/{path}",
        f"{start}/./{path}",
        f"{start}//{path}",
        f"{start}/x/../{path}",
        f"{start}/%{ord(path[0]):02X}{path[1:]}",
    ]


def test_a_denied_url_is_denied_in_every_spelling_and_by_its_identifier(
    sandbox: Sandbox, journal: Journal
) -> None:
    echo = sandbox.service("echo")
    for entry in [echo.agent_identifier.upper(), *spellings(echo.url)]:
        buyer = ClockedBuyer(sandbox, Budget("20 ADA", deny=[entry]), journal)
        for number, target in enumerate([echo.agent_identifier, echo.url, *spellings(echo.url)]):
            receipt = buyer.hire(target, INPUT, scope=f"{entry} {number}")
            assert receipt.outcome == "refused" and "on the deny list" in receipt.reason

    assert "POST /start_job" not in sent(sandbox)
    assert purchases(sandbox) == []


def test_an_allowed_url_is_allowed_in_every_spelling_and_no_other_path_is(
    sandbox: Sandbox, journal: Journal
) -> None:
    echo = sandbox.service("echo")
    for entry in spellings(echo.url):
        buyer = ClockedBuyer(sandbox, Budget("20 ADA", allow=[entry]), journal)
        assert buyer.quote(echo.url).refusal is None
        assert buyer.quote(echo.agent_identifier).refusal is None
    other = ClockedBuyer(sandbox, Budget("20 ADA", allow=[f"{echo.url[:-1]}{echo.url[-1].upper()}"]), journal)

    receipt = other.hire(echo.url, INPUT)

    assert receipt.outcome == "refused" and "not on the allow list" in receipt.reason
    assert purchases(sandbox) == []


def test_one_service_is_hired_once_in_all_its_spellings(sandbox: Sandbox, journal: Journal) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    url = sandbox.service("echo").url

    first = buyer.hire(url, INPUT)
    others = [buyer.hire(spelling, INPUT) for spelling in spellings(url)]

    assert first.outcome == "completed"
    assert {(other.outcome, other.hire_id) for other in others} == {("reused", first.hire_id)}
    assert len(purchases(sandbox)) == 1


def test_paths_that_differ_in_case_are_two_hires() -> None:
    one, other = order_of("https://s.example/t/Ab", INPUT), order_of("https://s.example/t/ab", INPUT)

    assert one.key != other.key
    assert not one.fits(other.target, INPUT)


def test_the_key_keeps_scope_budget_and_target_apart() -> None:
    keys = {
        order_of(target, INPUT, scope=scope, budget=budget).key
        for target in ("https://s.example/a", "https://s.example/b")
        for scope in ("", "a", "a\x00b")
        for budget in ("", "a", "b", "a\x00b")
    }

    assert len(keys) == 24


def test_an_address_that_servers_read_in_two_ways_is_refused_before_anything_is_sent(
    sandbox: Sandbox, journal: Journal
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)

    with pytest.raises(InputError):
        buyer.hire(f"{sandbox.origin}/services%2Fecho", INPUT)
    with pytest.raises(InputError):
        buyer.hire("https://xn--0/up", INPUT)

    assert sent(sandbox) == []


def test_a_listing_with_such_an_address_is_refused_and_nothing_is_paid(
    sandbox: Sandbox, journal: Journal
) -> None:
    agent = sandbox.register_service(
        "two-ways", f"{sandbox.origin}/services/echo;x", "1 ADA"
    ).agent_identifier

    receipt = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(agent, INPUT)

    assert receipt.outcome == "refused" and "apiBaseUrl" in receipt.reason
    assert purchases(sandbox) == []


@pytest.mark.parametrize("by", ["identifier", "url"])
def test_an_open_hire_of_an_older_journal_is_joined(
    sandbox: Sandbox, journal: Journal, file: Path, by: str
) -> None:
    silent = sandbox.service("silent")
    target = silent.agent_identifier if by == "identifier" else f"{silent.url}/"
    begun = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(target, INPUT, patience_s=60)
    assert begun.outcome == "open" and len(purchases(sandbox)) == 1
    older(journal, file, begun.hire_id, target)

    again = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(target, INPUT, patience_s=60)

    assert again.hire_id == begun.hire_id
    assert len(purchases(sandbox)) == 1


def test_what_an_older_journal_keeps_of_another_budget_or_path_answers_nobody(
    sandbox: Sandbox, journal: Journal, file: Path
) -> None:
    url = sandbox.service("echo").url
    done = ClockedBuyer(sandbox, Budget("20 ADA", name="ann"), journal).hire(url, INPUT)
    older(journal, file, done.hire_id, url)

    same = ClockedBuyer(sandbox, Budget("20 ADA", name="ann"), journal).hire(url, INPUT)
    bob = ClockedBuyer(sandbox, Budget("20 ADA", name="bob", deny=[url]), journal).hire(url, INPUT)
    path = order_of(f"{url[:-1]}{url[-1].upper()}", INPUT, budget="ann")

    assert (same.outcome, same.hire_id) == ("reused", done.hire_id)
    assert bob.outcome == "refused" and bob.result is None
    assert path.older_key == order_of(url, INPUT, budget="ann").older_key
    _, row = journal.known_under("", path.older_key)
    assert row is not None and not path.fits(purchase_of(row).whom, INPUT)


def older(journal: Journal, file: Path, hire_id: str, target: str) -> None:
    """The journal as it was before: key of scope, folded target and input; the target as it was given."""
    row = journal.get(hire_id)
    assert row is not None
    record = purchase_of(row).but(target=target)
    key = order_of(target, record.input_data).older_key
    with sqlite3.connect(file) as db:
        db.execute(
            "UPDATE masumi_hires SET key = ?, record = ?, open_key = CASE WHEN open_key IS NULL THEN NULL"
            " ELSE ? END WHERE hire_id = ?",
            (key, record.but(key=key).model_dump_json(), key, hire_id),
        )
    db.close()
