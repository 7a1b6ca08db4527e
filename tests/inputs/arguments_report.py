"""Do arguments as models really send them come out as they should? `judge(row)` gives None, or what differs.

`python -m tests.inputs.arguments_report [FILE]` judges a file of the format of argument-shapes.json (by
default the recorded one beside the repository), by `read_arguments` and by an args model that reads through
it, as the tools do. It names each row that comes out otherwise; exit status 1 when there is one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputSpec, args_model, read_input_schema
from masumi_tools.tools.arguments import read_arguments

Row = Mapping[str, Any]
Outcome = dict[str, Any] | InputError


def judge(row: Row) -> str | None:
    """None when the payload comes out as the row says or also accepts; else the difference."""
    spec = read_input_schema(row["target_schema"])
    try:
        got: Outcome = read_arguments(spec, row["payload"])
    except InputError as error:
        got = error
    return _differs(row, got) or _through_model(row, spec, got)


def _differs(row: Row, got: Outcome) -> str | None:
    wanted = row["expected"]
    field = wanted.get("field")  # None: whichever field is named
    meant = f"accepted as {_text(wanted['as'])}" if "as" in wanted else f"refused at {field!r}"
    if isinstance(got, InputError):
        at = list(got.field_errors)
        right = wanted["verdict"] == "refuse" and field in (None, *at[:1])
        other = str(row.get("also_acceptable") or "")
        named = re.search(r"naming field (\S+)", other)
        right = right or (other.startswith("refuse") and (named is None or named[1] in at))
        right = right and str(wanted.get("says") or "") in str(got)
        return None if right else f"refused at {', '.join(at)} ({got}), should be {meant}"
    right = wanted["verdict"] == "accept" and _text(got) == _text(wanted["as"])
    return (
        None if right or _text(got) == _other_values(row) else f"accepted as {_text(got)}, should be {meant}"
    )


def _other_values(row: Row) -> str | None:
    """What else the row accepts: "accept as {...}", maybe with words behind it."""
    other = str(row.get("also_acceptable") or "")
    if not other.startswith("accept as {"):
        return None
    value, _ = json.JSONDecoder().raw_decode(other, len("accept as "))
    return _text(value)


def _through_model(row: Row, spec: InputSpec, got: Outcome) -> str | None:
    """The same through the pydantic model that a framework validates with, and back to the input."""
    model, _ = args_model(spec, "Arguments", reader=lambda given: read_arguments(spec, given))
    try:
        arguments = model.model_validate(row["payload"]).model_dump()
    except ValidationError as error:
        return None if isinstance(got, InputError) else f"the args model refuses it: {error}"
    if isinstance(got, InputError):
        return f"the args model accepts it as {_text(arguments)}"
    difference = _differs(row, read_arguments(spec, arguments))
    return difference and f"through the args model {difference}"


def _text(value: Any) -> str:
    """As JSON, where 1, 1.0 and true are three things."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def main(file: Path) -> int:
    rows = json.loads(file.read_text(encoding="utf-8"))
    wrong = {row["id"]: fault for row in rows if (fault := judge(row)) is not None}
    for name, fault in wrong.items():
        print(f"{name}\n  {fault}")
    print(f"{len(rows) - len(wrong)} of {len(rows)} rows right")
    return 1 if wrong else 0


if __name__ == "__main__":
    from tests.shared import SHARED

    given = [Path(argument) for argument in sys.argv[1:]]
    if not given and SHARED is None:
        sys.exit("name a file: there are no recorded arguments beside the repository")
    sys.exit(main(given[0] if given else SHARED / "protocol" / "wild" / "argument-shapes.json"))
