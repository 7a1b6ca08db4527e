"""Where the big collections of recorded exchanges lie, if they lie anywhere on this machine.

The repository has small samples of each kind; whoever has the large folder puts it beside the
repository as `shared`, or names it in MASUMI_SHARED.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest


def _find() -> Path | None:
    named = os.environ.get("MASUMI_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    return folder if (folder / "protocol").is_dir() else None


SHARED: Path | None = _find()


def shared(path: str) -> Path:
    """The file or folder `path` of the shared folder; skips the test when there is none."""
    if SHARED is None or not (SHARED / path).exists():
        pytest.skip(f"no {path}: put the shared folder beside the repository, or name it in MASUMI_SHARED")
    return SHARED / path


def shared_json(path: str) -> Any:
    """The JSON of a file of the shared folder; skips the test when there is none."""
    return json.loads(shared(path).read_text(encoding="utf-8"))
