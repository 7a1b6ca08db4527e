"""What works with which extra. These tests run in every environment, also in one without any extra.

A missing extra is tested twice: as it is, where it is not installed, and with its packages hidden,
where it is.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

import masumi_tools
from tests import fresh

PACKAGE = Path(masumi_tools.__file__).parent

# What each extra brings, as pyproject.toml says.
BRINGS = {
    "langchain": ["langchain_core", "langchain", "langgraph"],
    "crewai": ["crewai"],
    "seller": ["fastapi", "starlette", "uvicorn", "httptools", "greenlet"],
    "postgres": ["psycopg"],
    "cli": ["typer", "rich"],
    "mcp": ["mcp"],
    "page": ["jinja2", "starlette", "uvicorn"],
}
EVERYTHING_OPTIONAL = [name for names in BRINGS.values() for name in names]
# Which extras a file needs; a folder speaks for its files. Everything else needs none.
NEEDS = {
    "masumi_tools.langchain": ["langchain"],
    "masumi_tools.crewai": ["crewai"],
    "masumi_tools.seller": ["seller"],
    "masumi_tools.seller.work.crew": ["seller", "crewai"],
    "masumi_tools.cli": ["cli"],
    "masumi_tools.mcp": ["mcp"],
    "masumi_tools.page": ["page"],
    "masumi_tools.cli.demo": ["cli", "langchain"],
    "masumi_tools.cli.demo_mcp": ["cli", "mcp"],
}
# Where somebody meets the extra first, and the line that does it; the command line is tested below.
FACES = {
    "langchain": "from masumi_tools import MasumiAgentTool",
    "crewai": "from masumi_tools.crewai import MasumiAgentTool",
    "seller": "from masumi_tools.seller import sell; sell(lambda text: text, name='n', price='1 ADA').app",
    "mcp": "from masumi_tools.mcp import serve",
    "page": "from masumi_tools.page import open_page",
    "postgres": "from masumi_tools.journal.database import open_engine; open_engine('postgresql://127.0.0.1/x')",
}


def modules() -> list[str]:
    files = sorted(PACKAGE.rglob("*.py"))
    names = [".".join(("masumi_tools", *file.relative_to(PACKAGE).with_suffix("").parts)) for file in files]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def extras_of(module: str) -> list[str]:
    while module not in NEEDS and "." in module:
        module = module.rpartition(".")[0]
    return NEEDS.get(module, [])


def missing_extras(module: str) -> list[str]:
    return [extra for extra in extras_of(module) if find_spec(BRINGS[extra][0]) is None]


@pytest.mark.parametrize("module", modules())
def test_each_module_imports_or_says_what_is_missing(module):
    missing = missing_extras(module)
    if not missing:
        importlib.import_module(module)
        return
    try:
        importlib.import_module(module)
    except ImportError as error:
        assert any(extra in str(error) for extra in missing) or error.name in EVERYTHING_OPTIONAL


def test_all_that_needs_no_extra_imports_without_any():
    plain = [name for name in modules() if not extras_of(name)]

    loaded = fresh.run(
        f"""
        import importlib, json
        for name in {plain!r}:
            importlib.import_module(name)
        print(json.dumps(len({plain!r})))
        """,
        hidden=EVERYTHING_OPTIONAL,
    )

    assert loaded == len(plain)


@pytest.mark.parametrize("extra", FACES)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(extra):
    said = fresh.run(
        f"""
        import json
        from masumi_tools.errors import MasumiError
        try:
            {FACES[extra]}
            print(json.dumps("nothing was missing"))
        except MasumiError as error:
            print(json.dumps(str(error)))
        """,
        hidden=BRINGS[extra],
    )

    assert f"masumi_tools[{extra}]" in said


def test_the_command_without_its_extra_says_what_to_install():
    said = fresh.run(
        """
        import contextlib, io, json, sys
        sys.argv = ["masumi-tools", "--help"]
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            try:
                from masumi_tools.cli import main
                status = main()
            except SystemExit as ended:
                status = ended.code
            except ImportError as error:
                status, errors = 1, io.StringIO(str(error))
        print(json.dumps([status, errors.getvalue()]))
        """,
        hidden=BRINGS["cli"],
    )

    assert said[0] in (1, 2)
    assert "masumi_tools[cli]" in said[1]
