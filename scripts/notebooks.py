"""Run the example notebooks and keep their outputs.

The sources are examples/NN_name.py (jupytext, percent format); each is run in a kernel of its own
and written beside its source as .ipynb, unless nothing but numbers and identifiers has changed. A cell
that raises, or takes longer than CELL_SECONDS, ends the run with exit status 1.

    python scripts/notebooks.py [NAME...]
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CELL_SECONDS = 120


def read(source: Path) -> Any:
    """The notebook of a source, without outputs; its cells are numbered, so that files can be compared."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return notebook


def run(source: Path) -> bool:
    """Whether every cell ran; what failed is written too, so that it can be read."""
    notebook = read(source)
    begun = time.perf_counter()
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": EXAMPLES}},
        record_timing=False,
    )
    failure = ""
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError) as error:
        failure = str(error)
    target = source.with_suffix(".ipynb")
    if failure or not target.exists() or outline(jupytext.read(target)) != outline(notebook):
        jupytext.write(notebook, target)
    print(
        f"{source.name}: {'failed' if failure else 'ran'} in {time.perf_counter() - begun:.1f} s", flush=True
    )
    if failure:
        print(failure, file=sys.stderr)
    return not failure


def outline(notebook: Any) -> list[tuple[str, str, str]]:
    """Cells and outputs without what differs from run to run: numbers, identifiers, pictures' pixels."""
    return [
        (cell.cell_type, cell.source, re.sub(r"[0-9a-f]{8,}|[\d.]+", "*", _text(cell)))
        for cell in notebook.cells
    ]


def _text(cell: Any) -> str:
    parts = []
    for output in cell.get("outputs", ()):
        parts.append(
            output.get("text") or " ".join(sorted(output.get("data", {}))) or output.get("ename", "")
        )
    return "".join(parts)


def main(names: list[str]) -> int:
    sources = [EXAMPLES / name for name in names] or sorted(EXAMPLES.glob("[0-9][0-9]_*.py"))
    return 0 if all([run(source) for source in sources]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
