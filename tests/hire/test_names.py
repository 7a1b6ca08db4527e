"""Whom to hire may also be a name in the registry, or what `find` and `quote` gave."""

from __future__ import annotations

import asyncio

import pytest

from masumi_tools import AsyncBuyer
from masumi_tools.errors import InputError
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
