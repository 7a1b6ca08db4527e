"""The command line: hire, look, sell and try from a terminal. `main` is the entry point.

Exit status: 0 done, 1 refused or failed with nothing lost, 2 wrong usage, 3 still open.
"""

from __future__ import annotations

import gc
import sys

# What a command loads stays until its end: the collector would go through it again and again for nothing.
_OBJECTS = 50_000


def main(arguments: list[str] | None = None) -> None:
    """Run one command and end the process with its exit status."""
    gc.set_threshold(_OBJECTS)
    try:
        from masumi_tools.cli.run import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.stderr.write("The command line needs the extra cli: pip install 'masumi_tools[cli]'\n")
        raise SystemExit(2) from error
    raise SystemExit(run(sys.argv[1:] if arguments is None else arguments))


__all__ = ["main"]
