"""Agents of other kinds, old versions, entries that hold for nobody, and sources: found, quoted, hired."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masumi_tools import Budget, Buyer, Settings
from masumi_tools.errors import InputError
from masumi_tools.models import read_registry_entries
from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.registry import routes


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as made:
        made.list_every_kind()
        yield made


@pytest.fixture
def buyer(sandbox: Sandbox, tmp_path: Path) -> Iterator[Buyer]:
    settings = Settings.from_sandbox(sandbox, database_url=f"sqlite:///{tmp_path}/j.sqlite")
    with Buyer(settings, budget=Budget("20 ADA")) as made:
        yield made


def agent(sandbox: Sandbox, name: str) -> str:
    entries = routes.state_of(sandbox.world).entries
    return str(next(entry["agentIdentifier"] for entry in entries if entry["name"] == name))


def names(found: Any) -> set[str]:
    return {entry.name for entry in found}


OTHERS = {"Open API", "Paid by x402", "A2A"}


def test_what_cannot_be_hired_is_left_out_and_counted(buyer: Buyer) -> None:
    found = buyer.find(limit=100)
    assert names(found) >= {"Echo", "Echo V2", "Two sources", "Never checked", "With a claim"}
    assert names(found).isdisjoint({*OTHERS, "Old version", "Only EVM", "Inside"})
    assert (found.other_kinds, found.superseded, found.unusable) == (3, 1, 2)
    assert found.left_out.startswith("Not shown: 3 of other kinds")


def test_all_kinds_shows_them_with_the_reason(buyer: Buyer) -> None:
    found = {entry.name: entry for entry in buyer.find(limit=100, all_kinds=True)}
    assert set(found) >= {*OTHERS, "Old version", "Only EVM", "Inside"}
    assert {name: found[name].kind for name in OTHERS} == {
        "Open API": "OpenApi",
        "Paid by x402": "X402",
        "A2A": "A2A",
    }
    assert "private" in (found["Inside"].obstacle(sandbox=True) or "")
    assert found["Old version"].superseded_by == found["Echo"].agent_identifier.lower()
    assert not found["A2A"].payable


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Open API", "an OpenApi agent"),
        ("Paid by x402", "an X402 agent"),
        ("A2A", "an A2A agent"),
        ("Only EVM", "none for Cardano on Preprod; there are EVM eip155:84532"),
        ("Inside", "10.0.0.7 is a loopback, private or reserved address"),
    ],
)
def test_quote_and_hire_refuse_them_before_any_call(
    sandbox: Sandbox, buyer: Buyer, name: str, why: str
) -> None:
    identifier = agent(sandbox, name)
    before = len([seen for seen in sandbox.requests if seen.to not in ("node", "registry")])
    assert why in (buyer.quote(identifier).refusal or "")
    receipt = buyer.hire(identifier, {"text": "a"}, max_price="5 ADA")
    assert receipt.outcome == "refused" and why in receipt.reason
    assert len([seen for seen in sandbox.requests if seen.to not in ("node", "registry")]) == before


def test_an_old_version_is_found_when_it_is_named_exactly(sandbox: Sandbox, buyer: Buyer) -> None:
    quoted = buyer.quote(agent(sandbox, "Old version"))
    assert quoted.listing is not None and quoted.refusal is None
    assert quoted.listing.superseded_by == agent(sandbox, "Echo").lower()


def test_the_source_that_is_paid_by_is_the_first_of_cardano_and_is_said(
    sandbox: Sandbox, buyer: Buyer
) -> None:
    listing = buyer.quote(agent(sandbox, "Two sources")).listing
    assert listing is not None and listing.source_index == 1 and len(listing.sources) == 3
    assert listing.source_text == "payment source 1 (Web3CardanoV2 on Preprod, one of 3)"


def test_claims_are_claims(buyer: Buyer) -> None:
    [claimed] = [entry for entry in buyer.find("claim", limit=50) if entry.name == "With a claim"]
    assert claimed.claims == (f"KERI-ACDC by E{'a' * 43}",)


def test_an_agent_that_was_never_checked_passes_no_minimum_uptime(buyer: Buyer) -> None:
    assert "Never checked" not in names(buyer.find(min_uptime=1, limit=100))
    assert "Never checked" in names(buyer.find(limit=100))
    assert "Shaky" in names(buyer.find(min_uptime=40, limit=100))
    assert "Shaky" not in names(buyer.find(min_uptime=41, limit=100))
    assert "Never checked" not in names(buyer.find(checked_within_s=3600, limit=100))


@pytest.mark.parametrize("newer", ["ignored", "refused", "known"])
def test_every_registry_gives_the_same(sandbox: Sandbox, buyer: Buyer, newer: Any) -> None:
    state = routes.state_of(sandbox.world)
    before, state.newer = state.newer, newer
    try:
        asked: dict[str, Any] = {"min_uptime": 50, "sort_by": "price", "max_price": "1.5 ADA", "limit": 100}
        hits = buyer.find(**asked)
        again = buyer.find(**asked)
    finally:
        state.newer = before
    assert hits[0].name == "Free" and names(hits) == names(again)
    assert {"Human", "Shaky", "Never checked"}.isdisjoint(names(hits)) and "Echo" in names(hits)
    prices = [entry.price.amounts[0].quantity for entry in hits if entry.price.amounts]
    assert prices == sorted(prices)


def test_a_registry_that_refuses_newer_questions_is_asked_plainly_for_an_hour(
    sandbox: Sandbox, buyer: Buyer
) -> None:
    state = routes.state_of(sandbox.world)
    before, state.newer = state.newer, "refused"
    try:
        counted = []
        for _ in range(2):
            start = len(sandbox.requests)
            buyer.find(sort_by="recency", limit=100)
            asked = [seen.status for seen in list(sandbox.requests)[start:] if seen.to == "registry"]
            counted.append(asked.count(400))
        sandbox.advance(3_600_001)
        buyer.find(limit=1)  # an answer tells the sandbox's time
        start = len(sandbox.requests)
        buyer.find(sort_by="recency", limit=100)
        asked = [seen.status for seen in list(sandbox.requests)[start:] if seen.to == "registry"]
        counted.append(asked.count(400))
    finally:
        state.newer = before
    assert counted == [1, 0, 1]


@pytest.mark.parametrize(
    "wrong", [{"sort_by": "name"}, {"min_uptime": 101}, {"min_price": "2 ADA", "max_price": "1 ADA"}]
)
def test_a_bound_that_nothing_can_keep_is_refused(buyer: Buyer, wrong: Any) -> None:
    with pytest.raises(InputError):
        buyer.find(**wrong)


def test_an_offer_by_another_source_than_the_quoted_one_is_refused() -> None:
    from masumi_tools.models.sources import option_problem

    entry = {
        "agentIdentifier": "67" * 28 + "01" * 32,
        "apiBaseUrl": "https://seller.masumi.network",
        "SupportedPaymentSources": [
            {
                "chain": "Cardano",
                "network": "Preprod",
                "sourceIndex": index,
                "paymentSourceType": "Web3CardanoV2",
                "address": "addr_test1x",
                "pricing": {"pricingType": "Fixed", "fixed": [{"asset": "", "amount": amount}]},
            }
            for index, amount in enumerate(("1000000", "1000000", "5000000"))
        ],
    }
    [listing] = read_registry_entries({"entries": [entry]}, "Preprod")
    quoted = (listing.source_index, listing.network, listing.price)
    assert quoted[0] == 0
    assert option_problem(listing.sources, quoted, 0) is None
    assert option_problem(listing.sources, quoted, 1) is None
    assert "at 5 ADA, the quote was for source 0 at 1 ADA" in (
        option_problem(listing.sources, quoted, 2) or ""
    )
    assert "does not have" in (option_problem(listing.sources, quoted, 7) or "")


def test_two_prices_that_contradict_each_other_are_refused_with_both() -> None:
    [listing] = read_registry_entries(
        {
            "entries": [
                {
                    "agentIdentifier": "67" * 28 + "01" * 32,
                    "apiBaseUrl": "https://seller.masumi.network",
                    "AgentPricing": {"pricingType": "Fixed", "Pricing": [{"unit": "", "amount": "2000000"}]},
                    "SupportedPaymentSources": [
                        {
                            "chain": "Cardano",
                            "network": "Preprod",
                            "pricing": {
                                "pricingType": "Fixed",
                                "fixed": [{"asset": "", "amount": "3000000"}],
                            },
                        }
                    ],
                }
            ]
        },
        "Preprod",
    )
    assert not listing.payable and "2 ADA at the top, but 3 ADA" in listing.problems[0]
