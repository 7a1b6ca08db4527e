"""Is a recorded input schema read as it is meant? `judge(row)` gives None, or what differs.

Rows are those of `input-schemas*.json`: what a service serves (or, where its route fails, what it meant
to serve), inputs that it takes, inputs that it refuses and who refuses them, and the start_job body where
the source shows one. `python -m tests.inputs.report FILE...` prints each row that comes out otherwise.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputSpec, check, layouts, read_input_schema

Row = Mapping[str, Any]
ENVELOPE = {"identifier_from_purchaser", "identifierFromPurchaser"}


def judge(row: Row) -> str | None:
    """None when schema, inputs and body come out as the row says; else what does not, in a sentence.

    An input that only the service itself refuses may come out either way here. A row without any valid
    input is one that cannot be hired: whatever is offered must be refused.
    """
    spec = read_input_schema(row["served_as"])
    if (row.get("http_status") or 200) >= 400:
        if row["served_as"] is not None and not spec.refusal:
            return "an error answer was read as a schema"
        spec = read_input_schema(row["defined_as"]) if "defined_as" in row else spec
    return next(_faults(row, spec), None)


def _faults(row: Row, spec: InputSpec) -> Iterator[str]:
    if spec.refusal and row.get("valid_inputs"):
        yield f"refused: {spec.refusal}"
    for data in row.get("valid_inputs", ()):
        try:
            check(spec, data)
        except InputError as error:
            yield f"{_short(data)} is right, but: {error}"
    for bad in row.get("invalid_inputs", ()):
        if bad.get("refused_by", "schema") == "schema" and (wrong := _taken(spec, bad)):
            yield f"{_short(bad['input'])} is {wrong}, although: {bad.get('why')}"
    body = row.get("start_job_body")
    if body is not None and not _makes(spec, body):
        made = [layout.body for layout in layouts(spec, check(spec, _values(_without_envelope(body))))]
        yield f"the bodies are {_short(made)} and not {_short(body)}"


def _taken(spec: InputSpec, bad: Row) -> str:
    """ "taken" where an input is not refused, and where it is refused at a field that the row does not name."""
    try:
        check(spec, bad["input"])
    except InputError as error:
        assert error.field_errors, "a refusal must say what is wrong"
        why = str(bad.get("why") or "")
        ids = [field.id for field in spec.fields] + (
            list(bad["input"]) if isinstance(bad["input"], dict) else []
        )
        named = {name for name in ids if re.search(rf"(?<![\w-]){re.escape(str(name))}(?![\w-])", why)}
        at = set(error.field_errors)
        return f"refused at {', '.join(sorted(at))}" if named and not named & at and at != {""} else ""
    return "taken"


def _makes(spec: InputSpec, body: Mapping[str, Any]) -> bool:
    """Whether the body, but for the identifier, is among the forms that we would send for its values."""
    wanted = _without_envelope(body)
    bodies = [layout.body for layout in layouts(spec, check(spec, _values(wanted)))]
    return wanted in bodies


def _without_envelope(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in ENVELOPE}


def _values(body: Mapping[str, Any]) -> dict[str, Any]:
    """The values in a body of any form."""
    held = body.get("input_data", body)
    if not isinstance(held, list):
        return dict(held) if isinstance(held, Mapping) else {"input_data": held}
    values: dict[str, Any] = {}
    for pair in held:
        earlier = values.get(pair["key"])
        several = [] if earlier is None else earlier if isinstance(earlier, list) else [earlier]
        values[pair["key"]] = [*several, pair["value"]] if several else pair["value"]
    return values


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else text[:119] + "…"


def main(files: list[Path]) -> int:
    rows = [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]
    wrong = {row["id"]: fault for row in rows if (fault := judge(row)) is not None}
    for name, fault in wrong.items():
        print(f"{name}\n  {fault}")
    print(f"{len(rows) - len(wrong)} of {len(rows)} rows right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
