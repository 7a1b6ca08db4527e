"""The package as its source files say it: which file imports what, read with ast and never imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PACKAGE = REPO / "masumi_tools"


@dataclass(frozen=True)
class Source:
    """One file of the package. `name` is its path in the package, such as "seller/app.py"."""

    path: Path
    package: Path = PACKAGE

    @property
    def name(self) -> str:
        return self.path.relative_to(self.package).as_posix()

    @property
    def room(self) -> str:
        """The file or folder directly in the package that it belongs to: "http", "calls", "seller"."""
        return self.name.split("/")[0].removesuffix(".py")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"), str(self.path))

    @property
    def lines(self) -> int:
        return len(self.path.read_text(encoding="utf-8").splitlines())

    @cached_property
    def imports(self) -> tuple[str, ...]:
        """Every module that it imports anywhere, in full; `from a import b` counts as "a.b"."""
        return tuple(self._imports())

    def _imports(self) -> Iterator[str]:
        here = ["masumi_tools", *self.name.removesuffix(".py").split("/")]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = [*here[: -node.level], node.module or ""] if node.level else [node.module or ""]
                module = ".".join(part for part in base if part)
                yield from (f"{module}.{alias.name}" for alias in node.names)

    @cached_property
    def rooms_seen(self) -> set[str]:
        """The rooms of the package that it imports from, without its own."""
        seen = {name.split(".")[1] for name in self.imports if name.startswith("masumi_tools.")}
        return seen - {self.room}

    @cached_property
    def libraries(self) -> set[str]:
        """The top names of what it imports from outside the package."""
        return {name.split(".")[0] for name in self.imports} - {"masumi_tools"}

    def uses(self, names: set[str], of: str | None = None) -> list[str]:
        """Where it says `of.name`, or `anything.name` without `of`, as "file:line name"."""
        return [
            f"{self.name}:{node.lineno} {node.attr}"
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Attribute)
            and node.attr in names
            and (of is None or (isinstance(node.value, ast.Name) and node.value.id == of))
        ]


@cache
def sources() -> tuple[Source, ...]:
    """Every file of the package; each is read once a run."""
    return tuple(Source(path) for path in sorted(PACKAGE.rglob("*.py")))


def functions(source: Source) -> Iterator[tuple[str, int]]:
    """Each function and method with its lines, docstring and all."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            yield f"{source.name}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


@cache
def arrows() -> dict[str, set[str]]:
    """Which files each file imports, also where only types are wanted."""
    by_module = {_module(source.name): source.name for source in sources()}
    return {
        source.name: {
            by_module[found]
            for name in source.imports
            if (found := _longest(name, by_module)) and by_module[found] != source.name
        }
        for source in sources()
    }


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """One way from a place back to itself; empty where there is none."""
    try:
        tuple(TopologicalSorter(edges).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def _module(name: str) -> str:
    return ".".join(("masumi_tools", *name.removesuffix(".py").split("/"))).removesuffix(".__init__")


def _longest(name: str, modules: Mapping[str, str]) -> str | None:
    """The module that an imported name is, or lies in; never the package's own face, which knows everything."""
    while name not in modules and "." in name:
        name = name.rpartition(".")[0]
    return name if name in modules and name != "masumi_tools" else None
