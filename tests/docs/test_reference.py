"""The pages that are made from the code are those of this code."""

from __future__ import annotations

import html
import importlib.util
import inspect
import re
import sys
from types import ModuleType

import pytest

from masumi_tools import errors
from masumi_tools.errors import MasumiError
from tests.docs.pages import REPO, plain


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scripts_{name}", REPO / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "errors.md"])
def test_a_reference_page_is_made_from_the_code_as_it_is(name: str):
    made = script("reference").PAGES[name]()

    assert (REPO / "docs" / name).read_text(encoding="utf-8") == made, "python scripts/reference.py"


def test_the_flags_of_the_reference_are_those_of_the_command_line():
    pytest.importorskip("typer")
    from masumi_tools.cli.context import GLOBAL_FLAGS, GLOBAL_OPTIONS

    flags = {flag for flag, _ in script("reference").SETTINGS.values() if flag}

    assert flags == (GLOBAL_FLAGS | GLOBAL_OPTIONS) - {"--json", "--env-file"}


def test_the_tree_of_errors_is_drawn_as_it_is():
    drawn: dict[str, str] = {}
    path = ["MasumiError"]
    for prefix, name in re.findall(r"^    ([│├└─ ]*)(\w+)  ", inspect.getdoc(errors) or "", re.MULTILINE):
        depth = len(prefix) // 4
        path[depth:] = [name]
        drawn[name] = path[depth - 1]

    kinds = [
        kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, MasumiError)
    ]
    assert drawn == {kind.__name__: kind.__mro__[1].__name__ for kind in kinds if kind is not MasumiError}


@pytest.mark.slow
def test_the_picture_of_the_demo_shows_what_the_demo_prints():
    pytest.importorskip("rich")
    pytest.importorskip("langchain")
    recorder = script("record_demo")

    def words(svg: str) -> str:
        text = html.unescape(recorder.text_of(svg))
        text = re.sub(r"[│┃]\s*\d+\s*[│┃]$", "", plain(text), flags=re.MULTILINE)  # requests vary by one
        return re.sub(r"\s+", "", text)

    shown = recorder.PICTURE.read_text(encoding="utf-8")

    assert words(shown) == words(recorder.record()), "make picture"
    assert "http://www.w3.org" in shown
    assert "font-face" not in shown
