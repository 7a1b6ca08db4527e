"""The report tells the truth of what it read: corrupted rows, empty files, unknown kinds, tests that did not run."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.field import report
from tests.field.judges import registry_entry
from tests.field.report import main

SAMPLES = Path(__file__).parent / "samples"
Row = dict[str, Any]
AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "01" * 32
PRICE = {"pricingType": "Fixed", "fixed": [{"asset": "", "amount": "1000000"}]}
SOURCE = {"chain": "Cardano", "network": "Preprod", "paymentSourceType": "Web3CardanoV2", "pricing": PRICE}
ENTRY = {"agentIdentifier": AGENT, "name": "A", "apiBaseUrl": "https://seller.masumi.network"}


def rows(kind: str) -> list[Row]:
    found: list[Row] = json.loads((SAMPLES / f"{kind}.json").read_text(encoding="utf-8"))
    return found


CORRUPTIONS: dict[str, Callable[[Row], Any]] = {
    "start-job-responses": lambda row: row["means"].update(payable=not row["means"].get("payable")),
    "status-responses": lambda row: row["means"].update(state="refunded"),
    "availability-responses": lambda row: row["means"].update(available=not row["means"]["available"]),
    "provide-input-exchanges": lambda row: row["means"].update(accepted=not row["means"]["accepted"]),
    "payment-information": lambda row: row["means"].update(usable_for_payment="perhaps"),
    "registry-entries": lambda row: row["means"].update(usable_for_payment="perhaps"),
    "input-schemas": lambda row: row.update(valid_inputs=[{"no_such_field": {"a": {}}}, 7]),
    "argument-shapes": lambda row: row["expected"].update(
        verdict="accept" if row["expected"]["verdict"] == "refuse" else "refuse", **{"as": {"other": 1}}
    ),
}


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corrupted_rows_are_reported(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = rows(kind)
    file = tmp_path / f"{kind}.json"
    file.write_text(json.dumps(good), encoding="utf-8")
    assert main(file) == 0
    assert f"{kind}.json: {len(good)} right, 0 wrong, 0 left out" in capsys.readouterr().out
    bad = copy.deepcopy(good)
    for row in bad:
        row.pop("also_acceptable", None)
        CORRUPTIONS[kind](row)
    file.write_text(json.dumps(bad), encoding="utf-8")
    assert main(file) == 1
    said = capsys.readouterr().out
    assert f"{kind}.json: 0 right, {len(bad)} wrong, 0 left out" in said
    assert all(f"wrong: {kind}.json: {row['id']}" in said for row in bad)


def test_one_wrong_row_in_twenty_fails_and_the_baseline_may_name_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = rows("status-responses") * 3
    many = [{**copy.deepcopy(row), "id": f"r{number}"} for number, row in enumerate(many)]
    many[7]["means"]["state"] = "refunded"
    file = tmp_path / "status-responses.json"
    file.write_text(json.dumps(many), encoding="utf-8")
    baseline = tmp_path / "decided.txt"
    monkeypatch.setattr(report, "BASELINE", baseline)
    assert main(file) == 1
    baseline.write_text("status-responses.json: r7  # on purpose\n", encoding="utf-8")
    assert main(file) == 0
    assert "decided: status-responses.json: r7: on purpose" in capsys.readouterr().out


def test_several_files_are_counted_each_and_what_nobody_judges_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("availability-responses", "status-responses"):
        (tmp_path / f"{kind}-2.json").write_text(json.dumps(rows(kind)), encoding="utf-8")
    (tmp_path / "poems.json").write_text('[{"id": "one"}, {"id": "two"}]', encoding="utf-8")
    assert main(tmp_path / "availability-responses-2.json", tmp_path) == 0
    said = capsys.readouterr().out
    assert "poems.json: 0 right, 0 wrong, 2 left out" in said
    assert "availability-responses-2.json: " in said and "status-responses-2.json: " in said


@pytest.mark.parametrize("content", ["[]", '[{"id": "a"}]'])
def test_a_report_of_nothing_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "poems.json").write_text(content, encoding="utf-8")
    assert main(tmp_path) == 2


@pytest.mark.timeout(180)
def test_bug_reports_count_by_what_their_tests_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test of the right name that is skipped, or fails, makes no report right."""
    monkeypatch.setattr(report, "TESTS", tmp_path / "tests")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the plugins of others take long to load
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (tmp_path / "tests" / "test_some.py").write_text(
        "import pytest\n"
        "def test_one_payment_only(): pass\n"
        "def test_lost_reply(): assert 1 == 2, 'it was paid twice'\n"
        "@pytest.mark.skip\ndef test_not_here(): pass\n"
        "@pytest.mark.parametrize('name', ['by-parameter'])\ndef test_names(name): pass\n",
        encoding="utf-8",
    )
    ids = ["one-payment-only", "lost-reply", "not-here", "by-parameter", "no-such-test"]
    file = tmp_path / "bug-reports.json"
    file.write_text(json.dumps([{"id": id_} for id_ in ids]), encoding="utf-8")
    assert main(file) == 1
    said = capsys.readouterr().out
    assert "bug-reports.json: 2 right, 1 wrong, 2 left out" in said
    assert "wrong: bug-reports.json: lost-reply" in said and "it was paid twice" in said


def test_crews_are_judged_by_their_fields(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crews = [
        {"id": "good", "placeholders": ["topic"], "fetch_inputs_would_also_report": ['"a": 1']},
        {"id": "bad", "placeholders": ["topic", "a b"], "fetch_inputs_would_also_report": []},
    ]
    (tmp_path / "crews.json").write_text(json.dumps(crews), encoding="utf-8")
    assert main(tmp_path) == 1
    assert "crews.json: 1 right, 1 wrong, 0 left out" in capsys.readouterr().out


def listed(means: Row, **more: Any) -> str | None:
    return registry_entry({"body": {"entries": [{**ENTRY, **more}]}, "means": means})


def test_the_source_and_the_reason_are_compared() -> None:
    sources = [{**SOURCE, "sourceIndex": 3}]
    right: Row = {"pricing": "Fixed", "usable_for_payment": True, "source_index": 3}
    assert listed(right, SupportedPaymentSources=sources) is None
    assert "source_index" in (listed({**right, "source_index": 0}, SupportedPaymentSources=sources) or "")
    ticker = {"pricingType": "Fixed", "Pricing": [{"amount": "5", "unit": "USDM"}]}
    wrong: Row = {"pricing": "Fixed", "usable_for_payment": False, "why": "ticker word as unit"}
    assert listed(wrong, AgentPricing=ticker) is None
    assert "the reason is" in (listed({**wrong, "why": "state says not on chain"}, AgentPricing=ticker) or "")


def test_the_place_of_a_refusal_is_compared() -> None:
    from tests.inputs.report import judge

    fields = [{"id": "text", "type": "text"}, {"id": "n", "type": "number"}]
    row: Row = {"served_as": fields, "valid_inputs": [{"text": "a", "n": 1}]}
    bad = {"input": {"text": "a", "n": "x"}, "why": "n is no number"}
    assert judge({**row, "invalid_inputs": [bad]}) is None
    assert "refused at n" in (judge({**row, "invalid_inputs": [{**bad, "why": "text is too long"}]}) or "")
