"""Whom to hire may also be a name in the registry, or what `find` and `quote` gave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from masumi_tools import AsyncBuyer, Budget, Buyer
from masumi_tools.errors import InputError, UnknownHire
from masumi_tools.hire import find
from masumi_tools.hire.known import known
from masumi_tools.journal.looking import Filter
from masumi_tools.journal.store import Journal
from tests.tools.fixtures import buyer, counter, sandbox, settings
from tests.tools.market import open_service

__all__ = ["buyer", "counter", "sandbox", "settings"]
HELLO = {"text": "hello"}


def test_a_service_is_hired_by_its_name_its_listing_or_its_quote(buyer, counter):
    (listing,) = (entry for entry in buyer.find("echo") if entry.name == "Echo")
    named = buyer.hire(" echo ", HELLO)

    assert named.result == "HELLO"
    assert buyer.hire(listing, HELLO).hire_id == named.hire_id
    assert buyer.hire(buyer.quote("Echo"), HELLO).hire_id == named.hire_id
    assert counter.both == (1, 1)


def test_an_awaiting_buyer_takes_the_same(settings, sandbox):
    async def hire() -> str | None:
        async with AsyncBuyer(settings) as buyer:
            quote = await buyer.quote("echo")
            return (await buyer.hire(quote, HELLO)).result

    assert asyncio.run(hire()) == "HELLO"


def test_a_name_that_nobody_has_is_refused_with_what_comes_near(buyer, counter):
    with pytest.raises(InputError, match=r'no service online is named "sandbox".*did you mean "'):
        buyer.hire("sandbox", HELLO)
    with pytest.raises(InputError, match=r"look for one with `find`"):
        buyer.quote("nothing of the kind")
    assert counter.tried == 0


def test_two_services_of_one_name_are_never_chosen_from(buyer, sandbox, counter):
    twins = [open_service(sandbox, "twin", price=price) for price in ("1 ADA", "2 ADA")]
    with pytest.raises(InputError, match="2 services are named") as refused:
        buyer.hire("twin", HELLO)

    assert all(twin.agent_identifier in str(refused.value) for twin in twins)
    assert counter.tried == 0


def test_a_name_is_looked_for_to_the_end_of_the_list(buyer, sandbox, counter):
    """The newest stand first: fillers between two of one name hide neither of them."""
    names = ["janus", *(f"janus {number}" for number in range(55)), "janus"]
    twins = [open_service(sandbox, f"j{number}", title=name) for number, name in enumerate(names)]
    with pytest.raises(InputError, match="2 services are named") as refused:
        buyer.hire("janus", HELLO)

    assert all(twin.agent_identifier in str(refused.value) for twin in (twins[0], twins[-1]))
    assert counter.tried == 0


def test_a_name_in_a_list_without_an_end_is_not_believed_to_be_the_only_one(
    buyer, sandbox, counter, monkeypatch
):
    monkeypatch.setattr(find, "MOST_PAGES", 1)
    for number in range(55):
        open_service(sandbox, f"hydra {number}")
    open_service(sandbox, "hydra")
    with pytest.raises(InputError, match="too many to see whether one of them alone has the name"):
        buyer.hire("hydra", HELLO)
    assert counter.tried == 0


UNKNOWN: dict[str, Callable[[Buyer, str], Any]] = {
    "receipt": lambda buyer, text: buyer.receipt(text),
    "resume": lambda buyer, text: buyer.resume(text, patience_s=1),
    "refund": lambda buyer, text: buyer.refund(text, patience_s=1),
    "answer": lambda buyer, text: buyer.answer(text, {}, patience_s=1),
    "approve": lambda buyer, text: buyer.approve(text),
    "write_off": lambda buyer, text: buyer.write_off(text),
}
MISUSE: dict[str, Callable[[Buyer, str], Any]] = {
    "hire": lambda buyer, text: buyer.hire(text, HELLO),
    "scope": lambda buyer, text: buyer.hire("Echo", HELLO, scope=f"{text}\ud800"),
    "quote": lambda buyer, text: buyer.quote(text),
    "budget": lambda buyer, text: Budget("1 ADA", name=text),
}


@pytest.mark.parametrize("text", ["\x00", "half \udfff", "\ud800\x00"])
@pytest.mark.parametrize("how", [*UNKNOWN, *MISUSE])
def test_a_text_that_nothing_can_hold_is_one_sentence_and_nothing_is_sent(buyer, counter, how, text):
    """As a terminal, a model's JSON and a file name may give it."""
    with pytest.raises(UnknownHire if how in UNKNOWN else InputError) as told:
        (UNKNOWN | MISUSE)[how](buyer, text)

    str(told.value).encode()
    assert counter.tried == 0


@pytest.mark.parametrize("text", ["\x00", "half \udfff"])
def test_a_list_by_a_name_that_nothing_can_have_is_empty(buyer, database_url, text):
    journal = Journal(database_url)
    assert journal.rows(budget=text) == [] and journal.used(text) == [] and journal.count(budget=text) == 0
    assert journal.found(Filter(budget=text, service=text, words=text)) == (0, [])
    journal.close()
    assert list(buyer.find(text)) == []


HALF = "a\ud800b"


@pytest.mark.parametrize("name", ["scope", "call_id", "approved_by"])
def test_text_that_cannot_be_sent_is_named_by_its_argument(buyer, sandbox, counter, name):
    echo = sandbox.service("echo").agent_identifier
    with pytest.raises(InputError, match=f"^{name} has a lone surrogate") as refused:
        buyer.hire(buyer.quote(echo), HELLO, **{name: HALF})
    assert list(refused.value.field_errors) == [name]
    if name != "approved_by":
        with pytest.raises(InputError, match=f"^{name} has a lone surrogate"):
            buyer.recall(**{"call_id": "a", name: HALF})
    assert counter.tried == 0


@pytest.mark.parametrize("value", [7, None, b"x"])
def test_a_scope_that_is_no_text_is_refused_before_anything_is_sent(buyer, sandbox, counter, value):
    with pytest.raises(InputError, match=r"^scope must be text"):
        buyer.hire(sandbox.service("echo").agent_identifier, HELLO, scope=value)
    assert counter.tried == 0


@pytest.mark.parametrize("text", ["a\0b", HALF])
def test_what_no_database_can_hold_is_a_service_that_nobody_knows(database_url, text):
    journal = Journal(database_url)
    assert known(journal, text, None).hired == 0
    assert journal.newest_of([text]) == []
    assert journal.states_of([text]) == {}
    journal.close()


def test_who_approved_is_kept_as_the_plain_text_that_every_database_holds(settings, sandbox, database_url):
    with Buyer(settings, budget=Budget("20 ADA"), journal=(journal := Journal(database_url))) as buyer:
        quote = buyer.quote(sandbox.service("echo").agent_identifier)
        made = buyer.hire(quote, HELLO, approved_by="Ada\0\x1b[31m Lovelace")
        row = journal.get(made.hire_id)
    assert made.result == "HELLO"
    assert row is not None and json.loads(row.record)["vouched_by"] == "Ada [31m Lovelace"
    journal.close()
