"""Run the example notebooks and keep their outputs.

The sources are examples/NN_name.py (jupytext, percent format); each is run in a kernel of its own
and written beside its source as .ipynb. A cell that raises ends the run with exit status 1.

    python scripts/notebooks.py [NAME...]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CELL_SECONDS = 120


def run(source: Path) -> bool:
    """Whether every cell ran; the notebook is written either way, so that the failure can be read."""
    notebook = jupytext.read(source)
    begun = time.perf_counter()
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": EXAMPLES}},
        record_timing=False,
    )
    try:
        client.execute()
        failure = ""
    except CellExecutionError as error:
        failure = str(error)
    jupytext.write(notebook, source.with_suffix(".ipynb"))
    print(f"{source.name}: {'failed' if failure else 'ran'} in {time.perf_counter() - begun:.1f} s")
    if failure:
        print(failure, file=sys.stderr)
    return not failure


def main(names: list[str]) -> int:
    sources = [EXAMPLES / name for name in names] or sorted(EXAMPLES.glob("[0-9][0-9]_*.py"))
    if not sources:
        print(f"there are no notebooks in {EXAMPLES.name}/ (files such as 01_name.py)")
    return 0 if all([run(source) for source in sources]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
