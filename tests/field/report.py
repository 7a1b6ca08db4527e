"""How much of what real services answer is read rightly: `python -m tests.field.report [FOLDER or FILE]...`.

Reads every `<kind>*.json` of each folder (by default the recorded answers beside the repository), judges
each row by its `means`, counts by file and by dialect, and names each row that does not come out right.
Bug reports are told by what happens, not by reading: for each it names the test that has its id, if any.
Exit status 1 when any judged row is wrong that `DECIDED` does not name, 2 when there is nothing to judge.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.field.judges import JUDGES, Judge, Row

DECIDED: frozenset[str] = frozenset()
"""Rows that are read otherwise on purpose: "file name: row id"."""
TESTS = Path(__file__).resolve().parents[1]
# Kinds whose judge stands in another room: file name's beginning -> module and function.
ELSEWHERE = {
    "input-schemas": ("tests.inputs.report", "judge"),
    "argument-shapes": ("tests.inputs.arguments_report", "judge"),
}


@dataclass(frozen=True)
class Verdict:
    """One row: which file and dialect, and what differs (None when nothing does)."""

    file: str
    family: str
    id: str
    wrong: str | None


def judge_of(name: str) -> Judge | None:
    """The judge for a file of this name; None for kinds that are not judged by reading them."""
    for kind, judge in JUDGES.items():
        if name.startswith(kind):
            return judge
    for kind, (module, function) in ELSEWHERE.items():
        if name.startswith(kind):
            try:
                found: Judge = getattr(importlib.import_module(module), function)
            except (ImportError, AttributeError):
                return None
            return found
    return None


def verdicts(file: Path, judge: Judge) -> Iterator[Verdict]:
    """Every row of the file, judged; a reader that raises is wrong, never the end of the report."""
    rows: list[Row] = json.loads(file.read_text(encoding="utf-8"))
    for number, row in enumerate(rows, 1):
        family = str(row.get("family") or row.get("dialect") or row.get("kind") or row.get("area") or "")
        try:
            wrong = judge(row)
        except Exception as error:
            wrong = f"raises {type(error).__name__}: {error}"
        yield Verdict(file.name, family, str(row.get("id", f"row {number}")), wrong)


def main(*places: Path) -> int:
    found: list[Verdict] = []
    skipped: list[Path] = []
    for file in (file for place in places for file in _files(place)):
        judge = judge_of(file.name)
        if judge is None:
            skipped.append(file)
        else:
            found.extend(verdicts(file, judge))
    if not found:
        print(f"nothing to judge in {', '.join(map(str, places))}")
        return 2
    print(f"{'file':<34}{'right':>7}{'wrong':>7}")
    _table(found, lambda v: v.file)
    print(f"\n{'dialect':<34}{'right':>7}{'wrong':>7}")
    _table(found, lambda v: v.family)
    for file in skipped:
        print(f"\nnot judged by reading: {file.name}")
        if file.name.startswith("bug-reports"):
            _covered(file)
    wrong = [verdict for verdict in found if verdict.wrong is not None]
    for verdict in wrong:
        print(f"\n{verdict.file} · {verdict.family} · {verdict.id}\n  {verdict.wrong}")
    share = 1 - len(wrong) / len(found)
    print(f"\n{len(found) - len(wrong)} of {len(found)} rows right ({share:.1%})")
    return int(any(f"{verdict.file}: {verdict.id}" not in DECIDED for verdict in wrong))


def _files(place: Path) -> list[Path]:
    return sorted(place.glob("*.json")) if place.is_dir() else [place]


def _covered(file: Path) -> None:
    """For each bug report the file that has a test of its name: `test_` and the id, or the id as its parameter."""
    tests = {path: path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")}
    for row in json.loads(file.read_text(encoding="utf-8")):
        id_ = str(row["id"])
        named = re.compile(rf"def test_{re.escape(id_.replace('-', '_'))}\b|[\"']{re.escape(id_)}[\"']")
        where = sorted(
            path.relative_to(TESTS.parent).as_posix() for path, text in tests.items() if named.search(text)
        )
        print(f"  {id_:<32}{', '.join(where) or 'no test of this name'}")


def _table(found: list[Verdict], key: object) -> None:
    assert callable(key)
    right = Counter(key(v) for v in found if v.wrong is None)
    wrong = Counter(key(v) for v in found if v.wrong is not None)
    for name in sorted(right | wrong):
        print(f"{name or '-':<34}{right[name]:>7}{wrong[name]:>7}")


if __name__ == "__main__":
    from tests.shared import SHARED

    given = [Path(argument) for argument in sys.argv[1:]]
    if not given and SHARED is None:
        sys.exit("name a folder: there are no recorded answers beside the repository")
    sys.exit(main(*given) if given else main(SHARED / "protocol" / "wild"))
