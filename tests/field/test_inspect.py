"""`masumi-tools inspect`: what it says of each dialect, of our own seller, and that it costs nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.cli.inspection import Inspection, inspect
from masumi_tools.cli.run import run
from masumi_tools.errors import InputError
from masumi_tools.inputs.strict import deviations
from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.registry.routes import state_of
from masumi_tools.settings import Settings
from tests.gallery.seller import Seller
from tests.gallery.serving import Told
from tests.gallery.standard import Spec
from tests.gallery.street import OpenStreet
from tests.gallery.test_gallery import ENDS, End
from tests.shared import shared_json
from tests.tools.market import environment_of

HELLO = {"text": "hello"}


@pytest.fixture
def street(tmp_path: Path) -> Iterator[OpenStreet]:
    with OpenStreet(tmp_path) as street:
        street.advance(123)
        yield street


def look(street: OpenStreet, target: str, **options: Any) -> Inspection:
    return inspect(Settings.from_sandbox(street.sandbox), target, now_ms=street.now_ms(), **options)


def whats(found: Inspection, weight: str = "") -> str:
    return "\n".join(
        f"{finding.where} {finding.what}" for finding in found.findings if weight in ("", finding.weight)
    )


# ---- our own seller, and the sandbox's -------------------------------------------------------------------


def shout(text: str, times: int = 1) -> str:
    """Says it loudly."""
    return text.upper() * times


@pytest.mark.parametrize(("price", "version"), [("1 ADA", 1), ("1 ADA", 2), (None, 1)])
def test_nothing_is_found_of_our_own_seller(tmp_path: Path, price: str | None, version: int) -> None:
    pytest.importorskip("fastapi")
    from tests.seller.support import Market

    with Sandbox() as sandbox, Market(sandbox, tmp_path).shop(shout, price=price, version=version) as buying:
        agent = buying.service.settings.agent_identifier
        found = inspect(Settings.from_sandbox(sandbox), agent, start_job=True, input_data=HELLO)
        by_url = inspect(Settings.from_sandbox(sandbox), buying.url, start_job=True, input_data=HELLO)

    late = ["the registry does not list the agent; the node reads it from the chain"] if version == 2 else []
    assert [finding.what for finding in found.findings] == late
    assert by_url.findings == ()
    assert found.hireable and "service POST /start_job" in found.asked


def test_nothing_is_found_of_the_sandboxs_own_services_but_the_greedy_one() -> None:
    with Sandbox(seed=1) as sandbox:
        settings = Settings.from_sandbox(sandbox)
        found = {
            service.name: inspect(settings, service.agent_identifier, start_job=True)
            for service in sandbox.services
        }
        bought = sandbox.ledger()["purchases"]

    assert {name for name, one in found.items() if not one.hireable} == {"greedy"}
    assert whats(found["greedy"], "blocks").startswith("POST /start_job amounts: the offer asks 10 ADA")
    assert {name for name, one in found.items() if one.findings} == {"greedy", "echo-v2"}
    assert bought == []


# ---- the gallery ------------------------------------------------------------------------------------------


# What is said of a dialect beside, or instead of, why it cannot be hired.
SAID = {
    "quickstart": ["sent as job_id", "no whole number", "input_data: not taken"],
    "pip": ["sent as inputHash"],
    "no-separator": ["input_hash: not MIP-004's own form but no-separator"],
    "ref-dashboard": ["sellerVKey: sent as sellerVkey"],
    "flat-body": ["input_data is not a list of fields", "input_data: not taken", 'not "masumi-agent"'],
    "seo-with-terms": ["input_data is not a list of fields", 'not "masumi-agent"'],
    "kodosumi": ["sent as job_id", "has no name"],
    "connector": ["input_data: not taken as MIP-003 has it"],
    "bridge-whole-seconds": ["in seconds"],
    "n8n": ["type 'object' is not one of MIP-003", "payByTime: only 5 minutes"],
    "langdock": ["input_hash: not MIP-004's own form but array-sorted"],
    "saas": ["input_hash: not MIP-004's own form but canonical-json"],
    "t2049": ["in seconds"],
    "dhan": ['status: not the word "available"'],
    "dynamic": ["AgentPricing: dynamic"],
}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
def test_each_dialect_of_the_gallery_is_told_as_it_is(street: OpenStreet, end: End) -> None:
    seller = street.open(end.seller)

    found = look(street, seller.agent, start_job=True, input_data=end.data)
    if end.name.startswith("langdock"):  # it limits the first start_job
        assert "Too many requests" in whats(found, "blocks")
        found = look(street, seller.agent, start_job=True, input_data=end.data)

    assert found.hireable == (end.outcome == "completed"), whats(found)
    if end.outcome == "refused":
        assert end.says.split(":")[0] in whats(found, "blocks")
    for words in SAID.get(end.name, []):
        assert words in whats(found), whats(found)
    assert all(finding.ours and finding.fix for finding in found.findings)
    assert street.purchases(seller) == []


def test_a_seller_by_the_book_has_nothing_to_fix(street: OpenStreet) -> None:
    seller = street.open(Spec)

    found = look(street, seller.agent, start_job=True, input_data=HELLO)

    assert (found.findings, found.hireable, found.price) == ((), True, "1 ADA")


# ---- what is sent -----------------------------------------------------------------------------------------


def test_without_the_flag_nothing_is_started(street: OpenStreet) -> None:
    seller = street.open(Spec)

    found = look(street, seller.agent)

    asked = {f"{asked.method} {asked.path}" for _, asked in street.serving.seen}
    assert asked == {"GET /availability", "GET /input_schema", "GET /demo", "GET /payment-information"}
    assert found.hireable and "service POST /start_job" not in found.asked


def test_with_the_flag_one_job_is_started_with_a_fresh_identifier_and_not_paid(street: OpenStreet) -> None:
    seller = street.open(Spec)

    for _ in range(2):
        look(street, seller.agent, start_job=True, input_data=HELLO)

    nonces = [job.nonce for job in seller.jobs.values()]
    assert len(set(nonces)) == len(nonces) == 2
    assert street.purchases(seller) == []


def test_input_for_a_job_is_the_demo_or_must_be_given(street: OpenStreet) -> None:
    class Shown(Spec):
        name = "shown"

        def answer(self, asked: Any) -> Told:
            if asked.path == "/demo":
                return Told(200, {"input": {"text": "the demo"}, "output": {"result": "x"}})
            return super().answer(asked)

    shown, silent = street.open(Shown), street.open(Spec)

    look(street, shown.agent, start_job=True)
    with pytest.raises(InputError, match="shows no demo"):
        look(street, silent.agent, start_job=True)
    with pytest.raises(InputError, match="text"):
        look(street, silent.agent, start_job=True, input_data={})

    assert [job.data for job in shown.jobs.values()] == [{"text": "the demo"}]
    assert silent.jobs == {}


# ---- the registry's word ----------------------------------------------------------------------------------


def entry_of(street: OpenStreet, seller: Seller) -> dict[str, Any]:
    look(street, seller.agent)
    entry = state_of(street.sandbox.world).entry(seller.agent)
    assert entry is not None
    return entry


@pytest.mark.parametrize(
    ("change", "weight", "words"),
    [
        ({"status": "Deregistered"}, "blocks", "status: Deregistered"),
        ({"status": "Offline"}, "tolerated", "status: the registry's last look found it offline"),
        (
            {
                "AgentPricing": {
                    "pricingType": "Fixed",
                    "FixedPricing": {"Amounts": [{"amount": "5", "unit": "ada"}]},
                }
            },
            "blocks",
            '"ada"',
        ),
        (
            {"AgentPricing": {"pricingType": "Fixed", "FixedPricing": {"Amounts": []}}},
            "blocks",
            "AgentPricing",
        ),
        ({"apiBaseUrl": "http://127.0.0.1:9/x?y=1"}, "blocks", "apiBaseUrl"),
        ({"apiBaseUrl": "http://127.0.0.1:9/x"}, "blocks", "the service cannot be reached"),
    ],
)
def test_what_is_wrong_with_the_entry_is_told(
    street: OpenStreet, change: dict[str, Any], weight: str, words: str
) -> None:
    seller = street.open(Spec)
    entry_of(street, seller).update(change)

    found = look(street, seller.agent)

    assert words in whats(found, weight), whats(found)
    assert found.hireable == (weight != "blocks")


def test_an_unknown_agent_and_an_unknown_url_are_told(street: OpenStreet) -> None:
    for target in (
        "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "00" * 32,
        "http://127.0.0.1:9/x",
    ):
        found = look(street, target)

        assert not found.hireable and "no agent" in whats(found, "blocks")


def test_a_price_that_the_service_tells_otherwise_is_told(street: OpenStreet) -> None:
    class Cheaper(Spec):
        def answer(self, asked: Any) -> Told:
            if asked.path != "/payment-information":
                return super().answer(asked)
            entry = dict(state_of(street.sandbox.world).entry(self.agent) or {})
            amounts = [{"amount": "500000", "unit": "lovelace"}]
            entry["AgentPricing"] = {"pricingType": "Fixed", "FixedPricing": {"Amounts": amounts}}
            return Told(200, {"status": "success", "data": entry})

    seller = street.open(Cheaper)

    found = look(street, seller.agent)

    assert "AgentPricing: 0.5 ADA, while the registry lists 1 ADA" in whats(found, "tolerated")


@pytest.mark.parametrize(
    ("told", "weight", "words"),
    [
        (
            Told(200, {"status": "unavailable", "message": "Payment service not configured"}),
            "blocks",
            "not configured",
        ),
        (Told(200, {"status": "available"}), "others", 'not "masumi-agent"'),
        (Told(200, {"status": "available", "agentIdentifier": "ab" * 60}), "others", "another agent's"),
        (Told(404, {"detail": "Not Found"}), "tolerated", "not JSON with status 200"),
        (Told(200, "<html><title>Hi</title></html>"), "tolerated", "not JSON with status 200"),
        (Told(200, {"ok": 1}), "tolerated", 'not the word "available"'),
    ],
)
def test_what_is_wrong_with_availability_is_told(
    street: OpenStreet, told: Told, weight: str, words: str
) -> None:
    class Odd(Spec):
        def availability(self) -> Told:
            return told

    seller = street.open(Odd)

    found = look(street, seller.agent)

    assert words in whats(found, weight), whats(found)
    assert found.hireable == (weight != "blocks")


# ---- the command ------------------------------------------------------------------------------------------


def test_the_command_tells_people_and_machines_and_its_status_says_whether_it_can_be_hired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Sandbox(seed=1) as sandbox:
        for name, value in environment_of(sandbox, f"sqlite:///{tmp_path}/hires.sqlite3").items():
            monkeypatch.setenv(name, value)
        echo, greedy = (sandbox.service(name).agent_identifier for name in ("echo", "greedy"))

        assert run(["inspect", echo]) == 0
        assert "It can be hired. Nothing to fix." in capsys.readouterr().out
        assert run(["inspect", greedy, "text=hello", "--start-job"]) == 1
        told = capsys.readouterr().out
        assert "blocks a hire" in told and "this buyer does not hire it; fix:" in told
        assert run(["inspect", greedy, "--start-job", "--json", "--input", '{"text": "x"}']) == 1
        shown = json.loads(capsys.readouterr().out)
        assert run(["inspect", "nonsense"]) == 2
        assert run(["inspect", echo, "--start-job", "--input", '{"nothing": 1}']) == 2

    assert (shown["hireable"], shown["agent_identifier"]) == (False, greedy)
    assert {"where", "weight", "what", "ours", "fix"} == set(shown["findings"][0])


# ---- the strict reading of schemas ------------------------------------------------------------------------


FIELD = {"id": "text", "type": "string", "name": "Text"}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"input_data": [FIELD]}, None),
        ({"input_data": []}, None),
        ({"input_data": [FIELD], "input_groups": None}, None),
        ({"input_groups": [{"id": "g", "title": "G", "input_data": [FIELD]}]}, None),
        ([FIELD], "not an object"),
        ({"input_data": None}, "not a list"),
        ({"input_data": [FIELD], "input_groups": []}, "both there"),
        ({"input_data": [FIELD, FIELD]}, "comes twice"),
        ({"input_data": [{**FIELD, "name": None}]}, "no name"),
        ({"input_data": [{**FIELD, "id": 3}]}, "no id"),
        ({"input_data": [{**FIELD, "type": "object"}]}, "not one of MIP-003"),
        ({"input_data": [{**FIELD, "type": "option"}]}, "data.values"),
        ({"input_data": [{**FIELD, "type": "option", "data": {"values": ["a", "a"]}}]}, "data.values"),
        ({"input_data": [{**FIELD, "type": "file"}]}, "outputFormat"),
        ({"input_data": [{**FIELD, "validations": {"min": "3"}}]}, "not a list"),
        ({"input_data": [{**FIELD, "validations": [{"validation": "min", "value": 3}]}]}, "not text"),
        ({"input_data": [{**FIELD, "validations": [{"validation": "optional", "value": "yes"}]}]}, "neither"),
        (
            {"input_data": [{**FIELD, "validations": [{"validation": "format", "value": "integer"}]}]},
            "integer",
        ),
    ],
)
def test_the_strict_reading_names_each_deviation(schema: Any, words: str | None) -> None:
    found = deviations(schema)

    assert (found == []) == (words is None)
    assert words is None or words in found[0]


def test_no_recorded_schema_breaks_the_strict_reading() -> None:
    for row in shared_json("protocol/wild/input-schemas.json"):
        assert all(isinstance(sentence, str) for sentence in deviations(row.get("schema", row.get("body"))))
