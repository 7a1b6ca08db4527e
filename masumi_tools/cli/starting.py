"""`masumi-tools new`: a folder to start a shop from, which is served and hired as it is."""

from __future__ import annotations

import re
import secrets
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from masumi_tools.cli.context import Context, add
from masumi_tools.errors import InputError


class Kind(StrEnum):
    FUNCTION = "function"
    CREW = "crew"
    LANGGRAPH = "langgraph"


_NEEDS = {Kind.FUNCTION: "", Kind.CREW: "crewai>=1.15.9,<2\n", Kind.LANGGRAPH: "langgraph>=1.2,<2\n"}
# The file in the new folder -> the template beside this file.
_FILES = {
    ".env": "env",
    ".gitignore": "ignore",
    ".dockerignore": "ignore",
    "Dockerfile": "Dockerfile",
    "README.md": "README",
    "compose.yaml": "compose",
    "nginx.conf": "nginx",
    "requirements.txt": "requirements",
    "shop.service": "systemd",
}


def add_to(app: typer.Typer) -> None:
    add(app, new)


def new(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder that is not there yet, or empty.")],
    kind: Annotated[Kind, typer.Option(help="What is sold: function, crew or langgraph.")] = Kind.FUNCTION,
) -> None:
    """Make a shop to start from: work, tests, .env, Dockerfile, compose file, systemd unit, proxy snippet."""
    context: Context = ctx.obj
    made = make(folder, kind)
    if context.as_json:
        context.print_json({"folder": str(folder), "files": made})
        return
    context.out.print(f"made {folder}: {', '.join(made)}", markup=False, highlight=False)
    context.out.print(f"Try it: cd {folder} && python -m pytest", markup=False, highlight=False)


def make(folder: Path, kind: Kind) -> list[str]:
    """Write the files; their names. InputError where the folder holds something already, and nothing is written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} is there already and not an empty folder; nothing was written", phase="new"
        )
    words = {
        "NAME": re.sub(r"[^\w -]+", " ", folder.resolve().name).strip() or "Shop",
        "KIND": kind.value,
        "NEEDS": _NEEDS[kind],
        "FOLDER": str(folder.resolve()),
        "PASSWORD": secrets.token_hex(16),
    }
    files = {**_FILES, "shop.py": f"{kind.value}", "test_shop.py": f"test_{kind.value}"}
    texts = {name: _filled(template, words) for name, template in files.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        file = folder / name
        if name == ".env":
            file.touch(0o600)  # it holds keys
        file.write_text(text, encoding="utf-8")
    return sorted(texts)


def _filled(template: str, words: dict[str, str]) -> str:
    text = (resources.files("masumi_tools.cli") / "starter" / f"{template}.txt").read_text(encoding="utf-8")
    return re.sub(r"@([A-Z]+)@", lambda match: words[match[1]], text)
