"""A command loads what it needs: nobody waits for a web client or a database to read --help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("typer")

# By what they cost: the parts of one thing stand under its name.
NETWORK = {"httpx", "httpcore", "anyio", "trio", "masumi_tools.net.http"}
DATABASE = {"sqlalchemy", "masumi_tools.journal.store"}
RECORDS = {"masumi_tools.hire.purchase", "masumi_tools.hire.receipt", "masumi_tools.models"}
DRIVING = {"masumi_tools.hire.buyer", "masumi_tools.hire.flows", "masumi_tools.inputs"}
SERVING = {"starlette", "uvicorn", "fastapi", "masumi_tools.seller.service", "masumi_tools.page.app"}
OTHERS = {"crewai", "langchain_core", "mcp", "masumi_tools.sandbox", "masumi_tools.tools.actions"}
OUTSIDE = NETWORK | DRIVING | SERVING | OTHERS

NOT_LOADED = {
    "--version": OUTSIDE | DATABASE | RECORDS | {"pydantic"},
    "--help": OUTSIDE | DATABASE | RECORDS | {"pydantic"},
    "hire --help": OUTSIDE | DATABASE | RECORDS,
    "hires": OUTSIDE,
    "budget": OUTSIDE,
    "jobs": OUTSIDE | {"masumi_tools.hire.purchase"},
    "hire x --max-price 1": SERVING | OTHERS,
}
ASKING = """
import sys, json, os
from masumi_tools.cli.run import run
out, sys.stdout, sys.stderr = sys.stdout, open(os.devnull, "w"), open(os.devnull, "w")
run(sys.argv[1:])
out.write(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize("words", NOT_LOADED)
def test_a_command_loads_no_more_than_it_needs(words: str, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("MASUMI_")}
    database = ("--database-url", f"sqlite:///{tmp_path}/j.sqlite")

    done = subprocess.run(
        [sys.executable, "-c", ASKING, *words.split(), *database],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )

    assert NOT_LOADED[words].isdisjoint(json.loads(done.stdout))


def test_a_command_is_built_alone_and_help_shows_them_all() -> None:
    from masumi_tools.cli.run import _app_of, app

    alone = _app_of(["--json", "--database-url", "hires", "hire", "budget"])

    assert [one.callback.__name__ for one in alone.registered_commands if one.callback] == ["hire"]
    assert alone.registered_groups == [] and alone.registered_callback is app.registered_callback
    assert [one.name for one in _app_of(["hires", "archive"]).registered_groups] == ["hires"]
    assert all(_app_of(words) is app for words in ([], ["--help", "hire"], ["hier"]))
