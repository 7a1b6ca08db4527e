"""What a row means does not hang on how it is wrapped: every row again in other clothes, with the same verdict."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.field.judges import JUDGES
from tests.field.report import judge_of
from tests.shared import SHARED

FOLDERS = [Path(__file__).parent / "samples", *([SHARED / "protocol" / "wild"] if SHARED else [])]
Change = Callable[[Any], Any]


def rows(kind: str) -> Iterator[Any]:
    for folder in FOLDERS:
        for file in sorted(folder.glob(f"{kind}*.json")):
            yield from json.loads(file.read_text(encoding="utf-8"))


def wrong(kind: str, place: str, change: Change, fits: Callable[[Any], bool]) -> dict[str, str]:
    """The rows that come out otherwise when the value at `place` is changed, of those where that fits."""
    judge = judge_of(kind)
    assert judge is not None
    found = {}
    for row in rows(kind):
        if fits(row):
            other = {**row, place: change(copy.deepcopy(row[place]))}
            for told in ("means", "expected"):  # in which words is another matter
                if told in row:
                    other[told] = {name: value for name, value in row[told].items() if name != "says"}
            fault = judge(other)
            if fault is not None:
                found[row["id"]] = fault
    return found


def in_snake_case(body: dict[str, Any]) -> dict[str, Any]:
    changed = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(): value for name, value in body.items()}
    return changed if len(changed) == len(body) else body  # two spellings of one name stay two


BODIES: dict[str, Change] = {
    "a list of one": lambda body: [body],
    "JSON in a text": json.dumps,
    "more keys": lambda body: {
        **body,
        "_meta": {"a": 1},
        "timestamp": 1785388352,
        "links": [],
        "version": "1",
    },
    "nulls": lambda body: {"error": None, "message": None, "result": None, "output": None, **body},
    "names in snake case": in_snake_case,
    "names with a capital": lambda body: {name[:1].upper() + name[1:]: value for name, value in body.items()},
}


@pytest.mark.parametrize("kind", JUDGES)
@pytest.mark.parametrize("name", BODIES)
def test_an_answer_in_other_clothes_means_the_same(kind: str, name: str) -> None:
    def fits(row: Any) -> bool:
        return isinstance(row["body"], dict) and (row.get("http_status") or 200) < 400

    assert wrong(kind, "body", BODIES[name], fits) == {}


def entries(schema: Any) -> Iterator[dict[str, Any]]:
    """Every field of MIP-003's form in a schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("id"), str) and isinstance(schema.get("type"), str):
            yield schema
        for value in schema.values():
            yield from entries(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from entries(value)


def per_field(change: Callable[[dict[str, Any]], None]) -> Change:
    def changed(schema: Any) -> Any:
        for entry in entries(schema):
            change(entry)
        return schema

    return changed


def more_keys(entry: dict[str, Any]) -> None:
    entry.update({"order": 1, "icon": "x", "group": None})
    entry.setdefault("data", None)
    entry.setdefault("validations", None)


def rules_as_dict(entry: dict[str, Any]) -> None:
    rules = entry.get("validations")
    if isinstance(rules, list) and all(isinstance(rule, dict) and "validation" in rule for rule in rules):
        names = [rule["validation"] for rule in rules]
        if len(set(names)) == len(names):
            entry["validations"] = {rule["validation"]: rule.get("value") for rule in rules}


def numbers_and_booleans(entry: dict[str, Any]) -> None:
    for rule in entry.get("validations") or []:
        if isinstance(rule, dict) and re.fullmatch(r"[0-9]+|true|false", str(rule.get("value"))):
            rule["value"] = json.loads(str(rule["value"]))


def choices_as_options(entry: dict[str, Any]) -> None:
    if isinstance(entry.get("data"), dict) and "values" in entry["data"]:
        entry["data"]["options"] = entry["data"].pop("values")


SCHEMAS: dict[str, Change] = {
    "wrapped": lambda schema: {"status": "success", "data": schema},
    "JSON in a text, with comments": lambda schema: json.dumps(schema, indent=1).replace("\n", " // x\n"),
    "more keys": per_field(more_keys),
    "rules as a dict": per_field(rules_as_dict),
    "rules with numbers and booleans": per_field(numbers_and_booleans),
    "choices as options": per_field(choices_as_options),
    "types in capitals": per_field(lambda entry: entry.update(type=entry["type"].upper())),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_in_other_clothes_takes_the_same(name: str) -> None:
    def fits(row: Any) -> bool:
        code = row.get("http_status") or 200
        return code < 400 and not isinstance(row["served_as"], str) and "start_job_body" not in row

    assert wrong("input-schemas", "served_as", SCHEMAS[name], fits) == {}


ARGUMENTS: dict[str, Change] = {
    "JSON in a text": json.dumps,
    "JSON in a text in a text": lambda payload: json.dumps(json.dumps(payload)),
    "a fence": lambda payload: f"```json\n{json.dumps(payload, indent=2)}\n```",
    "Python": repr,
    "behind a thought": lambda payload: f"Thought: I hire.\nAction Input: {json.dumps(payload)}",
    "a wrapper": lambda payload: {"input_data": payload},
    "a wrapper with text": lambda payload: {"input_data": json.dumps(payload)},
    "a whole call": lambda payload: {"name": "hire", "arguments": payload},
    "a list of one": lambda payload: [payload],
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_in_other_clothes_come_out_the_same(name: str) -> None:
    change = ARGUMENTS[name]
    assert wrong("argument-shapes", "payload", change, lambda row: isinstance(row["payload"], dict)) == {}
