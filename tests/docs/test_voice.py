"""The words that people and models read: no phrase that was translated, or that hides who acts and where the money is."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from tests.docs.pages import REPO, pages

PUBLIC = ("", ".langchain", ".mcp", ".seller", ".sandbox", ".errors", ".inputs")
# What is not said, and what is said instead.
FORBIDDEN = {
    r"(?<!here )\b(?:is|are) no (?!longer\b)": 'negate the verb: "has no unit", "is not JSON"',
    r"\bneeds? nobody's\b|\bof every temper\b|\bwho pays nothing\b|\bask the doctor\b": "say it plainly",
    r"\b(?:somebody|nobody|anybody|whoever)\b": "name the role: the service, the buyer, a person",
    r"\bhe may\b|\bhim\b|\bhimself\b": "name the role",
    r"\b(?:is its own key|wrong in one thing|[Tt]ry what may happen|decide himself)\b": "say it plainly",
    r"\banew\b": '"again", or "a new hire"; a call that pays says so',
    r"\brefund wish\b|\bwish for a refund\b": "a refund request",
    r"\bask(?:s|ed|ing)? (?:for )?(?:the|its|his|their) money back\b|\bmoney (?:was|is|can be) asked back\b": "request a refund",
    r"\b(?:are|is) wanted\b": '"needs", "expected"',
    r"\bdid not come back to us\b|\bfor us\b|\bwith us\b|\bto us\b": "we and us are the code's",
    r"\btoo dear\b|\bmore than the [^.]{1,30} that was allowed\b": '"above the limit"',
    r"\bends? it with Ctrl-C\b|\btakes? no jobs\b|\bsee to it\b": "say it plainly",
    r"\b(?:hire|sweep|server|call|run|it|they|watch) go(?:es)? on\b": "continues",
    r"\b(?:offer|budget|time|lease) ran out\b|\btakes? \w+ for dead\b|\bfor want of\b|\bat the most\b": '"expired", "counts as dead", "at most"',
    r"\bas far as it goes\b|\b(?:refunds|results), bookings\b": "say what it does: fetch results, follow refunds",
    r"(?:Error|Refusal|reason|sentence|`) else[.;,]": '"otherwise"',
    r"\bnothing was begun\b|\bis begun and ended\b": '"no job was started"',
}


def of_pages() -> Iterator[tuple[str, str]]:
    """The pages without their code, which other tests run."""
    for page in pages():
        if page.name in ("CONTRIBUTING.md", "CHANGELOG.md", "protocol.md", "field.md"):
            continue
        text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        yield str(page.relative_to(REPO)), text
    for file in [
        *REPO.glob("masumi_tools/cli/starter/*.txt"),
        *REPO.glob("masumi_tools/page/templates/*.html"),
    ]:
        yield str(file.relative_to(REPO)), file.read_text("utf-8")
    for file in REPO.glob("examples/*.ipynb"):
        cells = json.loads(file.read_text("utf-8"))["cells"]
        yield (
            file.name,
            "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"),
        )


def of_messages() -> Iterator[tuple[str, str]]:
    """Every text in the code that is no docstring: messages, answers of tools, help of options."""
    for file in sorted(REPO.glob("masumi_tools/**/*.py")):
        if "sandbox" not in file.parts:  # it repeats the words of the real node and registry
            for line, text in messages(ast.parse(file.read_text("utf-8"))):
                yield f"{file.relative_to(REPO)}:{line}", text


def messages(tree: ast.AST) -> Iterator[tuple[int, str]]:
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside: set[int] = set()
    for node in ast.walk(tree):
        if id(node) in statements or id(node) in inside:
            continue
        if isinstance(node, ast.JoinedStr):
            inside.update(id(part) for part in node.values)
            yield (
                node.lineno,
                "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def of_help() -> Iterator[tuple[str, str]]:
    """What `help()` and the reference of the API say of public names, and `--help` of commands."""
    for name in PUBLIC:
        module = import_module(f"masumi_tools{name}")
        for one in getattr(module, "__all__", None) or vars(module):
            held = getattr(module, one)
            if "masumi_tools" not in (getattr(held, "__module__", None) or ""):
                continue
            yield f"{module.__name__}.{one}", inspect.getdoc(held) or ""
            for method, member in vars(held).items() if inspect.isclass(held) else ():
                if not method.startswith("_"):
                    yield f"{module.__name__}.{one}.{method}", getattr(member, "__doc__", None) or ""
    commands = [
        *REPO.glob("masumi_tools/cli/*.py"),
        REPO / "masumi_tools" / "crewai.py",
    ]  # crewai takes seconds to import
    for file in commands:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield f"{file.name}: {node.name}", ast.get_docstring(node) or ""


@cache
def texts() -> tuple[tuple[str, str], ...]:
    return tuple(
        (where, re.sub(r"\s+", " ", text)) for where, text in (*of_pages(), *of_messages(), *of_help())
    )


@pytest.mark.parametrize("phrase", FORBIDDEN)
def test_nothing_that_people_or_models_read_says_it_so(phrase: str) -> None:
    assert len(texts()) > 1_000
    found = [
        f"{where}: …{text[max(hit.start() - 40, 0) : hit.end() + 40]}…"
        for where, text in texts()
        for hit in re.finditer(phrase, text)
    ]

    assert found == [], f"{FORBIDDEN[phrase]}\n" + "\n".join(found)


def test_the_paths_of_the_pages_are_found() -> None:
    assert {"README.md", "docs/faq.md", "docs/states.md"} <= {where for where, _ in of_pages()}
    assert isinstance(REPO, Path)
