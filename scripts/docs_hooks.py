"""What mkdocs builds beside the pages of docs/: the command line's reference, and the library that draws diagrams.

Both would otherwise be fetched or go stale: the first is read from the commands themselves, the second lies in
the environment of the documentation, so that pages are whole without a network.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File

MERMAID = Path(sys.prefix) / "package" / "dist" / "mermaid.min.js"


def on_files(files: Any, config: Any) -> Any:
    """Add the two files; an error of the build when the library is not there."""
    files.append(File.generated(config, "cli.md", content=command_line()))
    files.append(
        File.generated(config, "assets/mermaid.min.js", abs_src_path=str(MERMAID.resolve(strict=True)))
    )
    return files


def command_line() -> str:
    """Every command with its arguments and options, as the commands say them of themselves."""
    from typer.cli import get_docs_for_click

    from masumi_tools.cli.run import app

    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="masumi-tools")
    text: str = get_docs_for_click(obj=command, ctx=context, name="masumi-tools", title="The command line")
    return text


__all__ = ["command_line", "on_files"]
