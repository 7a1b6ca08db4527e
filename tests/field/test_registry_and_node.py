"""Registry and node in their spellings, hired through: prices, units, versions, states, pages, addresses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from masumi_tools.hire.budget import Budget
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.net.http import Http
from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.chain.network import TUSDM
from masumi_tools.settings import Settings
from tests.hire.clocked import ClockedBuyer, purchases, sent

HELLO = {"text": "hello"}
Entry = dict[str, Any]


class Listing(httpx.BaseTransport):
    """The sandbox, whose registry shows its entry for one agent in another form."""

    def __init__(self, sandbox: Sandbox, change: Callable[[Entry], Any]) -> None:
        self._inner, self._change = sandbox.transport(), change

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        if not request.url.path.endswith("/registry/api/v1/payment-information"):
            return answer
        entry = json.loads(answer.read())["data"]
        return httpx.Response(200, json=self._change(entry))


def hire(sandbox: Sandbox, journal: Journal, change: Callable[[Entry], Any], **options: Any) -> Receipt:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    buyer._http = Http(buyer.settings, transport=Listing(sandbox, change))
    return buyer.hire(sandbox.service("echo").agent_identifier, HELLO, patience_s=120, **options)


ADA = {"amount": "1000000", "unit": "lovelace"}
FIXED = {"pricingType": "Fixed"}


def priced(pricing: Any, key: str = "AgentPricing") -> Callable[[Entry], Any]:
    def change(entry: Entry) -> Any:
        rest = {name: value for name, value in entry.items() if name != "AgentPricing"}
        return {"status": "success", "data": {**rest, key: pricing}}

    return change


def deep(entry: Entry) -> Any:
    rest = {name: value for name, value in entry.items() if name != "AgentPricing"}
    return {"data": {"data": {**rest, "AgentPricing": {**FIXED, "Pricing": [ADA]}}}}


PRICES: dict[str, Callable[[Entry], Any]] = {
    "the registry's": priced({**FIXED, "FixedPricing": {"Amounts": [ADA]}}),
    "the node's": priced({**FIXED, "Pricing": [ADA]}),
    "a list with a list": priced([{"pricingType": "Fixed", "fixedPricing": [ADA]}], "agentPricing"),
    "a bare list": priced([ADA]),
    "ADA as an empty unit": priced({**FIXED, "Pricing": [{"amount": "1000000", "unit": ""}]}),
    "lovelace in capitals": priced({**FIXED, "Pricing": [{"amount": "1000000", "unit": "Lovelace"}]}),
    "in two parts": priced(
        {**FIXED, "Pricing": [{"amount": "400000", "unit": "lovelace"}, {"amount": "600000", "unit": ""}]}
    ),
    "amount as a number": priced({**FIXED, "Pricing": [{"amount": 1000000, "unit": "lovelace"}]}),
    "wrapped twice": deep,
}


@pytest.mark.parametrize("shape", PRICES)
def test_a_price_in_any_nesting_is_the_same_price(sandbox: Sandbox, journal: Journal, shape: str) -> None:
    receipt = hire(sandbox, journal, PRICES[shape])

    assert (receipt.outcome, receipt.paid_text) == ("completed", "1 ADA"), receipt.reason


REFUSED: dict[str, tuple[Callable[[Entry], Any], str]] = {
    "a fraction": (priced({**FIXED, "Pricing": [{"amount": "1.5", "unit": "lovelace"}]}), "AgentPricing"),
    "negative": (priced({**FIXED, "Pricing": [{"amount": "-1", "unit": "lovelace"}]}), "AgentPricing"),
    "a ticker": (priced({**FIXED, "Pricing": [{"amount": "1", "unit": "USDM"}]}), "USDM"),
    "no amounts": (priced({**FIXED, "Pricing": []}), "AgentPricing"),
    "no price": (
        lambda entry: {"data": {k: v for k, v in entry.items() if k != "AgentPricing"}},
        "AgentPricing",
    ),
    "an unknown kind": (priced({"pricingType": "Auction"}), "Auction"),
    "deregistered": (lambda entry: {"data": {**entry, "status": "Deregistered"}}, "Deregistered"),
    "another agent": (lambda entry: {"data": {**entry, "agentIdentifier": "ab" * 60}}, "another agent"),
    "another network": (lambda entry: {"data": {**entry, "network": "Mainnet"}}, "Mainnet"),
    "no address": (lambda entry: {"data": {**entry, "apiBaseUrl": "echo"}}, "apiBaseUrl"),
    "a wrong key": (
        lambda entry: {"data": {**entry, "sellerWallet": {"vkey": "ab" * 28, "address": "addr"}}},
        "sellerVKey",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_entry_that_cannot_be_hired_by_is_refused_by_its_field(
    sandbox: Sandbox, journal: Journal, case: str
) -> None:
    change, words = REFUSED[case]

    receipt = hire(sandbox, journal, change)

    assert (receipt.outcome, purchases(sandbox)) == ("refused", [])
    assert words in receipt.reason


@pytest.mark.parametrize("status", ["Offline", "Invalid", "Online", None])
def test_a_state_that_the_registry_saw_last_stops_nobody(
    sandbox: Sandbox, journal: Journal, status: str | None
) -> None:
    receipt = hire(sandbox, journal, lambda entry: {"data": {**entry, "status": status}})

    assert receipt.outcome == "completed"


@pytest.mark.parametrize("price", ["5 tUSDM", "1.5 ADA + 5 tUSDM"])
def test_prices_in_several_units_are_paid_in_each(sandbox: Sandbox, journal: Journal, price: str) -> None:
    from tests.tools.market import open_service

    listed = open_service(sandbox, "dear", price=price)
    buyer = ClockedBuyer(sandbox, Budget(["20 ADA", "20 tUSDM"]), journal)

    receipt = buyer.hire(listed.agent_identifier, HELLO, patience_s=120)

    assert (receipt.outcome, receipt.paid_text) == ("completed", price), receipt.reason
    paid = {fund["unit"]: fund["amount"] for fund in purchases(sandbox)[0]["PaidFunds"]}
    assert paid[TUSDM] == "5000000" and paid.get("", "1500000") == "1500000"
    broke = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    assert "tUSDM" in broke.hire(listed.agent_identifier, {"text": "again"}, patience_s=120).reason


@pytest.mark.parametrize(
    ("budget", "max_price", "outcome"),
    [
        (Budget("20 ADA", per_hire="3 ADA"), None, "completed"),
        (Budget("20 ADA"), "3 ADA", "completed"),
        (Budget("20 ADA", per_hire="1 ADA"), None, "refused"),
        (Budget("20 ADA", per_hire="1 ADA"), "3 ADA", "refused"),
        (Budget("20 ADA"), None, "refused"),
        (Budget("2 ADA"), "3 ADA", "refused"),
    ],
)
def test_a_dynamic_price_needs_a_cap_and_keeps_to_it(
    tmp_path: Any, budget: Budget, max_price: str | None, outcome: str
) -> None:
    from tests.gallery.standard import Dynamic
    from tests.gallery.street import OpenStreet, StreetBuyer

    with OpenStreet(tmp_path) as street:
        seller = street.open(Dynamic)
        buyer = StreetBuyer(street, budget, f"sqlite:///{tmp_path / 'dynamic.sqlite3'}")
        street._buyers.append(buyer)

        receipt = buyer.hire(seller.agent, HELLO, max_price=max_price, patience_s=600)

        assert receipt.outcome == outcome, receipt.reason
        assert len(street.purchases(seller)) == (outcome == "completed")
        used = buyer.budget_lines()[0].used
        assert used == (2_000_000 if outcome == "completed" else 0)


# ---- addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    ["{}/api/v1", "{}/api/v1/", "{}", "{}/", "{}/admin", "{}/admin/", "{}/docs", "{}/api/v1/purchase"],
)
def test_a_node_is_found_however_its_address_was_pasted(
    sandbox: Sandbox, journal: Journal, spelling: str
) -> None:
    settings = replace(Settings.from_sandbox(sandbox), node_url=spelling.format(sandbox.origin))

    receipt = ClockedBuyer(sandbox, Budget("20 ADA"), journal, settings=settings).hire(
        sandbox.service("echo").agent_identifier, HELLO, patience_s=120
    )

    assert receipt.outcome == "completed", receipt.reason


@pytest.mark.parametrize("how", ["not set", "down", "error", "a page", "a wrong key"])
@pytest.mark.parametrize("service", ["echo", "echo-v2", "free"])
def test_without_the_registry_the_node_reads_the_agent_from_the_chain(
    sandbox: Sandbox, journal: Journal, how: str, service: str
) -> None:
    settings = Settings.from_sandbox(sandbox)
    if how == "not set":
        settings = replace(settings, registry_url=None, registry_token=None)
    elif how == "down":
        settings = replace(settings, registry_url="http://127.0.0.1:9/api/v1")
    elif how == "a wrong key":
        settings = replace(settings, registry_token="wrong")
    else:
        deed = "error-500" if how == "error" else "html-502"
        sandbox.arm({"on": "/registry/api/v1/payment-information", "do": deed, "times": 99})
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal, settings=settings)

    receipt = buyer.hire(sandbox.service(service).agent_identifier, HELLO, patience_s=120)

    assert receipt.outcome == "completed", receipt.reason
    assert "GET /registry/agent-identifier" in sent(sandbox)
    assert (receipt.verified is True) == (service != "free")


def test_a_service_is_hired_by_its_address_when_it_tells_its_price_or_the_registry_does(
    sandbox: Sandbox, journal: Journal
) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    own = buyer.hire(sandbox.service("echo").url, HELLO, patience_s=120)
    sandbox.arm({"on": "GET /payment-information", "do": "error-500", "times": 4, "service": "slow"})

    found = buyer.hire(sandbox.service("slow").url + "/", HELLO, patience_s=120)

    assert (own.outcome, found.outcome) == ("completed", "completed")
    assert "POST /registry-entry-search" in sent(sandbox)
