"""What mkdocs builds beside the pages of docs/: the command line's reference, and two libraries.

They would otherwise go stale or be fetched: the first is read from the commands themselves; what draws diagrams
and what searches from file:// lie in the environment of the documentation, so that pages are whole without a network.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File

PACKAGE = Path(sys.prefix) / "package"
LIBRARIES = {
    "assets/mermaid.min.js": PACKAGE / "dist" / "mermaid.min.js",
    "assets/iframe-worker.js": PACKAGE / "shim" / "index.js",
}


def on_files(files: Any, config: Any) -> Any:
    """Add the page and the libraries; an error of the build when one is not there."""
    files.append(File.generated(config, "cli.md", content=command_line()))
    for place, library in LIBRARIES.items():
        files.append(File.generated(config, place, abs_src_path=str(library.resolve(strict=True))))
    return files


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Without the library of diagrams, which takes a while to read, where there is none."""
    if 'class="mermaid"' in output:
        return output
    return re.sub(r'\s*<script src="[^"]*assets/mermaid\.min\.js"></script>', "", output)


def command_line() -> str:
    """Every command with its arguments and options, as the commands say them of themselves."""
    from typer.cli import get_docs_for_click

    from masumi_tools.cli.run import app

    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="masumi-tools")
    text: str = get_docs_for_click(obj=command, ctx=context, name="masumi-tools", title="The command line")
    return text


__all__ = ["command_line", "on_files", "on_post_page"]
