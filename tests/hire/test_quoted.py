"""A hire with a quote costs what the quote says or less, and goes to the service that was quoted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from masumi_tools.errors import InputError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedAsyncBuyer, ClockedBuyer, purchases, sent

COLOURS = pytest.mark.parametrize("colour", ["sync", "async"])


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
def journal(sqlite_url: str) -> Iterator[Journal]:
    journal = Journal(sqlite_url)
    yield journal
    journal.close()


def hire(
    colour: str, sandbox: Sandbox, journal: Journal, quoted: str, hired: str, max_price: str | None = None
) -> Receipt:
    """One service is quoted, and one hired with that quote."""
    asked, target = (sandbox.service(name).agent_identifier for name in (quoted, hired))
    if colour == "sync":
        buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
        return buyer.hire(target, {"text": "hello"}, quote=buyer.quote(asked), max_price=max_price)

    async def run() -> Receipt:
        buyer = ClockedAsyncBuyer(sandbox, Budget("20 ADA"), journal)
        return await buyer.hire(
            target, {"text": "hello"}, quote=await buyer.quote(asked), max_price=max_price
        )

    return asyncio.run(run())


@COLOURS
@pytest.mark.parametrize("max_price", ["0.999999 ADA", "5 USDM"])
def test_a_quote_does_not_raise_what_the_caller_allows(
    sandbox: Sandbox, journal: Journal, colour: str, max_price: str
) -> None:
    made = hire(colour, sandbox, journal, "echo", "echo", max_price)

    assert made.outcome == "refused" and f"the limit is {max_price}" in made.reason
    assert purchases(sandbox) == [] and "POST /start_job" not in sent(sandbox)


@COLOURS
def test_a_quote_is_paid_where_the_caller_allows_more(
    sandbox: Sandbox, journal: Journal, colour: str
) -> None:
    assert hire(colour, sandbox, journal, "echo", "echo", "9 ADA").paid_text == "1 ADA"


@COLOURS
def test_the_quote_of_another_service_is_an_input_error(
    sandbox: Sandbox, journal: Journal, colour: str
) -> None:
    with pytest.raises(InputError, match="another service"):
        hire(colour, sandbox, journal, "echo", "human")

    assert journal.rows() == [] and "POST /start_job" not in sent(sandbox)


@COLOURS
def test_one_wrong_order_among_many_keeps_all_of_them_back(
    sandbox: Sandbox, journal: Journal, colour: str
) -> None:
    orders = [(sandbox.service("echo").agent_identifier, {"text": "hello"}), ("nobody", {})]
    with pytest.raises(InputError, match="no service online is named"):
        if colour == "sync":
            ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire_many(orders)
        else:
            asyncio.run(ClockedAsyncBuyer(sandbox, Budget("20 ADA"), journal).hire_many(orders))

    assert journal.rows() == [] and set(sent(sandbox)) == {"POST /registry-entry-search"}
