"""Python code in a process of its own, as a user's script starts; optional packages can be hidden from it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]

HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
"""


def run(code: str, *, hidden: Iterable[str] = ()) -> Any:
    """What `code` prints as JSON. `hidden` names top packages that are not to be found there."""
    program = HIDE.format(hidden=set(hidden)) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise AssertionError(f"the process ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout)
