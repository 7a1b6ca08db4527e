"""How much of what real services answer is read rightly: `python -m tests.field.report [FOLDER or FILE]...`.

Reads every `<kind>*.json` of each folder (by default the recorded answers beside the repository), judges
each row by its `means`, counts by file and by dialect, and names each row that does not come out right.
Bug reports are told by what happens: the tests that have a report's id are run. A report of which nothing
runs is left out, and so are files of a kind that nobody judges.
Exit status 1 when any row is wrong that `decided.txt` does not name, 2 when there is nothing to judge.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.field.judges import JUDGES, OTHERS, Judge, Row
from tests.harness import counted, decided, verdict_of

BASELINE = Path(__file__).with_name("decided.txt")
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
    left_out: str | None = None

    @property
    def verdict(self) -> str:
        if self.left_out is not None:
            return "left out"
        return "right" if self.wrong is None else "wrong"


def judge_of(name: str) -> Judge | None:
    """The judge for a file of this name; None for kinds that are not judged by reading them."""
    for kind, judge in {**JUDGES, **OTHERS}.items():
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


def reports(file: Path) -> Iterator[Verdict]:
    """Every bug report of the file, by what the tests do that have its id: as their name or as their parameter."""
    ids = [str(row["id"]) for row in json.loads(file.read_text(encoding="utf-8"))]
    texts = {path: path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")}
    files = [str(path) for path, text in texts.items() if any(_named(id_).search(text) for id_ in ids)]
    ran = _run(files, ids) if files else {}
    for id_ in ids:
        ends = [end for name, end in ran.items() if _is_test_of(id_, name)]
        bad = [end for end in ends if end not in ("passed", "skipped")]
        left_out = None if "passed" in ends or bad else "no test of it runs"
        yield Verdict(file.name, "", id_, "; ".join(bad) or None, left_out)


def _named(id_: str) -> re.Pattern[str]:
    return re.compile(rf"def test_{re.escape(id_.replace('-', '_'))}\b|[\"']{re.escape(id_)}[\"']")


def _is_test_of(id_: str, name: str) -> bool:
    function, _, parameters = name.partition("[")
    return (
        function == f"test_{id_.replace('-', '_')}"
        or re.search(rf"(^|-){re.escape(id_)}(-|\]|$)", parameters) is not None
    )


def _run(files: Sequence[str], ids: Sequence[str]) -> dict[str, str]:
    """The tests of these files that have one of the ids in their name, and how each ended."""
    wanted = " or ".join([*ids, *(id_.replace("-", "_") for id_ in ids)])
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "ran.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--junitxml={told}",
            "-k",
            wanted,
        ]
        done = subprocess.run(
            [*command, *files], cwd=TESTS.parent, capture_output=True, text=True, check=False
        )
        if not told.exists():
            raise RuntimeError(
                f"the tests of the bug reports did not run: {done.stdout[-500:]} {done.stderr[-500:]}"
            )
        cases = list(ElementTree.parse(told).iter("testcase"))
    return {str(case.get("name")): _ended(case) for case in cases}


def _ended(case: ElementTree.Element) -> str:
    for child in case:
        if child.tag in ("failure", "error"):
            return f"{case.get('name')}: {' '.join(str(child.get('message')).split())[:200]}"
        if child.tag == "skipped":
            return "skipped"
    return "passed"


def main(*places: Path) -> int:
    found: list[Verdict] = []
    for file in (file for place in places for file in _files(place)):
        judge = judge_of(file.name)
        if file.name.startswith("bug-reports"):
            found.extend(reports(file))
        elif judge is not None:
            found.extend(verdicts(file, judge))
        else:
            rows = json.loads(file.read_text(encoding="utf-8"))
            found.extend(Verdict(file.name, "", "", None, "no judge of this kind") for _ in rows)
    if not any(verdict.left_out is None for verdict in found):
        print(f"nothing to judge in {', '.join(map(str, places))}")
        return 2
    print(f"{'dialect':<34}{'right':>7}{'wrong':>7}{'left out':>10}")
    _table(found)
    for verdict in found:
        if verdict.verdict != "right" and verdict.id:
            print(f"\n{verdict.verdict}: {verdict.file}: {verdict.id}\n  {verdict.wrong or verdict.left_out}")
    print()
    for name in sorted({verdict.file for verdict in found}):
        print(counted(name, (verdict.verdict for verdict in found if verdict.file == name)))
    names = {of: [f"{v.file}: {v.id}" for v in found if v.verdict == of] for of in ("wrong", "right")}
    status, lines = verdict_of(names["wrong"], names["right"], decided(BASELINE))
    judged = len(names["wrong"]) + len(names["right"])
    share = len(names["right"]) / judged
    print("\n".join([*lines, f"{len(names['right'])} of {judged} rows right ({share:.1%})"]))
    return status


def _files(place: Path) -> list[Path]:
    return sorted(place.glob("*.json")) if place.is_dir() else [place]


def _table(found: list[Verdict]) -> None:
    counts = Counter((verdict.family, verdict.verdict) for verdict in found)
    for name in sorted({verdict.family for verdict in found}):
        print(
            f"{name or '-':<34}{counts[name, 'right']:>7}{counts[name, 'wrong']:>7}{counts[name, 'left out']:>10}"
        )


if __name__ == "__main__":
    from tests.shared import SHARED

    given = [Path(argument) for argument in sys.argv[1:]]
    if not given and SHARED is None:
        sys.exit("name a folder: there are no recorded answers beside the repository")
    sys.exit(main(*given) if given else main(SHARED / "protocol" / "wild"))
